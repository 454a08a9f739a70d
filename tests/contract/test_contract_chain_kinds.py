"""Tokens, approvals and batches, asked of the fake chain and of the real client alike."""

from typing import TYPE_CHECKING, Final

import pytest

from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.request import Approve, Batch, ContractCall, Request, TokenTransfer, Transfer
from waiaas.ports import Landed, SimulationRefused, Unseen

if TYPE_CHECKING:
    from tests.contract.conftest import Payer, Payment

AMOUNT: Final = 10**9
FUNDS: Final = 10**10
TOKENS: Final = 1000


@pytest.fixture
def token(payer: "Payer") -> str:
    """A token of which the payer has TOKENS, and its recipient one, so that he has an account."""
    token = payer.network.issue(payer.address)
    payer.payment(TokenTransfer(token, payer.to, 1)).send()
    payer.network.pass_blocks(33)
    return token


def outflows(payer: "Payer", tx_hash: str) -> dict[str, int]:
    found: dict[str, int] = payer.moved()[0].get(tx_hash, {})
    return found


def test_tokens_move_and_their_history_counts_them_by_their_name(
    payer: "Payer", token: str
) -> None:
    payment = payer.payment(TokenTransfer(token, payer.to, 7))
    assert payment.send() is True
    payer.network.pass_blocks(1)
    assert payment.look_up() == Landed(None)
    assert payer.balance(payer.to) == 0
    payer.network.pass_blocks(32)
    assert outflows(payer, payment.signed.tx_hash) == {token: 7}


def test_the_chain_says_in_how_many_decimals_a_token_is_written(payer: "Payer", token: str) -> None:
    assert payer.do(lambda chain: chain.token_decimals(token)) == 6
    with pytest.raises(Refusal) as refused:
        payer.do(lambda chain: chain.token_decimals(payer.to))
    assert refused.value.code is ErrorCode.INVALID_ADDRESS


def test_a_batch_is_one_transaction_that_moves_each_of_its_parts(
    payer: "Payer", token: str
) -> None:
    batch = Batch(
        (
            Transfer(payer.to, AMOUNT),
            TokenTransfer(token, payer.to, 7),
            TokenTransfer(token, payer.to, 8),
            Approve(token, payer.to, 9),
            Transfer(payer.to, AMOUNT),
        )
    )
    payment = payer.payment(batch)
    assert payment.send() is True
    payer.network.pass_blocks(33)
    assert payment.look_up() == Landed(None)
    assert payer.balance(payer.to) == 2 * AMOUNT
    assert outflows(payer, payment.signed.tx_hash) == {"native": 2 * AMOUNT, token: 15}


def test_an_approval_lands_and_moves_nothing(payer: "Payer", token: str) -> None:
    payment = payer.payment(Approve(token, payer.to, 9))
    assert payment.send() is True
    payer.network.pass_blocks(33)
    assert payment.look_up() == Landed(None)
    moved, listed = payer.moved()
    assert payment.signed.tx_hash in listed
    assert payment.signed.tx_hash not in moved


def test_a_batch_of_which_one_part_would_fail_is_refused_whole(payer: "Payer", token: str) -> None:
    for too_much in (
        TokenTransfer(token, payer.to, TOKENS),
        TokenTransfer(token, payer.to, 2**64),
        Transfer(payer.to, FUNDS),
        TokenTransfer(payer.address, payer.to, 1),
    ):
        refused = payer.build(Batch((Transfer(payer.to, AMOUNT), too_much)))
        assert isinstance(refused, SimulationRefused)
    payer.network.pass_blocks(1)
    assert payer.balance(payer.to) == 0


def test_the_parts_of_a_batch_are_paid_from_one_purse(payer: "Payer", token: str) -> None:
    half = TokenTransfer(token, payer.to, TOKENS * 6 // 10)
    assert isinstance(payer.build(Batch((half, half))), SimulationRefused)


def test_what_the_tokens_last_for_once_fails_whole_the_second_time(
    payer: "Payer", token: str
) -> None:
    most = Batch((TokenTransfer(token, payer.to, TOKENS * 6 // 10), Transfer(payer.to, AMOUNT)))
    first, second = payer.payment(most, unit_price=1), payer.payment(most, unit_price=2)
    assert [first.send(), second.send()] == [True, True]
    payer.network.pass_blocks(31)
    assert [first.look_up(), second.look_up()] == [Landed(None), Unseen()]
    payer.network.pass_blocks(1)
    sighting = second.look_up()
    assert isinstance(sighting, Landed)
    assert sighting.error
    assert payer.balance(payer.to) == AMOUNT
    assert outflows(payer, second.signed.tx_hash) == {}


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (TOKENS, "holds less of the token"),
        (2**64 - 1, "holds less of the token"),
        (2**64, "at most 18446744073709551615"),
        (2**256 - 1, "at most 18446744073709551615"),
    ],
)
def test_tokens_that_are_not_there_are_refused_in_words(
    amount: int, words: str, payer: "Payer", token: str
) -> None:
    refused = payer.build(TokenTransfer(token, payer.to, amount))
    assert isinstance(refused, SimulationRefused)
    assert words in refused.reason


def test_a_token_that_does_not_exist_is_refused_in_words(payer: "Payer") -> None:
    refused = payer.build(TokenTransfer(payer.to, payer.to, 1))
    assert isinstance(refused, SimulationRefused)
    assert "the chain has no token" in refused.reason


def test_a_message_is_checked_for_every_part_in_its_order(payer: "Payer", token: str) -> None:
    one, other = TokenTransfer(token, payer.to, 7), Transfer(payer.to, AMOUNT)
    chain, message = payer.network.chain, payer.build(Batch((one, other))).message
    chain.check(message, Batch((one, other)), from_address=payer.address, rent=0)
    wrong: list[Request] = [
        one,
        Batch((other, one)),
        Batch((one, other, other)),
        Batch((TokenTransfer(token, payer.to, 6), other)),
        Batch((Approve(token, payer.to, 7), other)),
        Batch((TokenTransfer(payer.to, payer.to, 7), other)),
    ]
    for request in wrong:
        with pytest.raises(ValueError, match="the message"):
            chain.check(message, request, from_address=payer.address, rent=0)


def test_what_no_transaction_can_hold_is_refused_before_a_node_is_asked(payer: "Payer") -> None:
    payer.network.lose_requests()
    chain = payer.network.chain
    chain.require_possible(
        Batch((Transfer(payer.to, 1), Approve(payer.to, payer.to, 1))), from_address=payer.address
    )
    with pytest.raises(Refusal) as refused:
        # Past what a transaction has room for; the fake has no contracts at all.
        chain.require_possible(ContractCall(payer.to, bytes(1232)), from_address=payer.address)
    assert refused.value.code is ErrorCode.VALIDATION_FAILED


# ── recipients' accounts ───────────────────────────────────────────────────────────────────────

RENT: Final = 2_039_280
FEE: Final = 5001


@pytest.fixture
def new_token(payer: "Payer") -> str:
    """A token of which nobody but the payer has an account."""
    return payer.network.issue(payer.address)


def taken(payer: "Payer", payment: "Payment") -> int:
    """Send and land a payment; return what it took of SOL beside the fee, by the balance."""
    before = payer.balance(payer.address)
    assert payment.send() is True
    payer.network.pass_blocks(1)
    assert payment.look_up() == Landed(None)
    return before - payer.balance(payer.address) - FEE


def test_the_first_payment_of_a_token_costs_rent_and_says_so_and_the_next_does_not(
    payer: "Payer", new_token: str
) -> None:
    first = payer.payment(TokenTransfer(new_token, payer.to, 7))
    assert (first.payload.rent, taken(payer, first)) == (RENT, RENT)
    again = payer.payment(TokenTransfer(new_token, payer.to, 7))
    assert (again.payload.rent, taken(payer, again)) == (0, 0)
    payer.network.pass_blocks(33)
    assert outflows(payer, first.signed.tx_hash) == {new_token: 7, "native": RENT}
    assert outflows(payer, again.signed.tx_hash) == {new_token: 7}


def test_whoever_closes_his_account_is_paid_for_another_one(payer: "Payer", token: str) -> None:
    payer.network.close(payer.key_of_recipient, token, amount=1)
    payment = payer.payment(TokenTransfer(token, payer.to, 7))
    assert (payment.payload.rent, taken(payer, payment)) == (RENT, RENT)


def test_an_account_that_somebody_else_made_meanwhile_costs_nothing_more(
    payer: "Payer", new_token: str
) -> None:
    first, second = (payer.payment(TokenTransfer(new_token, payer.to, n)) for n in (7, 8))
    assert first.payload.rent == second.payload.rent == RENT
    assert [taken(payer, first), taken(payer, second)] == [RENT, 0]


def test_a_payment_to_an_account_that_is_gone_fails_and_costs_the_fee_alone(
    payer: "Payer", token: str
) -> None:
    payment = payer.payment(TokenTransfer(token, payer.to, 7))
    payer.network.close(payer.key_of_recipient, token, amount=1)
    before = payer.balance(payer.address)
    assert payment.send() is True
    payer.network.pass_blocks(33)
    sighting = payment.look_up()
    assert isinstance(sighting, Landed)
    assert sighting.error
    assert before - payer.balance(payer.address) == FEE


def test_a_batch_makes_each_account_once(payer: "Payer", token: str, new_token: str) -> None:
    parts = (TokenTransfer(new_token, payer.to, 1), TokenTransfer(token, payer.to, 1))
    payment = payer.payment(Batch((*parts, *parts)))
    assert payment.payload.rent == RENT
    before = payer.balance(payer.address)
    assert payment.send() is True
    payer.network.pass_blocks(1)
    assert payment.look_up() == Landed(None)
    assert before - payer.balance(payer.address) == RENT + FEE


def test_no_more_accounts_are_signed_for_than_rent_is_set_aside(
    payer: "Payer", new_token: str
) -> None:
    request = TokenTransfer(new_token, payer.to, 7)
    chain, message = payer.network.chain, payer.build(request).message
    chain.check(message, request, from_address=payer.address, rent=RENT)
    with pytest.raises(ValueError, match="more accounts than rent"):
        chain.check(message, request, from_address=payer.address, rent=RENT - 1)


def test_who_cannot_pay_for_the_account_is_refused_in_words(payer: "Payer", new_token: str) -> None:
    sent, most = TokenTransfer(new_token, payer.to, 1), FUNDS - RENT - FEE
    for amount, is_refused in ((most, False), (most + 1, True)):
        built = payer.build(Batch((sent, Transfer(payer.to, amount))))
        assert isinstance(built, SimulationRefused) == is_refused
