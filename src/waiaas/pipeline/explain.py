"""What would become of a request now, and why: a verdict, without anything written or set aside."""

from dataclasses import dataclass

from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.request import Request
from waiaas.pipeline.admit import Caller, require_active, require_permission
from waiaas.pipeline.decisions import judge
from waiaas.pipeline.denial import refusal_of
from waiaas.pipeline.kill_switch import require_off
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.restored import require_not_restored
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.verdict import Verdict
from waiaas.ports import LedgerTransaction


@dataclass(frozen=True, slots=True)
class Explained:
    """A verdict, and how it would be put to the agent."""

    verdict: Verdict
    refusal: Refusal | None
    """What a denial would say, but for the id of the transaction that there is not."""
    at_s: int
    """The second of ledger time that it holds for."""


def explain(
    tx: LedgerTransaction,
    request: Request,
    *,
    agent_id: AgentId,
    session_id: SessionId | None,
    waits: WaitDefaults,
    wall_s: int,
) -> Explained:
    """Return the verdict that *request* would get now, from the same rules and the same usage.

    Args:
        tx: a snapshot.
        request: what would be asked for.
        agent_id: by whom.
        session_id: with which session's constraints; None: with none.
        waits: how long is waited where no rule says.
        wall_s: the wall clock.

    Raises:
        Refusal: what comes before every verdict, as `waiaas.pipeline.admit.admit` has it.
    """
    now_s = ledger_time(tx, wall_s=wall_s)
    if session_id is None:
        agent, session = require_active(tx, agent_id), None
    else:
        agent, session = require_permission(tx, Caller(agent_id, session_id, None), now_s=now_s)
    require_off(tx)
    require_not_restored(tx)
    verdict = judge(tx, request, agent, session, waits, now_s=now_s).verdict
    return Explained(verdict, refusal_of(verdict, None), now_s)
