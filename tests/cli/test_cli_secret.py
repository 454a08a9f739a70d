"""Secrets come from a private file or a descriptor, as the first line; nothing else is taken."""

import os
from pathlib import Path

import pytest
import typer

from waiaas.cli.secret import as_text, new_private_file, read_password, read_token


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    return path


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"a b", "a b"),
        (b"a b\n", "a b"),
        (b"a b\r\n", "a b"),
        (b"a b\nmore", "a b"),
        (b" a ", " a "),
        ("Žluťoučký 你好 😀\n".encode(), "Žluťoučký 你好 😀"),
    ],
)
def test_the_password_is_the_first_line(file: Path, content: bytes, password: str) -> None:
    file.write_bytes(content)
    assert as_text(read_password(file=file, descriptor=None)) == password
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    assert as_text(read_password(file=None, descriptor=reading)) == password


@pytest.mark.parametrize(
    "content",
    [b"tab\there", b"\xff\xfe", b"caf\xe9", b"\0", b"\x1b[A", "zero\u200bwidth".encode(),
     b"\xef\xbb\xbfwith a mark of order", "no\u00a0break".encode(), b"a\rb"],
)  # fmt: skip
def test_a_password_that_could_not_be_sent_or_typed_is_refused(
    file: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(content)
    with pytest.raises(typer.Exit) as ended:
        read_password(file=file, descriptor=None)
    assert ended.value.exit_code == 2
    err = capsys.readouterr().err
    assert "UTF-8 text of visible characters and spaces" in err


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n", b"\nmore"])
def test_an_empty_source_is_called_empty_and_no_password_is_tried(
    file: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(content)
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    for source, name in (({"file": file}, file), ({"file": None, "descriptor": reading}, reading)):
        with pytest.raises(typer.Exit) as ended:
            read_password(**source)
        assert ended.value.exit_code == 2
        assert f"{name} is empty: there is no master password in it" in capsys.readouterr().err
    if content:  # Somebody else may have chosen an empty one, for a file of his.
        assert len(read_password(file=file, may_be_empty=True)) == 0


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o601, 0o777])
def test_a_file_that_others_may_open_is_refused(
    file: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(b"hunter2")
    file.chmod(mode)
    with pytest.raises(typer.Exit) as ended:
        read_password(file=file, descriptor=None)
    assert ended.value.exit_code == 2
    err = capsys.readouterr().err
    assert f"chmod 600 {file}" in err
    assert "hunter2" not in err


def test_what_is_no_file_is_refused_and_nobody_waits_for_a_fifo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for place, why in (
        (fifo, "it is no ordinary file"),
        (tmp_path, "it is no ordinary file"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(typer.Exit):
            read_password(file=place, descriptor=None)
        assert why in capsys.readouterr().err


def test_a_link_is_followed_and_the_file_that_it_names_is_judged(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a volume with secrets of Kubernetes, where every name is a link."""
    file.write_bytes(b"hunter2")
    (tmp_path / "link").symlink_to(file)
    assert as_text(read_password(file=tmp_path / "link")) == "hunter2"
    file.chmod(0o644)
    with pytest.raises(typer.Exit):
        read_password(file=tmp_path / "link")
    assert "is open to other users" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_the_file_of_another_user_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """He could have put there what he likes, and knows it."""
    file.write_bytes(b"hunter2")
    os.chown(file, 65_534, -1)
    for read in (lambda: read_password(file=file), lambda: read_token(file)):
        with pytest.raises(typer.Exit) as ended:
            read()
        assert ended.value.exit_code == 2
        assert f"{file} cannot be used: it belongs to another user" in capsys.readouterr().err


@pytest.mark.parametrize("descriptor", [1, 2])
def test_no_secret_is_read_from_where_something_is_to_be_said(
    descriptor: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        read_password(file=None, descriptor=descriptor)
    assert ended.value.exit_code == 2
    assert f"descriptor {descriptor} is for what is said" in capsys.readouterr().err
    os.fstat(descriptor)


@pytest.mark.parametrize("descriptor", [-1, 999_999])
def test_a_descriptor_that_is_not_open_is_refused(
    descriptor: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        read_password(file=None, descriptor=descriptor)
    assert ended.value.exit_code == 2
    assert f"descriptor {descriptor} cannot be read" in capsys.readouterr().err


def test_two_sources_or_none_are_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        read_password(file=file, descriptor=0)
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", "ümlaut".encode(), b"nul\0"])
def test_a_file_without_a_token_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(typer.Exit):
        read_token(file)


def test_a_token_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        with new_private_file(path) as stream:
            stream.write("wai_sess_x\n")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_token(path) == "wai_sess_x"


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("elsewhere")])
def test_a_new_file_takes_nobodys_place(tmp_path: Path, make: object) -> None:
    assert callable(make)
    path = tmp_path / "token"
    make(path)
    with pytest.raises(typer.Exit), new_private_file(path):
        pass
    assert path.is_symlink() or path.read_bytes() == b""
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_file_is_gone_again_when_there_is_nothing_to_put_in_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(KeyError), new_private_file(path):
        raise KeyError
    assert not path.exists()
