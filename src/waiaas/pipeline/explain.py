"""What would become of a request now, and why: an answer, without anything written or set aside."""

from dataclasses import dataclass

from waiaas.domain.clock import ClockDoubt
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.records import AcceptedRequest, TransactionRecord
from waiaas.pipeline.admit import (
    AdmissionRules,
    Caller,
    earlier_of,
    require_active,
    require_permission,
)
from waiaas.pipeline.asked import Asked, Written, write
from waiaas.pipeline.clock_guard import refusal_in_doubt
from waiaas.pipeline.decisions import judge
from waiaas.pipeline.denial import load, refusal_of
from waiaas.pipeline.guards import after_rules, before_rules, reused_key
from waiaas.pipeline.kill_switch import require_off
from waiaas.pipeline.record import ledger_time
from waiaas.pipeline.restored import require_not_restored
from waiaas.policy.verdict import Verdict
from waiaas.ports import LedgerTransaction


@dataclass(frozen=True, slots=True)
class Explained:
    """What the rules say of a request, and how it would be answered."""

    verdict: Verdict | None
    """What the rules say; None: they are not asked, for its key was used before."""
    refusal: Refusal | None
    """What a refusal would say, but for the id of the transaction that there is not: of a guard
    that comes before the rules, of the rules, or of the cap on what waits."""
    at_s: int
    """The second of ledger time that it holds for."""
    repeated: TransactionRecord | None = None
    """The transaction that it would be answered with again."""


def explain(
    tx: LedgerTransaction,
    asked: Asked,
    *,
    agent_id: AgentId,
    session_id: SessionId | None,
    rules: AdmissionRules,
    wall_s: int,
    doubt: ClockDoubt | None,
) -> Explained:
    """Return what *asked* would get now, from the same rules, guards and usage.

    Args:
        tx: a snapshot.
        asked: what would be asked for.
        agent_id: by whom.
        session_id: with which session's constraints; None: with none.
        rules: what holds for every agent, where no policy says it.
        wall_s: the wall clock.
        doubt: what is wrong with it; None: nothing.

    Raises:
        Refusal: who asks may not ask for anything, as `waiaas.pipeline.admit.admit` has it.
    """
    now_s = ledger_time(tx, wall_s=wall_s)
    written = write(asked.request)
    earlier = earlier_of(tx, agent_id, asked)
    if earlier is not None:
        return _again(tx, earlier, asked, written, now_s=now_s)
    if session_id is None:
        agent, session = require_active(tx, agent_id), None
    else:
        agent, session = require_permission(tx, Caller(agent_id, session_id, None), now_s=now_s)
    require_off(tx)
    require_not_restored(tx)
    if doubt is not None:
        raise refusal_in_doubt(doubt)
    verdict = judge(tx, asked.request, agent, session, rules.waits, now_s=now_s).verdict
    refusal = (
        before_rules(tx, asked, written, agent_id, pending_max=rules.pending_max, now_s=now_s)
        or refusal_of(verdict, None)
        or after_rules(tx, verdict, agent_id, waiting_max=rules.waiting_max)
    )
    return Explained(verdict, refusal, now_s)


def _again(
    tx: LedgerTransaction, earlier: AcceptedRequest, asked: Asked, written: Written, *, now_s: int
) -> Explained:
    """Return what another request under the same key gets: the answer that the first one got."""
    refusal = reused_key(earlier, asked, written)
    if refusal is not None:
        return Explained(None, refusal, now_s)
    return Explained(None, load(earlier.refusal), now_s, tx.transactions.get(earlier.tx_id))
