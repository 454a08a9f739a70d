"""What a check says: how it stands, what was found, and how to mend it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SEE_FILES: Final = "it is not read as it lies there: see files"
"""What is unknown of a place, of which the check of files tells what is wrong with it."""


class State(StrEnum):
    """How it stands with one thing."""

    FINE = "fine"
    NOTE = "note"
    """Worth knowing; nothing has to be mended."""
    UNKNOWN = "unknown"
    """It could not be looked at here, or something else has to be mended first."""
    MEND = "mend"
    """The operator has to mend it."""


class Subject(StrEnum):
    """Everything that is looked at, in the order in which it is told."""

    DIRECTORY = "directory"
    FILES = "files"
    FILE_SYSTEM = "file system"
    SPACE = "space"
    USER = "user"
    SETTINGS = "settings"
    SQLITE = "SQLite"
    LOCK = "lock"
    DAEMON = "daemon"
    VERSION = "version"
    PORT = "port"
    WORKERS = "workers"
    MEMORY = "locked memory"
    CORE_DUMPS = "core dumps"
    UMASK = "umask"
    CLOCK = "clock"
    LEDGER = "ledger"
    CONTENT = "ledger's content"
    CHAIN = "audit chain"
    WAL = "write-ahead log"
    LAST_STOP = "last stop"
    BALLAST = "ballast"
    RESTORE = "restore"
    KEYSTORE = "keystore"
    KEYS = "keys"
    KILL_SWITCH = "kill switch"
    AGENTS = "agents"
    POLICIES = "policies"
    BACKUPS = "backups"
    NODES = "nodes"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    subject: Subject
    state: State
    found: str
    remedy: str | None = None
    """How to mend it; there is one exactly if it has to be."""

    def __post_init__(self) -> None:
        assert (self.remedy is not None) is (self.state is State.MEND), self


def fine(subject: Subject, found: str) -> Finding:
    """Return that it is as it should be."""
    return Finding(subject, State.FINE, found)


def note(subject: Subject, found: str) -> Finding:
    """Return what is worth knowing."""
    return Finding(subject, State.NOTE, found)


def unknown(subject: Subject, why: str) -> Finding:
    """Return that it was not looked at, and why."""
    return Finding(subject, State.UNKNOWN, why)


def mend(subject: Subject, found: str, remedy: str) -> Finding:
    """Return what is wrong, and who has to do what about it."""
    return Finding(subject, State.MEND, found, remedy)
