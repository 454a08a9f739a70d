"""Do the policies of now still let through what was decided under others? Asked until it is signed.

A request is judged under one set of policies. If they changed before its payload is recorded, or
before its signature is, it is judged again, and has to pass twice with no more care than it had:
on the facts of its decision, as a back-test does, so that neither its own money nor what was asked
for later is held against it; and beside all that can no longer be called back by now, so that what
was lowered holds whoever was faster. Looser policies speed nothing up: tier and wait stay.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction, PolicyTier, TransactionStatus
from waiaas.domain.errors import ErrorCode
from waiaas.domain.event_values import TEXT_CHARACTERS_MAX
from waiaas.domain.ids import AgentId
from waiaas.domain.records import (
    AcceptedRequest,
    DecisionRecord,
    PolicyRecord,
    SessionUse,
    TransactionRecord,
)
from waiaas.domain.rent import leaving_assets
from waiaas.domain.request import Request
from waiaas.pipeline.asked import Tampered, asked
from waiaas.pipeline.decisions import Terms, judge_again, read_answers, read_terms
from waiaas.pipeline.denial import shown
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.rent import rent_held
from waiaas.pipeline.usage import LedgerUsage
from waiaas.policy.facts import EVER_S, History, NotRecorded, RecordedUsage
from waiaas.policy.rate_limit import REQUESTS_MAX
from waiaas.policy.usage import InFlight, Usage
from waiaas.policy.verdict import Allow, Verdict
from waiaas.policy.version import policy_version
from waiaas.ports import LedgerTransaction

_CARE: Final = list(PolicyTier)


class Tightening(NamedTuple):
    """Why policies that changed do not let a payment through as it was decided."""

    reason: str
    decided_under: str | None
    """Version of the policies it was decided under; None: they cannot be read."""
    judged_under: str
    """Version of the policies of now."""

    @property
    def error(self) -> str:
        """How the payment ends."""
        return (
            f"{ErrorCode.POLICY_TIGHTENED}: policies changed before it was signed, and now"
            f" {self.reason}; ask again"
        )


def tightening(
    tx: LedgerTransaction, transaction: TransactionRecord, accepted: AcceptedRequest, *, wall_s: int
) -> Tightening | None:
    """Return why the policies of now end *transaction*, nothing of which is signed; None: nothing.

    As long as they are those it was decided under, nothing but the two is read and compared.

    A ledger that contradicts itself about the request is left to whoever reads it to build on it.
    """
    policies = tx.policies.applying_to(transaction.agent_id)
    decided_under = None
    try:
        terms = read_terms(tx.decisions.terms_of(transaction.id))
        if list(terms.policies) == policies:
            return None
        decided_under = policy_version(terms.policies)
        reason = _judged_now(tx, transaction, accepted, terms, tuple(policies), wall_s=wall_s)
    except (msgspec.MsgspecError, ValueError, NotRecorded) as missing:
        reason = f"what it was decided on is not known ({missing})"
    except Tampered:
        return None
    if reason is None:
        return None
    return Tightening(reason, decided_under, policy_version(policies))


def objection_to(decided: PolicyTier | None, verdict: Verdict, *, rent: int) -> str | None:
    """Return what a new verdict has against a payment that was let through with a tier.

    A person has seen what was decided as APPROVAL, and more care than that there is not.

    Args:
        decided: the tier; None: it was denied.
        verdict: on the same request.
        rent: what it will pay for recipients' accounts, in base units.
    """
    if not isinstance(verdict, Allow):
        return shown(verdict).message
    if decided is None or _CARE.index(verdict.tier) > _CARE.index(decided):
        return f"it needs the tier {verdict.tier}, and was let through as {decided}"
    if rent and (verdict.rent is None or verdict.rent.base_units < rent):
        why = verdict.rent and verdict.rent.objection
        return f"the recipient's account for the token may not be paid for: {why}"
    return None


def remember_tightening(
    tx: LedgerTransaction, transaction: TransactionRecord, found: Tightening, *, now_s: int
) -> None:
    """Write down, and tell the owner, which policies ended a payment of which others."""
    event = AuditEvent(
        AuditAction.POLICY_VIOLATION,
        SYSTEM,
        agent_id=transaction.agent_id,
        session_id=transaction.session_id,
        tx_id=transaction.id,
        details={
            "code": ErrorCode.POLICY_TIGHTENED,
            "reason": found.reason[:TEXT_CHARACTERS_MAX],
            "tier": transaction.tier,
            "decidedUnder": found.decided_under,
            "judgedUnder": found.judged_under,
        },
    )
    remember(tx, event, now_s=now_s, tier=transaction.tier)


def _judged_now(
    tx: LedgerTransaction,
    transaction: TransactionRecord,
    accepted: AcceptedRequest,
    terms: Terms,
    policies: tuple[PolicyRecord, ...],
    *,
    wall_s: int,
) -> str | None:
    request = asked(transaction, accepted)
    decision = tx.decisions.get(transaction.id)
    assert decision is not None, "it has terms"
    then = _then(tx, decision, request)
    gone = Gone(tx, decision, then, now_s=ledger_time(tx, wall_s=wall_s))
    # Before its payload is recorded it is not known which accounts are missing, maybe none.
    is_recorded = transaction.status is TransactionStatus.EXECUTING
    rent = rent_held(tx, transaction.id, request) if is_recorded else 0
    terms = terms._replace(policies=policies)
    care = decision.tier or PolicyTier.INSTANT
    return _first(
        objection_to(
            decision.tier,
            judge_again(request, terms, usage, now_s=decision.decided_at, care=care),
            rent=rent,
        )
        for usage in (then, gone)
    )


def _first(objections: Iterable[str | None]) -> str | None:
    return next((each for each in objections if each is not None), None)


def _then(tx: LedgerTransaction, decision: DecisionRecord, request: Request) -> Usage:
    """Return what the agent had done when it was decided, whatever rules may ask of it now."""
    agent_id = decision.agent_id
    history = History(
        {asset: LedgerSpent(tx, agent_id, asset) for asset in leaving_assets(request)},
        tx.decisions.admitted_before(decision, most=REQUESTS_MAX),
    )
    return RecordedUsage(read_answers(decision.usage), now_s=decision.decided_at, history=history)


class LedgerSpent:
    """`waiaas.policy.facts.Moved`: what had moved of one asset, read where rules ask for it."""

    def __init__(self, tx: LedgerTransaction, agent_id: AgentId, asset: str) -> None:
        self._tx = tx
        self._agent_id = agent_id
        self._asset = asset

    def until(self, second: int) -> int:
        return self._tx.reservations.spent_until(self._agent_id, asset=self._asset, until_s=second)

    def reaches(self, base_units: int, *, by_s: int) -> int:
        second = self._tx.reservations.spent_reaches(
            self._agent_id, asset=self._asset, base_units=base_units, after_s=EVER_S
        )
        return by_s if second is None else min(second, by_s)


class Gone:
    """A `Usage` with the money that cannot be called back any more: it has moved, or is signed.

    Windows end now, though they are asked for as they were at the decision; requests are counted
    as they were then.
    """

    def __init__(
        self, tx: LedgerTransaction, decision: DecisionRecord, then: Usage, *, now_s: int
    ) -> None:
        self._tx = tx
        self._agent_id = decision.agent_id
        self._then = then
        self._later_s = now_s - decision.decided_at
        self._now = LedgerUsage(tx, decision.agent_id)

    def in_flight(self, asset: str) -> InFlight:
        # As if it waited: what else goes out at once is no reason for more care with this one.
        return InFlight(0, self._tx.reservations.signed(self._agent_id, asset=asset))

    def spent_after(self, asset: str, since_s: int) -> int:
        return self._now.spent_after(asset, since_s + self._later_s)

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        return self._now.spent_so_far(asset, since_s + self._later_s, base_units)

    def admitted_after(self, since_s: int) -> int:
        return self._then.admitted_after(since_s)

    def admitted_at(self, place: int) -> int | None:
        return self._then.admitted_at(place)

    def session(self) -> SessionUse:
        return self._then.session()
