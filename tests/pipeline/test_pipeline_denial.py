"""How a denial is put to the agent, and kept for whoever asks again."""

import pytest

from waiaas.domain.enums import PolicyTier
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import TransactionId
from waiaas.pipeline.denial import dump, load, refusal_of
from waiaas.policy.verdict import Allow, Deny, Violation

TX_ID = TransactionId("01990000-0000-7000-8000-000000000000")


def test_what_is_allowed_is_no_refusal() -> None:
    assert refusal_of(Allow(PolicyTier.INSTANT), TX_ID) is None


def test_the_most_fundamental_reason_is_the_code_and_all_are_told() -> None:
    denied = Deny(
        (
            Violation(ErrorCode.SPENDING_LIMIT_EXCEEDED, "SPENDING_LIMIT", "too much", part=1),
            Violation(ErrorCode.POLICY_DENIED, "WHITELIST", "not listed"),
        )
    )
    refusal = refusal_of(denied, TX_ID)
    assert refusal is not None
    assert (refusal.code, refusal.details["rule"]) == (ErrorCode.POLICY_DENIED, "WHITELIST")
    assert refusal.message == "instructions[1]: too much; not listed"
    assert refusal.details["transactionId"] == TX_ID


@pytest.mark.parametrize("hint", [None, "Do this."])
def test_a_refusal_is_read_back_as_it_was(hint: str | None) -> None:
    refusal = Refusal(ErrorCode.POLICY_DENIED, "no", hint=hint, details={"retryAt": 7, "limit": ""})
    again = load(dump(refusal))
    assert again is not None
    assert (again.code, again.message, again.hint) == (refusal.code, "no", refusal.hint)
    assert again.details == refusal.details


def test_no_refusal_is_kept_as_nothing() -> None:
    assert (dump(None), load(None)) == (None, None)
