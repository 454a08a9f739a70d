"""The files on the disk: who may have them, and what a crash leaves."""

import os
import resource
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.keystore.crashing import crashes, steps_of_files

from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.keystore import files
from waiaas.keystore.errors import (
    DamagedKeystore,
    FileAlreadyExists,
    FileUnavailable,
    KeystoreError,
    UnsafeFile,
)
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore

Agents = tuple[AgentId, AgentId]

NOBODY: Final = 65_534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")


@pytest.fixture
def private(tmp_path: Path) -> PrivateDirectory:
    directory = PrivateDirectory(tmp_path / "private")
    directory.create()
    return directory


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ── who may have them ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_files_are_0600_whatever_the_umask(private: PrivateDirectory, umask: int) -> None:
    before = os.umask(umask)
    try:
        private.write_new("x.json", b"content")
    finally:
        os.umask(before)
    assert mode_of(private.path / "x.json") == 0o600
    assert mode_of(private.path) == 0o700
    assert private.read("x.json") == b"content"


def test_everything_a_keystore_writes_is_private(home: Path) -> None:
    assert mode_of(home) == 0o700
    assert [mode_of(path) for path in home.iterdir()] == [0o600] * 3


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o610, 0o666, 0o777])
def test_a_file_that_others_may_touch_is_refused(
    home: Path, keystore: FileKeystore, agents: Agents, mode: int
) -> None:
    (home / "keystore.json").chmod(mode)
    (home / f"{agents[0]}.json").chmod(mode)
    with pytest.raises(UnsafeFile, match=r"open to other users.*chmod 600 .*keystore\.json"):
        open_keystore(home, b"irrelevant password")
    with pytest.raises(UnsafeFile, match="chmod 600"):
        keystore.sign(agents[0], b"pay")


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o777])
def test_a_directory_that_others_may_enter_is_refused(
    home: Path, tmp_path: Path, password: bytes, mode: int
) -> None:
    home.chmod(mode)
    with pytest.raises(UnsafeFile, match="chmod 700"):
        open_keystore(home, password)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty").chmod(mode)
    with pytest.raises(UnsafeFile, match="chmod 700"):
        create_keystore(tmp_path / "empty", password)
    assert not list((tmp_path / "empty").iterdir())


@only_root
def test_what_belongs_to_another_user_is_refused(
    home: Path, keystore: FileKeystore, agents: Agents
) -> None:
    for path in (home / "keystore.json", home / f"{agents[0]}.json"):
        os.chown(path, NOBODY, -1)
    with pytest.raises(UnsafeFile, match="belongs to another user"):
        open_keystore(home, b"irrelevant password")
    with pytest.raises(UnsafeFile, match="belongs to another user"):
        keystore.sign(agents[0], b"pay")
    os.chown(home / "keystore.json", 0, -1)
    os.chown(home, NOBODY, -1)
    with pytest.raises(UnsafeFile, match="belongs to another user"):
        open_keystore(home, b"irrelevant password")


def test_symbolic_links_are_refused(
    home: Path, keystore: FileKeystore, tmp_path: Path, agents: Agents, password: bytes
) -> None:
    for name in ("keystore.json", f"{agents[0]}.json"):
        (home / name).rename(tmp_path / name)
        (home / name).symlink_to(tmp_path / name)
    with pytest.raises(UnsafeFile, match="symbolic link"):
        open_keystore(home, password)
    with pytest.raises(UnsafeFile, match="symbolic link"):
        keystore.sign(agents[0], b"pay")


def test_a_directory_behind_a_symbolic_link_is_refused(
    home: Path, tmp_path: Path, password: bytes
) -> None:
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnsafeFile, match="symbolic link"):
        open_keystore(tmp_path / "link", password)
    for link in ("link", "dangling"):
        with pytest.raises(UnsafeFile, match="symbolic link"):
            create_keystore(tmp_path / link, password)
    assert not (tmp_path / "nowhere").exists()


def test_a_dangling_link_in_the_place_of_a_new_file_is_not_followed(
    private: PrivateDirectory, tmp_path: Path
) -> None:
    (private.path / "x.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileAlreadyExists):
        private.write_new("x.json", b"content")
    assert not (tmp_path / "elsewhere").exists()


def test_only_ordinary_files_are_read_and_none_is_waited_for(private: PrivateDirectory) -> None:
    os.mkfifo(private.path / "fifo", 0o600)
    (private.path / "directory").mkdir(mode=0o700)
    for name in ("fifo", "directory"):
        with pytest.raises(UnsafeFile, match="no ordinary file"):
            private.read(name)


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path, password: bytes) -> None:
    (tmp_path / "keystore").touch(0o600)
    with pytest.raises(UnsafeFile, match="no directory"):
        open_keystore(tmp_path / "keystore", password)


def test_a_file_larger_than_any_of_ours_is_not_read_to_its_end(private: PrivateDirectory) -> None:
    private.write_new("x.json", b"x" * files.FILE_BYTES_MAX)
    assert len(private.read("x.json") or b"") == files.FILE_BYTES_MAX
    private.write_new("y.json", b"x" * (files.FILE_BYTES_MAX + 1))
    os.truncate(private.path / "y.json", 2**40)  # sparse; reading it whole would be noticed
    with pytest.raises(DamagedKeystore, match="more than 65536 bytes"):
        private.read("y.json")


def as_nobody(action: Callable[[Path], None]) -> int:
    """Run *action* on a directory of its own in a child without privileges; return its exit."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        child = os.fork()
        if child == 0:
            outcome = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                action(Path(name))
                outcome = 0
            finally:
                os._exit(outcome)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_user_without_privileges_gets_errors_of_ours_too() -> None:
    def work(path: Path) -> None:
        directory = PrivateDirectory(path / "private")
        directory.create()
        directory.write_new("x.json", b"content")
        assert directory.read("x.json") == b"content"
        (directory.path / "x.json").chmod(0)
        with pytest.raises(FileUnavailable, match=r"Could not read .*x\.json: Permission denied"):
            directory.read("x.json")
        directory.path.chmod(0o500)
        with pytest.raises(FileUnavailable, match="Could not write"):
            directory.write_new("y.json", b"content")
        directory.path.chmod(0)
        with pytest.raises(FileUnavailable, match="Could not clean"):
            directory.remove_leftovers()
        directory.path.chmod(0o700)

    assert as_nobody(work) == 0


# ── what a crash leaves ────────────────────────────────────────────────────────────────────────


def test_a_folder_of_the_name_of_a_leftover_is_nobodys_leftover(private: PrivateDirectory) -> None:
    names = {kind: f".keystore.json.{kind * 8}.tmp" for kind in ("aa", "bb", "cc")}
    (private.path / names["aa"]).mkdir()
    (private.path / names["bb"]).touch()
    os.mkfifo(private.path / names["cc"])
    private.remove_leftovers()
    assert private.names() == [names["aa"]]


def test_a_crash_at_any_step_leaves_no_file_or_the_whole_file(private: PrivateDirectory) -> None:
    content = b"x" * 50_000
    seen = set()
    names = iter(f"{number}.json" for number in range(200))
    name = ""

    def write() -> Callable[[], None]:
        nonlocal name
        name = next(names)
        return lambda: private.write_new(name, content)

    for number in crashes(write):
        found = private.read(name)
        assert found in {None, content}, f"after step {number}"
        left_over = any(left.endswith(".tmp") for left in private.names())
        private.remove_leftovers()
        assert private.read(name) == found
        assert not any(left.endswith(".tmp") for left in private.names())
        seen.add((found is not None, left_over))
    # Every stage was met: nothing yet, a temporary file only, both names, the file alone.
    assert seen == {(False, False), (False, True), (True, True), (True, False)}


def test_a_crash_while_storing_leaves_a_key_that_is_whole_or_absent(
    home: Path, keystore: FileKeystore, password: bytes, new_agent: Callable[[], AgentId]
) -> None:
    agent_id, address = new_agent(), ""
    outcomes = []

    def store() -> Callable[[], None]:
        nonlocal agent_id, address
        agent_id = new_agent()
        address = keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.DEVNET)
        return lambda: keystore.store(agent_id)

    for _ in crashes(store):
        held = keystore.holds(agent_id, public_key=address)
        assert held == (home / f"{agent_id}.json").exists()
        outcomes.append(held)
    assert outcomes == sorted(outcomes)
    assert {False, True} == set(outcomes)
    assert any(path.suffix == ".tmp" for path in home.iterdir())
    open_keystore(home, password)
    assert not any(path.suffix == ".tmp" for path in home.iterdir())


def test_the_content_is_on_the_disk_before_it_has_its_name(private: PrivateDirectory) -> None:
    steps: list[str] = []
    sys.setprofile(steps_of_files(steps.append))
    try:
        private.write_new("x.json", b"content")
    finally:
        sys.setprofile(None)
    calls = [step.removeprefix("c_call ") for step in steps if step.startswith("c_call ")]
    interesting = {"open", "write", "flush", "fsync", "link", "unlink"}
    assert [call for call in calls if call in interesting] == [
        "open",  # the directory
        "open",  # the temporary file
        "write",
        "flush",
        "fsync",
        "link",
        "unlink",
        "fsync",  # the directory: both names
    ]


def test_creating_never_replaces_and_cleans_up_after_itself(private: PrivateDirectory) -> None:
    private.write_new("x.json", b"old")
    with pytest.raises(FileAlreadyExists, match="was not overwritten"):
        private.write_new("x.json", b"new")
    assert private.read("x.json") == b"old"
    assert private.names() == ["x.json"]


def test_only_temporary_files_of_ours_are_cleaned_away(home: Path, password: bytes) -> None:
    ours = [".keystore.json.0123456789abcdef.tmp", f".{'0' * 8}-x.json.{'f' * 16}.tmp"]
    theirs = [".keystore.json.tmp", "notes.tmp", "keystore.json.0123456789abcdef.tmp", ".x.swp"]
    for name in ours + theirs:
        (home / name).write_bytes(b"")
    before = {path.name for path in home.iterdir()}
    open_keystore(home, password)
    assert before - {path.name for path in home.iterdir()} == set(ours)


def test_a_full_disk_leaves_the_key_generated_and_storing_works_later(
    home: Path, keystore: FileKeystore, new_agent: Callable[[], AgentId]
) -> None:
    agent_id = new_agent()
    address = keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.DEVNET)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # no file past 100 bytes
        with pytest.raises(KeystoreError, match=r"Could not write .*: File too large"):
            keystore.store(agent_id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(list(home.iterdir())) == 3
    keystore.store(agent_id)
    assert keystore.holds(agent_id, public_key=address)
