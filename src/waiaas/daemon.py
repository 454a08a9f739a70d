"""The composition root: the only module that knows every adapter. It builds, and decides nothing.

It also holds the few functions through which offline commands reach the keystore and the ledger.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import uvloop

from waiaas.api.allowance import Allowance
from waiaas.api.app import Api
from waiaas.api.operator import OperatorAccess
from waiaas.api.self_check import RoutesUnfit, require_fit
from waiaas.api.services import About, Services
from waiaas.applied import admission_rules, session_rules, solana_urls
from waiaas.auto_lock import lock_unasked
from waiaas.backups.create import BackupMaker, guarded
from waiaas.backups.schedule import BackupSchedule
from waiaas.backups.swap import claimed
from waiaas.chains.localnet import process as localnet_process
from waiaas.chains.solana.chain import SolanaChain
from waiaas.config.registry import CONFIG_NAME, Config
from waiaas.config.template import template
from waiaas.database import Ledger, generate_id, open_ledger
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
from waiaas.directory import (
    KEYSTORE_NAME,
    LOCALNET_NAME,
    Address,
    DaemonError,
    NotThePassword,
    is_initialised,
    require_assertions,
    require_initialised,
    require_local,
    require_private,
    require_space,
    sentence,
    write_private,
)
from waiaas.domain.access import OPERATOR_TOKEN_PREFIX
from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import TransactionId
from waiaas.domain.owner_message import Letterhead
from waiaas.domain.workers import WorkerName
from waiaas.doors import Doors, answer, open_doors, require_room
from waiaas.figures import Figures
from waiaas.holder import in_use
from waiaas.keystore.errors import KeystoreError, KeystoreLocked, WrongPassword
from waiaas.keystore.guarded import Guarded, count_unlocked, forget
from waiaas.keystore.new_password import check_new_password
from waiaas.keystore.signer import FileKeystore
from waiaas.layout import open_to_others, require_in_order
from waiaas.life import Life
from waiaas.logs import end_process, log_to_stderr, logged
from waiaas.opening import make_keystore, open_for_start
from waiaas.owner_signatures import WalletSignatures
from waiaas.pipeline.advance import Step
from waiaas.pipeline.agents import finish_creations
from waiaas.pipeline.clock_guard import ClockGuard, ClockInDoubt
from waiaas.pipeline.locking import Locking
from waiaas.pipeline.own_keystore import OtherKeystore, OwnKeystoreLost, require_no_agents
from waiaas.pipeline.owner import Reception
from waiaas.pipeline.perform import LedgerRestored, World
from waiaas.pipeline.recover import Found, count_found, read_unfinished
from waiaas.pipeline.worker import SignerShut, Worker
from waiaas.ports import ChainUnavailable, Clock
from waiaas.profiles import read_profiles
from waiaas.stages import LEDGER_BYTES_PER_S, Stage, Start
from waiaas.supervision import Supervisor, Work
from waiaas.system import SystemClock, generate_secret, random_share, read_boot_id
from waiaas.upkeep import (
    ChainAsking,
    LedgerChecks,
    agents_without_key,
    clock_watch,
    hear_chains,
    notices,
    report_keys,
    report_opening,
    report_silent,
    start_clock,
    start_in_ledger,
    stop_in_ledger,
)

VERSION: Final = metadata.version("waiaas")

HOST: Final = "127.0.0.1"
_OWN_NETWORK: Final = Network(ChainType.SOLANA, NetworkType.LOCALNET)
_EXIT_LEDGER_FAILED: Final = 70
_EXIT_OVERDUE: Final = 71
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
    KeystoreLocked: ErrorCode.KEYSTORE_LOCKED,
}
"""What the adapters' exceptions mean to a caller."""

_SAID: Final = (OSError, DatabaseError, KeystoreError, OtherKeystore)
"""Errors whose sentence is for the operator."""

log = structlog.get_logger()


def initialise(directory: Path, password: Guarded | bytes) -> bool:
    """Make a data directory with an empty ledger and a keystore under *password*.

    Returns:
        True if it was made now, False if it was there already; then nothing is changed.

    Raises:
        DaemonError: the password is refused, the directory is not private or cannot be used, or
            its ledger has agents whose keystore is gone; the message says what to do.
    """
    require_assertions()
    _require_time()
    os.umask(0o077)
    try:
        if not is_initialised(directory):
            check_new_password(password)  # Before anything is written.
            require_space(directory)
        require_local(directory)
        with contextlib.suppress(FileExistsError):  # What is there is looked at next.
            directory.mkdir(mode=0o700, parents=True)
        require_private(directory)
        if is_initialised(directory):
            return False
        with open_ledger(directory) as ledger:
            clock = guarded(SystemClock(), ledger)
            require_no_agents(ledger, clock)
            config = directory / CONFIG_NAME
            if not config.exists():
                write_private(config, template().encode())
            # Last, because its presence means that all the rest is there.
            make_keystore(directory / KEYSTORE_NAME, password, ledger=ledger, clock=clock)
    except (OSError, DatabaseError, KeystoreError, OwnKeystoreLost) as error:
        raise DaemonError(sentence(error)) from error
    return True


def run(
    directory: Path,
    *,
    config: Config,
    password: Guarded | bytes | None,
    with_localnet: bool,
    announce: Callable[[Address], None],
) -> None:
    """Be the daemon, until a signal or a client says stop; without a *password* a locked one.

    Raises:
        DaemonError: it cannot start, and nothing was changed; or it had to stop.
    """
    require_assertions()
    _require_time()
    require_initialised(directory)
    os.umask(0o077)
    log_to_stderr(config.daemon.log_level)
    life = Life()
    start = Start(SystemClock(), end=partial(end_process, status=_EXIT_OVERDUE))
    try:
        with life.ended_by_signals(), contextlib.ExitStack() as stack:
            if with_localnet:
                stack.callback(_end_localnet, directory, life)
            opened = _open(directory, config, password, start=start, stack=stack)
            if password is not None:
                forget(password)
            localnet_url = None
            if with_localnet:
                with start.stage(Stage.LOCALNET):
                    localnet = localnet_process.find_or_start(directory / LOCALNET_NAME)
                localnet_url, life.has_new_localnet = localnet.url, localnet.is_new
                if localnet.is_replacement and opened.ledger.read(lambda tx: tx.agents.count()):
                    log.warning(_CHAIN_IS_NEW)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(
                    _serve(
                        opened,
                        localnet_url=localnet_url,
                        announce=announce,
                        start=start,
                        life=life,
                    )
                )
    except AlreadyOpen as error:
        raise DaemonError(logged(start.told(in_use(directory) or str(error)))) from error
    except WrongPassword as error:
        raise NotThePassword(logged(start.told(str(error)))) from error
    except (*_SAID, localnet_process.LocalnetError, RoutesUnfit, DaemonError) as error:
        raise DaemonError(logged(start.told(sentence(error)))) from error
    if life.failure is not None and start.failed is not None:
        raise DaemonError(logged(start.told(sentence(life.failure)))) from life.failure
    if life.failure is not None:
        raise DaemonError("the daemon had to stop; its log says why") from life.failure


class _Opened(NamedTuple):
    """What a start has opened before there is an event loop."""

    directory: Path
    config: Config
    ledger: Ledger
    keystore: FileKeystore
    clock: ClockGuard
    doors: Doors


def _open(
    directory: Path,
    config: Config,
    password: Guarded | bytes | None,
    *,
    start: Start,
    stack: contextlib.ExitStack,
) -> _Opened:
    """Open what blocks while it is opened; *stack* closes it."""
    with start.stage(Stage.DIRECTORY):
        if not require_local(directory):
            log.warning(
                "nothing tells whether this is a network file system, where the ledger could come"
                " apart: make sure that it is a disk of this machine",
                directory=str(directory),
            )
        lock = stack.enter_context(claimed(directory))
        require_room()
        require_in_order(directory)
        for path in open_to_others(directory):
            log.warning("a file is open to other users", path=str(path), remedy=f"chmod 600 {path}")
    clock = ClockGuard(SystemClock(), boot_id=read_boot_id())
    file = directory / LEDGER_NAME
    size_bytes = file.stat().st_size if file.exists() else 0
    with start.stage(Stage.LEDGER, more_s=size_bytes // LEDGER_BYTES_PER_S):
        ledger = stack.enter_context(
            open_ledger(directory, lock=lock, notices=notices(clock), must_exist=True)
        )
        ledger.add_failure_callback(_die)
        report_opening(ledger)
    with start.stage(Stage.CLOCK):
        start_clock(ledger, clock)
    with start.stage(Stage.KEYSTORE):
        place = directory / KEYSTORE_NAME
        keystore = open_for_start(place, password, ledger=ledger, clock=clock)
        stack.callback(keystore.lock)
        if count_unlocked():
            log.warning("keys are in memory that the kernel did not lock; nothing swaps here")
    with start.stage(Stage.LISTENER):
        doors = stack.enter_context(open_doors(directory, HOST, config.daemon.port))
    return _Opened(directory, config, ledger, keystore, clock, doors)


async def _serve(
    opened: _Opened,
    *,
    localnet_url: str | None,
    announce: Callable[[Address], None],
    start: Start,
    life: Life,
) -> None:
    """Serve until told to stop."""
    directory, config, ledger, keystore, clock, doors = opened
    own = {} if localnet_url is None else {NetworkType.LOCALNET: localnet_url}
    cookie = OPERATOR_TOKEN_PREFIX + generate_secret()
    port = doors.port
    async with contextlib.AsyncExitStack() as stack:
        with start.stage(Stage.CHAINS):
            chains = await stack.enter_async_context(
                _chains({**solana_urls(config.rpc), **own}, clock)
            )
            # A local network's blocks come as fast as somebody likes: it keeps no time.
            timed = [chain for name, chain in chains.items() if name != _OWN_NETWORK]
            silent = await hear_chains(clock, timed)
            report_silent(chains, silent)
        with start.stage(Stage.RECORD):
            daemon_id = start_in_ledger(
                ledger, clock, version=VERSION, is_locked=keystore.is_locked
            )
            about = About(VERSION, daemon_id, localnet_url)
        without_key = partial(
            agents_without_key,
            ledger,
            lambda agent: keystore.has_file(agent.id, public_key=agent.public_key),
        )
        with start.stage(Stage.UNFINISHED):
            found = _classify(ledger, keystore, clock)
            report_keys(without_key())
        worker = Worker(World(ledger, keystore, chains, clock, generate_id), report=_report_step)
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
        supervisor = Supervisor(
            (
                Work(WorkerName.PAYMENTS, worker.run),
                LedgerChecks(ledger, clock).work(),
                schedule.work(),
                clock_watch(ledger, clock),
                ChainAsking(clock, silent).work(),
            ),
            clock=clock,
            is_damaged=lambda: ledger.damage is not None,
            random_share=random_share,
        )
        operator = OperatorAccess(
            cookie=cookie,
            ledger=ledger,
            keystore=keystore,
            clock=clock,
            generate_secret=generate_secret,
        )
        figures = Figures(
            ledger,
            directory=directory,
            reachable={name: chain.is_reachable for name, chain in chains.items()},
            workers=supervisor.conditions,
            count_unreadable=worker.count_unreadable,
            version=VERSION,
        )
        services = Services(
            ledger=ledger,
            keystore=keystore,
            chains=chains,
            faucet=chains.get(_OWN_NETWORK),
            clock=clock,
            accept_clock=clock.accept,
            generate_id=generate_id,
            generate_secret=generate_secret,
            admission=admission_rules(config.security),
            sessions=session_rules(config.security),
            profiles=read_profiles(),
            operator=operator,
            allowance=Allowance(clock),
            reception=Reception(
                ledger, clock, WalletSignatures(), Letterhead(f"{HOST}:{port}", about.daemon_id)
            ),
            locking=Locking(keystore, ledger, clock, operator.forget_logins, worker.resume),
            count_swappable=count_unlocked,
            agents_without_key=without_key,
            wake=worker.wake,
            count_blocked=worker.count_blocked,
            count_unreadable=worker.count_unreadable,
            count_shut=worker.count_shut,
            found_at_start=found,
            recovery_wait_s=config.security.kill_switch_recovery_seconds,
            back_up=maker.make_beside_requests,
            backup_condition=schedule.condition,
            worker_conditions=supervisor.conditions,
            render_figures=figures.render,
            shut_down=life.end_by_client,
            about=about,
            ledger_condition=ledger.condition,
            started_at_monotonic_s=clock.monotonic_s(),
        )
        api = Api(
            services,
            port=port,
            error_codes=_ERROR_CODES,
            report=_report_defect,
            observe=figures.observe,
        )
        with start.stage(Stage.ROUTES):
            await require_fit(api, port=port)
        figures.forget_requests()
        life.server.config.app = api
        # Not supervised: a damaged ledger, which ends every worker, must not keep keys in memory.
        lock = partial(
            lock_unasked,
            services.locking,
            clock,
            count_uses=keystore.count_uses,
            idle_s=config.keystore.auto_lock_seconds,
            is_damaged=lambda: ledger.damage is not None,
        )
        await answer(
            doors,
            directory,
            cookie,
            works=(supervisor.run, lock),
            announce=announce,
            start=start,
            life=life,
        )
    stop_in_ledger(ledger, clock)
    log.info("stopped")


def _classify(ledger: Ledger, keystore: FileKeystore, clock: ClockGuard) -> dict[Found, int]:
    """End the creations that were cut off, if there are keys, and count what is unfinished."""
    if ledger.condition().problem is None and not keystore.is_locked:
        for agent in finish_creations(ledger=ledger, keystore=keystore, clock=clock):
            log.warning("creation finished", agent_id=agent.id, status=agent.status)
    unfinished = ledger.read(read_unfinished) if ledger.damage is None else []
    found = count_found(unfinished)
    log.info("unfinished at start", **{name.lower(): count for name, count in found.items()})
    return found


def _end_localnet(directory: Path, life: Life) -> None:
    if life.ends_localnet:
        localnet_process.stop(directory / LOCALNET_NAME)


def _require_time() -> None:
    if SystemClock().now_s() < 0:  # Nothing could be asked for: requests have ids.
        raise DaemonError(str(ClockBeforeEpoch()))


@contextlib.asynccontextmanager
async def _chains(
    urls: Mapping[NetworkType, str], clock: Clock
) -> AsyncIterator[dict[Network, SolanaChain]]:
    chains: dict[Network, SolanaChain] = {}
    try:
        for network, url in urls.items():
            try:
                client = SolanaChain(url, network=network, clock=clock)
                chains[Network(ChainType.SOLANA, network)] = client
            except ValueError as error:
                raise DaemonError(f"rpc.solana_{network} cannot be used: {error}") from error
        yield chains
    finally:
        for chain in chains.values():
            await chain.aclose()


def _report_step(tx_id: TransactionId, step: Step | None, error: Exception) -> None:
    if step is None:
        log.error("payment set aside: its rows cannot be read", tx_id=tx_id, exc_info=error)
    elif isinstance(error, LedgerRestored | ClockInDoubt | SignerShut):
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
    end_process(str(failure), status=_EXIT_LEDGER_FAILED)
