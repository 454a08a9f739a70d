"""Is a backup good for a restore? Everything that can be looked at without restoring it is."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from waiaas.backups.create import explained
from waiaas.backups.disk import work_folder
from waiaas.backups.errors import DamagedBackup
from waiaas.backups.file import Manifest, OpenedBackup
from waiaas.database.copies import check_copy, read_copy
from waiaas.database.errors import NotADatabase
from waiaas.directory import KEYSTORE_NAME, LEDGER_FILE, is_initialised, require_private
from waiaas.domain.enums import AgentStatus
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore.sealed_files import is_whole_key_file
from waiaas.ports import LedgerTransaction

_WITH_KEYS: Final = (AgentStatus.ACTIVE, AgentStatus.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that is whole."""

    manifest: Manifest
    agents_without_key: tuple[AgentId, ...]
    """Agents that may spend, and whose key file is missing or was damaged when it was saved."""


def verify_backup(opened: OpenedBackup, *, directory: Path) -> Verified:
    """Decrypt everything, check it, and leave nothing behind.

    Args:
        opened: the backup.
        directory: the plain copy lies in there for a moment, if it is a data directory; else in a
            private folder where the system keeps temporary files.

    Raises:
        BackupError: the backup is damaged, or for another release; or there is no space.
    """
    with explained():
        if is_initialised(directory):
            require_private(directory)
            parent = directory
        else:
            parent = Path(tempfile.gettempdir())
        with work_folder(parent) as folder:
            return extract_and_check(opened, folder)


def extract_and_check(opened: OpenedBackup, folder: Path) -> Verified:
    """Extract into the empty *folder* and look at what came out.

    Raises:
        DamagedBackup: it is not what was saved, or was damaged when it was saved.
        DatabaseError, OSError: the ledger is for another release; a file cannot be written.
    """
    manifest = opened.extract(folder)
    ledger = folder / LEDGER_FILE
    try:
        check_copy(ledger)
        facts, agents = read_copy(ledger, _agents_with_keys)
    except NotADatabase as error:
        raise DamagedBackup(opened.path, problem=f"the ledger in it: {error.reason}") from error
    if facts.schema_version != manifest.schema_version:
        raise DamagedBackup(opened.path, problem="its manifest names another schema version")
    missing = tuple(agent.id for agent in agents if not _has_key(folder, agent))
    return Verified(manifest, missing)


def _agents_with_keys(tx: LedgerTransaction) -> list[AgentRecord]:
    return [agent for status in _WITH_KEYS for agent in tx.agents.with_status(status)]


def _has_key(folder: Path, agent: AgentRecord) -> bool:
    path = folder / KEYSTORE_NAME / f"{agent.id}.json"
    content = path.read_bytes() if path.exists() else None
    return is_whole_key_file(content, agent_id=agent.id, public_key=agent.public_key)
