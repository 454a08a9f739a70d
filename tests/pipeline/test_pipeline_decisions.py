"""Each decision keeps the facts that its verdict rests on: judged again, it comes out the same."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.agents import RULES as ADMISSION
from tests.fakes.decisions import (
    BROAD,
    CONSTRAINTS,
    MEMO,
    RULES,
    START_S,
    STEPS,
    TOKEN,
    A,
    Desk,
    Steps,
    replayed,
)

from waiaas.database import generate_id
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import SessionId
from waiaas.domain.meaning import read_request
from waiaas.domain.request import (
    Batch,
    ContractCall,
    TokenTransfer,
    Transfer,
    outflows,
)
from waiaas.domain.transaction import ReservationState
from waiaas.pipeline.backtest import backtest
from waiaas.pipeline.decisions import (
    judge_again,
    read_answers,
    read_terms,
    write_answers,
    write_verdict,
)
from waiaas.policy.facts import EVER_S, NotRecorded, RecordedUsage
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.verdict import DEFAULT_DENY, Deny, Violation


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        yield made


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(RULES, max_size=3),
    st.lists(RULES, max_size=2),
    CONSTRAINTS,
    st.lists(STEPS, min_size=1, max_size=14),
)
def test_every_decision_judged_again_by_its_facts_comes_out_the_same(
    own: list[Any], of_all: list[Any], constraints: Any, steps: Steps
) -> None:
    with Desk(constraints) as desk:
        desk.set(*BROAD, *own)
        desk.set(*of_all, everybody=True)
        half = len(steps) // 2
        desk.go(steps[:half])
        desk.set((PolicyType.WHITELIST, {"addresses": [A]}))  # what was decided before stays
        desk.go(steps[half:])
        decisions = desk.decisions()
        assert len(decisions) == len(steps)
        for decision, text in decisions:
            assert replayed(desk, decision, text) == decision.verdict
        report = desk.try_rules(None)
        assert (report.decisions, report.different, report.unknown) == (len(steps), [], {})


# ── controls ───────────────────────────────────────────────────────────────────────────────────


def test_control_a_fact_that_was_left_out_is_missed(desk: Desk) -> None:
    desk.set(*BROAD, (PolicyType.RATE_LIMIT, {"max_requests": 1, "window_seconds": 60}))
    desk.go([(Transfer(A, 5), 0, None), (Transfer(A, 5), 0, None)])
    _, (decision, text) = desk.decisions()
    facts = json.loads(decision.usage)
    for question in ("in_flight", "spent_after", "admitted_at", "admitted_after"):
        without = {name: value for name, value in facts.items() if name != question}
        assert without != facts
        with pytest.raises(NotRecorded):
            replayed(desk, decision._replace(usage=json.dumps(without)), text)


def test_control_another_answer_or_another_rule_is_noticed(desk: Desk) -> None:
    desk.set(*BROAD)
    desk.go([(Transfer(A, 5), 0, None), (Transfer(A, 36), 0, None)])
    _, (decision, text) = desk.decisions()
    assert decision.tier is PolicyTier.APPROVAL, "5 are going out"
    facts = json.loads(decision.usage)
    facts["in_flight"]["native"] = ["0", "0"]
    assert replayed(desk, decision._replace(usage=json.dumps(facts)), text) != decision.verdict
    document = desk.document(decision).replace(
        '\\"instant_max\\": \\"40\\"', '\\"instant_max\\": \\"41\\"'
    )
    terms = read_terms(document)
    usage = RecordedUsage(read_answers(decision.usage), now_s=decision.decided_at)
    again = judge_again(read_request(text), terms, usage, now_s=decision.decided_at)
    assert write_verdict(again) != decision.verdict
    report = backtest(
        desk.decisions(),
        document_of={decision.terms_sha256: document}.__getitem__,
        spent={},
        admissions={},
        new=None,
    )
    assert report.different == [decision.tx_id]


# ── what is written ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["caf\u00e9", "\U0001f4b6", "half a pair: \ud83d", '\x7f\n"\\'])
def test_a_verdict_is_written_whatever_letters_its_words_have(name: str) -> None:
    words = Violation(ErrorCode.POLICY_DENIED, DEFAULT_DENY, name)
    written = write_verdict(Deny((words,)))
    written.encode()  # what has no UTF-8 could not be stored
    assert json.loads(written)[2][0][2] == name


def test_terms_are_stored_once_and_anew_when_one_of_them_changes(desk: Desk) -> None:
    desk.set(*BROAD)
    desk.go([(Transfer(A, 1), 0, None)] * 3)
    desk.set((PolicyType.WHITELIST, {"addresses": [A]}))
    desk.go([(Transfer(A, 1), 0, None)])
    found = [each.terms_sha256 for each, _ in desk.decisions()]
    assert len(set(found[:3])) == 1
    assert found[3] != found[0]
    count = desk.ledger.connection.sqlite.execute("SELECT count(*) FROM terms").fetchall()
    assert count == [(2,)]


def test_a_decision_notes_every_asset_that_leaves_whether_or_not_a_rule_asked(desk: Desk) -> None:
    desk.go([(Batch((Transfer(A, 5), TokenTransfer(TOKEN, A, 7))), 0, None)])
    [(decision, _)] = desk.decisions()
    answers = read_answers(decision.usage)
    assert (decision.tier, set(answers.in_flight)) == (None, {"native", TOKEN})
    assert answers.spent_after == {"native": {EVER_S: 0}, TOKEN: {EVER_S: 0}}
    assert read_answers(write_answers(answers)) == answers


def test_from_when_there_is_room_is_a_fact_too(desk: Desk) -> None:
    limit = {"asset": "native", "instant_max": "9", "hourly_max": "9"}
    desk.set(*BROAD, (PolicyType.SPENDING_LIMIT, limit))
    desk.go([(Transfer(A, 6), 0, ReservationState.SPENT), (Transfer(A, 6), 60, None)])
    decision, text = desk.decisions()[1]
    answers = read_answers(decision.usage)
    assert answers.spent_so_far["native"] == {decision.decided_at - 3600: {3: START_S}}
    assert read_answers(write_answers(answers)) == answers
    assert replayed(desk, decision, text) == decision.verdict


def test_what_is_refused_before_any_rule_is_asked_is_no_decision(desk: Desk) -> None:
    with suppress(Refusal):
        desk.caller = replace(desk.caller, session_id=SessionId(generate_id()))
        desk.ask(Transfer(A, 1))
    assert desk.decisions() == []


def test_waits_of_the_settings_are_facts_too(desk: Desk) -> None:
    desk.set((PolicyType.CONTRACT_WHITELIST, {"contracts": [MEMO], "tier": "DELAY"}))
    desk.go([(ContractCall(MEMO, b"x"), 0, None)])
    [(decision, _)] = desk.decisions()
    terms = read_terms(desk.document(decision))
    assert WaitDefaults(terms.delay_s, terms.approval_s) == ADMISSION.waits
    assert outflows(ContractCall(MEMO, b"x")) == {}
