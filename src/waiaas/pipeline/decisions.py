"""Judging a request as the ledger stands, and keeping what the verdict rested on.

The terms (the rules in force, the session's constraints, the defaults, the network) change rarely
and are stored once, named by their hash. What was asked of the agent's usage, and answered, is
stored with each decision, in its own commit. Amounts are digits in strings.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier
from waiaas.domain.records import (
    AgentRecord,
    DecisionRecord,
    PolicyRecord,
    SessionRecord,
    SessionUse,
    TransactionRecord,
)
from waiaas.domain.rent import leaving_assets
from waiaas.domain.request import Request
from waiaas.pipeline.usage import LedgerUsage
from waiaas.policy.evaluate import evaluate
from waiaas.policy.facts import Answers, RecordingUsage
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.usage import InFlight, Usage
from waiaas.policy.verdict import Allow, Rent, Verdict, Violation
from waiaas.ports import LedgerTransaction

TERMS_KEPT_MAX: Final = 64
"""How many documents of terms are kept as what they mean; the least used makes room."""


class Terms(NamedTuple):
    """What was in force."""

    chain: ChainType
    network: NetworkType
    policies: tuple[PolicyRecord, ...]
    constraints: str | None
    delay_s: int
    approval_s: int


class Judged(NamedTuple):
    """A verdict with what it rests on."""

    verdict: Verdict
    terms: Terms
    answers: Answers


class _WrittenAnswers(msgspec.Struct, omit_defaults=True):
    """`Answers` as they are stored."""

    in_flight: dict[str, tuple[str, str]] = {}
    spent_after: dict[str, dict[int, str]] = {}
    spent_so_far: list[tuple[str, int, str, int]] = []
    admitted_after: dict[int, int] = {}
    admitted_at: dict[int, int | None] = {}
    session: tuple[int, str] | None = None


_ANSWERS: Final = msgspec.json.Decoder(_WrittenAnswers)
_TERMS: Final = msgspec.json.Decoder(Terms)
_ENCODER: Final = msgspec.json.Encoder()

_RENT_AT: Final = 4
"""Where a written verdict says what may leave for rent, if it says it."""


def judge(
    tx: LedgerTransaction,
    request: Request,
    agent: AgentRecord,
    session: SessionRecord | None,
    waits: WaitDefaults,
    *,
    now_s: int,
) -> Judged:
    """Return the verdict on *request* and everything it rests on; nothing is written.

    Args:
        tx: the transaction, or the snapshot, whose state is judged by.
        request: what is asked for.
        agent: for whom.
        session: which asks; None: nobody's constraints count.
        waits: how long is waited where no rule says.
        now_s: ledger time.
    """
    terms = Terms(
        agent.chain,
        agent.network,
        tuple(tx.policies.applying_to(agent.id)),
        None if session is None else session.constraints,
        waits.delay_s,
        waits.approval_s,
    )
    session_id = None if session is None else session.id
    usage = RecordingUsage(LedgerUsage(tx, agent.id, session_id=session_id))
    verdict = judge_again(request, terms, usage, now_s=now_s)
    usage.note_assets(leaving_assets(request))
    return Judged(verdict, terms, usage.answers)


def judge_again(
    request: Request,
    terms: Terms,
    usage: Usage,
    *,
    now_s: int,
    care: PolicyTier = PolicyTier.INSTANT,
) -> Verdict:
    """Return the verdict on *request* under *terms*, after *usage*, at *now_s*.

    Care is what it gets in any case, as `evaluate` has it.
    """
    return evaluate(
        request,
        network=Network(terms.chain, terms.network),
        policies=terms.policies,
        usage=usage,
        waits=WaitDefaults(terms.delay_s, terms.approval_s),
        now_s=now_s,
        constraints=terms.constraints,
        care=care,
    )


def record_decision(
    tx: LedgerTransaction, transaction: TransactionRecord, judged: Judged, *, now_s: int
) -> None:
    """Write down what the verdict on *transaction* rested on, beside the transaction."""
    document, sha256 = _write_terms(judged.terms)
    tx.decisions.insert(
        DecisionRecord(
            tx_id=transaction.id,
            agent_id=transaction.agent_id,
            decided_at=now_s,
            terms_sha256=sha256,
            usage=write_answers(judged.answers),
            tier=transaction.tier,
            verdict=write_verdict(judged.verdict),
        ),
        terms=document,
    )


@lru_cache(maxsize=TERMS_KEPT_MAX)
def _write_terms(terms: Terms) -> tuple[str, str]:
    """Return the document of *terms*, and its hash: equal terms have one document."""
    document = _ENCODER.encode(terms)
    return document.decode(), hashlib.sha256(document).hexdigest()


@lru_cache(maxsize=TERMS_KEPT_MAX)
def read_terms(document: str) -> Terms:
    """Return the terms that were stored as *document*.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _TERMS.decode(document)


def write_answers(answers: Answers) -> str:
    """Return *answers* as JSON."""
    session = answers.session
    written = _WrittenAnswers(
        {asset: (str(each[0]), str(each[1])) for asset, each in answers.in_flight.items()},
        {
            asset: {since_s: str(base_units) for since_s, base_units in found.items()}
            for asset, found in answers.spent_after.items()
        },
        [
            (asset, since_s, str(base_units), second)
            for asset, found in answers.spent_so_far.items()
            for since_s, seconds in found.items()
            for base_units, second in seconds.items()
        ],
        answers.admitted_after,
        answers.admitted_at,
        None if session is None else (session.transactions, str(session.base_units)),
    )
    return _ENCODER.encode(written).decode()


def read_answers(text: str) -> Answers:
    """Return the answers that `write_answers` wrote as *text*.

    Raises:
        msgspec.MsgspecError, ValueError: it is nothing that is written.
    """
    written = _ANSWERS.decode(text)
    so_far: dict[str, dict[int, dict[int, int]]] = {}
    for asset, since_s, base_units, second in written.spent_so_far:
        so_far.setdefault(asset, {}).setdefault(since_s, {})[int(base_units)] = second
    return Answers(
        {asset: InFlight(int(out), int(wait)) for asset, (out, wait) in written.in_flight.items()},
        {
            asset: {since_s: int(base_units) for since_s, base_units in found.items()}
            for asset, found in written.spent_after.items()
        },
        so_far,
        written.admitted_after,
        written.admitted_at,
        None
        if written.session is None
        else SessionUse(written.session[0], int(written.session[1])),
    )


def write_verdict(verdict: Verdict) -> str:
    """Return *verdict* as JSON: the same text for the same verdict, and for no other."""
    if isinstance(verdict, Allow):
        written: list[Any] = [verdict.tier, verdict.wait_s, [], _listed(verdict.escalations)]
        if verdict.rent is not None:
            rent = verdict.rent
            written.append([str(rent.base_units), rent.objection, rent.rule])
    else:
        written = [None, None, _listed(verdict.violations), _listed(verdict.escalations)]
    try:
        return _ENCODER.encode(written).decode()
    except UnicodeEncodeError:  # Half a surrogate pair has a form in JSON, but none in UTF-8.
        return json.dumps(written, separators=(",", ":"))


def read_rent(verdict: str) -> Rent | None:
    """Return what `write_verdict` wrote of rent."""
    told = json.loads(verdict)[_RENT_AT:]
    return Rent(int(told[0][0]), *told[0][1:]) if told else None


def _listed(violations: tuple[Violation, ...]) -> list[list[str | int | None]]:
    return [
        [
            each.code,
            each.rule,
            each.message,
            each.asset,
            each.bound,
            _digits(each.limit),
            _digits(each.observed),
            _digits(each.max_allowed),
            each.retry_at,
            each.tier,
            each.delay_s,
            each.approval_s,
            each.part,
        ]
        for each in violations
    ]


def _digits(amount: int | None) -> str | None:
    return None if amount is None else str(amount)
