"""A refusal of somebody who proved who he is leaves one row in the audit log, whatever refused it.

One place for all routes: a handler, a message that is none, a path that does not exist. What a rule
of the pipeline refused has its row already, from the transaction that found the reason. Whoever
proves nothing leaves nothing: anybody could fill the disk. Whoever is refused too often leaves one
row a minute.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from starlette.requests import Request

from waiaas.api.access import Principal, recognise
from waiaas.api.allowance import Allowance, HeldBack
from waiaas.api.routes import Route
from waiaas.api.services import Services
from waiaas.domain.audit import OPERATOR, AuditEvent, agent_actor
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import TransactionId
from waiaas.pipeline.admit import Admission
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import LedgerTransaction, LedgerWithReserve

Value = TypeVar("Value")


async def write_down(
    refusal: Refusal, request: Request, route: Route | None, services: Services
) -> Refusal:
    """Write down who was refused what, unless that was done; return what the caller is told.

    Args:
        refusal: what was found.
        request: what was refused. Nothing that it says is written, only who sends it.
        route: what was asked for; None if there is no such route.
        services: where it is written; durable when this returns.
    """
    if refusal.is_recorded:
        return refusal
    caller = recognise(request, services)
    if caller is None:
        return refusal
    allowance = services.allowance
    held = refusal if isinstance(refusal, HeldBack) else allowance.take(caller.key)
    told = held or refusal
    if held is None or allowance.reminds(caller.key):
        event = _event(told, caller, request, route)
        wall_s = services.clock.now_s()

        def unit(tx: LedgerTransaction) -> None:
            remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s))

        await services.ledger.write_async(unit)
    return told


def services_for(caller: Principal, services: Services) -> Services:
    """Return the services with which *caller*'s handler works: refused too often, it writes none.

    What is allowed is written as ever: nobody is held back before it is known to be a refusal.
    """
    if not caller.key:
        return services
    return replace(services, ledger=_Bounded(services.ledger, services.allowance, caller.key))


class _Bounded:
    """`waiaas.ports.LedgerWithReserve` of one caller: takes no refusal past the allowance."""

    def __init__(self, ledger: LedgerWithReserve, allowance: Allowance, key: str) -> None:
        self._ledger = ledger
        self._allowance = allowance
        self._key = key
        self.read = ledger.read
        self.write = ledger.write
        self.write_from_reserve = ledger.write_from_reserve

    async def write_async(self, unit: Callable[[LedgerTransaction], Value]) -> Value:
        def bounded(tx: LedgerTransaction) -> Value:
            outcome = unit(tx)
            refusal = outcome.refusal if isinstance(outcome, Admission) else outcome
            if isinstance(refusal, Refusal) and not refusal.is_recorded:
                held = self._allowance.take(self._key)
                if held is not None:  # Raised in here, it undoes what the refusal wrote.
                    raise held
            return outcome

        return await self._ledger.write_async(bounded)


def _event(
    refusal: Refusal, caller: Principal, request: Request, route: Route | None
) -> AuditEvent:
    session, about = caller.session, refusal.details.get("transactionId")
    if isinstance(refusal, HeldBack):
        action = AuditAction.RATE_LIMIT_EXCEEDED
    elif session is None:
        action = AuditAction.OPERATION_REFUSED
    else:
        action = AuditAction.REQUEST_REFUSED
    return AuditEvent(
        action,
        OPERATOR if session is None else agent_actor(session.agent_id),
        agent_id=None if session is None else session.agent_id,
        session_id=None if session is None else session.id,
        tx_id=None if about is None else TransactionId(str(about)),
        details={
            "route": None if route is None else f"{route.method} {route.path}",
            "code": refusal.code,
        },
        ip_address=None if request.client is None else request.client.host,
    )
