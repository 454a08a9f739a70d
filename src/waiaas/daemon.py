"""The composition root: the only module that knows every adapter. It builds, and decides nothing.

It also holds the few functions through which offline commands reach the keystore and the ledger.
"""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec
import structlog
import uvicorn

from waiaas.api.app import Api
from waiaas.api.operator import OperatorAccess
from waiaas.api.services import About, Services
from waiaas.chains.localnet import process as localnet_process
from waiaas.chains.localnet import server as localnet_server
from waiaas.chains.localnet.state import AlreadyAlive
from waiaas.chains.solana.chain import SolanaChain
from waiaas.config import CONFIG_NAME, TEMPLATE, Config
from waiaas.database import Ledger, generate_id, open_ledger
from waiaas.database.contents import TableRows, read_contents
from waiaas.database.errors import AlreadyOpen, Closed, CommitUnknown, DatabaseError, LedgerFull
from waiaas.database.ledger import LEDGER_NAME
from waiaas.database.lock import DirectoryLock
from waiaas.domain.access import OPERATOR_TOKEN_PREFIX
from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction, NetworkType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import TransactionId
from waiaas.keystore.errors import KeystoreError, KeystoreLocked
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore
from waiaas.pipeline.advance import Step
from waiaas.pipeline.agents import finish_creations
from waiaas.pipeline.perform import World
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.worker import Worker
from waiaas.ports import ChainUnavailable, Clock, LedgerTransaction
from waiaas.system import SystemClock, generate_secret

VERSION: Final = metadata.version("waiaas")

KEYSTORE_NAME: Final = "keystore"
LOCALNET_NAME: Final = "localnet"
COOKIE_NAME: Final = "operator.cookie"
ADDRESS_NAME: Final = "daemon.json"
"""Where clients on this machine find the running daemon; gone when none runs."""

HOST: Final = "127.0.0.1"
_STOP_S_MAX: Final = 10
_EXIT_COMMIT_UNKNOWN: Final = 70
_DAEMON_ID: Final = "daemon.id"

_ERROR_CODES: Final[Mapping[type[Exception], ErrorCode]] = {
    ChainUnavailable: ErrorCode.CHAIN_UNAVAILABLE,
    LedgerFull: ErrorCode.LEDGER_FULL,
    Closed: ErrorCode.SHUTTING_DOWN,
    KeystoreLocked: ErrorCode.SHUTTING_DOWN,
}
"""What the adapters' exceptions mean to a caller."""

LedgerContents = dict[str, TableRows]
"""The seven tables by name."""

log = structlog.get_logger()


class DaemonError(Exception):
    """Something the operator has to put right; the message says what and how."""


class Address(msgspec.Struct, frozen=True):
    """Where the running daemon is."""

    url: str
    pid: int


def initialise(directory: Path, password: bytes) -> bool:
    """Make a data directory with an empty ledger and a keystore under *password*.

    Returns:
        True if it was made now, False if it was there already; then nothing is changed.

    Raises:
        DaemonError: the directory is not private, or cannot be used; the message says what to do.
    """
    os.umask(0o077)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(directory)
        if is_initialised(directory):
            return False
        with open_ledger(directory):
            config = directory / CONFIG_NAME
            if not config.exists():
                _write_private(config, TEMPLATE.encode())
            # Last, because its presence means that all the rest is there.
            create_keystore(directory / KEYSTORE_NAME, password)
    except (OSError, DatabaseError, KeystoreError) as error:
        raise DaemonError(str(error)) from error
    return True


def is_initialised(directory: Path) -> bool:
    """Tell whether *directory* has been made by `initialise`."""
    return (directory / KEYSTORE_NAME / "keystore.json").exists()


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
        DaemonError: it cannot start; nothing was changed.
    """
    if not __debug__:
        raise DaemonError("waiaas relies on its assertions: start Python without -O")
    if not is_initialised(directory):
        raise DaemonError(f"{directory} is not initialised: run `waiaas init` first")
    os.umask(0o077)
    _log_to_stderr()
    _require_private(directory)
    with contextlib.ExitStack() as stack:
        try:
            ledger = stack.enter_context(open_ledger(directory))
            ledger.add_failure_callback(_die)
            keystore = open_keystore(directory / KEYSTORE_NAME, password)
            stack.callback(keystore.lock)
            listener = stack.enter_context(_listen(config.daemon.port))
            url = f"http://{HOST}:{listener.getsockname()[1]}"
            localnet_url = (
                localnet_process.find_or_start(directory / LOCALNET_NAME).url
                if with_localnet
                else None
            )
        except (OSError, DatabaseError, KeystoreError, localnet_process.LocalnetError) as error:
            raise DaemonError(str(error)) from error
        address = Address(url=url, pid=os.getpid())
        stopped_by_client = asyncio.run(
            _serve(
                directory,
                config=config,
                ledger=ledger,
                keystore=keystore,
                listener=listener,
                localnet_url=localnet_url,
                ready=lambda: announce(address),
                address=address,
            )
        )
        if with_localnet and stopped_by_client:
            localnet_process.stop(directory / LOCALNET_NAME)


async def _serve(
    directory: Path,
    *,
    config: Config,
    ledger: Ledger,
    keystore: FileKeystore,
    listener: socket.socket,
    localnet_url: str | None,
    ready: Callable[[], None],
    address: Address,
) -> bool:
    """Serve until told to stop; tell whether a client, rather than a signal, said so."""
    clock = SystemClock()
    for agent in finish_creations(ledger=ledger, keystore=keystore, clock=clock):
        log.warning("creation finished", agent_id=agent.id, status=agent.status)
    about = About(VERSION, _start_in_ledger(ledger, clock), localnet_url)
    urls = dict(config.rpc.solana_urls())
    if localnet_url is not None:
        urls[NetworkType.LOCALNET] = localnet_url
    cookie = OPERATOR_TOKEN_PREFIX + generate_secret()
    async with _chains(urls, clock) as chains:
        world = World(ledger, keystore, chains, clock, generate_id)
        worker = Worker(world, report=_report_step)
        server = _Server(_server_config())
        stop = _Stop(server)
        services = Services(
            ledger=ledger,
            keystore=keystore,
            chains=chains,
            faucet=chains.get(NetworkType.LOCALNET),
            clock=clock,
            generate_id=generate_id,
            generate_secret=generate_secret,
            operator=OperatorAccess(
                cookie=cookie,
                ledger=ledger,
                keystore=keystore,
                clock=clock,
                generate_secret=generate_secret,
            ),
            wake=worker.wake,
            shut_down=stop.by_client,
            about=about,
            started_at_monotonic_s=clock.monotonic_s(),
        )
        server.config.app = Api(
            services,
            port=listener.getsockname()[1],
            error_codes=_ERROR_CODES,
            report=_report_defect,
        )
        server.config.load()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.by_signal)
        with _found_by_clients(directory, address, cookie):
            async with asyncio.TaskGroup() as group:
                working = group.create_task(worker.run())
                ready()
                log.info("ready", url=address.url, pid=address.pid, daemon_id=about.daemon_id)
                await server.serve(sockets=[listener])
                working.cancel()
    _stop_in_ledger(ledger, clock)
    log.info("stopped")
    return stop.was_by_client


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: a stop has work to do after the last request."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stop:
    """Ends the server; remembers who asked."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server
        self.was_by_client = False

    def by_client(self) -> None:
        self.was_by_client = True
        self._server.should_exit = True

    def by_signal(self) -> None:
        self._server.should_exit = True


def _server_config() -> uvicorn.Config:
    return uvicorn.Config(
        app=_not_yet,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_S_MAX,
    )


async def _not_yet(*_: object) -> None:
    raise AssertionError("the application is set before the server is started")


@contextlib.asynccontextmanager
async def _chains(
    urls: Mapping[NetworkType, str], clock: Clock
) -> AsyncIterator[dict[NetworkType, SolanaChain]]:
    chains: dict[NetworkType, SolanaChain] = {}
    try:
        for network, url in urls.items():
            chains[network] = SolanaChain(url, network=network, clock=clock)
        yield chains
    finally:
        for chain in chains.values():
            await chain.aclose()


def _start_in_ledger(ledger: Ledger, clock: Clock) -> str:
    """Record the start; return this daemon's id, made at the first one."""
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> str:
        now_s = ledger_time(tx, wall_s=wall_s)
        daemon_id = tx.key_values.get(_DAEMON_ID)
        if daemon_id is None:
            daemon_id = generate_id()
            tx.key_values.put(_DAEMON_ID, daemon_id, now_s=now_s)
        started = AuditEvent(AuditAction.DAEMON_STARTED, SYSTEM, details={"version": VERSION})
        tx.audit.append(started, now_s=now_s)
        tx.audit.append(AuditEvent(AuditAction.KEYSTORE_UNLOCKED, SYSTEM), now_s=now_s)
        return daemon_id

    return ledger.write(unit)


def _stop_in_ledger(ledger: Ledger, clock: Clock) -> None:
    """Record a clean stop. A crash records none, and loses nothing by it."""
    wall_s = clock.now_s()
    stopped = AuditEvent(AuditAction.DAEMON_STOPPED, SYSTEM)
    ledger.write(lambda tx: tx.audit.append(stopped, now_s=ledger_time(tx, wall_s=wall_s)))


def _report_step(tx_id: TransactionId, step: Step, error: Exception) -> None:
    if isinstance(error, ChainUnavailable):
        log.warning("chain unavailable", tx_id=tx_id, step=step, reason=str(error))
    else:
        log.error("step failed", tx_id=tx_id, step=step, exc_info=error)


def _report_defect(request_id: str, error: Exception) -> None:
    log.error("request failed", request_id=request_id, exc_info=error)


def _die(failure: CommitUnknown) -> None:
    """End the process at once: it must not sign anything on a ledger whose end is unknown."""
    sys.stderr.write(f"waiaas: {failure}\n")
    sys.stderr.flush()
    os._exit(_EXIT_COMMIT_UNKNOWN)


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


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


# ── files in the data directory ────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _found_by_clients(directory: Path, address: Address, cookie: str) -> Iterator[None]:
    """Let local clients of this user find the daemon and look at it, while it runs."""
    _write_private(directory / COOKIE_NAME, cookie.encode())
    _write_private(directory / ADDRESS_NAME, msgspec.json.encode(address))
    try:
        yield
    finally:
        for name in (ADDRESS_NAME, COOKIE_NAME):
            (directory / name).unlink(missing_ok=True)


def find_daemon(directory: Path) -> Address | None:
    """Return where the daemon of *directory* said it is, or None; it may have crashed since."""
    try:
        return msgspec.json.decode((directory / ADDRESS_NAME).read_bytes(), type=Address)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise DaemonError(f"{directory / ADDRESS_NAME} cannot be read: {error}") from error


def read_cookie(directory: Path) -> str:
    """Return the operator's cookie of the running daemon.

    Raises:
        DaemonError: it is not there, or not for this user to read.
    """
    path = directory / COOKIE_NAME
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise DaemonError(f"{path} cannot be read: {error.strerror}") from error


def is_running(directory: Path) -> bool:
    """Tell whether a daemon owns the data directory: its lock ends with its process."""
    try:
        DirectoryLock(directory).release()
    except AlreadyOpen:
        return True
    except OSError as error:
        raise DaemonError(f"{directory} cannot be used: {error.strerror}") from error
    return False


def run_localnet(
    state_file: Path, *, port: int, slot_ms: int, announce: Callable[[str], None]
) -> None:
    """Be a local network until a signal says stop.

    Raises:
        DaemonError: another one lives under the same file, or the port is taken.
    """
    try:
        localnet_server.main(
            state_file=state_file,
            port=port,
            slot_ms=slot_ms,
            announce=lambda recorded: announce(f"local network at {recorded.url}"),
        )
    except (OSError, AlreadyAlive) as error:
        raise DaemonError(str(error)) from error


def stop_localnet(directory: Path) -> bool:
    """End the local network of a data directory; tell whether there was one."""
    try:
        return localnet_process.stop(directory / LOCALNET_NAME)
    except localnet_process.LocalnetError as error:
        raise DaemonError(str(error)) from error


def read_tables(directory: Path) -> LedgerContents:
    """Read the seven tables as they stand, whether or not the daemon runs."""
    try:
        return read_contents(directory / LEDGER_NAME)
    except DatabaseError as error:
        raise DaemonError(str(error)) from error


def _require_private(directory: Path) -> None:
    """Refuse a data directory that others could read or replace.

    Raises:
        DaemonError: says which command mends it.
    """
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise DaemonError(f"{directory} is not a directory (or a link to one): give another")
    if found.st_uid != os.geteuid():
        raise DaemonError(f"{directory} belongs to another user: give one of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise DaemonError(f"{directory} is open to other users: run `chmod 700 {directory}`")


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
