"""A directory in every broken state that can be made: each is found, and says how to mend it."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.canaries import MARKER

from waiaas.backups.errors import BackupError
from waiaas.backups.swap import claimed
from waiaas.daemon import initialise
from waiaas.database import open_ledger
from waiaas.directory import DaemonError, write_private
from waiaas.doctor.answers import Answer
from waiaas.doctor.examination import examine
from waiaas.doctor.files import check_last_stop
from waiaas.doctor.finding import Finding, State, Subject
from waiaas.keystore.signer import create_keystore
from waiaas.pipeline.own_keystore import forget_keystore

NOW_S = 1_900_000_000
STAGED = "restore-01890000-0000-7000-8000-000000000000"
NOBODY = Answer(None, None, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "data"
    assert initialise(directory, f"{MARKER} correct horse".encode())
    return directory


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def look(directory: Path, *, answer: Answer = NOBODY) -> list[Finding]:
    return list(examine(directory, answer=answer, version="1", now_s=NOW_S, with_nodes=True))


def wrong(findings: list[Finding]) -> dict[Subject, str]:
    return {each.subject: each.found for each in findings if each.state is State.MEND}


def state_of(directory: Path) -> dict[str, tuple[int, int, int, bytes]]:
    found = {}
    for path in sorted(directory.rglob("*")):
        seen = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (seen.st_mode, seen.st_ino, seen.st_mtime_ns, content)
    return found


def test_a_new_directory_is_in_order_and_looking_changes_nothing(place: Path) -> None:
    before = state_of(place)
    findings = look(place)
    assert wrong(findings) == {}
    assert state_of(place) == before
    assert {each.subject for each in findings} == set(Subject), "every subject is told of"


def test_the_socket_of_a_daemon_that_was_killed_is_in_order(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place / "daemon.sock"))
    (place / "daemon.sock").chmod(0o600)
    assert wrong(look(place)) == {}


def another_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place / "other.sock"))


def open_to_others(place: Path) -> None:
    place.chmod(0o755)


def below_what_others_change(place: Path) -> None:
    place.parent.chmod(0o777)


def readable_ledger(place: Path) -> None:
    (place / "ledger.db").chmod(0o644)


def readable_key(place: Path) -> None:
    (place / "keystore" / "keystore.json").chmod(0o640)


def link(place: Path) -> None:
    (place / "elsewhere").symlink_to("/etc/passwd")


def fifo(place: Path) -> None:
    os.mkfifo(place / "pipe", 0o600)


def unwritable(place: Path) -> None:
    (place / "keystore" / "keystore.json").chmod(0o400)


def unknown_setting(place: Path) -> None:
    (place / "config.toml").write_text("[daemon]\nprot = 1\n", encoding="utf-8")


def no_ballast(place: Path) -> None:
    (place / "ballast").unlink()


def small_ballast(place: Path) -> None:
    os.truncate(place / "ballast", 1000)


def no_keystore(place: Path) -> None:
    shutil.rmtree(place / "keystore")


def exchanged_keystore(place: Path) -> None:
    (place / "keystore" / "keystore.json").unlink()
    create_keystore(place / "keystore", b"a password of their own")


def cut_off_restore(place: Path) -> None:
    """As a kill leaves it after the journal: what is new is staged, what is old in its place."""
    journal = {"version": 1, "staged": STAGED, "replaced": "replaced-1"}
    (place / "replaced-1").mkdir(mode=0o700)
    (place / STAGED).mkdir(mode=0o700)
    for name in ("ledger.db", "config.toml"):
        shutil.copy2(place / name, place / STAGED / name)
    shutil.copytree(place / "keystore", place / STAGED / "keystore")
    write_private(place / "restore.json", json.dumps(journal).encode())


def damaged_journal(place: Path) -> None:
    write_private(place / "restore.json", b"{}")


def end_the_restore(place: Path) -> None:
    """Do what a start does of it."""
    with claimed(place):
        pass


def move_it_away(place: Path) -> None:
    (place / "restore.json").rename(place.parent / "aside")


def foreign_ledger(place: Path) -> None:
    (place / "ledger.db").write_bytes(b"not a database at all, and long enough to be looked at" * 9)


def no_ledger(place: Path) -> None:
    (place / "ledger.db").unlink()


def damaged_page(place: Path) -> None:
    with (place / "ledger.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)


def unreachable_node(place: Path) -> None:
    text = '[rpc]\nsolana_localnet = "http://127.0.0.1:1/"\n'
    (place / "config.toml").write_text(text, encoding="utf-8")


def test_settings_that_others_may_write_are_told_of_as_a_file_and_as_settings(place: Path) -> None:
    """They are not read, so that a start refuses them, too."""
    (place / "config.toml").chmod(0o666)
    found = wrong(look(place))
    assert "config.toml is open to other users" in found[Subject.FILES]
    assert "config.toml: others may write to it" in found[Subject.SETTINGS]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("make", "subject", "told"),
    [
        (open_to_others, Subject.DIRECTORY, "open to other users"),
        (below_what_others_change, Subject.DIRECTORY, "can be changed by other users"),
        (no_keystore, Subject.DIRECTORY, "has a ledger, and no keystore"),
        (exchanged_keystore, Subject.KEYSTORE, "not the file that was opened last"),
        (readable_ledger, Subject.FILES, "ledger.db is open"),
        (readable_key, Subject.FILES, "keystore.json is open"),
        (link, Subject.FILES, "elsewhere is a symbolic link"),
        (fifo, Subject.FILES, "pipe is no ordinary file"),
        (another_socket, Subject.FILES, "other.sock is no ordinary file"),
        (unwritable, Subject.FILES, "you may not read and write"),
        (unknown_setting, Subject.SETTINGS, "daemon.port"),
        (no_ballast, Subject.BALLAST, "is gone"),
        (small_ballast, Subject.BALLAST, "is gone"),
        (cut_off_restore, Subject.RESTORE, "was cut off"),
        (damaged_journal, Subject.RESTORE, "restore.json is damaged"),
        (foreign_ledger, Subject.LEDGER, "database"),
        (no_ledger, Subject.LEDGER, "No such file"),
        (damaged_page, Subject.CONTENT, "malformed"),
        (unreachable_node, Subject.NODES, "localnet"),
    ],
)
def test_a_broken_state_is_found_and_nothing_else_is_called_broken(
    place: Path, make: Callable[[Path], None], subject: Subject, told: str
) -> None:
    make(place)
    before = state_of(place)
    found = wrong(look(place))
    assert list(found) == [subject]
    assert told in found[subject]
    assert state_of(place) == before


@pytest.mark.parametrize(
    ("make", "remedy", "do"),
    [
        (cut_off_restore, "Run `waiaas start`: it ends", end_the_restore),
        (damaged_journal, "Move it away and restore", move_it_away),
    ],
)
def test_what_is_said_of_a_restore_mends_it_and_nothing_else_does(
    place: Path, make: Callable[[Path], None], remedy: str, do: Callable[[Path], None]
) -> None:
    make(place)
    [told] = [each.remedy for each in look(place) if each.state is State.MEND]
    assert remedy in str(told)
    if do is move_it_away:  # The control: what was said of both before.
        with pytest.raises(BackupError, match="is damaged"):
            end_the_restore(place)
    do(place)
    assert wrong(look(place)) == {}


def test_a_keystore_open_to_others_is_told_once_and_one_command_mends_it(place: Path) -> None:
    (place / "keystore").chmod(0o755)
    [told] = [each for each in look(place) if each.state is State.MEND]
    assert told.subject is Subject.FILES
    assert str(told.remedy).endswith(f"chmod 700 {place / 'keystore'}")
    (place / "keystore").chmod(0o700)
    assert wrong(look(place)) == {}


def test_a_missing_directory_is_told_and_not_made(tmp_path: Path) -> None:
    found = wrong(look(tmp_path / "none"))
    assert "there is no" in found[Subject.DIRECTORY]
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_even_be_looked_at_is_told(tmp_path: Path) -> None:
    """As for another user's; the tests may run as root, for whom there is nothing closed."""
    found = wrong(look(tmp_path / ("x" * 300)))
    assert "File name too long" in found[Subject.DIRECTORY]


def test_a_link_to_a_directory_is_told(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    assert "not a directory (or a link to one)" in wrong(look(tmp_path / "link"))[Subject.DIRECTORY]


def test_settings_that_others_may_read_are_no_fault(place: Path) -> None:
    (place / "config.toml").chmod(0o644)
    assert wrong(look(place)) == {}


def test_of_many_open_files_ten_are_named_and_the_rest_counted(place: Path) -> None:
    for number in range(13):
        (place / f"file-{number}").touch(mode=0o644)
    told = [each.found for each in look(place) if each.subject is Subject.FILES]
    assert len(told) == 11
    assert told[-1] == "3 more are wrong"


def test_a_port_that_another_program_has_is_told(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        text = f"[daemon]\nport = {other.getsockname()[1]}\n"
        (place / "config.toml").write_text(text, encoding="utf-8")
        assert "is taken by another program" in wrong(look(place))[Subject.PORT]


def test_a_stop_that_was_none_is_noted(place: Path) -> None:
    (place / "clean-stop").unlink()
    found = {each.subject: each for each in look(place)}[Subject.LAST_STOP]
    assert found.state is State.NOTE


def test_a_restored_ledger_that_no_daemon_has_closed_is_called_that() -> None:
    found = check_last_stop(Path("/nowhere"), is_running=False, is_restored=True)
    assert (found.state, "was restored" in found.found) == (State.NOTE, True)


def test_a_ledger_that_does_not_know_its_keystore_yet_is_worth_a_note(place: Path) -> None:
    with open_ledger(place) as ledger:
        ledger.write(lambda tx: forget_keystore(tx, now_s=1))
    findings = look(place)
    assert wrong(findings) == {}
    [told] = [
        each for each in findings if each.state is State.NOTE and each.subject is Subject.KEYSTORE
    ]
    assert "Start once with the password" in told.found


def test_a_directory_without_a_ledger_is_to_be_initialised(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert "is not initialised" in wrong(look(tmp_path))[Subject.DIRECTORY]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("loop", "is not a directory (or a link to one)"),
        ("loop/data", "Too many levels of symbolic links"),
        ("file/data", "Not a directory"),
    ],
)
def test_a_way_that_leads_nowhere_is_told_by_doctor_as_by_init(
    tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    with pytest.raises(DaemonError) as refused:
        initialise(tmp_path / name, f"{MARKER} correct horse".encode())
    assert told in str(refused.value)
    found = wrong(look(tmp_path / name))
    assert list(found) == [Subject.DIRECTORY]
    assert told in found[Subject.DIRECTORY]
