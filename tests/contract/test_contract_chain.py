"""What the pipeline relies on of a chain, asked of the fake and of the real client alike."""

from typing import TYPE_CHECKING, Final

import pytest

from waiaas.domain.request import Transfer
from waiaas.ports import ChainUnavailable, Landed, ProvablyExpired, SimulationRefused, Unseen

if TYPE_CHECKING:
    from tests.contract.conftest import Payer

AMOUNT: Final = 10**9
FUNDS: Final = 10**10


def test_a_payment_is_seen_once_its_block_is_confirmed_and_from_then_on(payer: "Payer") -> None:
    payment = payer.payment()
    assert payment.look_up() == Unseen()
    assert payment.send() is True
    assert payment.look_up() == Unseen()
    payer.network.pass_blocks(1)
    assert payment.look_up() == Landed(None)
    assert payer.balance(payer.to) == AMOUNT
    payer.network.pass_blocks(200)
    assert payment.look_up() == Landed(None)


def test_the_same_bytes_move_money_once_however_often_they_are_sent(payer: "Payer") -> None:
    payment = payer.payment()
    for _ in range(3):
        assert payment.send() is True
        payer.network.pass_blocks(1)
    assert payer.balance(payer.to) == AMOUNT
    assert payment.look_up() == Landed(None)


def test_equal_payments_are_two_at_two_prices_and_one_at_one(payer: "Payer") -> None:
    first, second = payer.payment(unit_price=1), payer.payment(unit_price=2)
    assert first.signed.tx_hash != second.signed.tx_hash
    assert payer.payment(unit_price=1) == first
    assert [first.send(), second.send()] == [True, True]
    payer.network.pass_blocks(1)
    assert payer.balance(payer.to) == 2 * AMOUNT


def test_without_an_answer_nothing_is_known_and_the_chain_tells_later(payer: "Payer") -> None:
    payment = payer.payment()
    payer.network.lose_answers()
    with pytest.raises(ChainUnavailable):
        payment.send()
    with pytest.raises(ChainUnavailable):
        payment.look_up()
    payer.network.behave()
    payer.network.pass_blocks(1)
    assert payment.look_up() == Landed(None)


def test_a_node_that_is_away_says_nothing_and_does_nothing(payer: "Payer") -> None:
    payment = payer.payment()
    payer.network.lose_requests()
    for call in (payer.build, payment.send, payment.look_up, lambda: payer.balance(payer.to)):
        with pytest.raises(ChainUnavailable):
            call()
    payer.network.behave()
    payer.network.pass_blocks(1)
    assert payment.look_up() == Unseen()
    assert payer.balance(payer.to) == 0


def test_what_was_dropped_is_expired_once_its_last_block_is_final_and_not_before(
    payer: "Payer",
) -> None:
    payment = payer.payment()
    payer.network.drop()
    assert payment.send() is True
    blocks = 0
    while payment.look_up() == Unseen():
        payer.network.pass_blocks(1)
        blocks += 1
    assert payment.look_up() == ProvablyExpired()
    # Named in the block before the open one, valid for 150, final 32 later, and one past it.
    assert blocks == 149 + 32 + 1
    payer.network.behave()
    payment.send()
    payer.network.pass_blocks(1)
    assert payer.balance(payer.to) == 0


@pytest.mark.parametrize(("blocks", "arrived"), [(1, AMOUNT), (149, AMOUNT), (150, 0)])
def test_what_arrives_late_lands_up_to_its_last_block(
    blocks: int, arrived: int, payer: "Payer"
) -> None:
    payment = payer.payment()
    payer.network.delay(blocks)
    assert payment.send() is True
    payer.network.pass_blocks(blocks)
    assert payment.look_up() == Unseen()
    for _ in range(31):
        payer.network.pass_blocks(1)
        assert payment.look_up() == (Landed(None) if arrived else Unseen())
    assert payer.balance(payer.to) == arrived


@pytest.mark.parametrize("lag_blocks", [40, 200])
def test_who_lags_behind_the_end_proves_nothing(lag_blocks: int, payer: "Payer") -> None:
    payment = payer.payment()
    payer.network.delay(149)
    payment.send()
    payer.network.pass_blocks(149 + 34)
    payer.network.lag(lag_blocks)
    assert payment.look_up() == Unseen()
    payer.network.behave()
    assert payment.look_up() == Landed(None)


def test_a_failure_on_chain_counts_once_it_is_final(payer: "Payer") -> None:
    most = FUNDS * 6 // 10
    first, second = payer.payment(most, unit_price=1), payer.payment(most, unit_price=2)
    assert [first.send(), second.send()] == [True, True]
    payer.network.pass_blocks(31)
    assert [first.look_up(), second.look_up()] == [Landed(None), Unseen()]
    payer.network.pass_blocks(1)
    sighting = second.look_up()
    assert isinstance(sighting, Landed)
    assert "holds less than the amount and the fee" in (sighting.error or "")
    assert payer.balance(payer.to) == most
    assert payer.balance(payer.address) == FUNDS - most - 2 * 5001


@pytest.mark.parametrize(
    ("base_units", "words"),
    [
        (FUNDS, "holds less than the amount and the fee"),
        (2**64 - 1, "holds less than the amount and the fee"),
        (2**64, "moves 1 to 18446744073709551615 lamports"),
        (2**256 - 1, "moves 1 to 18446744073709551615 lamports"),
    ],
)
def test_what_would_fail_is_refused_with_its_reason(
    base_units: int, words: str, payer: "Payer"
) -> None:
    refused = payer.build(base_units)
    assert isinstance(refused, SimulationRefused)
    assert words in refused.reason


def test_a_message_is_checked_for_sender_recipient_and_amount(payer: "Payer") -> None:
    chain, message = payer.network.chain, payer.build().message
    right = payer.transfer(AMOUNT)
    chain.check(message, right, from_address=payer.address, rent=0)
    for transfer, sender in [
        (payer.transfer(AMOUNT + 1), payer.address),
        (Transfer(payer.address, AMOUNT), payer.address),
        (right, payer.to),
    ]:
        with pytest.raises(ValueError, match="the message"):
            chain.check(message, transfer, from_address=sender, rent=0)


def test_a_signature_of_another_message_or_sender_is_refused(payer: "Payer") -> None:
    chain, message = payer.network.chain, payer.build().message
    other = payer.key.sign(payer.build(AMOUNT + 1).message).signature
    right = payer.key.sign(message).signature
    for signature, sender in [
        (other, payer.address),
        (bytes(64), payer.address),
        (right, payer.to),
    ]:
        with pytest.raises(ValueError, match=r"signature|from this address"):
            chain.assemble(message, signature=signature, from_address=sender)


# ── history ────────────────────────────────────────────────────────────────────────────────────


def test_what_left_an_address_is_found_once_it_is_final_newest_first(payer: "Payer") -> None:
    payments = [payer.payment(AMOUNT + price, unit_price=price) for price in range(1, 6)]
    for payment in payments:
        payment.send()
        payer.network.pass_blocks(1)
    assert payer.moved() == ({}, [])
    payer.network.pass_blocks(31)
    moved, asked = payer.moved()
    assert moved == {
        each.signed.tx_hash: {"native": AMOUNT + price}
        for price, each in enumerate(payments, start=1)
    }
    newest_first = [each.signed.tx_hash for each in reversed(payments)]
    assert [each for each in asked if each in moved] == newest_first


def test_what_failed_or_came_in_moved_nothing(payer: "Payer") -> None:
    most = FUNDS * 6 // 10
    first, second = payer.payment(most, unit_price=1), payer.payment(most, unit_price=2)
    for payment in (first, second):
        payment.send()
    payer.network.pass_blocks(33)
    assert payer.moved()[0] == {first.signed.tx_hash: {"native": most}}
    assert payer.moved(payer.to)[0] == {}
    assert payer.moved(payer.to)[1] == [first.signed.tx_hash]


def test_the_history_says_up_to_where_it_looked_and_the_horizon_is_never_outlived(
    payer: "Payer",
) -> None:
    horizon = payer.do(lambda chain: chain.horizon())
    payment = payer.payment()
    assert payment.last_valid <= horizon
    blocks = 0
    while payer.do(lambda chain: chain.history(payer.address, before=None)).height <= horizon:
        payer.network.pass_blocks(10)
        blocks += 10
    assert blocks >= 150 + 32


def test_a_network_that_keeps_no_time_is_unavailable_to_whoever_asks_for_it(
    payer: "Payer",
) -> None:
    with pytest.raises(ChainUnavailable):
        payer.do(lambda chain: chain.chain_time())


def test_without_a_node_there_is_no_history(payer: "Payer") -> None:
    payer.network.lose_requests()
    for call in (payer.moved, lambda: payer.do(lambda chain: chain.horizon())):
        with pytest.raises(ChainUnavailable):
            call()
