"""What is handed in says one thing, and ends: repeated members, depths and pipes are refused."""

import json
import os
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.cli.owners import read_signature
from waiaas.inputs import (
    JSON_BYTES_MAX,
    NESTING_MAX,
    parse_json,
    read_file,
    read_json,
    read_own_file,
)

TWO_AMOUNTS = '{"to": "x", "amount": "1", "amount": "2000000"}'
DEEP = "[" * 100_000
SIGNATURES = ("deep", "fifo", "/dev/zero", "none")
JSONS = ("twice", *SIGNATURES)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TWO_AMOUNTS, "names a member twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "names a member twice"),
        ('{"a": 1, "\\u0061": 2}', "names a member twice"),
        (DEEP, "deeper than"),
        ('{"a":' * 100_000, "deeper than"),
        ("[" * (NESTING_MAX + 1) + "]" * (NESTING_MAX + 1), "deeper than"),
        ('[{"a":' * 50 + "1" + "}]" * 50, "deeper than"),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("9" * 5000, "digits"),
        ("", "Expecting value"),
        ("{} {}", "Extra data"),
        ("\ufeff{}", "BOM"),
    ],
)
def test_what_could_be_read_in_two_ways_or_never_ends_is_no_json(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_json(text)


def test_control_python_pays_the_last_of_two_amounts_and_falls_over_depth() -> None:
    assert json.loads(TWO_AMOUNTS)["amount"] == "2000000"
    with pytest.raises(RecursionError):
        json.loads(DEEP)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_everything_else_is_read_as_it_was_meant(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


def test_a_file_is_ordinary_and_no_longer_than_it_may_be(tmp_path: Path) -> None:
    file, fifo = tmp_path / "file", tmp_path / "fifo"
    os.mkfifo(fifo)
    file.write_bytes(b"{}")
    assert read_file(file, bytes_max=2) == b"{}"
    assert read_json(file) == {}
    with pytest.raises(ValueError, match="longer than 1 bytes"):
        read_file(file, bytes_max=1)
    for other in (fifo, Path("/dev/zero"), tmp_path):
        with pytest.raises((ValueError, IsADirectoryError)):
            read_file(other, bytes_max=2)
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"it is not UTF-8 text \(byte 1\)"):
        read_json(file)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_own_file_is_no_link_and_nobody_else_can_have_written_it(
    mode: int, tmp_path: Path
) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"{}")
    file.chmod(0o644)
    link.symlink_to(file)
    assert read_own_file(file, bytes_max=2) == read_file(link, bytes_max=2) == b"{}"
    with pytest.raises(ValueError, match="it is a link, and none is followed"):
        read_own_file(link, bytes_max=2)
    with pytest.raises(ValueError, match="longer than 1 bytes"):
        read_own_file(file, bytes_max=1)
    file.chmod(mode)
    assert read_file(file, bytes_max=2) == b"{}", "the control"
    with pytest.raises(ValueError, match="others may write to it"):
        read_own_file(file, bytes_max=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_an_own_file_belongs_to_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"{}")
    os.chown(file, 65_534, -1)
    with pytest.raises(ValueError, match="it belongs to another user"):
        read_own_file(file, bytes_max=2)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("tx send --token-file token --request {}", JSONS),
        ("tx simulate --token-file token --request {}", JSONS),
        ("policy explain --agent x --request {}", JSONS),
        ("policy test {}", JSONS),
        ("owner verify --agent x --owner-signature {}", SIGNATURES),
        ("approval approve x --owner-signature {}", SIGNATURES),
    ],
)
def test_every_command_refuses_what_is_in_such_a_file_before_it_asks(
    command: str, names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    for name, content in (("token", "wai_sess_x"), ("twice", TWO_AMOUNTS), ("deep", DEEP)):
        Path(name).touch(mode=0o600)
        Path(name).write_text(content, encoding="utf-8")
    for name in names:
        done = CliRunner().invoke(app, ["--data-dir", "data", *command.format(name).split()])
        assert done.exit_code == 2, (name, done.output)
        assert name in done.output


@pytest.mark.parametrize("command", ["policy explain --agent x --request", "policy test"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{}" + b" " * JSON_BYTES_MAX, f"it is longer than {JSON_BYTES_MAX} bytes"),
        (b'{"to": "caf\xe9"}', "it is not UTF-8 text (byte 12)"),
        (b"{,", "it is not JSON: Expecting property name"),
    ],
    ids=["long", "latin-1", "cut"],
)
def test_only_what_is_text_that_ends_and_yet_no_json_is_called_that(
    command: str, content: bytes, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.json").write_bytes(content)
    done = CliRunner().invoke(app, ["--data-dir", "data", *command.split(), "x.json"])
    assert done.exit_code == 2
    assert f"waiaas: x.json: {why}" in done.output


@pytest.mark.parametrize("option", ["policy set --rules", "session create --agent x --constraints"])
@pytest.mark.parametrize("text", [TWO_AMOUNTS, DEEP])
def test_json_in_an_option_is_read_in_the_same_way(option: str, text: str) -> None:
    done = CliRunner().invoke(app, ["--data-dir", "/nowhere", *option.split(), text])
    assert done.exit_code == 2
    assert f"{option.rsplit(maxsplit=1)[-1]} is not JSON" in done.output


def test_a_signature_has_white_space_around_it_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "signature"
    file.write_text("\n 5ig \n", encoding="ascii")
    assert read_signature(str(file)) == "5ig"


def test_a_signature_in_letters_of_no_wallet_is_called_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "signature"
    file.write_text("žádný", encoding="utf-8")
    with pytest.raises(typer.Exit):
        read_signature(str(file))
    assert "does not hold a signature: it is not ASCII text" in capsys.readouterr().err
