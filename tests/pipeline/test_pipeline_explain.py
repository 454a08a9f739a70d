"""What is explained is what a request then gets, number for number, and nothing is written."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.agents import RULES as ADMISSION
from tests.fakes.decisions import BROAD, CONSTRAINTS, RULES, STEPS, A, Desk, Steps

from waiaas.database import generate_id
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.request import Transfer
from waiaas.pipeline.admit import require_active
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.decisions import (
    write_verdict,
)
from waiaas.pipeline.explain import explain


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(RULES, max_size=4), CONSTRAINTS, st.lists(STEPS, min_size=1, max_size=10))
def test_what_is_explained_is_what_the_request_then_gets(
    rules: list[Any], constraints: Any, steps: Steps
) -> None:
    with Desk(constraints) as desk:
        desk.set(*BROAD, *rules)
        for request, seconds, ending in steps:
            desk.clock.jump(seconds)
            rows = desk.ledger.connection.sqlite.total_changes()
            told = desk.explained(request)
            assert desk.ledger.connection.sqlite.total_changes() == rows
            admission = desk.ask(request)
            decision, _ = desk.decisions()[-1]
            assert (write_verdict(told.verdict), told.at_s) == (
                decision.verdict,
                decision.decided_at,
            )
            assert (told.refusal is None) is (admission.refusal is None)
            if told.refusal is not None:
                details = {**admission.refusal.details}
                assert details.pop("transactionId") == admission.transaction.id
                said = (told.refusal.code, told.refusal.message, told.refusal.hint)
                assert (said, dict(told.refusal.details)) == (
                    (admission.refusal.code, admission.refusal.message, admission.refusal.hint),
                    details,
                )
            elif ending is not None:
                desk.settle(admission.transaction.id, ending)


def test_without_a_session_nobodys_constraints_count() -> None:
    with Desk({"maxTransactions": 1}) as desk:
        desk.set(*BROAD)
        desk.go([(Transfer(A, 1), 0, None)])
        assert desk.explained(Transfer(A, 1)).refusal is not None
        told = desk.ledger.read(
            lambda tx: explain(
                tx,
                Asked(Transfer(A, 1), None, allow_duplicate=True),
                agent_id=desk.agent_id,
                session_id=None,
                rules=ADMISSION,
                wall_s=desk.clock.now_s(),
                doubt=desk.clock.doubt(),
            )
        )
        assert told.refusal is None


def test_what_an_agent_that_does_not_exist_would_get_is_a_refusal() -> None:
    with Desk() as desk, pytest.raises(Refusal) as caught:
        desk.ledger.read(lambda tx: require_active(tx, AgentId(generate_id())))
    assert caught.value.code is ErrorCode.AGENT_NOT_FOUND
