"""What is explained is what is answered, also by a guard or where a key was used before."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.decisions import A, B, Desk

from waiaas.database import generate_id, transactions
from waiaas.domain.enums import PolicyType
from waiaas.domain.errors import Refusal
from waiaas.domain.request import Transfer
from waiaas.pipeline.admit import AdmissionRules, admit
from waiaas.pipeline.asked import Asked
from waiaas.pipeline.explain import explain

ONE, OTHER, WAITS, TOO_MUCH = (Transfer(A, amount) for amount in (1, 2, 99, 401))
STRANGER: Final = Transfer(B, 1)
LIMIT: Final = {"asset": "native", "instant_max": "40", "delay_max": "400", "daily_max": "400"}
CAPS: Final = AdmissionRules(pending_max=4, waiting_max=1)


class Front(Desk):
    """A desk under tight caps that tells what an answer will be, and then answers."""

    def __init__(self) -> None:
        super().__init__({"allowedDestinations": [A]})
        self.set((PolicyType.SPENDING_LIMIT, LIMIT))

    def tell(self, asked: Asked) -> dict[str, Any]:
        rows = self.ledger.connection.sqlite.total_changes()
        told = self.ledger.read(
            lambda tx: explain(
                tx,
                asked,
                agent_id=self.agent_id,
                session_id=self.caller.session_id,
                rules=CAPS,
                wall_s=self.clock.now_s(),
                doubt=self.clock.doubt(),
            )
        )
        assert self.ledger.connection.sqlite.total_changes() == rows
        if told.repeated is not None:
            return _answer(told.refusal, told.repeated.tier) | {"repeats": told.repeated.id}
        allowed = told.refusal is None and told.verdict is not None
        return _answer(told.refusal, getattr(told.verdict, "tier", None) if allowed else None)

    def answer(self, asked: Asked) -> dict[str, Any]:
        known = {row.id for row in self.ledger.connection.db.execute(transactions.select())}
        try:
            admission = asyncio.run(
                admit(
                    asked,
                    caller=self.caller,
                    ledger=self.ledger,
                    clock=self.clock,
                    generate_id=generate_id,
                    rules=CAPS,
                )
            )
        except Refusal as refusal:
            return _answer(refusal, None)
        answer = _answer(admission.refusal, admission.transaction.tier)
        if admission.transaction.id in known:
            return answer | {"repeats": admission.transaction.id}
        answer.get("details", {}).pop("transactionId", None)  # It was not there to be told of.
        return answer


def _answer(refusal: Refusal | None, tier: Any) -> dict[str, Any]:
    if refusal is None:
        return {"tier": tier}
    said = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
    return {"tier": tier, **said, "details": {**refusal.details}}


@pytest.fixture
def front() -> Iterator[Front]:
    with Front() as opened:
        yield opened


def asked(request: Any, key: str | None = None, reference: str | None = None) -> Asked:
    return Asked(request, key, reference)


SITUATIONS: Final[dict[str, tuple[list[Asked], Asked, str | None]]] = {
    # what came before, what is asked, and what it is refused with
    "for the first time": ([], asked(ONE), None),
    "equal": ([asked(ONE)], asked(ONE), "DUPLICATE_REQUEST"),
    "equal, and another one": ([asked(ONE)], Asked(ONE, None, allow_duplicate=True), None),
    "equal, with a key": ([asked(ONE)], asked(ONE, "k"), None),
    "not equal": ([asked(ONE)], asked(OTHER), None),
    "repeated": ([asked(ONE, "k")], asked(ONE, "k"), None),
    "denied before": ([asked(TOO_MUCH, "k")], asked(TOO_MUCH, "k"), "SPENDING_LIMIT_EXCEEDED"),
    "another's key": ([asked(ONE, "k")], asked(OTHER, "k"), "IDEMPOTENCY_KEY_REUSED"),
    "paid for": ([asked(ONE, "k", "r")], asked(OTHER, "l", "r"), "REFERENCE_REUSED"),
    "denied": ([], asked(TOO_MUCH), "SPENDING_LIMIT_EXCEEDED"),
    "not the session's": ([], asked(STRANGER), "CONSTRAINT_VIOLATED"),
    "denied, and paid for": (
        [asked(ONE, "k", "r")],
        asked(TOO_MUCH, None, "r"),
        "REFERENCE_REUSED",
    ),
    "too many under way": (
        [asked(ONE, key) for key in "abcd"],
        asked(ONE, "e"),
        "TOO_MANY_PENDING",
    ),
    "too many waiting": ([asked(WAITS)], asked(WAITS, "k"), "TOO_MANY_PENDING"),
    "need not wait": ([asked(WAITS)], asked(ONE), None),
    "too many waiting, and denied": (
        [asked(WAITS)],
        asked(TOO_MUCH, "k"),
        "SPENDING_LIMIT_EXCEEDED",
    ),
}
GUARDED: Final = ("DUPLICATE_REQUEST", "REFERENCE_REUSED", "TOO_MANY_PENDING")
OF_A_GUARD: Final = [name for name, (_, _, code) in SITUATIONS.items() if code in GUARDED]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_guard_and_a_used_key_are_told_as_they_are_answered(situation: str, front: Front) -> None:
    before, question, code = SITUATIONS[situation]
    for each in before:
        front.answer(each)
    told = front.tell(question)
    assert told == front.answer(question)
    assert told.get("code") == code


@pytest.mark.parametrize("situation", OF_A_GUARD)
def test_control_an_explanation_by_the_rules_alone_tells_something_else(
    situation: str, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    for guard in ("before_rules", "after_rules"):
        monkeypatch.setattr(f"waiaas.pipeline.explain.{guard}", lambda *_, **__: None)
    with pytest.raises(AssertionError):
        test_a_guard_and_a_used_key_are_told_as_they_are_answered(situation, front)


STEPS = st.tuples(
    st.builds(
        Asked,
        st.sampled_from([ONE, ONE, OTHER, WAITS, TOO_MUCH, STRANGER]),
        st.sampled_from([None, None, "k", "l"]),
        st.sampled_from([None, None, "r"]),
        st.booleans(),
    ),
    st.sampled_from([0, 0, 59, 60, 86_400, -70]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=8))
def test_whatever_was_asked_before_the_answer_is_told_first(steps: list[tuple[Asked, int]]) -> None:
    with Front() as front:
        for question, seconds in steps:
            front.clock.jump(seconds)
            told = front.tell(question)
            assert told == front.answer(question)
