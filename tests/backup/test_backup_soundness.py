"""A damaged ledger: no backup is made of it, and one that was made is not taken for a good one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from waiaas.backups.create import BackupMaker, list_backups
from waiaas.backups.errors import BackupError
from waiaas.backups.file import open_backup
from waiaas.backups.restore import restore_backup
from waiaas.backups.verify import verify_backup
from waiaas.database import generate_id, open_ledger
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock


def without_triggers(sqlite: apsw.Connection, change: str, *values: str) -> None:
    """Do what the triggers forbid, and leave them as they were."""
    sqlite.execute("PRAGMA foreign_keys=OFF")
    triggers = sqlite.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    kept = [(str(name), str(sql)) for name, sql in triggers]
    for name, _ in kept:
        sqlite.execute(f"DROP TRIGGER {name}")
    sqlite.execute(change, values)
    for _, sql in kept:
        sqlite.execute(sql)


def with_an_index_that_does_not_fit(file: Path) -> None:
    sqlite = apsw.Connection(str(file))
    [(key,)] = sqlite.execute("SELECT public_key FROM agents LIMIT 1").fetchall()
    sqlite.close()
    content = file.read_bytes()
    spelled = str(key).encode()
    assert content.count(spelled) == 2, "in the table and in its index"
    other = (b"3" if spelled.startswith(b"2") else b"2") + spelled[1:]
    file.write_bytes(content.replace(spelled, other, 1))


def with_a_row_that_has_lost_its_parent(file: Path) -> None:
    sqlite = apsw.Connection(str(file))
    absent = generate_id()
    without_triggers(
        sqlite,
        "INSERT INTO policies (id, agent_id, type, rules, created_at, updated_at)"
        " VALUES (?1, ?1, 'SPENDING_LIMIT', '{}', 1, 1)",
        absent,
    )
    sqlite.close()


def with_an_edited_audit_row(file: Path) -> None:
    sqlite = apsw.Connection(str(file))
    without_triggers(sqlite, "UPDATE audit_log SET actor = 'nobody' WHERE id = 1")
    sqlite.close()


DAMAGES = {
    "row .* missing from index|non-unique|missing": with_an_index_that_does_not_fit,
    "refers to nothing": with_a_row_that_has_lost_its_parent,
    "audit chain": with_an_edited_audit_row,
}


@pytest.fixture(params=DAMAGES.items(), ids=lambda damage: damage[1].__name__)
def damage(request: pytest.FixtureRequest, directory: Path) -> str:
    """Damage the ledger of `directory`; return what is said of that."""
    told, do = request.param
    started = AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM)
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.audit.append(started, now_s=1))
    do(directory / "ledger.db")
    return str(told)


@pytest.fixture
def make(home: "Home", directory: Path, clock: "StillClock") -> Callable[[], Path]:
    def made() -> Path:
        with open_ledger(directory) as ledger:
            maker = BackupMaker(
                directory,
                ledger=ledger,
                keystore=home.keystore,
                clock=clock,
                generate_id=generate_id,
                version="1.2.3",
            )
            return directory / "backups" / maker.make(b"a password of its own").name

    return made


@pytest.fixture
def make_unchecked(make: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Make one as a release did that does not look so closely."""

    def made() -> Path:
        with monkeypatch.context() as patch:
            patch.setattr("waiaas.backups.create._require_sound", lambda *_, **__: None)
            return make()

    return made


def test_no_backup_is_made_of_it(damage: str, directory: Path, make: Callable[[], Path]) -> None:
    before = list_backups(directory)
    with pytest.raises(BackupError, match=damage) as refused:
        make()
    assert "no backup was made" in str(refused.value)
    assert list_backups(directory) == before


def test_one_that_was_made_is_neither_verified_nor_restored(
    damage: str,
    directory: Path,
    make_unchecked: Callable[[], Path],
    clock: "StillClock",
    tree: Callable[[Path], dict[str, bytes]],
) -> None:
    opened = open_backup(make_unchecked(), b"a password of its own")
    place = directory.with_name("other")
    shutil.copytree(directory, place)
    before = tree(place)
    with pytest.raises(BackupError, match=damage):
        verify_backup(opened, directory=place)
    with pytest.raises(BackupError, match=damage):
        restore_backup(opened, place, clock=clock)
    assert tree(place) == before
    opened.close()
