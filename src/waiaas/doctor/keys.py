"""The keystore: is what would be opened with the password whole, and is it the agents'?

No password is asked for, so nothing is opened: a file that is whole may still be another's.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from waiaas.directory import KEYSTORE_NAME
from waiaas.doctor.finding import Finding, Subject, fine, mend, note, unknown
from waiaas.doctor.ledger import AgentFacts, LedgerFacts
from waiaas.domain.enums import AgentStatus, KeystoreProblem
from waiaas.domain.ids import AgentId
from waiaas.keystore.errors import KeystoreError, KeystoreMissing, UnknownAgent, UnsafeFile
from waiaas.keystore.sealed_files import VAULT_NAME, check_key_file, check_vault
from waiaas.pipeline.own_keystore import OtherKeystore, judge
from waiaas.ports import KeystoreFacts

_TOLD_MAX: Final = 10
_WITHOUT_KEY: Final = (AgentStatus.CREATING, AgentStatus.TERMINATED)
_NOT_SAFE: Final = "it is not read as it lies there: see files"


def check_keystore(directory: Path, facts: LedgerFacts | None) -> Finding:
    """Is keystore.json one that a password can open, and the one that the ledger knows?"""
    folder = directory / KEYSTORE_NAME
    try:
        check_vault(folder)
    except KeystoreMissing as error:  # A directory without it is told to be none of ours.
        return unknown(Subject.KEYSTORE, error.problem)
    except UnsafeFile as error:
        return _unsafe(Subject.KEYSTORE, error)
    except KeystoreError as error:
        return mend(Subject.KEYSTORE, error.problem, error.remedy)
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
        yield fine(Subject.KEYS, f"{len(holders)} agents, each with its key")


def _fault(folder: Path, agent: AgentFacts) -> Finding | None:
    try:
        check_key_file(folder, agent_id=AgentId(agent.id), public_key=agent.public_key)
    except UnknownAgent:
        return mend(
            Subject.KEYS,
            f"the key of agent {agent.id} is not in the keystore",
            "Its money is out of reach without it: restore the newest backup that has it.",
        )
    except UnsafeFile as error:
        return _unsafe(Subject.KEYS, error)
    except KeystoreError as error:
        return mend(Subject.KEYS, error.problem, error.remedy)
    return None


def _unsafe(subject: Subject, error: UnsafeFile) -> Finding:
    """Return what a file is that was not read; of all but a folder the check of files tells."""
    if error.path.is_dir() and not error.path.is_symlink():
        return mend(subject, error.problem, "Restore the file from a backup.")
    return unknown(subject, _NOT_SAFE)
