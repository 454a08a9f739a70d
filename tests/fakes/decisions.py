"""An agent that asks for everything under every kind of rule, and what is kept of each decision."""

import asyncio
import json
from functools import partial
from typing import Any, Final, Self

from hypothesis import strategies as st
from tests.fakes.agents import RULES as ADMISSION
from tests.fakes.agents import insert_agent
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import MemoryLedger

from waiaas.database import generate_id
from waiaas.database.decision_history import read_admissions, read_decisions, read_totals
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import PolicyType
from waiaas.domain.ids import AgentId, PolicyId, SessionId, TransactionId
from waiaas.domain.meaning import read_request
from waiaas.domain.records import DecisionRecord, PolicyRecord, SessionRecord
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.admit import Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.backtest import NewRules, backtest
from waiaas.pipeline.decisions import (
    judge_again,
    read_answers,
    read_terms,
    write_verdict,
)
from waiaas.pipeline.explain import explain
from waiaas.policy.facts import RecordedUsage, Spent
from waiaas.ports import LedgerTransaction

A, B, TOKEN = (solana_address(bytes([n]) * 32) for n in (1, 2, 3))
MEMO: Final = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
START_S: Final = 1_700_000_000
MOST: Final = 2**256 - 1

AMOUNTS = st.integers(1, 60) | st.sampled_from([MOST, 2**64 - 1])
PARTS = st.one_of(
    st.builds(Transfer, st.sampled_from([A, B]), AMOUNTS),
    st.builds(TokenTransfer, st.just(TOKEN), st.sampled_from([A, B]), AMOUNTS),
    st.builds(Approve, st.just(TOKEN), st.sampled_from([A, B]), AMOUNTS),
    st.builds(ContractCall, st.sampled_from([MEMO, A]), st.just(b"x"), st.integers(0, 20)),
)
REQUESTS: st.SearchStrategy[Request] = PARTS | st.builds(
    Batch, st.lists(PARTS, min_size=2, max_size=3).map(tuple)
)


@st.composite
def limits(draw: st.DrawFn) -> tuple[PolicyType, dict[str, Any]]:
    """Draw a SPENDING_LIMIT with every kind of bound."""
    rules: dict[str, Any] = {"asset": draw(st.sampled_from(["native", "native", TOKEN]))}
    for names, least in (
        (("instant_max", "notify_max", "delay_max"), 1),
        (("hourly_max", "daily_max", "weekly_max", "monthly_max"), 0),
    ):
        chosen = [name for name in names if draw(st.booleans()) or (least and name == names[0])]
        sizes = sorted(draw(st.lists(st.integers(1, 150), min_size=len(chosen), max_size=4)))
        rules |= {name: str(size) for name, size in zip(chosen, sizes, strict=False)}
    if draw(st.booleans()):
        rules["on_exceed"] = "approval"
    return PolicyType.SPENDING_LIMIT, rules


HOURS = {"timezone": "UTC", "windows": [{"days": ["tue", "wed"], "start": "00:00", "end": "23:00"}]}
RULES = limits() | st.sampled_from(
    [
        (PolicyType.WHITELIST, {"addresses": [A]}),
        (PolicyType.TIME_RESTRICTION, HOURS),
        (PolicyType.RATE_LIMIT, {"max_requests": 3, "window_seconds": 3600}),
        (PolicyType.RATE_LIMIT, {"max_requests": 1, "window_seconds": 60}),
        (PolicyType.ALLOWED_TOKENS, {"tokens": [TOKEN]}),
        (PolicyType.CONTRACT_WHITELIST, {"contracts": [MEMO], "tier": "NOTIFY"}),
        (
            PolicyType.METHOD_WHITELIST,
            {"contracts": [{"address": MEMO, "methods": ["0x78"]}]},
        ),
        (PolicyType.APPROVED_SPENDERS, {"spenders": [B], "tier": "INSTANT"}),
        (PolicyType.APPROVE_AMOUNT_LIMIT, {"amount_max": "50"}),
        (PolicyType.APPROVE_TIER_OVERRIDE, {"tier": "DELAY", "delay_seconds": 90}),
        (PolicyType.WHITELIST, {"addresses": []}),  # cannot be read: denies everything
    ]
)
BROAD: Final = (
    (PolicyType.SPENDING_LIMIT, {"asset": "native", "instant_max": "40", "daily_max": "400"}),
    (PolicyType.SPENDING_LIMIT, {"asset": TOKEN, "instant_max": "40", "weekly_max": "400"}),
    (PolicyType.CONTRACT_WHITELIST, {"contracts": [MEMO], "tier": "INSTANT"}),
    (PolicyType.APPROVED_SPENDERS, {"spenders": [A, B]}),
)
CONSTRAINTS = st.sampled_from(
    [
        None,
        None,
        {"maxTransactions": 4},
        {"maxTotalAmount": "90"},
        {"allowedDestinations": [A, MEMO]},
    ]
)
STEPS = st.tuples(
    REQUESTS,
    st.sampled_from([0, 0, 1, 59, 1800, 86_400, -70]),
    st.sampled_from(
        [None, ReservationState.SPENT, ReservationState.SPENT, ReservationState.RELEASED]
    ),
)
Steps = list[tuple[Request, int, ReservationState | None]]


def _insert(policy: PolicyRecord, tx: LedgerTransaction) -> None:
    tx.policies.insert(policy)


class Desk:
    """An agent in a ledger, and everything it asked for."""

    def __init__(self, constraints: dict[str, Any] | None = None) -> None:
        self.ledger = MemoryLedger()
        self.clock = FakeClock(now_s=START_S)
        self.agent_id = AgentId(generate_id())
        caller = self.ledger.write(
            lambda tx: insert_agent(
                tx, self.agent_id, address=A, limits=[], generate_id=generate_id
            )
        )
        self.caller = caller
        if constraints is not None:
            session_id, ends_at = SessionId(generate_id()), START_S + 10**9
            self.ledger.write(
                lambda tx: tx.sessions.insert(
                    SessionRecord(
                        session_id,
                        self.agent_id,
                        session_id,
                        ends_at,
                        None,
                        ends_at,
                        START_S,
                        json.dumps(constraints),
                    )
                )
            )
            self.caller = Caller(self.agent_id, session_id, None)

    def set(self, *rules: tuple[PolicyType, dict[str, Any]], everybody: bool = False) -> None:
        for kind, members in rules:
            record = PolicyRecord(
                PolicyId(generate_id()),
                None if everybody else self.agent_id,
                kind,
                json.dumps(members),
                0,
                1,
                START_S,
                START_S,
            )
            self.ledger.write(partial(_insert, record))

    def ask(self, request: Request) -> Any:
        return asyncio.run(
            admit(
                Asked(request, None, allow_duplicate=True),
                caller=self.caller,
                ledger=self.ledger,
                clock=self.clock,
                generate_id=generate_id,
                rules=ADMISSION,
            )
        )

    def explained(self, request: Request) -> Any:
        return self.ledger.read(
            lambda tx: explain(
                tx,
                Asked(request, None, allow_duplicate=True),
                agent_id=self.agent_id,
                session_id=self.caller.session_id,
                rules=ADMISSION,
                wall_s=self.clock.now_s(),
                doubt=self.clock.doubt(),
            )
        )

    def settle(self, tx_id: TransactionId, state: ReservationState) -> None:
        now_s = max(self.clock.now_s(), self.ledger.read(lambda tx: tx.audit.latest_timestamp()))
        self.ledger.write(lambda tx: tx.reservations.settle(tx_id, state=state, now_s=now_s))

    def go(self, steps: Steps) -> None:
        for request, seconds, ending in steps:
            self.clock.jump(seconds)
            admission = self.ask(request)
            if admission.refusal is None and ending is not None:
                self.settle(admission.transaction.id, ending)

    def decisions(self) -> list[tuple[DecisionRecord, str]]:
        return list(read_decisions(self.ledger.connection, since_s=0))

    def document(self, decision: DecisionRecord) -> str:
        return self.ledger.read(lambda tx: tx.decisions.terms(decision.terms_sha256))

    def try_rules(self, new: NewRules | None, *, since_s: int = 0) -> Any:
        connection = self.ledger.connection
        spent: dict[AgentId, dict[str, Spent]] = {}
        back_s = since_s - 30 * 86_400
        for (agent, asset), totals in read_totals(connection, since_s=back_s).items():
            found = Spent(totals.by_second, before=totals.before)
            spent.setdefault(AgentId(agent), {})[asset] = found
        before = read_admissions(connection, since_s=back_s, until_s=since_s)
        decisions = list(read_decisions(connection, since_s=since_s))
        documents = {each.terms_sha256: self.document(each) for each, _ in decisions}
        return backtest(
            decisions,
            document_of=documents.__getitem__,
            spent=spent,
            admissions={AgentId(agent): seconds for agent, seconds in before.items()},
            new=new,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


def replayed(desk: Desk, decision: DecisionRecord, text: str) -> str:
    """Judge a decision again, by nothing but what was written down."""
    usage = RecordedUsage(read_answers(decision.usage), now_s=decision.decided_at)
    terms = read_terms(desk.document(decision))
    return write_verdict(judge_again(read_request(text), terms, usage, now_s=decision.decided_at))
