"""What the daemon writes for its clients, and what they believe of it."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.canaries import MARKER

from waiaas.chains.localnet import process as localnet_process
from waiaas.daemon import initialise
from waiaas.database.lock import DirectoryLock
from waiaas.directory import (
    LOCALNET_NAME,
    Address,
    DaemonError,
    find_daemon,
    is_initialised,
    may_have_localnet,
    read_cookie,
    require_initialised,
    require_private,
    watch_daemon,
    write_locked,
    write_private,
)
from waiaas.offline import stop_localnet

PASSWORD = f"{MARKER} correct horse battery staple".encode()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    private = tmp_path / "data"
    private.mkdir(mode=0o700)
    return private


@contextmanager
def living(directory: Path, content: bytes) -> Iterator[None]:
    """A daemon's file while the daemon lives, as far as others can tell."""
    descriptor = write_locked(directory / "daemon.json", content)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away needs root")
def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    require_private(directory)
    os.chown(directory, 65_534, -1)
    with pytest.raises(DaemonError, match="belongs to another user"):
        require_private(directory)


def test_a_daemon_is_found_for_as_long_as_it_lives(directory: Path) -> None:
    assert find_daemon(directory) is None
    with living(directory, b'{"url": "http://127.0.0.1:1", "pid": 7}'):
        assert find_daemon(directory) == Address("http://127.0.0.1:1", 7)
    assert (directory / "daemon.json").exists()
    assert find_daemon(directory) is None


def test_two_may_look_for_it_at_once(directory: Path) -> None:
    with living(directory, b'{"url": "http://127.0.0.1:1", "pid": 7}'):
        other = os.open(directory / "daemon.json", os.O_RDONLY)
        try:
            assert find_daemon(directory) is not None
        finally:
            os.close(other)
    reader = os.open(directory / "daemon.json", os.O_RDONLY)
    try:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert find_daemon(directory) is None
    finally:
        os.close(reader)


def test_its_end_is_seen_even_when_its_file_is_gone(directory: Path) -> None:
    with watch_daemon(directory) as has_ended:
        assert has_ended()
    with living(directory, b"{}"):
        watching = watch_daemon(directory)
        has_ended = watching.__enter__()
        (directory / "daemon.json").unlink()
        assert not has_ended()
    assert has_ended()
    watching.__exit__(None, None, None)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"url": 7, "pid": "x"}', b"\xff", b"{" * 5000]
)
def test_a_damaged_file_is_an_error_if_its_daemon_lives_and_nothing_otherwise(
    directory: Path, content: bytes
) -> None:
    with living(directory, content), pytest.raises(DaemonError, match=r"daemon\.json cannot be"):
        find_daemon(directory)
    assert find_daemon(directory) is None


def test_a_file_that_is_no_file_is_an_error_that_names_it(directory: Path) -> None:
    (directory / "daemon.json").symlink_to("/etc/hostname")
    with pytest.raises(DaemonError, match=r"daemon\.json is a link, .* move it away"):
        find_daemon(directory)
    (directory / "daemon.json").rename(directory / "aside")
    assert find_daemon(directory) is None


def test_links_that_go_in_a_circle_are_not_blamed_on_a_file_that_is_not_there(
    directory: Path,
) -> None:
    (directory / "loop").symlink_to("loop")
    with pytest.raises(DaemonError, match="Too many levels of symbolic links"):
        find_daemon(directory / "loop")


def test_nothing_is_believed_in_a_directory_that_others_can_write(directory: Path) -> None:
    with living(directory, b'{"url": "http://127.0.0.1:1", "pid": 7}'):
        directory.chmod(0o770)
        with pytest.raises(DaemonError, match="chmod 700"):
            find_daemon(directory)


def test_a_cookie_is_text_or_missing_or_an_error(directory: Path) -> None:
    assert read_cookie(directory) is None
    assert read_cookie(directory / "daemon.json" / "x") is None
    write_private(directory / "operator.cookie", b"wai_op_x")
    assert read_cookie(directory) == "wai_op_x"
    (directory / "operator.cookie").write_bytes(b"\xff")
    with pytest.raises(DaemonError, match="cannot be read"):
        read_cookie(directory)


def test_a_private_file_replaces_the_old_one_whole_and_is_for_its_owner(directory: Path) -> None:
    path = directory / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    (directory / ".file.new").write_bytes(b"left by a crash")
    write_private(path, b"x" * 200_000)
    assert path.read_bytes() == b"x" * 200_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in directory.iterdir()] == ["file"]


def test_initialise_makes_everything_once(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    assert initialise(directory, PASSWORD)
    require_initialised(directory)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert not initialise(directory, b"another password entirely")
    assert before == {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert not (tmp_path / "a").stat().st_mode & 0o077


def test_a_password_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    for refused in (b"too short", b"x" * 1025):
        with pytest.raises(DaemonError, match="12 to 1024 bytes"):
            initialise(tmp_path / "a" / "b", refused)
    assert list(tmp_path.iterdir()) == []
    assert initialise(tmp_path / "data", PASSWORD)
    assert not initialise(tmp_path / "data", b"too short")


def test_initialise_keeps_settings_that_were_there_before(directory: Path) -> None:
    (directory / "config.toml").write_bytes(b"[daemon]\nport = 1\n")
    assert initialise(directory, PASSWORD)
    assert (directory / "config.toml").read_bytes() == b"[daemon]\nport = 1\n"


def test_initialise_refuses_what_is_not_a_private_directory(tmp_path: Path) -> None:
    file, link, public = tmp_path / "file", tmp_path / "link", tmp_path / "public"
    file.touch()
    link.symlink_to("nowhere")
    public.mkdir(mode=0o750)
    for place, complaint in (
        (file, "is not a directory"),
        (link, "is not a directory"),
        (public, "chmod 700"),
    ):
        with pytest.raises(DaemonError, match=complaint):
            initialise(place, PASSWORD)
        assert not is_initialised(place)
    assert list(public.iterdir()) == []


def test_initialise_says_which_path_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DaemonError, match=f"^{tmp_path}/file/data: Not a directory$"):
        initialise(tmp_path / "file" / "data", PASSWORD)


def test_the_network_of_a_directory_that_somebody_uses_is_left_alone(directory: Path) -> None:
    assert not stop_localnet(directory)
    assert not stop_localnet(directory / "nowhere")
    lock = DirectoryLock(directory)
    try:
        with pytest.raises(
            DaemonError, match=f"process {os.getpid()} has .*: a daemon that starts or stops"
        ):
            stop_localnet(directory)
    finally:
        lock.release()


def test_whether_a_local_network_may_live_is_seen_without_asking_it(directory: Path) -> None:
    assert not may_have_localnet(directory)
    network = localnet_process.find_or_start(directory / LOCALNET_NAME)
    assert may_have_localnet(directory)
    os.kill(network.pid, signal.SIGKILL)
    os.waitpid(network.pid, 0)
    assert may_have_localnet(directory), "nobody has looked"
    assert not stop_localnet(directory)
    assert not may_have_localnet(directory)


@pytest.mark.parametrize("redirection", ["", "2>&-"])
def test_a_commit_whose_outcome_is_unknown_ends_the_process_with_70(redirection: str) -> None:
    program = (
        "from waiaas.daemon import _die; from waiaas.database.errors import CommitUnknown;"
        " _die(CommitUnknown('disk on fire'))"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {redirection}; exit $?', sys.executable, program],
        capture_output=True, encoding="utf-8", timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 70
    assert ("disk on fire" in done.stderr) is not bool(redirection)


def test_an_address_is_what_other_programs_can_read(directory: Path) -> None:
    with living(directory, b'{"url":"http://127.0.0.1:1","pid":7}'):
        assert json.loads((directory / "daemon.json").read_bytes())["pid"] == 7
