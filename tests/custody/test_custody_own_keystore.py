"""A ledger goes with its own keystore: another one is refused, whoever has its password.

The attack: put the keystore.json of a fresh `waiaas init` in the place of the ledger's, start, and
log in with a password of one's own. What the naive variants do is in the controls.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs
from tests.canaries import MARKER

from waiaas.backups.create import make_offline
from waiaas.backups.errors import BackupError, WrongMasterPassword
from waiaas.custody import Written, change_password, import_key, raise_cost
from waiaas.daemon import initialise
from waiaas.database import open_ledger
from waiaas.directory import DaemonError
from waiaas.domain.enums import ChainType, KeyFormat, NetworkType
from waiaas.keystore.errors import DamagedKeystore, WrongPassword
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.kdf import CURRENT
from waiaas.keystore.signer import FileKeystore, open_locked
from waiaas.opening import open_for_start
from waiaas.pipeline.own_keystore import OtherKeystore, forget_keystore
from waiaas.system import SystemClock

Rows = Callable[[], list[tuple[str, str, Any]]]

OWN: Final = f"{MARKER} the first master password".encode()
NEW: Final = f"{MARKER} the second master password".encode()
THEIRS: Final = f"{MARKER} a password of their own".encode()
VAULT: Final = "keystore/keystore.json"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keystore.json of a fresh init, under a password of their own."""
    directory = tmp_path_factory.mktemp("theirs") / "data"
    initialise(directory, THEIRS)
    return directory / VAULT


@contextmanager
def started(data: Path, password: bytes | None, **how: Any) -> Iterator[FileKeystore]:
    """Open the keystore as a start does."""
    with open_ledger(data) as ledger:
        keystore = open_for_start(
            data / "keystore", password, ledger=ledger, clock=SystemClock(), **how
        )
        yield keystore
        keystore.lock()


def change(data: Path, old: bytes, new: bytes) -> None:
    change_password(data, password=lambda: old, new_password=lambda: new, clock=SystemClock())


def not_asked() -> Guarded:
    pytest.fail("nothing was to be asked")


def start(data: Path) -> None:
    with started(data, THEIRS):
        pytest.fail("it started")


def start_locked(data: Path) -> None:
    with started(data, None):
        pytest.fail("it started")


def change_theirs(data: Path) -> None:
    change(data, THEIRS, NEW)


def back_up(data: Path) -> None:
    make_offline(
        data, password=None, master_password=lambda: THEIRS, clock=SystemClock(), version="1"
    )


def import_one(data: Path) -> None:
    written = Written(
        *(KeyFormat.SOLANA_KEYGEN, ChainType.SOLANA, not_asked, not_asked, not_asked), account=0
    )
    import_key(
        data,
        written,
        name="a",
        network=NetworkType.DEVNET,
        profile=None,
        address=None,
        password=lambda: THEIRS,
        clock=SystemClock(),
    )


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (start, ("start", "OTHER_KEYSTORE")),
        (start_locked, ("start", "OTHER_FILE")),
        (change_theirs, ("change password", "OTHER_KEYSTORE")),
        (back_up, ("create backup", "OTHER_KEYSTORE")),
        (import_one, ("import key", "OTHER_KEYSTORE")),
    ],
)
def test_an_exchanged_keystore_is_refused_with_a_row_and_nothing_is_done_with_it(
    data: Path, theirs: Path, rows: Rows, act: Callable[[Path], None], why: tuple[str, str]
) -> None:
    shutil.copy(theirs, data / VAULT)
    with pytest.raises((OtherKeystore, DaemonError, BackupError), match=r"[Ff]ind out who"):
        act(data)
    details = {"operation": why[0], "problem": why[1]}
    assert rows() == [("OPERATION_REFUSED", "operator", details)]
    assert (data / VAULT).read_bytes() == theirs.read_bytes()
    assert list((data / "keystore").iterdir()) == [data / VAULT]


def test_control_the_keystore_by_itself_is_whole_and_opens_with_their_password(
    data: Path, theirs: Path
) -> None:
    shutil.copy(theirs, data / VAULT)
    assert open_locked(data / "keystore").verify_password(THEIRS), "who logs in gets a token"


def test_a_backup_under_its_own_password_is_not_made_of_an_exchanged_keystore(
    data: Path, theirs: Path
) -> None:
    shutil.copy(theirs, data / VAULT)
    with pytest.raises(BackupError, match="not the file that was opened last"):
        make_offline(
            data,
            password=b"a backup's password",
            master_password=not_asked,
            clock=SystemClock(),
            version="1",
        )


def test_its_own_keystore_starts_with_and_without_its_password_after_every_change(
    data: Path, rows: Rows
) -> None:
    with started(data, None) as locked:
        assert locked.is_locked
    change(data, OWN, NEW)
    with started(data, None):
        pass
    with started(data, NEW, cost=CURRENT._replace(memory_kib=CURRENT.memory_kib + 8)) as keystore:
        content = (data / VAULT).read_bytes()
        assert keystore.facts().file_sha256 == sha256(content).hexdigest(), "the new file is open"
    with started(data, None):
        pass
    assert {details["reason"] for _, _, details in rows()} == {"password", "cost"}


def test_an_older_file_of_the_same_keystore_takes_its_password_and_leaves_a_row(
    data: Path, rows: Rows
) -> None:
    older = (data / VAULT).read_bytes()
    change(data, OWN, NEW)
    (data / VAULT).write_bytes(older)
    with pytest.raises(OtherKeystore, match="start once with its password"):
        start_locked(data)
    before = len(rows())
    with started(data, OWN):
        pass
    [(event, actor, details)] = rows()[before:]
    assert (event, actor, details["reason"]) == ("KEY_ROTATED", "system", "found")
    with started(data, None):
        pass
    assert len(rows()) == before + 1


def test_a_ledger_that_knows_no_keystore_learns_it_from_whoever_opens_it(data: Path) -> None:
    with open_ledger(data) as ledger:
        ledger.write(lambda tx: forget_keystore(tx, now_s=1))
    with pytest.raises(OtherKeystore, match="Start once with the password"):
        start_locked(data)
    with started(data, OWN):
        pass
    with started(data, None):
        pass


@pytest.mark.parametrize(("act", "error"), [(start, WrongPassword), (back_up, WrongMasterPassword)])
def test_a_wrong_password_at_a_start_and_at_a_backup_leaves_a_row(
    data: Path, rows: Rows, act: Callable[[Path], None], error: type[Exception]
) -> None:
    with pytest.raises(error):
        act(data)
    assert rows() == [("AUTH_FAILED", "unauthenticated", {"caller": "LOCAL_USER"})]


def test_a_ledger_that_takes_no_writes_keeps_nobody_from_starting_and_no_password_is_right(
    data: Path, theirs: Path
) -> None:
    with open_ledger(data) as ledger, capture_logs() as logs:
        ledger.write(lambda tx: forget_keystore(tx, now_s=1))
        ledger.stop_writing(["page 7 is torn"])
        place, clock = data / "keystore", SystemClock()
        with pytest.raises(WrongPassword):
            open_for_start(place, THEIRS, ledger=ledger, clock=clock)
        open_for_start(place, OWN, ledger=ledger, clock=clock).lock()
    assert [log["log_level"] for log in logs if "keystore" in log["event"]] == ["warning"]
    assert theirs.exists()


def test_a_damaged_file_is_told_once_and_as_what_it_is(data: Path) -> None:
    (data / VAULT).write_bytes((data / VAULT).read_bytes()[:-20])
    with capture_logs() as logs, pytest.raises(DamagedKeystore):
        start(data)
    assert logs == []


def test_control_to_raise_the_cost_before_opening_tells_damage_as_something_else(
    data: Path,
) -> None:
    (data / VAULT).write_bytes((data / VAULT).read_bytes()[:-20])
    with open_ledger(data) as ledger, capture_logs() as logs:
        raise_cost(data / "keystore", OWN, ledger=ledger, clock=SystemClock())
    assert ["costs what it did" in log["event"] for log in logs] == [True]
