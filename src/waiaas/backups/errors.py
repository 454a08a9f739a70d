"""What can go wrong with backups, each error with what to do about it."""

# ruff: noqa: N818 -- an error is named for what is the case: DamagedBackup, WrongPassword

from pathlib import Path

from waiaas.directory import DaemonError, NotThatFile, NotThePassword


class BackupError(DaemonError):
    """Nothing was changed, unless the message says so.

    Attributes:
        problem: one sentence for a person.
        remedy: what that person can do about it.
    """

    def __init__(self, problem: str, *, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}")


class NotABackup(BackupError, NotThatFile):
    """The file is something else."""

    def __init__(self, path: Path, *, problem: str) -> None:
        super().__init__(
            f"{path} is not a backup: {problem}.",
            remedy="Give a file that `waiaas backup create` made.",
        )


class DamagedBackup(BackupError):
    """It is a backup and it is not whole, whatever the password."""

    def __init__(self, path: Path, *, problem: str) -> None:
        super().__init__(
            f"{path} is damaged: {problem}.", remedy="Use another backup; nothing was changed."
        )


class WrongBackupPassword(BackupError, NotThePassword):
    """The backup's header is whole and this is not its password."""

    def __init__(self, path: Path, *, whose: str) -> None:
        super().__init__(f"This password does not open {path}.", remedy=f"It asks for {whose}.")


class WrongMasterPassword(BackupError, NotThePassword):
    """A backup was to be made under the keystore's key, and this is not the keystore's password."""


class OtherVersion(BackupError):
    """The backup is of a format that this release does not know."""

    def __init__(self, path: Path, *, problem: str) -> None:
        super().__init__(
            f"{path} is of another version: {problem}.",
            remedy="Use the release of waiaas that made it.",
        )
