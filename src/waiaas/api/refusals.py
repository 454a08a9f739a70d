"""A refusal of somebody who proved who he is leaves one row in the audit log, whatever refused it.

One place for all routes: a handler, a message that is none, a path that does not exist. What a rule
of the pipeline refused has its row already, from the transaction that found the reason. Whoever
proves nothing leaves nothing: anybody could fill the disk.
"""

from starlette.requests import Request

from waiaas.api.access import Principal, recognise
from waiaas.api.routes import Route
from waiaas.api.services import Services
from waiaas.domain.audit import OPERATOR, AuditEvent, agent_actor
from waiaas.domain.enums import AuditAction
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import TransactionId
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import LedgerTransaction


async def write_down(
    refusal: Refusal, request: Request, route: Route | None, services: Services
) -> None:
    """Write down who was refused what, unless that was done; durable when this returns.

    Args:
        refusal: what the caller will be told.
        request: what was refused. Nothing that it says is written, only who sends it.
        route: what was asked for; None if there is no such route.
        services: where it is written.
    """
    if refusal.is_recorded:
        return
    caller = recognise(request, services)
    if caller is None:
        return
    event = _event(refusal, caller, request, route)
    wall_s = services.clock.now_s()

    def unit(tx: LedgerTransaction) -> None:
        remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s))

    await services.ledger.write_async(unit)


def _event(
    refusal: Refusal, caller: Principal, request: Request, route: Route | None
) -> AuditEvent:
    session, about = caller.session, refusal.details.get("transactionId")
    return AuditEvent(
        AuditAction.OPERATION_REFUSED if session is None else AuditAction.REQUEST_REFUSED,
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
