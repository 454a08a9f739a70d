"""What can go wrong with the ledger, one class each, every message with its remedy.

DatabaseError
├── NotADatabase        the file is something else, or damaged
├── ForeignDatabase     a SQLite file of another application
├── NewerSchema         written by a newer release
├── SchemaMismatch      the right version, but not the tables it should have
├── UpgradeFailed       an older file that does not survive the upgrade; it is as it was
├── ReadOnlyDatabase    the file or a reader's connection cannot be written
├── PragmaRefused       SQLite did not take a setting that the ledger depends on
├── ValueRefused        a value does not fit its column
├── ConstraintViolated  a unique index or a foreign key refused the row
├── AlreadyOpen         another ledger owns the data directory
├── DirectoryLost       the data directory was moved, removed or replaced under the open ledger
├── Closed              used after close
├── RolledBack          nothing was written; asking again is safe
├── ClockBeforeEpoch    the machine's clock stands where no id can be made
├── LedgerFull          nothing was written: no space; reading goes on
├── LedgerDamaged       nothing was written: the file is damaged; reading goes on where it can
├── CheckStopped        a check of the file was told to stop before it knew anything
└── CommitUnknown       perhaps written: only a restart and a look can tell
"""

from collections.abc import Sequence
from pathlib import Path

FINDINGS_SHOWN_MAX = 3
"""How many of a damaged file's faults a message repeats."""

VALUE_CHARACTERS_SHOWN_MAX = 80
"""How much of a refused value a message repeats."""


class DatabaseError(Exception):
    """Base of everything this package raises."""


class NotADatabase(DatabaseError):  # noqa: N818 -- says what the file is
    """The path is not a SQLite database, or one that cannot be read; it was not changed."""

    def __init__(self, path: str | Path, *, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"{path} cannot be used as a database: {reason}. It was left as it is; "
            f"give another path, or restore a backup."
        )


class ForeignDatabase(DatabaseError):  # noqa: N818 -- says what the file is
    """The file is a SQLite database of something else; it was not changed."""

    def __init__(self, path: str | Path, *, application_id: int) -> None:
        self.path = path
        self.application_id = application_id
        super().__init__(
            f"{path} belongs to another application (application_id {application_id:#x}) "
            f"and was left as it is; give waiaas a path of its own."
        )


class NewerSchema(DatabaseError):  # noqa: N818 -- says what the file is
    """The file was written by a newer release; it was not changed."""

    def __init__(self, path: str | Path, *, found: int, known: int) -> None:
        self.path = path
        self.found = found
        self.known = known
        super().__init__(
            f"{path} has schema version {found}, this program knows up to {known}: it was written "
            f"by a newer waiaas. Start that one, or restore a backup from before the upgrade."
        )


class SchemaMismatch(DatabaseError):  # noqa: N818 -- says what was found
    """The schema version is known, the schema is not that version's; nothing was changed."""

    def __init__(self, path: str | Path, *, differences: list[str]) -> None:
        self.path = path
        self.differences = differences
        super().__init__(
            f"{path} does not have the schema of its version ({'; '.join(differences)}): something "
            f"other than waiaas changed it. Restore a backup."
        )


class UpgradeFailed(DatabaseError):  # noqa: N818 -- says what happened
    """A step to a newer schema did not keep what was there; everything was undone."""

    def __init__(self, path: str | Path, version: int, *, reason: str) -> None:
        self.path = path
        self.version = version
        self.reason = reason
        super().__init__(
            f"{path} was not upgraded to schema version {version} and is as it was: {reason}. "
            f"Start the waiaas that wrote it, and report this."
        )


class ReadOnlyDatabase(DatabaseError):  # noqa: N818 -- says what the file is
    """Something wanted to write where only reading is possible."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        super().__init__(
            f"{path} is read-only here; check the permissions of the file and its folder."
        )


class PragmaRefused(DatabaseError):  # noqa: N818 -- says what SQLite did
    """SQLite did not take a setting; the connection was closed."""

    def __init__(self, name: str, *, wanted: object, found: object) -> None:
        self.name = name
        self.wanted = wanted
        self.found = found
        super().__init__(
            f"SQLite reports {name}={found!r} after it was set to {wanted!r}; the file system may "
            f"not support it (network and overlay file systems do not)."
        )


class ValueRefused(DatabaseError):  # noqa: N818 -- says what was done with the value
    """A value does not fit its column; nothing was written."""

    def __init__(self, column: str, value: object, *, reason: str = "not an allowed value") -> None:
        self.column = column
        self.value = value
        self.reason = reason
        shown = repr(value)
        if len(shown) > VALUE_CHARACTERS_SHOWN_MAX:
            shown = shown[:VALUE_CHARACTERS_SHOWN_MAX] + "…"
        super().__init__(f"{column} refuses {shown}: {reason}")


class ConstraintViolated(DatabaseError):  # noqa: N818 -- says what happened
    """A unique index, primary key, foreign key or trigger refused the row; nothing was written."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class AlreadyOpen(DatabaseError):  # noqa: N818 -- says what was found
    """Another ledger, in this process or another, owns the data directory."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = directory
        super().__init__(
            f"{directory} is in use by another waiaas; stop that one, or give another directory."
        )


class DirectoryLost(DatabaseError):  # noqa: N818 -- says what happened
    """The ledger's path leads to another file than the one it has open; nothing was written.

    What is written there would be found by nobody, and somebody else may own the path by now. The
    writer has stopped for good: stop the process.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        super().__init__(
            f"{path} was moved, removed or replaced while it was open: nothing was written, and "
            f"writing has stopped. Put the data directory back in its place and start again."
        )


class Closed(DatabaseError):  # noqa: N818 -- says what was found
    """The connection or ledger was used after it was closed."""

    def __init__(self) -> None:
        super().__init__("the database is closed")


class RolledBack(DatabaseError):  # noqa: N818 -- says what happened
    """The unit of work was undone, whole; nothing of it is in the ledger and it may be repeated."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"nothing was written ({reason}); the same work may be tried again")


class ClockBeforeEpoch(DatabaseError):  # noqa: N818 -- says what was found
    """The machine's clock stands before 1970, where no id can be made."""

    def __init__(self) -> None:
        super().__init__("this machine's clock stands before 1970: set it right and try again")


class LedgerFull(DatabaseError):  # noqa: N818 -- says what was found
    """No space: nothing was written, reading goes on, and writing resumes when space returns."""

    def __init__(self) -> None:
        super().__init__("the disk is full: nothing was written; free some space and try again")


class LedgerDamaged(DatabaseError):  # noqa: N818 -- says what was found
    """The file is damaged: nothing is written any more; what can still be read is read."""

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        shown = "; ".join(self.findings[:FINDINGS_SHOWN_MAX])
        if len(self.findings) > FINDINGS_SHOWN_MAX:
            shown += f"; and {len(self.findings) - FINDINGS_SHOWN_MAX} more"
        super().__init__(
            f"the ledger is damaged ({shown}): nothing is written any more. Stop waiaas, keep a "
            f"copy of the data directory, and restore a backup with `waiaas backup restore`"
        )


class CheckStopped(DatabaseError):  # noqa: N818 -- says what happened
    """A check of the file was told to stop; it says nothing about the file."""

    def __init__(self) -> None:
        super().__init__("the check was stopped before it had seen the whole file")


class CommitUnknown(DatabaseError):  # noqa: N818 -- says what is known
    """COMMIT failed: the work may or may not be in the ledger.

    A ledger's writer has then stopped for good. Never repeat the work: stop the process, start it
    again, and look the work up by its id.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the outcome of a commit is unknown ({reason}): write nothing more, restart, and look "
            f"before doing anything again"
        )
