"""What is done to keys, beside no daemon: whoever does it holds the data directory's lock.

The ledger hears of it first. A key is nothing that a transaction could take back, so an act is two
rows: one before it, which says what is about to be, and one behind it. A crash between them leaves
the first alone, which claims nothing; whether the act was done is seen by the file that it names.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog

from waiaas.backups.create import attempt, guarded
from waiaas.backups.disk import sync_folder
from waiaas.backups.swap import claimed
from waiaas.database import Ledger, generate_id, open_ledger
from waiaas.database.ballast import BALLAST_BYTES
from waiaas.database.errors import AlreadyOpen, DatabaseError
from waiaas.directory import (
    KEYSTORE_NAME,
    DaemonError,
    NotThePassword,
    free_bytes,
    require_initialised,
    sentence,
)
from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.audit import OPERATOR, SYSTEM, AuditEvent
from waiaas.domain.enums import (
    AgentStatus,
    AuditAction,
    ChainType,
    ImportProblem,
    KeyFormat,
    NetworkType,
)
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.profile import ProfileName
from waiaas.domain.records import AgentRecord
from waiaas.holder import in_use
from waiaas.keystore import derivation, mnemonic, solana_keygen, web3_storage
from waiaas.keystore.agent_key import open_key
from waiaas.keystore.errors import (
    DuplicateKey,
    ImportRefused,
    KeyRefused,
    KeystoreError,
    WrongPassword,
)
from waiaas.keystore.export import read_seed
from waiaas.keystore.guarded import Guarded, guarded_copy
from waiaas.keystore.guessable import require_unguessable
from waiaas.keystore.kdf import CURRENT, Cost
from waiaas.keystore.new_password import check_new_password
from waiaas.keystore.rewriting import Rewrite, cost_rise, password_change
from waiaas.keystore.signer import FileKeystore, open_keystore
from waiaas.pipeline.agents import create_agent
from waiaas.pipeline.own_keystore import (
    KnownKeystore,
    OtherKeystore,
    know_keystore,
)
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import Clock, LedgerTransaction
from waiaas.profiles import read_profiles
from waiaas.upkeep import require_own_opened

_ROOM_BYTES: Final = 2 * BALLAST_BYTES
"""As much as the ledger asks for before it takes up writing again."""

EXPORTED_AS: Final[Mapping[ChainType, KeyFormat]] = MappingProxyType(
    {
        ChainType.SOLANA: KeyFormat.SOLANA_KEYGEN,
        ChainType.ETHEREUM: KeyFormat.WEB3_SECRET_STORAGE,
    }
)
"""How the key of an agent is written: each format is of one curve, and each curve has one."""

Ask = Callable[[], Guarded | bytes]
"""Asks for a password, or reads it from where the operator said."""

log = structlog.get_logger()


def change_password(directory: Path, *, password: Ask, new_password: Ask, clock: Clock) -> bool:
    """Put the keystore under another master password; nothing but keystore.json is changed.

    Args:
        directory: the data directory; no daemon runs on it.
        password: the one that it has.
        new_password: the one it is to have; asked for once the other was found right.
        clock: of this machine.

    Returns:
        Whether the ledger has both rows; if not, the password is changed all the same.

    Raises:
        DaemonError: it is unchanged, and why; or the disk does not promise to keep the new file.
    """
    with _ledger(directory, clock) as (ledger, guard), attempt(ledger, guard):
        keystore = directory / KEYSTORE_NAME
        with password_change(keystore, password(), new_password=new_password) as rewrite:
            require_own_opened(
                rewrite.facts, operation="change password", ledger=ledger, clock=guard
            )
            return _rotate(rewrite, reason="password", actor=OPERATOR, ledger=ledger, clock=guard)


def raise_cost(
    keystore: Path,
    password: Guarded | bytes,
    *,
    ledger: Ledger,
    clock: Clock,
    cost: Cost = CURRENT,
) -> bool:
    """Let a guess at the password cost what this release asks, if it was less; tell if it was.

    The keystore was opened before, so nothing is wrong with its file. What stands in the way is
    logged and keeps nobody from starting: the file is as good as before.
    """
    try:
        with cost_rise(keystore, password, cost=cost) as rewrite:
            if rewrite is None:
                return False
            _rotate(rewrite, reason="cost", actor=SYSTEM, ledger=ledger, clock=clock)
    except (KeystoreError, DatabaseError) as error:
        log.warning("a guess at the master password costs what it did", reason=str(error))
        return False
    log.info("a guess at the master password costs more", **cost._asdict())
    return True


@dataclass(frozen=True, slots=True)
class Written:
    """A key as it is written down outside of this program; each secret is asked for when needed."""

    format: KeyFormat
    chain: ChainType
    """Whose key it is, which a mnemonic does not say."""
    secret: Callable[[], Guarded]
    password: Callable[[], Guarded]
    """Of a file of Web3 Secret Storage."""
    passphrase: Callable[[], Guarded]
    """Of a mnemonic; empty if it has none."""
    account: int
    """Of a mnemonic: which of its keys, from 0."""


def import_key(
    directory: Path,
    written: Written,
    *,
    name: str,
    network: NetworkType,
    profile: ProfileName | None,
    address: str | None,
    password: Ask,
    clock: Clock,
) -> AgentRecord:
    """Make an agent with a key that was made elsewhere, as `create_agent` makes one with a new key.

    Whoever does it knows the master password before anything of the key is read. What is refused
    leaves a row that says why.

    Args:
        directory: the data directory; no daemon runs on it.
        written: the key.
        name: of the agent.
        network: of the key's chain.
        profile: the rules to begin with, if any; their amounts are of SOL.
        address: which the key has to have; None: any.
        password: the master password.
        clock: of this machine.

    Returns:
        The agent, ACTIVE; if a crash came before that, the next start ends its creation.

    Raises:
        DaemonError: there is no agent, and why.
    """
    with (
        _ledger(directory, clock) as (ledger, guard),
        attempt(ledger, guard),
        contextlib.ExitStack() as stack,
    ):
        assert Network(written.chain, network) in CHAIN_IDS
        assert profile is None or written.chain is ChainType.SOLANA
        keystore = open_keystore(directory / KEYSTORE_NAME, password())
        stack.callback(keystore.lock)
        require_own_opened(keystore.facts(), operation="import key", ledger=ledger, clock=guard)
        stack.enter_context(_refusal(written.format, ledger, guard))
        seed = _seed(written)
        stack.callback(seed.free)
        _require_address(seed, written.chain, address)
        try:
            return asyncio.run(
                create_agent(
                    name,
                    chain=written.chain,
                    network=network,
                    profile=None if profile is None else read_profiles()[profile],
                    ip_address=None,
                    ledger=ledger,
                    keystore=_Adopting(keystore, seed, ledger),
                    clock=guard,
                    generate_id=generate_id,
                    imported_from=written.format,
                )
            )
        except Refusal as refusal:
            raise DaemonError(str(refusal)) from refusal


def export_key(
    directory: Path,
    agent_id: str,
    *,
    file: Path,
    as_format: KeyFormat | None = None,
    confirm: Callable[[AgentRecord], None],
    password: Ask,
    file_password: Ask,
    clock: Clock,
    cost: web3_storage.Scrypt = web3_storage.GETH,
) -> AgentRecord:
    """Write an agent's key to a new file for its owner alone.

    Args:
        directory: the data directory; no daemon runs on it.
        agent_id: whose key; it may be suspended or terminated, its money is still there.
        file: it must not exist.
        as_format: how it is written; None: as its chain's wallets do.
        confirm: asks a person, and raises if the answer is no.
        password: the master password.
        file_password: under which the key is written, if the format has one.
        clock: of this machine.
        cost: of a guess at that password.

    Raises:
        DaemonError: there is no such file, and why.
    """
    with _ledger(directory, clock) as (ledger, guard), contextlib.ExitStack() as stack:
        agent = ledger.read(lambda tx: tx.agents.get(AgentId(agent_id)))
        if agent is None:
            raise DaemonError(f"there is no agent {agent_id}: `waiaas agent list` shows them")
        form = EXPORTED_AS[agent.chain]
        if as_format not in {None, form}:
            raise DaemonError(f"the agent is on {agent.chain}: its key is written as {form}")
        if os.path.lexists(file):
            raise DaemonError(f"{file} exists and was not overwritten: give another --file")
        confirm(agent)
        require_own = partial(
            require_own_opened, operation="export key", ledger=ledger, clock=guard
        )
        with attempt(ledger, guard):
            seed = read_seed(
                directory / KEYSTORE_NAME, agent.id, password(), require_own=require_own
            )
        stack.callback(seed.free)
        if form is KeyFormat.SOLANA_KEYGEN:
            text = solana_keygen.text_of(seed)
        else:
            text = _under_password(seed, file_password(), cost=cost)
        stack.callback(text.free)
        details = {"format": form}
        exported = AuditEvent(
            AuditAction.KEY_EXPORTED, OPERATOR, agent_id=agent.id, details=details
        )
        with _new_file(file, size_bytes=len(text)) as descriptor:
            _remember(ledger, guard, exported)
            _write(descriptor, text)
        return agent


def _under_password(
    seed: Guarded, password: Guarded | bytes, *, cost: web3_storage.Scrypt
) -> Guarded:
    check_new_password(password)
    with guarded_copy(password) as guarded_password:
        return Guarded.copy_of(web3_storage.write(seed, guarded_password, cost=cost))


@contextlib.contextmanager
def _new_file(file: Path, *, size_bytes: int) -> Iterator[int]:
    """Make a file that did not exist, with room for its content; if it cannot be whole it is gone.

    What stands in the way of one shows before the block begins, as far as it can.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
        yield descriptor
        os.fsync(descriptor)
        sync_folder(file.parent)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, secret: Guarded) -> None:
    """Write from guarded memory, without a copy."""
    with secret.readable() as view:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written:])


class _Adopting(NamedTuple):
    """Makes no key (`waiaas.ports.KeyMaker`), but takes one that is there."""

    keystore: FileKeystore
    seed: Guarded
    ledger: Ledger

    def generate(self, agent_id: AgentId, *, chain: ChainType, network: NetworkType) -> str:
        address = self.keystore.adopt(agent_id, self.seed, chain=chain, network=network)
        for holder in self.ledger.read(_every_agent):
            if holder.public_key == address:  # Its key file may be lost.
                raise DuplicateKey(address, holder=holder.id)
        return address

    def store(self, agent_id: AgentId) -> None:
        self.keystore.store(agent_id)


def _every_agent(tx: LedgerTransaction) -> list[AgentRecord]:
    return [each for status in AgentStatus for each in tx.agents.with_status(status)]


def _seed(written: Written) -> Guarded:
    """Return what the key is made of; the caller frees it."""
    with contextlib.ExitStack() as stack:

        def kept(secret: Guarded) -> Guarded:
            stack.callback(secret.free)
            return secret

        secret = kept(written.secret())
        match written.format:
            case KeyFormat.SOLANA_KEYGEN:
                seed = solana_keygen.seed_of(secret)
                require_unguessable(seed)
                return seed
            case KeyFormat.MNEMONIC:
                require_unguessable(kept(mnemonic.entropy_of(secret)))
                seed = kept(mnemonic.seed_of(secret, kept(written.passphrase())))
                path = derivation.path_of(written.chain, written.account)
                return derivation.derive(seed, path, chain=written.chain)
            case KeyFormat.WEB3_SECRET_STORAGE:
                seed = web3_storage.read(secret, kept(written.password()))
                require_unguessable(seed)
                return seed


def _require_address(seed: Guarded, chain: ChainType, address: str | None) -> None:
    """Return if the key is that of *address*, which of Ethereum may be spelled in any case."""
    if address is None:
        return
    key = open_key(seed, chain=chain)
    key.free()
    is_same = key.address == address
    if chain is ChainType.ETHEREUM:
        is_same = key.address.lower() == address.lower()
    if not is_same:
        raise ImportRefused(
            f"The key that was given is that of {key.address}, which is not the --address.",
            remedy="A passphrase with a slip gives another key, and so does another --account.",
            why=ImportProblem.OTHER_ADDRESS,
        )


def _rotate(rewrite: Rewrite, *, reason: str, actor: str, ledger: Ledger, clock: Clock) -> bool:
    """Replace keystore.json between its two rows; tell whether the second was written.

    Between them, and after a crash there, either file is the ledger's own.
    """
    known = KnownKeystore.of(rewrite.facts)

    def record(stage: str, *files: str) -> None:
        details = {"reason": reason, "stage": stage, "keystoreSha256": rewrite.sha256}
        event = AuditEvent(AuditAction.KEY_ROTATED, actor, details=details)
        wall_s = clock.now_s()

        def unit(tx: LedgerTransaction) -> None:
            now_s = ledger_time(tx, wall_s=wall_s)
            know_keystore(tx, known._replace(files=files), now_s=now_s)
            remember(tx, event, now_s=now_s)

        ledger.write(unit)

    record("begun", *known.files, rewrite.sha256)
    rewrite.carry_out()
    try:
        record("done", rewrite.sha256)
    except DatabaseError:
        return False
    return True


@contextlib.contextmanager
def _ledger(directory: Path, clock: Clock) -> Iterator[tuple[Ledger, Clock]]:
    """Open the ledger of a directory on which no daemon runs, with a clock that it believes."""
    require_initialised(directory)
    os.umask(0o077)
    try:
        _require_room(directory)
        with claimed(directory) as lock, open_ledger(directory, lock=lock, must_exist=True) as own:
            yield own, guarded(clock, own)
    except AlreadyOpen as error:
        raise DaemonError(in_use(directory) or str(error)) from error
    except WrongPassword as error:
        raise NotThePassword(str(error)) from error
    except (OSError, DatabaseError, KeystoreError, OtherKeystore) as error:
        raise DaemonError(sentence(error)) from error


def _require_room(directory: Path) -> None:
    """Return if there is room without the ledger's reserve, which is for the record of a full disk.

    A write that is refused gives the reserve away, and the next command would do its work in it.

    Raises:
        DaemonError: there is not.
    """
    room = free_bytes(directory)
    if room is not None and room < _ROOM_BYTES:
        raise DaemonError(
            f"{directory} has room for {room // 1024} KiB, and this needs"
            f" {_ROOM_BYTES // 1024}: free some space first. Nothing was changed."
        )


@contextlib.contextmanager
def _refusal(written_as: KeyFormat, ledger: Ledger, clock: Clock) -> Iterator[None]:
    """Write down why a key was not taken, and nothing of the key."""
    try:
        yield
    except (ImportRefused, DuplicateKey, KeyRefused) as error:
        if isinstance(error, ImportRefused):
            why = error.why
        else:
            is_had = isinstance(error, DuplicateKey)
            why = ImportProblem.DUPLICATE if is_had else ImportProblem.NO_KEY
        details = {"operation": "import key", "format": written_as, "problem": why}
        refused = AuditEvent(AuditAction.OPERATION_REFUSED, OPERATOR, details=details)
        _remember(ledger, clock, refused)
        raise


def _remember(ledger: Ledger, clock: Clock, event: AuditEvent) -> None:
    wall_s = clock.now_s()
    ledger.write(lambda tx: remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s)))
