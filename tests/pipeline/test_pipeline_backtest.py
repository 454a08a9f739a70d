"""Recorded decisions judged by other rules give what those would have given there and then."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.agents import RULES as ADMISSION
from tests.fakes.decisions import BROAD, RULES, STEPS, TOKEN, A, Desk, Steps

from waiaas.database import generate_id
from waiaas.domain.enums import PolicyType
from waiaas.domain.ids import PolicyId
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import (
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.pipeline.backtest import UNKNOWN, NewRules, backtest
from waiaas.pipeline.decisions import (
    judge,
    judge_again,
    write_verdict,
)
from waiaas.pipeline.usage import LedgerUsage


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(RULES, max_size=4), st.lists(STEPS, min_size=1, max_size=12), st.integers(0, 11))
def test_other_rules_give_what_they_would_have_given_had_they_been_asked_then(
    new: list[Any], steps: Steps, first: int
) -> None:
    """The truth: the new rules are judged on the ledger itself, in the moment of each decision."""
    with Desk() as desk:
        desk.set(*BROAD)
        policies = tuple(
            PolicyRecord(
                PolicyId(f"new-{number}"), desk.agent_id, kind, json.dumps(members), 0, 1, 0, 0
            )
            for number, (kind, members) in enumerate(new)
        )
        tried = NewRules(policies, desk.agent_id)
        truth: list[str] = []
        since_s = 0
        for number, step in enumerate(steps):
            desk.clock.jump(step[1])
            at_s = max(desk.clock.now_s(), desk.ledger.read(lambda tx: tx.audit.latest_timestamp()))
            if number == first:
                since_s = at_s

            def judged(tx: Any, request: Request = step[0], at_s: int = at_s) -> str:
                agent = tx.agents.get(desk.agent_id)
                judged_now = judge(tx, request, agent, None, ADMISSION.waits, now_s=at_s)
                terms = judged_now.terms._replace(
                    policies=tried.instead_of(judged_now.terms.policies)
                )
                usage = LedgerUsage(tx, desk.agent_id)
                return write_verdict(judge_again(request, terms, usage, now_s=at_s))

            truth.append(desk.ledger.read(judged))
            desk.go([(step[0], 0, step[2])])
        decisions = [each for each, _ in desk.decisions()]
        report = desk.try_rules(tried, since_s=since_s)
        assert report.unknown == {}
        expected = {
            (decision.tx_id): json.loads(text)[0] or "DENIED"
            for decision, text in zip(decisions, truth, strict=True)
            if decision.decided_at >= since_s
        }
        rents = {
            decision.tx_id: tuple(
                bool(int(json.loads(each)[4][0])) if len(json.loads(each)) > 4 else None
                for each in (decision.verdict, text)
            )
            for decision, text in zip(decisions, truth, strict=True)
            if decision.decided_at >= since_s
        }
        for found, pair in (
            (report.rent_newly_granted, (False, True)),
            (report.rent_no_longer_granted, (True, False)),
        ):
            assert [each.tx_id for each in found] == [
                tx_id for tx_id, rent in rents.items() if rent == pair
            ]
        changed = {each.tx_id: each.after for each in (*report.newly_allowed, *report.newly_denied)}
        before = {each.tx_id: each.tier or "DENIED" for each in decisions}
        assert report.decisions == len(expected)
        assert changed == {
            tx_id: after
            for tx_id, after in expected.items()
            if (after == "DENIED") != (before[tx_id] == "DENIED")
        }
        counted = [pair for pair, count in report.tiers.items() for _ in range(count)]
        assert sorted(counted) == sorted(
            (before[tx_id], after) for tx_id, after in expected.items()
        )


def test_what_was_not_written_down_counts_nowhere_and_is_said() -> None:
    with Desk() as desk:
        desk.set(*BROAD)
        desk.go([(Transfer(A, 5), 0, None), (Transfer(A, 5), 0, None)])
        first, (second, text) = desk.decisions()
        document_of = {second.terms_sha256: desk.document(second)}.__getitem__
        without = [first, (second._replace(usage="{}"), text)]
        for new in (None, NewRules((), None)):
            report = backtest(without, document_of=document_of, spent={}, admissions={}, new=new)
            assert report.unknown == {second.tx_id: "what was in flight of native"}
            assert report.tiers == {("INSTANT", "INSTANT"): 1, ("INSTANT", UNKNOWN): 1}
            assert report.let_through == {"native": (5, 5)}
            assert report.different == ([second.tx_id] if new is None else [])


def test_a_verdict_that_waits_counts_as_asking_a_person_by_the_day() -> None:
    with Desk() as desk:
        desk.set(*BROAD)
        desk.go([(Transfer(A, 50), 0, None), (Transfer(A, 1), 86_400, None)])
        report = desk.try_rules(None)
        assert report.approvals_by_day == {"2023-11-14": (1, 1)}


def test_what_a_session_had_used_is_among_the_facts() -> None:
    with Desk({"maxTransactions": 1}) as desk:
        desk.set(*BROAD)
        desk.go([(Transfer(A, 5), 0, None), (Transfer(A, 5), 0, None)])
        report = desk.try_rules(None)
        assert (report.tiers, report.different) == (
            {("INSTANT", "INSTANT"): 1, ("DENIED", "DENIED"): 1},
            [],
        )


def test_what_would_change_is_listed_with_why_it_was_or_would_be_denied() -> None:
    def rules(daily_max: int) -> tuple[PolicyType, dict[str, Any]]:
        amounts = {"instant_max": "40", "daily_max": str(daily_max)}
        return PolicyType.SPENDING_LIMIT, {"asset": "native", **amounts}

    def tried(before: int, after: int) -> Any:
        with Desk() as desk:
            desk.set(rules(before))
            desk.go([(Transfer(A, 30), 0, None)])
            kind, document = rules(after)
            policy = PolicyRecord(
                PolicyId(generate_id()), desk.agent_id, kind, json.dumps(document), 0, 1, 0, 0
            )
            return desk.try_rules(NewRules((policy,), desk.agent_id))

    looser, tighter = tried(20, 30), tried(30, 20)
    for changes in (looser.newly_allowed, tighter.newly_denied):
        assert [each.codes for each in changes] == [("SPENDING_LIMIT_EXCEEDED",)]
    assert (looser.newly_denied, tighter.newly_allowed) == ([], [])


RENT = 2_039_280


def limit(asset: str, most: int) -> tuple[PolicyType, dict[str, Any]]:
    return PolicyType.SPENDING_LIMIT, {"asset": asset, "instant_max": str(most)}


def test_rent_that_is_granted_by_one_of_the_two_is_a_change_of_its_own_and_let_through() -> None:
    """The tier is the same, and who has no account for the token is paid or refused."""
    ample, none = limit("native", RENT), limit("native", RENT - 1)

    def tried(before: tuple[PolicyType, Any], after: tuple[PolicyType, Any]) -> Any:
        with Desk() as desk:
            desk.set(limit(TOKEN, 9), before)
            desk.go([(TokenTransfer(TOKEN, A, 5), 0, None)])
            policies = tuple(
                PolicyRecord(
                    PolicyId(generate_id()), desk.agent_id, kind, json.dumps(document), 0, 1, 0, 0
                )
                for kind, document in (limit(TOKEN, 9), after)
            )
            return desk.try_rules(NewRules(policies, desk.agent_id))

    lost, gained = tried(ample, none), tried(none, ample)
    [loss], [gain] = lost.rent_no_longer_granted, gained.rent_newly_granted
    assert (loss.before, loss.after) == (gain.after, gain.before) == (RENT, 0)
    objection = f"with a rent of {RENT}, SPENDING_LIMIT: instant_max of native is {RENT - 1}"
    assert all(str(each.objection).startswith(objection) for each in (loss, gain))
    assert lost.rent_newly_granted == gained.rent_no_longer_granted == []
    assert lost.let_through == {TOKEN: (5, 5), "native": (RENT, 0)}
    assert gained.let_through == {TOKEN: (5, 5), "native": (0, RENT)}
    for report in (lost, gained, tried(ample, ample)):
        assert report.tiers == {("INSTANT", "INSTANT"): 1}
        assert report.newly_allowed == report.newly_denied == []
