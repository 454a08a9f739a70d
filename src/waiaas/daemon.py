"""The composition root: the only module that knows every adapter. It builds, and decides nothing.

It also holds the few functions through which offline commands reach the keystore and the ledger.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
import structlog
import uvloop

from waiaas.api.allowance import Allowance
from waiaas.api.app import Api
from waiaas.api.operator import OperatorAccess
from waiaas.api.server import Server, server_config
from waiaas.api.services import About, Services
from waiaas.applied import admission_rules, session_rules, solana_urls
from waiaas.backups.create import BackupMaker
from waiaas.backups.schedule import BackupSchedule
from waiaas.backups.swap import claimed
from waiaas.chains.localnet import process as localnet_process
from waiaas.chains.solana.chain import SolanaChain
from waiaas.config.registry import CONFIG_NAME, Config
from waiaas.config.template import template
from waiaas.database import Ledger, generate_id, open_ledger
from waiaas.database.contents import TableRows, read_contents
from waiaas.database.errors import (
    AlreadyOpen,
    ClockBeforeEpoch,
    Closed,
    DatabaseError,
    LedgerDamaged,
    LedgerFull,
    NotADatabase,
)
from waiaas.database.ledger import LEDGER_NAME
from waiaas.database.lock import DirectoryLock
from waiaas.directory import (
    ADDRESS_NAME,
    COOKIE_NAME,
    KEYSTORE_NAME,
    LOCALNET_NAME,
    Address,
    DaemonError,
    is_initialised,
    require_initialised,
    require_private,
    sentence,
    write_locked,
    write_private,
)
from waiaas.domain.access import OPERATOR_TOKEN_PREFIX
from waiaas.domain.enums import NetworkType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import TransactionId
from waiaas.domain.owner_message import Letterhead
from waiaas.keystore.errors import KeystoreError, KeystoreLocked
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore
from waiaas.keystore.vault import check_new_password
from waiaas.logs import Stderr, log_to_stderr
from waiaas.owner_signatures import WalletSignatures
from waiaas.pipeline.advance import Step
from waiaas.pipeline.agents import finish_creations
from waiaas.pipeline.clock_guard import ClockGuard, ClockInDoubt
from waiaas.pipeline.owner import Reception
from waiaas.pipeline.perform import LedgerRestored, World
from waiaas.pipeline.recover import count_found, read_unfinished
from waiaas.pipeline.worker import SignerShut, Worker
from waiaas.ports import ChainUnavailable, Clock
from waiaas.profiles import read_profiles
from waiaas.system import SystemClock, generate_secret, read_boot_id
from waiaas.upkeep import (
    hear_chains,
    keep_asking_chains,
    keep_checking,
    keep_watching_clock,
    notices,
    report_opening,
    start_clock,
    start_in_ledger,
    stop_in_ledger,
    while_sound,
)

VERSION: Final = metadata.version("waiaas")

HOST: Final = "127.0.0.1"
_EXIT_LEDGER_FAILED: Final = 70
_CHAIN_IS_NEW: Final = (
    "the local network is new: the chain of the one before is gone, with every balance on it;"
    " payments that were sent there and not confirmed never will be."
    " Fund its agents again with `waiaas agent fund`"
)

_ERROR_CODES: Final[Mapping[type[Exception], ErrorCode]] = {
    ChainUnavailable: ErrorCode.CHAIN_UNAVAILABLE,
    LedgerFull: ErrorCode.LEDGER_FULL,
    LedgerDamaged: ErrorCode.LEDGER_DAMAGED,
    NotADatabase: ErrorCode.LEDGER_DAMAGED,
    Closed: ErrorCode.SHUTTING_DOWN,
    KeystoreLocked: ErrorCode.SHUTTING_DOWN,
}
"""What the adapters' exceptions mean to a caller."""

LedgerContents = dict[str, TableRows]
"""The seven tables by name."""

log = structlog.get_logger()


def initialise(directory: Path, password: bytes) -> bool:
    """Make a data directory with an empty ledger and a keystore under *password*.

    Returns:
        True if it was made now, False if it was there already; then nothing is changed.

    Raises:
        DaemonError: the password is refused, or the directory is not private or cannot be used;
            the message says what to do.
    """
    _require_assertions()
    _require_time()
    os.umask(0o077)
    try:
        if not is_initialised(directory):
            check_new_password(password)  # Before anything is written.
        with contextlib.suppress(FileExistsError):  # What is there is looked at next.
            directory.mkdir(mode=0o700, parents=True)
        require_private(directory)
        if is_initialised(directory):
            return False
        with open_ledger(directory):
            config = directory / CONFIG_NAME
            if not config.exists():
                write_private(config, template().encode())
            # Last, because its presence means that all the rest is there.
            create_keystore(directory / KEYSTORE_NAME, password)
    except (OSError, DatabaseError, KeystoreError) as error:
        raise DaemonError(sentence(error)) from error
    return True


def run(
    directory: Path,
    *,
    config: Config,
    password: bytes,
    with_localnet: bool,
    announce: Callable[[Address], None],
) -> None:
    """Be the daemon, until a signal or a client says stop.

    Raises:
        DaemonError: it cannot start, and nothing was changed; or it had to stop.
    """
    _require_assertions()
    _require_time()
    require_initialised(directory)
    os.umask(0o077)
    log_to_stderr()
    life = _Life()
    try:
        with life.ended_by_signals(), contextlib.ExitStack() as stack:
            if with_localnet:
                stack.callback(_end_localnet, directory, life)
            lock = stack.enter_context(claimed(directory))
            clock = ClockGuard(SystemClock(), boot_id=read_boot_id())
            told = notices(clock)
            ledger = stack.enter_context(
                open_ledger(directory, lock=lock, notices=told, must_exist=True)
            )
            ledger.add_failure_callback(_die)
            keystore = open_keystore(directory / KEYSTORE_NAME, password)
            stack.callback(keystore.lock)
            start_clock(ledger, clock)
            listener = stack.enter_context(_listen(config.daemon.port))
            localnet_url = None
            if with_localnet:
                localnet = localnet_process.find_or_start(directory / LOCALNET_NAME)
                localnet_url, life.has_new_localnet = localnet.url, localnet.is_new
                if localnet.is_replacement and ledger.read(lambda tx: tx.agents.count()):
                    log.warning(_CHAIN_IS_NEW)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(
                    _serve(
                        directory,
                        config=config,
                        ledger=ledger,
                        keystore=keystore,
                        clock=clock,
                        listener=listener,
                        localnet_url=localnet_url,
                        announce=announce,
                        life=life,
                    )
                )
    except (OSError, DatabaseError, KeystoreError, localnet_process.LocalnetError) as error:
        raise DaemonError(sentence(error)) from error
    if life.failure is not None:
        raise DaemonError("the daemon had to stop; its log says why") from life.failure


class _Life:
    """How the daemon's life ends: who asked for it, or what went wrong."""

    def __init__(self) -> None:
        self.server: Final = Server(server_config())
        self.has_new_localnet = False
        self._was_ready = False
        self._was_ended_by_client = False
        self.failure: Exception | None = None

    @property
    def ends_localnet(self) -> bool:
        """Whether the local network ends too: on request, or if it was for a start that failed.

        It outlives signals as it outlives a crash: the next start finds the chain where it was.
        """
        return self._was_ended_by_client or (self.has_new_localnet and not self._was_ready)

    def begin(self) -> None:
        self._was_ready = True

    def end_by_client(self) -> None:
        self._was_ended_by_client = True
        self.server.should_exit = True

    def end_by_failure(self, failure: Exception) -> None:
        self.failure = failure
        self.server.should_exit = True

    @contextlib.contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Let signals do no more than ask for the end, from the first stage to the last.

        So none of them cuts a stage in two; the second one waits for no connection any more.
        """
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As `nohup` sets it.
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._end_by_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_by_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.server.force_exit = self.server.should_exit
        self.server.should_exit = True


async def _serve(
    directory: Path,
    *,
    config: Config,
    ledger: Ledger,
    keystore: FileKeystore,
    clock: ClockGuard,
    listener: socket.socket,
    localnet_url: str | None,
    announce: Callable[[Address], None],
    life: _Life,
) -> None:
    """Serve until told to stop."""
    report_opening(ledger)
    own = {} if localnet_url is None else {NetworkType.LOCALNET: localnet_url}
    cookie = OPERATOR_TOKEN_PREFIX + generate_secret()
    port = listener.getsockname()[1]
    server = life.server
    async with _chains({**solana_urls(config.rpc), **own}, clock) as chains:
        # A local network's blocks come as fast as somebody likes: it keeps no time.
        timed = [chain for network, chain in chains.items() if network is not NetworkType.LOCALNET]
        silent = await hear_chains(clock, timed)
        about = About(VERSION, start_in_ledger(ledger, clock, version=VERSION), localnet_url)
        if ledger.condition().problem is None:
            for agent in finish_creations(ledger=ledger, keystore=keystore, clock=clock):
                log.warning("creation finished", agent_id=agent.id, status=agent.status)
        unfinished = ledger.read(read_unfinished) if ledger.damage is None else []
        found = count_found(unfinished)
        log.info("unfinished at start", **{name.lower(): count for name, count in found.items()})
        world = World(ledger, keystore, chains, clock, generate_id)
        worker = Worker(world, report=_report_step)
        maker = BackupMaker(
            directory,
            ledger=ledger,
            keystore=keystore,
            clock=clock,
            generate_id=generate_id,
            version=VERSION,
        )
        schedule = BackupSchedule(
            maker, directory=directory, ledger=ledger, clock=clock, settings=config.backup
        )
        services = Services(
            ledger=ledger,
            keystore=keystore,
            chains=chains,
            faucet=chains.get(NetworkType.LOCALNET),
            clock=clock,
            accept_clock=clock.accept,
            generate_id=generate_id,
            generate_secret=generate_secret,
            admission=admission_rules(config.security),
            sessions=session_rules(config.security),
            profiles=read_profiles(),
            operator=OperatorAccess(
                cookie=cookie,
                ledger=ledger,
                keystore=keystore,
                clock=clock,
                generate_secret=generate_secret,
            ),
            allowance=Allowance(clock),
            reception=Reception(
                ledger, clock, WalletSignatures(), Letterhead(f"{HOST}:{port}", about.daemon_id)
            ),
            wake=worker.wake,
            count_blocked=worker.count_blocked,
            count_shut=worker.count_shut,
            found_at_start=found,
            recovery_wait_s=config.security.kill_switch_recovery_seconds,
            back_up=maker.make_beside_requests,
            backup_condition=schedule.condition,
            shut_down=life.end_by_client,
            about=about,
            ledger_condition=ledger.condition,
            started_at_monotonic_s=clock.monotonic_s(),
        )
        server.config.app = Api(
            services, port=port, error_codes=_ERROR_CODES, report=_report_defect
        )

        def be_found() -> None:
            address = Address(url=f"http://{HOST}:{port}", pid=os.getpid())
            write_private(directory / COOKIE_NAME, cookie.encode())
            # Left open on purpose: the kernel gives the lock up, when the process is gone.
            write_locked(directory / ADDRESS_NAME, msgspec.json.encode(address))
            life.begin()
            announce(address)
            log.info("ready", url=address.url, pid=address.pid, daemon_id=about.daemon_id)

        server.when_listening = be_found
        try:
            async with asyncio.TaskGroup() as group:
                besides = [
                    group.create_task(_until_failure(work, life))
                    for work in (
                        lambda: while_sound(ledger, worker.run),
                        lambda: while_sound(ledger, lambda: keep_checking(ledger, clock)),
                        lambda: while_sound(ledger, schedule.run),
                        lambda: while_sound(ledger, lambda: keep_watching_clock(ledger, clock)),
                        lambda: while_sound(ledger, lambda: keep_asking_chains(clock, silent)),
                    )
                ]
                await _until_failure(lambda: server.serve(sockets=[listener]), life)
                for task in besides:
                    task.cancel()
        finally:
            for name in (ADDRESS_NAME, COOKIE_NAME):
                (directory / name).unlink(missing_ok=True)
    stop_in_ledger(ledger, clock)
    log.info("stopped")


async def _until_failure(work: Callable[[], Awaitable[object]], life: _Life) -> None:
    """Do *work*; if it fails the daemon ends, cleanly and saying so, and does not hang."""
    try:
        await work()
    except Exception as error:
        log.critical("the daemon cannot go on", exc_info=error)
        life.end_by_failure(error)


def _end_localnet(directory: Path, life: _Life) -> None:
    if life.ends_localnet:
        localnet_process.stop(directory / LOCALNET_NAME)


def _require_assertions() -> None:
    if not __debug__:
        raise DaemonError("waiaas relies on its assertions: start Python without -O")


def _require_time() -> None:
    if SystemClock().now_s() < 0:  # Nothing could be asked for: requests have ids.
        raise DaemonError(str(ClockBeforeEpoch()))


@contextlib.asynccontextmanager
async def _chains(
    urls: Mapping[NetworkType, str], clock: Clock
) -> AsyncIterator[dict[NetworkType, SolanaChain]]:
    chains: dict[NetworkType, SolanaChain] = {}
    try:
        for network, url in urls.items():
            try:
                chains[network] = SolanaChain(url, network=network, clock=clock)
            except ValueError as error:
                raise DaemonError(f"rpc.solana_{network} cannot be used: {error}") from error
        yield chains
    finally:
        for chain in chains.values():
            await chain.aclose()


def _report_step(tx_id: TransactionId, step: Step, error: Exception) -> None:
    if isinstance(error, LedgerRestored | ClockInDoubt | SignerShut):
        log.warning("payment held", tx_id=tx_id, step=step, reason=str(error))
    elif isinstance(error, ChainUnavailable):
        log.warning("chain unavailable", tx_id=tx_id, step=step, reason=str(error))
    elif isinstance(error, KeystoreError | LedgerFull):  # It says what to do; where helps nobody.
        log.error("step failed", tx_id=tx_id, step=step, reason=str(error))
    else:
        log.error("step failed", tx_id=tx_id, step=step, exc_info=error)


def _report_defect(request_id: str, error: Exception) -> None:
    log.error("request failed", request_id=request_id, exc_info=error)


def _die(failure: DatabaseError) -> None:
    """End the process at once: it must not sign anything that the ledger cannot record."""
    Stderr().msg(f"waiaas: {failure}")
    os._exit(_EXIT_LEDGER_FAILED)


def _listen(port: int) -> socket.socket:
    """Bind the daemon's port. Without IPPROTO_TCP asyncio would leave Nagle's delay on."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise DaemonError(
            f"port {port} of {HOST} cannot be used ({error.strerror}): choose another with --port"
        ) from error
    return listener


# ── offline commands ───────────────────────────────────────────────────────────────────────────


def stop_localnet(directory: Path) -> bool:
    """End the local network of a data directory; tell whether there was one.

    Raises:
        DaemonError: a daemon uses the directory, or the network does not end.
    """
    try:
        lock = DirectoryLock(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except AlreadyOpen as error:
        raise DaemonError(
            f"a daemon is starting or stopping on {directory}: try again in a moment"
        ) from error
    except OSError as error:
        raise DaemonError(sentence(error)) from error
    try:
        return localnet_process.stop(directory / LOCALNET_NAME)
    except (OSError, localnet_process.LocalnetError) as error:
        raise DaemonError(sentence(error)) from error
    finally:
        lock.release()


def read_tables(directory: Path) -> LedgerContents:
    """Read the seven tables as they stand, whether or not the daemon runs."""
    try:
        return read_contents(directory / LEDGER_NAME)
    except DatabaseError as error:
        raise DaemonError(str(error)) from error
