"""Codes and refusals: public names, and whether asking again may help."""

import pytest

from waiaas.domain.errors import REMEDIES, ErrorCode, Refusal

TRANSIENT = {
    "MASTER_PASSWORD_LOCKED",
    "TOO_MANY_REFUSALS",
    "TOO_MANY_PENDING",
    "RATE_LIMIT_EXCEEDED",
    "SPENDING_LIMIT_EXCEEDED",
    "RECOVERY_WAIT_REQUIRED",
    "CLOCK_IN_DOUBT",
    "KEYSTORE_LOCKED",
    "BACKUP_UNDER_WAY",
    "CHAIN_UNAVAILABLE",
    "NOT_READY",
    "LEDGER_FULL",
    "SHUTTING_DOWN",
    "INTERNAL_ERROR",
}
"""Time alone may turn these into a yes."""


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_its_own_name(code: ErrorCode) -> None:
    assert code.value == code.name


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_says_whether_asking_again_may_help(code: ErrorCode) -> None:
    assert code.is_transient is (code in TRANSIENT)


def test_no_code_is_an_alias_of_another() -> None:
    assert len(ErrorCode.__members__) == len(ErrorCode)


def test_who_asks_is_judged_before_what_is_asked_and_that_before_what_is_allowed() -> None:
    order = [*ErrorCode]
    milestones = ["HOST_REFUSED", "INVALID_TOKEN", "VALIDATION_FAILED", "AGENT_NOT_FOUND"]
    milestones += ["POLICY_DENIED", "SIMULATION_FAILED", "INTERNAL_ERROR"]
    positions = [order.index(ErrorCode(name)) for name in milestones]
    assert positions == sorted(positions)


def test_a_refusal_carries_what_happened_and_what_to_do() -> None:
    refusal = Refusal(
        ErrorCode.POLICY_DENIED, "no rule grants it", hint="ask", details={"maxAllowed": "100"}
    )
    assert refusal.code is ErrorCode.POLICY_DENIED
    assert refusal.message == "no rule grants it"
    assert refusal.hint == "ask"
    assert refusal.details == {"maxAllowed": "100"}
    assert str(refusal) == "POLICY_DENIED: no rule grants it"


@pytest.mark.parametrize(("retry_at", "is_transient"), [(1_700_000_000, True), (None, False)])
def test_a_denial_that_says_from_when_it_passes_is_worth_asking_again(
    retry_at: int | None, *, is_transient: bool
) -> None:
    for code in (ErrorCode.POLICY_DENIED, ErrorCode.SPENDING_LIMIT_EXCEEDED):
        assert Refusal(code, "no", details={"retryAt": retry_at}).is_transient is is_transient


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_remedy_which_is_the_hint_where_there_is_no_better(
    code: ErrorCode,
) -> None:
    assert Refusal(code, "no").hint == REMEDIES[code]
    assert Refusal(code, "no", hint="ask").hint == "ask"
    assert REMEDIES[code].endswith(".")


def test_nothing_else_has_a_remedy() -> None:
    assert set(REMEDIES) == set(ErrorCode)


def test_details_of_a_refusal_are_optional() -> None:
    refusal = Refusal(ErrorCode.TX_NOT_FOUND, "no such transaction")
    assert refusal.details == {}
