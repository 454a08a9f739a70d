"""Making a backup: a snapshot of the ledger, the sealed keys and the settings, in one sealed file.

On a running daemon and without one it is the same; whoever calls holds the directory's lock through
the open ledger. The order matters: the ledger is copied before the keystore's files are read, so
each agent that may spend in the copy has its key file in the backup.
"""

import asyncio
import contextlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from waiaas.backups.disk import new_file, private_folder, sync_folder, work_folder
from waiaas.backups.disk import remove_leftovers as remove_work_folders
from waiaas.backups.errors import BackupError, WrongMasterPassword
from waiaas.backups.file import (
    CONFIG_FILE,
    SUFFIX,
    VAULT_FILE,
    AuditHeadEntry,
    Content,
    Header,
    Manifest,
    describe,
    entry_of,
    key_facts,
    open_with_key,
    write_backup,
)
from waiaas.backups.swap import claimed
from waiaas.config.reading import read_config_file
from waiaas.database import Closed, DatabaseError, Ledger, generate_id, open_ledger
from waiaas.database.copies import read_copy
from waiaas.database.errors import LedgerDamaged, LedgerFull
from waiaas.database.integrity import CheckKind, check_integrity
from waiaas.database.key_value import DAEMON_ID
from waiaas.database.ledger import LEDGER_NAME
from waiaas.database.snapshot import copy_database
from waiaas.directory import (
    BACKUPS_NAME,
    KEYSTORE_NAME,
    LEDGER_FILE,
    DaemonError,
    require_initialised,
    sentence,
)
from waiaas.domain.audit import OPERATOR, UNAUTHENTICATED, AuditEvent
from waiaas.domain.backup import Backup, BackupMode, KeysSaved
from waiaas.domain.enums import AgentStatus, AuditAction, KeystoreProblem
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore.errors import KeystoreError, KeystoreLocked, PasswordRefused, WrongPassword
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.protection import Protection, UnderKeystore, protect_with_password
from waiaas.keystore.sealed_files import VAULT_NAME, is_whole_key_file, read_sealed_files
from waiaas.keystore.secrecy import wipe
from waiaas.keystore.signer import FileKeystore, open_keystore
from waiaas.pipeline.clock_guard import ClockGuard
from waiaas.pipeline.own_keystore import OtherKeystore, known_keystore
from waiaas.pipeline.record import ledger_time, remember
from waiaas.place import ConfigError
from waiaas.ports import Clock, GenerateId, GuardedClock, LedgerTransaction
from waiaas.system import read_boot_id
from waiaas.upkeep import require_own_opened

UNCHANGED: Final = "Nothing was changed."

_KEY_BYTES: Final = 32
_DRAFT: Final = re.compile(r"\.\S+\.new")


Details = dict[str, str]
"""Of an audit row."""


def _tell_nothing(_saved: KeysSaved) -> Details:
    """Leave it at what is told of every backup."""
    return {}


def _write_nothing(_tx: LedgerTransaction, _backup: Backup, _saved: KeysSaved, _now_s: int) -> None:
    """Leave it at the audit row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """On whose behalf a backup is made, and what belongs to that. As it stands: an operator's."""

    actor: str = OPERATOR
    mark: str = ""
    """What its file's name says about it."""
    details: Callable[[KeysSaved], Details] = _tell_nothing
    """Returns more of them for the audit row."""
    record: Callable[[LedgerTransaction, Backup, KeysSaved, int], None] = _write_nothing
    """Writes, with the audit row, what else there is to write; given the ledger time."""
    is_stopped: Callable[[], bool] = lambda: False
    """Asked again and again; once it says True there will be no backup."""

    def go_on(self) -> None:
        """Return unless it is to stop.

        Raises:
            BackupError: it is.
        """
        if self.is_stopped():
            raise BackupError("It was told to stop.", remedy=UNCHANGED)


class BackupMaker:
    """Makes backups of one data directory, one at a time."""

    def __init__(
        self,
        directory: Path,
        *,
        ledger: Ledger,
        keystore: FileKeystore | None,
        clock: Clock,
        generate_id: GenerateId,
        version: str,
    ) -> None:
        """Args: keystore: unlocked; without one, backups are made under a password only."""
        self._directory = directory
        self._ledger = ledger
        self._keystore = keystore
        self._clock = clock
        self._generate_id = generate_id
        self._version = version
        self._one_at_a_time = threading.Lock()

    async def make_beside_requests(self, password: Guarded | bytes | None) -> Backup:
        """`make`, on a thread of its own, for the API.

        Raises:
            Refusal: BACKUP_UNDER_WAY, VALIDATION_FAILED for the password, or BACKUP_FAILED with
                the reason.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            raise Refusal(
                ErrorCode.BACKUP_UNDER_WAY,
                "another backup is being made",
                hint="Try again when it is done.",
            )

        def work() -> Backup:
            # Given up by the thread: whoever asked may be gone before it is done.
            try:
                return self._make(password)
            finally:
                self._one_at_a_time.release()

        try:
            return await asyncio.to_thread(work)
        except BackupError as error:
            if isinstance(error.__cause__, Closed | KeystoreLocked):
                raise error.__cause__ from None  # Stopping, or locked.
            if isinstance(error.__cause__, PasswordRefused):
                raise Refusal(
                    ErrorCode.VALIDATION_FAILED,
                    error.problem,
                    hint=error.remedy,
                    details={"field": "password"},
                ) from None
            raise Refusal(ErrorCode.BACKUP_FAILED, error.problem, hint=error.remedy) from error

    def make(self, password: Guarded | bytes | None) -> Backup:
        """Make a backup under *password*, or with None under the keystore's backup key.

        It is on the disk, and every byte of it was read back.

        Raises:
            BackupError: there is none, and why.
        """
        with self._one_at_a_time:
            return self._make(password)

    def make_if_free(self, occasion: Occasion) -> Backup:
        """Make a backup under the keystore's backup key, unless another one is being made.

        Raises:
            BackupError: there is none, and why.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            raise BackupError("Another backup is being made.", remedy="Nothing is to be done.")
        try:
            return self._make(None, occasion)
        finally:
            self._one_at_a_time.release()

    def _make(self, password: Guarded | bytes | None, occasion: Occasion | None = None) -> Backup:
        backup_id, created_at = self._generate_id(), self._clock.now_s()
        mode = BackupMode.KEYSTORE if password is None else BackupMode.PASSWORD
        facts = key_facts(backup_id=backup_id, created_at=created_at, mode=mode)
        file_key = bytearray(secrets.token_bytes(_KEY_BYTES))
        with explained():
            try:
                protection = self._protect(file_key, password, facts=facts)
                header = Header(
                    format="waiaas backup",
                    version=1,
                    id=backup_id,
                    created_at=created_at,
                    protection=protection,
                )
                return self._write(header, file_key, occasion or Occasion())
            finally:
                wipe(file_key)

    def _protect(
        self, file_key: bytearray, password: Guarded | bytes | None, *, facts: bytes
    ) -> Protection:
        if password is not None:
            return protect_with_password(file_key, password, facts=facts)
        assert self._keystore is not None, "whoever asks for the backup key unlocked the keystore"
        return self._keystore.protect_file_key(file_key, facts=facts)

    def _write(self, header: Header, file_key: bytearray, occasion: Occasion) -> Backup:
        folder = _folder_of_backups(self._directory)
        remove_work_folders(self._directory)
        _remove_drafts(folder)
        name = _file_name(header, occasion.mark)
        draft = folder / f".{name}.new"
        try:
            with work_folder(self._directory) as work:
                manifest, contents, saved = self._collect(header, work, occasion)
                with new_file(draft) as file:
                    write_backup(
                        file,
                        header=header,
                        manifest=manifest,
                        contents=contents,
                        file_key=file_key,
                        go_on=occasion.go_on,
                    )
            if open_with_key(draft, file_key).extract(None, go_on=occasion.go_on) != manifest:
                raise OSError("it does not read back as it was written")
            made = describe(draft)
            backup = Backup(made.id, name, made.created_at, made.size_bytes, made.mode)
            # Before it has its name: no backup is without its row. A row may be without its backup.
            self._record(backup, saved, occasion)
            os.link(draft, folder / name)  # Unlike a renaming, never in place of another file.
        finally:
            draft.unlink(missing_ok=True)
            sync_folder(folder)
        return backup

    def _collect(
        self, header: Header, work: Path, occasion: Occasion
    ) -> tuple[Manifest, dict[str, Content], KeysSaved]:
        """Take the snapshot; return what goes into the backup, and what of the keys does."""
        copy = work / LEDGER_FILE
        copy_database(self._directory / LEDGER_NAME, copy)
        _require_sound(copy, is_stopped=occasion.is_stopped)
        facts, (daemon_id, agents, known) = read_copy(
            copy,
            lambda tx: (
                tx.key_values.get(DAEMON_ID),
                _agents_that_had_keys(tx),
                known_keystore(tx),
            ),
        )
        keys = read_sealed_files(self._directory / KEYSTORE_NAME)
        contents: dict[str, Content] = {LEDGER_FILE: copy}
        contents |= {f"{KEYSTORE_NAME}/{name}": content for name, content in keys.items()}
        config = read_config_file(self._directory / CONFIG_FILE)
        if config is not None:
            contents[CONFIG_FILE] = config.content
        protection = header.protection
        if isinstance(protection, UnderKeystore) and protection.keystore != contents[VAULT_FILE]:
            raise BackupError(
                f"{self._directory / KEYSTORE_NAME} was changed since the daemon was started.",
                remedy="Find out by whom; then stop and start the daemon.",
            )
        if known is not None and sha256(keys[VAULT_NAME]).hexdigest() not in known.files:
            raise OtherKeystore(KeystoreProblem.OTHER_FILE)
        head = facts.audit_head
        manifest = Manifest(
            format="waiaas backup manifest",
            version=1,
            program_version=self._version,
            daemon_id=daemon_id,
            schema_version=facts.schema_version,
            created_at=header.created_at,
            audit_head=None if head is None else AuditHeadEntry(head.sequence, head.hash),
            files=[
                entry_of(name, content, go_on=occasion.go_on) for name, content in contents.items()
            ],
        )
        return manifest, contents, _saved(agents, keys)

    def _record(self, backup: Backup, saved: KeysSaved, occasion: Occasion) -> None:
        wall_s = self._clock.now_s()
        details = {"id": backup.id, "name": backup.name, "mode": backup.mode}
        details |= occasion.details(saved)
        event = AuditEvent(AuditAction.BACKUP_CREATED, occasion.actor, details=details)

        def unit(tx: LedgerTransaction) -> None:
            now_s = ledger_time(tx, wall_s=wall_s)
            tx.audit.append(event, now_s=now_s)
            occasion.record(tx, backup, saved, now_s)

        self._ledger.write(unit)


def make_offline(
    directory: Path,
    *,
    password: Guarded | bytes | None,
    master_password: Callable[[], Guarded | bytes],
    clock: Clock,
    version: str,
) -> Backup:
    """Make a backup of a directory on which no daemon runs.

    Args:
        directory: the data directory.
        password: of the backup; None: the keystore's backup key.
        master_password: asked only if the keystore's backup key is used.
        clock: of this machine.
        version: of this program.

    Raises:
        BackupError: there is no backup, and why.
    """
    require_initialised(directory)
    os.umask(0o077)
    with (
        explained(),
        claimed(directory) as lock,
        open_ledger(directory, lock=lock, must_exist=True) as ledger,
        contextlib.ExitStack() as stack,
    ):
        keystore = None
        guard = guarded(clock, ledger)
        if password is None:
            with attempt(ledger, guard):
                keystore = open_keystore(directory / KEYSTORE_NAME, master_password())
            stack.callback(keystore.lock)
        if keystore is not None:
            require_own_opened(
                keystore.facts(), operation="create backup", ledger=ledger, clock=guard
            )
        maker = BackupMaker(
            directory,
            ledger=ledger,
            keystore=keystore,
            clock=guard,
            generate_id=generate_id,
            version=version,
        )
        return maker.make(password)


def guarded(clock: Clock, ledger: Ledger) -> GuardedClock:
    """Return this machine's clock as far as *ledger* lets it be believed.

    One row dated by a clock that was set would leave its time in the ledger for good.
    """
    guard = ClockGuard(clock, boot_id=read_boot_id())
    guard.start(ledger)
    return guard


@contextlib.contextmanager
def attempt(ledger: Ledger, clock: Clock) -> Iterator[None]:
    """Write a wrong password down."""
    try:
        yield
    except WrongPassword:
        details = {"caller": "LOCAL_USER"}
        failed = AuditEvent(AuditAction.AUTH_FAILED, UNAUTHENTICATED, details=details)
        with contextlib.suppress(LedgerFull, LedgerDamaged):  # It is wrong all the same.
            wall_s = clock.now_s()
            ledger.write(lambda tx: remember(tx, failed, now_s=ledger_time(tx, wall_s=wall_s)))
        raise


@contextlib.contextmanager
def explained(*, remedy: str = UNCHANGED) -> Iterator[None]:
    """Turn what the ledger, the keystore and the system say into a BackupError."""
    try:
        yield
    except BackupError:
        raise
    except WrongPassword as error:
        raise WrongMasterPassword(error.problem, remedy=error.remedy) from error
    except (KeystoreError, OtherKeystore) as error:
        raise BackupError(error.problem, remedy=error.remedy) from error
    except (OSError, DatabaseError, DaemonError, ConfigError) as error:
        raise BackupError(f"{sentence(error).rstrip('.')}.", remedy=remedy) from error


def _require_sound(copy: Path, *, is_stopped: Callable[[], bool]) -> None:
    findings = check_integrity(copy, kind=CheckKind.FULL, is_stopped=is_stopped)
    if findings:
        raise BackupError(
            f"The ledger is damaged ({findings[0]}): no backup was made of it.",
            remedy="Restore one made before; to keep this ledger, copy its stopped folder.",
        )


def _agents_that_had_keys(tx: LedgerTransaction) -> list[AgentRecord]:
    statuses = [status for status in AgentStatus if status is not AgentStatus.CREATING]
    return [agent for status in statuses for agent in tx.agents.with_status(status)]


def _saved(agents: Sequence[AgentRecord], keys: Mapping[str, bytes]) -> KeysSaved:
    """Tell whose keys are saved by the files of a keystore, as far as is told without a password.

    An agent whose making was cut off before it had one counts as one that lost it.
    """
    lacking = [
        agent.id
        for agent in agents
        if not is_whole_key_file(
            keys.get(f"{agent.id}.json"), agent_id=agent.id, public_key=agent.public_key
        )
    ]
    newest = max((agent.id for agent in agents), default=AgentId(""))
    return KeysSaved(tuple(sorted(lacking)), newest)


def _file_name(header: Header, mark: str) -> str:
    when = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(header.created_at))
    return f"{when}-{mark}{header.id[-8:]}{SUFFIX}"


def _remove_drafts(folder: Path) -> None:
    for path in folder.iterdir():
        if _DRAFT.fullmatch(path.name):
            path.unlink()


Listing = tuple[list[Backup], list[str]]


def _folder_of_backups(directory: Path) -> Path:
    """Return the folder of backups, made if need be.

    Raises:
        DaemonError: something else is in its place, or it is open to others.
        OSError: it cannot be made.
    """
    folder = directory / BACKUPS_NAME
    if os.path.lexists(folder) and not stat.S_ISDIR(folder.lstat().st_mode):
        raise BackupError(
            f"{folder} is in the place of the folder of backups.",
            remedy="See what it is, and move it away.",
        )
    return private_folder(folder)


def list_backups(directory: Path) -> Listing:
    """Return the backups of a data directory, newest first, and what is wrong with other files.

    Raises:
        BackupError: the folder cannot be read.
    """
    folder = directory / BACKUPS_NAME
    found, problems = [], []
    try:
        paths = [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise BackupError(sentence(error), remedy="Check its permissions.") from error
    for path in paths:
        try:
            found.append(describe(path))
        except BackupError as error:
            problems.append(str(error))
    return sorted(found, key=lambda backup: (backup.created_at, backup.id), reverse=True), problems


def find_backup(directory: Path, given: Path) -> Path:
    """Return the file that is meant: as given, or by its name in the folder of backups."""
    in_folder = directory / BACKUPS_NAME / given
    is_name = given.name == str(given) and not given.exists()
    return in_folder if is_name and in_folder.exists() else given
