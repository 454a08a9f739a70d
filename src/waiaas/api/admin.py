"""The daemon itself: is it well, who is the operator, what is it doing, please stop."""

import asyncio
from typing import Literal

from waiaas.api.access import login_caller
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.clock import ClockDoubt
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.pipeline.reconcile import Reconciler
from waiaas.pipeline.restored import restored_at
from waiaas.pipeline.stranded import require_nothing_stranded
from waiaas.pipeline.worker import count_unfinished
from waiaas.ports import LedgerCondition
from waiaas.wire.admin import (
    CreateBackup,
    CreatedBackup,
    FoundAtStart,
    FoundMovement,
    Health,
    Login,
    OperatorToken,
    Reconcile,
    Reconciled,
    ShuttingDown,
    Status,
    UnreadHistory,
    WorkerStatus,
)


async def get_health(call: Call) -> Health:
    """Answer that the daemon is ready; nobody is answered before it is."""
    services = call.services
    return Health(
        status=_status(
            services.ledger_condition(),
            services.clock.doubt(),
            is_locked=services.keystore.is_locked,
        ),
        version=services.about.version,
        uptime=_uptime_s(call),
        timestamp=services.clock.now_s(),
    )


async def log_in(call: Call) -> OperatorToken:
    """Exchange the master password for a short-lived token."""
    body: Login = call.body
    token, expires_at = await call.services.operator.log_in(
        body.password,
        caller=login_caller(call.request, call.services),
        ip_address=call.ip_address,
    )
    return OperatorToken(token, expires_at)


async def get_status(call: Call) -> Status:
    """Tell the operator what the daemon is doing."""
    services = call.services
    condition = services.ledger_condition()
    backups = services.backup_condition()
    doubt = services.clock.doubt()
    switch, agents, unfinished, waiting, restored_s = services.ledger.read(
        lambda tx: (
            tx.kill_switch.current().state,
            tx.agents.count(),
            count_unfinished(tx),
            tx.waits.count_open(),
            restored_at(tx),
        )
    )
    lost = await asyncio.to_thread(services.agents_without_key)
    return Status(
        status=_status(condition, doubt, is_locked=services.keystore.is_locked),
        locked=services.keystore.is_locked,
        version=services.about.version,
        uptime=_uptime_s(call),
        timestamp=services.clock.now_s(),
        daemon_id=services.about.daemon_id,
        kill_switch=switch,
        agent_count=agents,
        unfinished_transaction_count=unfinished,
        waiting_transaction_count=waiting,
        blocked_transaction_count=services.count_blocked(),
        unreadable_transaction_count=services.count_unreadable(),
        found_at_start=FoundAtStart(
            **{found.lower(): count for found, count in services.found_at_start.items()}
        ),
        waiting_agent_count=services.count_shut(),
        agents_without_key=[agent.id for agent in lost],
        networks=sorted(each.network for each in services.chains),
        localnet_url=services.about.localnet_url,
        restored_at=restored_s,
        ledger_problem=condition.problem,
        swappable_secret_count=services.count_swappable(),
        clock_difference=None if doubt is None else doubt.difference_s,
        wal_pages=condition.wal_pages,
        last_scheduled_backup_at=backups.last_made_at,
        scheduled_backup_problem=backups.problem,
        workers=[
            WorkerStatus(
                name=each.name,
                state=each.state,
                begun_at=each.begun_at,
                next_at=each.next_at,
                failures=each.failures,
                failed_at=each.failed_at,
                problem=each.problem,
            )
            for each in services.worker_conditions()
        ],
    )


async def create_backup(call: Call) -> CreatedBackup:
    """Make a backup; answered once it is on the disk, and was read back."""
    body: CreateBackup = call.body
    if (body.password is None) is (body.mode == "password"):
        raise Refusal(
            ErrorCode.VALIDATION_FAILED,
            "`password` belongs to the mode `password`, and to no other",
        )
    password = None if body.password is None else body.password.encode()
    made = await call.services.back_up(password)
    return CreatedBackup(made.id, made.name, made.created_at, made.size_bytes, made.mode.value)


async def reconcile(call: Call) -> Reconciled:
    """Compare a restored ledger with the chain; let it pay again if nothing stands against it."""
    body: Reconcile = call.body
    services = call.services
    without = [AgentId(agent_id) for agent_id in body.without_agents]
    for agent_id in without if body.accept is not None and not body.force else ():
        await require_nothing_stranded(agent_id, ledger=services.ledger, chains=services.chains)
    done = await Reconciler(
        services.ledger, services.chains, services.clock, call.ip_address
    ).reconcile(accepted=body.accept, without=without)
    return Reconciled(
        reconciled=done.is_reconciled,
        movement_count=done.transaction_count,
        movements=[FoundMovement(*each) for each in done.movements],
        blocks_left=done.blocks_left,
        unread=[UnreadHistory(each.agent_id, each.reason) for each in done.unread],
        transactions_cancelled=done.transactions_cancelled,
        sessions_revoked=done.sessions_revoked,
    )


async def shut_down(call: Call) -> ShuttingDown:
    """Begin a clean stop. The cookie is enough: whoever can read it can end the process anyway."""
    call.services.shut_down()
    return ShuttingDown("the daemon is stopping")


def _status(
    condition: LedgerCondition,
    doubt: ClockDoubt | None,
    *,
    is_locked: bool,
) -> Literal["ok", "read_only", "clock_in_doubt", "locked"]:
    if condition.problem is not None:
        return "read_only"
    if doubt is not None:
        return "clock_in_doubt"
    return "locked" if is_locked else "ok"


def _uptime_s(call: Call) -> int:
    return int(call.services.clock.monotonic_s() - call.services.started_at_monotonic_s)


ROUTES = (
    Route("GET", "/health", Credential.PUBLIC, get_health, Health),
    Route(
        "POST",
        "/v1/admin/login",
        Credential.PUBLIC,
        log_in,
        OperatorToken,
        body=Login,
        codes=(ErrorCode.INVALID_MASTER_PASSWORD, ErrorCode.MASTER_PASSWORD_LOCKED),
    ),
    Route("GET", "/v1/admin/status", Credential.OPERATOR_LOOK, get_status, Status),
    Route(
        "POST",
        "/v1/admin/backups",
        Credential.OPERATOR,
        create_backup,
        CreatedBackup,
        body=CreateBackup,
        status=201,
        codes=(ErrorCode.BACKUP_UNDER_WAY, ErrorCode.BACKUP_FAILED),
    ),
    Route(
        "POST",
        "/v1/admin/reconcile",
        Credential.OPERATOR,
        reconcile,
        Reconciled,
        body=Reconcile,
        codes=(
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.AGENT_NOT_ACTIVE,
            ErrorCode.AGENT_HAS_MONEY,
            ErrorCode.CLOCK_IN_DOUBT,
        ),
    ),
    Route("POST", "/v1/admin/shutdown", Credential.OPERATOR_LOOK, shut_down, ShuttingDown),
)
