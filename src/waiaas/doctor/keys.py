"""The keystore: is what would be opened with the password whole, and is it the agents'?

No password is asked for, so nothing is opened: a file that is whole may still be another's.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from waiaas.directory import KEYSTORE_NAME
from waiaas.doctor.finding import SEE_FILES, Finding, Subject, fine, mend, note, unknown
from waiaas.doctor.ledger import AgentFacts, LedgerFacts
from waiaas.domain.enums import AgentStatus, KeystoreProblem
from waiaas.domain.ids import AgentId
from waiaas.keystore.errors import (
    DamagedKeystore,
    KeystoreError,
    KeystoreMissing,
    UnknownAgent,
    UnsafeFile,
)
from waiaas.keystore.sealed_files import VAULT_NAME, check_key_file, check_vault, key_file_name
from waiaas.pipeline.own_keystore import OtherKeystore, judge
from waiaas.ports import KeystoreFacts

_TOLD_MAX: Final = 10
_WITHOUT_KEY: Final = (AgentStatus.CREATING, AgentStatus.TERMINATED)


def check_keystore(directory: Path, facts: LedgerFacts | None) -> Finding:
    """Is keystore.json one that a password can open, and the one that the ledger knows?"""
    folder = directory / KEYSTORE_NAME
    try:
        check_vault(folder)
    except KeystoreMissing as error:  # A directory without it is told to be none of ours.
        return unknown(Subject.KEYSTORE, error.problem)
    except KeystoreError as error:
        return _wrong(Subject.KEYSTORE, error)
    why = None
    if facts is not None:
        content = (folder / VAULT_NAME).read_bytes()
        why = judge(facts.keystore, KeystoreFacts(None, sha256(content).hexdigest()))
    if why is None:
        return fine(Subject.KEYSTORE, "keystore.json is whole; only its password opens it")
    told = OtherKeystore(why)
    if why is KeystoreProblem.NOTHING_KNOWN:
        return note(Subject.KEYSTORE, str(told))
    return mend(Subject.KEYSTORE, told.problem, told.remedy)


def check_keys(directory: Path, agents: tuple[AgentFacts, ...] | None) -> Iterator[Finding]:
    """Has every agent that can still pay a key file which is whole, and says it is his?"""
    if agents is None:
        yield unknown(Subject.KEYS, "the ledger could not be read")
        return
    holders = [each for each in agents if each.status not in _WITHOUT_KEY]
    found = [each for agent in holders if (each := _fault(directory / KEYSTORE_NAME, agent))]
    yield from found[:_TOLD_MAX]
    if len(found) > _TOLD_MAX:
        more = f"{len(found) - _TOLD_MAX} more are wrong"
        yield mend(Subject.KEYS, more, "Mend these, and look again.")
    if not found:
        counted = "1 agent" if len(holders) == 1 else f"{len(holders)} agents"
        yield fine(Subject.KEYS, f"{counted}, each with its key")


def _fault(folder: Path, agent: AgentFacts) -> Finding | None:
    agent_id = AgentId(agent.id)
    try:
        check_key_file(folder, agent_id=agent_id, public_key=agent.public_key)
    except UnknownAgent:
        return mend(
            Subject.KEYS,
            f"the key of agent {agent.id} is not in the keystore",
            f"Its money is out of reach without it. {_from_backup(key_file_name(agent_id))}",
        )
    except KeystoreError as error:
        return _wrong(Subject.KEYS, error)
    return None


def _wrong(subject: Subject, error: KeystoreError) -> Finding:
    """Return what a file is that is not whole, or was not read."""
    if isinstance(error, DamagedKeystore):
        return mend(subject, error.problem, _from_backup(error.path.name))
    if not isinstance(error, UnsafeFile):
        return mend(subject, error.problem, error.remedy)
    # Of all but a folder in the place of a file the check of files tells.
    is_in_its_place = error.path.name != KEYSTORE_NAME and error.path.is_dir()
    if is_in_its_place and not error.path.is_symlink():
        return mend(subject, error.problem, f"Move it away. {_from_backup(error.path.name)}")
    return unknown(subject, SEE_FILES)


def _from_backup(name: str) -> str:
    """Return how one file of the keystore is had back, and nothing else with it."""
    return (
        f"Restore a backup that has {name} into a new folder (waiaas --data-dir OTHER backup"
        f" restore ITS-PATH), and copy the file from there: cp -p OTHER/{KEYSTORE_NAME}/{name}"
        " to its place. So the ledger stays; a restore into this folder replaces it, too, and it"
        " then has to be reconciled."
    )
