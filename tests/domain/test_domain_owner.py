"""The owner's state follows from what is registered; the wallet's kind from its address."""

import json

import pytest

from waiaas.domain.enums import ChainType, OwnerState
from waiaas.domain.errors import ErrorCode
from waiaas.domain.owner import (
    CHALLENGE_REUSE_S,
    CHALLENGE_TTL_S,
    NO_OWNER,
    NO_REFUSALS,
    PAYMENT_ACTIONS,
    REFUSALS_RECORDED_MAX,
    Owner,
    OwnerAction,
    can_sign,
    count_refusal,
    wallet_chain,
)

SOLANA = "So11111111111111111111111111111111111111112"
ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    ("owner", "state", "binds"),
    [
        (NO_OWNER, OwnerState.NONE, False),
        (Owner(None, is_verified=True), OwnerState.NONE, False),  # Nobody is not a verified owner.
        (Owner(SOLANA, is_verified=False), OwnerState.GRACE, False),
        (Owner(SOLANA, is_verified=True), OwnerState.LOCKED, True),
    ],
)
def test_only_an_owner_who_has_signed_binds_the_operator(
    owner: Owner, state: OwnerState, *, binds: bool
) -> None:
    assert owner.state is state
    assert owner.binds_operator is binds


@pytest.mark.parametrize(
    ("address", "chain"),
    [
        (SOLANA, ChainType.SOLANA),
        (ETHEREUM, ChainType.ETHEREUM),
        (ETHEREUM.lower(), None),
        (SOLANA + "0", None),
        ("", None),
        (ETHEREUM + "\n", None),
    ],
)
def test_a_wallet_is_known_by_its_address(address: str, chain: ChainType | None) -> None:
    assert wallet_chain(address) is chain


@pytest.mark.parametrize(
    ("address", "can"),
    [
        (SOLANA, True),
        (ETHEREUM, True),
        ("1" * 32, False),
        ("0x" + "0" * 40, False),
        ("0x" + "0" * 36 + "0100", False),
        ("nobody", False),
    ],
)
def test_some_addresses_have_no_key(address: str, *, can: bool) -> None:
    assert can_sign(address) is can


def test_two_actions_are_about_a_payment_and_the_others_about_the_agent() -> None:
    assert [*OwnerAction] == ["APPROVE", "REJECT", "VERIFY", "REMOVE"]
    assert PAYMENT_ACTIONS == ("APPROVE", "REJECT")


def test_refusals_are_counted_by_code_up_to_a_bound_each() -> None:
    refusals = NO_REFUSALS
    for code in (ErrorCode.INVALID_SIGNATURE, ErrorCode.CHALLENGE_EXPIRED):
        for _ in range(REFUSALS_RECORDED_MAX):
            counted = count_refusal(refusals, code)
            assert counted is not None
            refusals = counted
        assert count_refusal(refusals, code) is None
    assert json.loads(refusals) == {"INVALID_SIGNATURE": 5, "CHALLENGE_EXPIRED": 5}


def test_a_message_that_is_given_again_can_still_be_signed() -> None:
    assert 0 < CHALLENGE_REUSE_S < CHALLENGE_TTL_S
