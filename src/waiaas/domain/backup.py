"""A backup: one encrypted file with everything needed to bring the daemon back."""

from dataclasses import dataclass
from enum import StrEnum

from waiaas.domain.ids import AgentId


class BackupMode(StrEnum):
    """What opens a backup. Stored in its header and sent; never renamed."""

    PASSWORD = "password"  # noqa: S105 -- a way to protect something, not a secret
    """A password that was chosen for this backup."""
    KEYSTORE = "keystore"
    """The backup key of the keystore inside; that keystore's master password opens it."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What can be told of a backup without opening it."""

    id: str
    name: str
    """Of the file."""
    created_at: int
    size_bytes: int
    mode: BackupMode


@dataclass(frozen=True, slots=True)
class KeysSaved:
    """Which agents' keys are in a backup, said by those that are not."""

    lacking: tuple[AgentId, ...] = ()
    """Agents whose key file was missing or damaged, in order."""
    newest_agent: AgentId | None = None
    """The greatest id that there was; younger agents' keys are not in it. None: not known."""

    def may_have(self, agent_id: AgentId) -> bool:
        """Tell whether the key may be in it, for all that is known."""
        is_older = self.newest_agent is None or agent_id <= self.newest_agent
        return is_older and agent_id not in self.lacking


@dataclass(frozen=True, slots=True)
class ScheduleCondition:
    """How it stands with the backups that the daemon makes by itself."""

    last_made_at: int | None
    """When the newest of them was made that is still there; None if there is none."""
    problem: str | None
    """Why the last attempt failed, or which keys it could not save, and what to do.

    None if nothing is wrong, or none is to be made."""
