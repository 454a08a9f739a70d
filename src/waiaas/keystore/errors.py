"""What can go wrong with keys: one family, each error with what to do about it.

A message names files, agents and limits; it never holds a password, a key or the content of a file.
"""

# ruff: noqa: N818 -- an error is named for what is the case: WrongPassword, KeystoreLocked

from pathlib import Path

from waiaas.domain.enums import ChainType, ImportProblem
from waiaas.domain.ids import AgentId


class KeystoreError(Exception):
    """The keystore did not do what was asked, and changed nothing unless it says so.

    Attributes:
        problem: one sentence for a person.
        remedy: what that person can do about it.
    """

    def __init__(self, problem: str, *, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}")


class KeystoreMissing(KeystoreError):
    """The directory holds no keystore.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"There is no keystore at {path}.",
            remedy="Create one, or restore the whole directory from a backup.",
        )


class KeystoreExists(KeystoreError):
    """A keystore was to be created where there is one, or where its agents' keys still lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path.parent} already holds a keystore or keys of one; nothing was overwritten.",
            remedy=f"Open that keystore, restore a lost {path.name} from a backup, or choose an"
            " empty directory. Deleting these files deletes the money they control.",
        )


class PasswordRefused(KeystoreError):
    """The password chosen for a new keystore or a backup is too short or too long."""

    def __init__(self, *, bytes_min: int, bytes_max: int) -> None:
        super().__init__(
            "This password is too short or too long.",
            remedy=f"Choose one of {bytes_min} to {bytes_max} bytes.",
        )


class PasswordUnchanged(KeystoreError):
    """A new password was to be set, and is the one that is set: nobody is kept out by it."""

    def __init__(self) -> None:
        super().__init__(
            "The new password is the old one; nothing was rewritten.",
            remedy="Choose another one.",
        )


class WrongPassword(KeystoreError):
    """The keystore is whole and this is not its password.

    Somebody who can write the file can force this answer too (another salt and a checksum to fit):
    nothing can tell that from a wrong password without knowing the right one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"This password does not open {path}.",
            remedy="Check the password; if it is certainly right, restore the file from a backup.",
        )


class DamagedKeystore(KeystoreError):
    """A file is not what this program wrote, whatever the password."""

    def __init__(self, path: Path, *, problem: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is damaged: {problem}.",
            remedy="Restore this file from a backup (docs/backups.md: One file); never edit it.",
        )


class UnsupportedVersion(KeystoreError):
    """A file declares a format version that this release does not know."""

    def __init__(self, path: Path, *, found: int, known: int) -> None:
        self.path = path
        super().__init__(
            f"{path} has format version {found}; this release reads version {known}.",
            remedy="Use the release that wrote it; if none did, restore the file from a backup.",
        )


class UnsafeFile(KeystoreError):
    """A file or directory could be under somebody else's control, so it was not used."""

    def __init__(self, path: Path, *, problem: str, remedy: str) -> None:
        self.path = path
        super().__init__(f"{path} {problem}.", remedy=remedy)


class FileUnavailable(KeystoreError):
    """The operating system refused an operation; nothing is known about the file's content."""

    def __init__(self, path: Path, *, operation: str, reason: str) -> None:
        self.path = path
        super().__init__(
            f"Could not {operation} {path}: {reason}.",
            remedy="Check the disk, its free space and the permissions. The keystore needs a local"
            " file system with hard links.",
        )


class FileAlreadyExists(KeystoreError):
    """A new file was to be written under a name that is taken; the old file is untouched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} exists and was not overwritten.",
            remedy="A key file is written once. Make a new agent instead.",
        )


class ReplacementUncertain(KeystoreError):
    """A file was replaced, and the disk did not say that it will stay so."""

    def __init__(self, path: Path, *, reason: str) -> None:
        self.path = path
        super().__init__(
            f"The new {path.name} is in place, but the disk does not promise to keep it: {reason}.",
            remedy="After a power cut the old one may be back, so keep both passwords. Put the disk"
            " right, then do it again.",
        )


class DerivationFailed(KeystoreError):
    """Argon2id could not run; nothing is known about the password."""

    def __init__(self, *, memory_kib: int) -> None:
        super().__init__(
            "The key derivation could not run, most likely for want of memory.",
            remedy=f"Make {memory_kib // 1024} MiB of memory available and try again.",
        )


class GuardedMemoryUnavailable(KeystoreError):
    """There is no memory that keys may be put in."""

    def __init__(self) -> None:
        super().__init__(
            "There is no guarded memory for keys: libsodium, or a function of it, is missing, or"
            " memory has run out.",
            remedy="Install waiaas anew with the locked versions, or the system's libsodium"
            " (Debian: apt install libsodium23), and see that memory is free.",
        )


class MemoryNotLocked(KeystoreError):
    """The kernel does not promise to keep a key out of the swap area, and there is one."""

    def __init__(self) -> None:
        super().__init__(
            "The kernel locks no more memory for this process, and this machine swaps: keys could"
            " be written to its disk.",
            remedy="Raise the limit (`ulimit -l`, LimitMEMLOCK= of a systemd unit, --ulimit memlock"
            " of a container; 4 KiB for each agent), or turn swapping off (`swapoff -a`).",
        )


class KeystoreLocked(KeystoreError):
    """The keys were dropped; only the password brings them back."""

    def __init__(self) -> None:
        super().__init__(
            "The keystore is locked.", remedy="`waiaas unlock` opens it, with the master password."
        )


class UnknownAgent(KeystoreError):
    """This keystore holds no key of that agent."""

    def __init__(self, agent_id: AgentId) -> None:
        self.agent_id = agent_id
        super().__init__(
            f"The keystore holds no key of agent {agent_id}.",
            remedy="Check the agent's id, or restore its key file from a backup (docs/backups.md:"
            " One file).",
        )


class AgentKeyExists(KeystoreError):
    """A key was to be made for an agent that has one, stored or about to be."""

    def __init__(self, agent_id: AgentId) -> None:
        self.agent_id = agent_id
        super().__init__(
            f"Agent {agent_id} has a key already; it was not replaced.",
            remedy="An agent has one key for life. Make a new agent instead.",
        )


class NothingToStore(KeystoreError):
    """`store` was called for an agent whose key was not generated, or was stored before."""

    def __init__(self, agent_id: AgentId) -> None:
        self.agent_id = agent_id
        super().__init__(
            f"No new key of agent {agent_id} waits to be stored.", remedy="Generate one first."
        )


class KeyRefused(KeystoreError):
    """32 bytes that are no secret key of the chain's curve, or one that does not sign rightly."""

    def __init__(self, chain: ChainType, *, problem: str) -> None:
        self.chain = chain
        super().__init__(
            f"This is no key for {chain}: {problem}.",
            remedy="Take another one. If it was made just now, this machine computes wrongly: trust"
            " no key of it.",
        )


class ImportRefused(KeystoreError):
    """What was to be imported is no key that is used; nothing of it is repeated here."""

    def __init__(self, problem: str, *, remedy: str, why: ImportProblem) -> None:
        self.why = why
        super().__init__(problem, remedy=remedy)


class PayloadRefused(KeystoreError):
    """What was to be signed is nothing that this kind of key signs."""

    def __init__(self, *, expected: str) -> None:
        super().__init__(
            "These bytes were not signed.", remedy=f"This kind of key signs {expected}."
        )


class DuplicateKey(KeystoreError):
    """Two agents would have one key: each would spend the other's money, and its nonces."""

    def __init__(self, public_key: str, *, holder: AgentId) -> None:
        self.public_key = public_key
        self.holder = holder
        super().__init__(
            f"The key of {public_key} belongs to agent {holder} already.",
            remedy="Use that agent, or take another key.",
        )
