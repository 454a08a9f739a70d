"""Judging recorded decisions again: as they were, or as other rules would have decided them.

It is exact about every decision by itself. What would have followed from other verdicts is not
known: a payment that would have been denied was made, and counts in the windows of those after it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from waiaas.domain.enums import PolicyTier
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.meaning import read_request
from waiaas.domain.money import NATIVE
from waiaas.domain.records import DecisionRecord, PolicyRecord
from waiaas.domain.request import outflows
from waiaas.pipeline.decisions import (
    Terms,
    judge_again,
    read_answers,
    read_rent,
    read_terms,
    write_verdict,
)
from waiaas.policy.facts import History, NotRecorded, RecordedUsage, Spent
from waiaas.policy.verdict import Allow, Verdict

DENIED: Final = "DENIED"
UNKNOWN: Final = "UNKNOWN"
"""In place of a tier."""


@dataclass(frozen=True, slots=True)
class NewRules:
    """Rules to be tried in place of those that were in force."""

    policies: tuple[PolicyRecord, ...]
    """Those that are enabled."""
    agent_id: AgentId | None
    """In place of this agent's own rules; None: in place of the global ones."""

    def instead_of(self, policies: Iterable[PolicyRecord]) -> tuple[PolicyRecord, ...]:
        """Return what would have been in force."""
        kept = [each for each in policies if (each.agent_id is None) != (self.agent_id is None)]
        return (*kept, *self.policies)


class Change(NamedTuple):
    """One decision that the new rules decide otherwise, between denied and not."""

    tx_id: TransactionId
    agent_id: AgentId
    decided_at: int
    request: str
    """Its text."""
    before: str
    """The tier, or DENIED."""
    after: str
    codes: tuple[str, ...]
    """Why it was, or would be, denied."""


class RentChange(NamedTuple):
    """One decision that lets the request through as before, but not what it may cost in rent."""

    tx_id: TransactionId
    agent_id: AgentId
    decided_at: int
    request: str
    """Its text."""
    before: int
    """How much was set aside, in base units of the network's own asset."""
    after: int
    objection: str | None
    """Why one of the two is none."""


class Pair(NamedTuple):
    """The same thing as it was, and as it would have been."""

    before: int
    after: int


@dataclass
class Report:
    """What a back-test found."""

    decisions: int = 0
    newly_allowed: list[Change] = field(default_factory=list)
    newly_denied: list[Change] = field(default_factory=list)
    rent_newly_granted: list[RentChange] = field(default_factory=list)
    rent_no_longer_granted: list[RentChange] = field(default_factory=list)
    """Without it, who has no account for the token is refused."""
    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many of each tier, or DENIED, got which (UNKNOWN among them)."""
    approvals_by_day: dict[str, Pair] = field(default_factory=dict)
    """By day (UTC), how many a person was asked about."""
    let_through: dict[str, Pair] = field(default_factory=dict)
    """By asset, the base units of what was not denied, with or without a wait, and of its rent."""
    unknown: dict[TransactionId, str] = field(default_factory=dict)
    """Decisions about which the new rules ask what was not written down; they count nowhere."""
    different: list[TransactionId] = field(default_factory=list)
    """Replayed as they were decided, and decided otherwise: there should be none."""


def backtest(
    decisions: Iterable[tuple[DecisionRecord, str]],
    *,
    document_of: Callable[[str], str],
    spent: Mapping[AgentId, Mapping[str, Spent]],
    admissions: dict[AgentId, list[int]],
    new: NewRules | None,
) -> Report:
    """Judge *decisions* again, and compare.

    Args:
        decisions: with the text of their requests, in the order in which they were made; if *new*
            is for one agent, of that agent only.
        document_of: gives the text of the terms with a hash.
        spent: by agent and asset, from as long before the first decision as windows reach.
        admissions: by agent, those before the first decision; the later ones are added here.
        new: the rules to try; None: those that were in force, by what was noted alone.
    """
    report = Report()
    tried: dict[str, Terms] = {}
    for decision, text in decisions:
        request = read_request(text)
        terms = tried.get(decision.terms_sha256)
        if terms is None:
            terms = read_terms(document_of(decision.terms_sha256))
            if new is not None:
                terms = terms._replace(policies=new.instead_of(terms.policies))
            tried[decision.terms_sha256] = terms
        admitted = admissions.setdefault(decision.agent_id, [])
        usage = RecordedUsage(
            read_answers(decision.usage),
            now_s=decision.decided_at,
            history=None if new is None else History(spent.get(decision.agent_id, {}), admitted),
        )
        verdict = None
        try:
            verdict = judge_again(request, terms, usage, now_s=decision.decided_at)
        except NotRecorded as missing:
            report.unknown[decision.tx_id] = str(missing)
        _count(report, decision, text, verdict, outflows(request))
        if new is None and (verdict is None or write_verdict(verdict) != decision.verdict):
            report.different.append(decision.tx_id)
        if decision.tier is not None:
            admitted.append(decision.decided_at)
    return report


def _count(
    report: Report,
    decision: DecisionRecord,
    text: str,
    verdict: Verdict | None,
    moved: Mapping[str, int],
) -> None:
    before, after = _tier(decision.tier), UNKNOWN
    report.decisions += 1
    if verdict is not None:
        after = _tier(verdict.tier if isinstance(verdict, Allow) else None)
        if (before == DENIED) != (after == DENIED):
            changes = report.newly_allowed if before == DENIED else report.newly_denied
            codes = _codes(decision, verdict)
            changes.append(
                Change(
                    decision.tx_id,
                    decision.agent_id,
                    decision.decided_at,
                    text,
                    before,
                    after,
                    codes,
                )
            )
        if PolicyTier.APPROVAL in {before, after}:
            day = datetime.fromtimestamp(decision.decided_at, UTC).date().isoformat()
            asked = Pair(int(before == PolicyTier.APPROVAL), int(after == PolicyTier.APPROVAL))
            _add(report.approvals_by_day, day, asked)
        for asset, base_units in moved.items():
            through = Pair(base_units * (before != DENIED), base_units * (after != DENIED))
            _add(report.let_through, asset, through)
        _count_rent(report, decision, text, verdict)
    report.tiers[before, after] += 1


def _count_rent(report: Report, decision: DecisionRecord, text: str, verdict: Verdict) -> None:
    before, after = (
        read_rent(decision.verdict),
        verdict.rent if isinstance(verdict, Allow) else None,
    )
    pair = Pair(*(0 if rent is None else rent.base_units for rent in (before, after)))
    if any(pair):
        _add(report.let_through, NATIVE, pair)
    if before is None or after is None or bool(pair.before) == bool(pair.after):
        return
    changes = report.rent_no_longer_granted if pair.before else report.rent_newly_granted
    why = after.objection or before.objection
    named = (decision.tx_id, decision.agent_id, decision.decided_at, text)
    changes.append(RentChange(*named, *pair, why))


def _add(sums: dict[str, Pair], name: str, more: Pair) -> None:
    had = sums.get(name, Pair(0, 0))
    sums[name] = Pair(had.before + more.before, had.after + more.after)


def _tier(tier: PolicyTier | None) -> str:
    return DENIED if tier is None else tier.value


def _codes(decision: DecisionRecord, verdict: Verdict) -> tuple[str, ...]:
    """Return why it was denied; or, if it was not, why it would be."""
    if isinstance(verdict, Allow):
        recorded: list[Any] = json.loads(decision.verdict)
        return tuple(sorted({each[0] for each in recorded[2]}))
    return tuple(sorted({each.code.value for each in verdict.violations}))
