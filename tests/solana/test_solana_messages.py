"""Payments as bytes: composed by solders, read back by our own reader, compared with a third."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from waiaas.chains.solana.instructions import LAMPORTS_MAX, NotPayable, compute_units
from waiaas.chains.solana.messages import (
    UNIT_PRICE_MAX,
    check,
    compose,
    fee_lamports,
    read_transaction,
    signed_transaction,
    unsigned_transaction,
)
from waiaas.chains.solana.reading import read_message
from waiaas.domain.addresses import solana_address
from waiaas.domain.programs import COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM, TOKEN_PROGRAM
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.pipeline.perform import UNIT_PRICES

UNITS = 600
"""What a payment in SOL declares."""

PAYER = Keypair.from_seed(bytes([1]) * 32)
POLICIES = Path(__file__).parents[2] / "docs" / "policies.md"
RECIPIENT = Keypair.from_seed(bytes([2]) * 32).pubkey()


@dataclasses.dataclass(frozen=True)
class Payment:
    """Everything that the message of a SOL payment says."""

    from_address: str
    to_address: str
    lamports: int
    unit_price: int
    blockhash: str

    @property
    def request(self) -> Transfer:
        return Transfer(self.to_address, self.lamports)

    def compose(self) -> bytes:
        return compose(
            self.request,
            from_address=self.from_address,
            unit_price=self.unit_price,
            blockhash=self.blockhash,
            decimals={},
            missing=(),
        )

    def is_said_by(self, message: bytes) -> bool:
        try:
            found = check(message, self.request, from_address=self.from_address, rent=0)
        except ValueError:
            return False
        return (found.unit_price, found.blockhash) == (self.unit_price, self.blockhash)


PAYMENT = Payment(
    from_address=str(PAYER.pubkey()),
    to_address=str(RECIPIENT),
    lamports=1_000_000,
    unit_price=7,
    blockhash=solana_address(bytes([9]) * 32),
)


def shortvec(items: list[bytes]) -> bytes:
    assert len(items) < 128
    return bytes([len(items)]) + b"".join(items)


def encode_by_hand(payment: Payment) -> bytes:
    """Write the message from the format's description, with no library's encoder."""

    def key(address: str) -> bytes:
        return bytes(Pubkey.from_string(address))

    def instruction(program: int, accounts: bytes, data: bytes) -> bytes:
        return bytes([program, len(accounts)]) + accounts + bytes([len(data)]) + data

    return b"".join([
        b"\x80",
        bytes([1, 0, 2]),
        shortvec([
            key(payment.from_address),
            key(payment.to_address),
            key(SYSTEM_PROGRAM),
            key(COMPUTE_BUDGET_PROGRAM),
        ]),
        key(payment.blockhash),
        shortvec([
            instruction(3, b"", b"\x02" + (600).to_bytes(4, "little")),
            instruction(3, b"", b"\x03" + payment.unit_price.to_bytes(8, "little")),
            instruction(
                2,
                bytes([0, 1]),
                (2).to_bytes(4, "little") + payment.lamports.to_bytes(8, "little"),
            ),
        ]),
        shortvec([]),
    ])  # fmt: skip


addresses = st.binary(min_size=32, max_size=32).map(solana_address)


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    own = {SYSTEM_PROGRAM, COMPUTE_BUDGET_PROGRAM}
    from_address = draw(addresses.filter(lambda address: address not in own))
    return Payment(
        from_address=from_address,
        to_address=draw(addresses.filter(lambda address: address not in own | {from_address})),
        lamports=draw(st.integers(1, LAMPORTS_MAX)),
        unit_price=draw(st.integers(0, UNIT_PRICE_MAX)),
        blockhash=draw(addresses),
    )


@given(payments())
def test_what_is_composed_reads_back_as_what_was_asked(payment: Payment) -> None:
    assert payment.is_said_by(payment.compose())


@given(payments())
def test_composed_bytes_are_those_an_independent_encoder_writes(payment: Payment) -> None:
    assert payment.compose() == encode_by_hand(payment)


def test_solders_reads_the_same_payment_from_the_bytes() -> None:
    message = MessageV0.from_bytes(PAYMENT.compose()[1:])
    assert message.account_keys[:2] == [PAYER.pubkey(), RECIPIENT]
    assert message.header.num_required_signatures == 1
    assert [bytes(i.data)[0] for i in message.instructions] == [2, 3, 2]
    assert not message.address_table_lookups


def test_equal_payments_with_different_unit_prices_are_different_bytes() -> None:
    messages = {dataclasses.replace(PAYMENT, unit_price=price).compose() for price in range(100)}
    assert len(messages) == 100


def test_control_equal_payments_with_one_unit_price_are_one_signature() -> None:
    first, second = PAYMENT.compose(), dataclasses.replace(PAYMENT).compose()
    assert first == second
    assert PAYER.sign_message(first) == PAYER.sign_message(second)


@given(st.data())
def test_a_message_changed_in_any_byte_is_not_that_payment(data: st.DataObject) -> None:
    message = bytearray(PAYMENT.compose())
    where = data.draw(st.integers(0, len(message) - 1))
    message[where] ^= data.draw(st.integers(1, 255))
    assert not PAYMENT.is_said_by(bytes(message))


@given(st.binary(max_size=300))
def test_foreign_bytes_are_no_payment_and_end_in_a_value_error(message: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        read_message(message)


MESSAGE = PAYMENT.compose()


@pytest.mark.parametrize("message", [MESSAGE + b"\0", MESSAGE[:-1], MESSAGE[:-1] + b"\1", b""])
def test_a_message_with_more_or_less_in_it_is_no_payment(message: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        read_message(message)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lamports": LAMPORTS_MAX + 1}, "18446744073709551615 lamports"),
        ({"lamports": 2**256 - 1}, "18446744073709551615 lamports"),
        ({"to_address": PAYMENT.from_address}, "the paying wallet itself"),
        ({"to_address": SYSTEM_PROGRAM}, "a program"),
        ({"to_address": COMPUTE_BUDGET_PROGRAM}, "a program"),
        ({"to_address": TOKEN_PROGRAM}, "a program"),
    ],
)
def test_a_payment_the_chain_cannot_make_is_refused_in_words(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(NotPayable, match=words):
        dataclasses.replace(PAYMENT, **change).compose()


@pytest.mark.parametrize("unit_price", [-1, UNIT_PRICE_MAX + 1])
def test_a_unit_price_out_of_bounds_is_our_mistake_and_not_a_refusal(unit_price: int) -> None:
    with pytest.raises(ValueError, match="0 to 1000 ") as caught:
        dataclasses.replace(PAYMENT, unit_price=unit_price).compose()
    assert not isinstance(caught.value, NotPayable)


@pytest.mark.parametrize(
    ("unit_price", "fee"),
    [(0, 5000), (1, 5001), (1666, 5001), (1667, 5002), (1_000_000, 5600), (10**9, 605_000)],
)
def test_the_fee_is_the_signature_and_the_declared_units_rounded_up(
    unit_price: int, fee: int
) -> None:
    assert fee_lamports(unit_price, units=UNITS) == fee


TOKEN, SPENDER, MEMO = (solana_address(bytes([n]) * 32) for n in (3, 4, 5))


@pytest.mark.parametrize(
    ("request_", "fee_max"),
    [
        (PAYMENT.request, 5001),
        (TokenTransfer(TOKEN, SPENDER, 1), 5101),
        (Approve(TOKEN, SPENDER, 1), 5021),
        (ContractCall(MEMO, b""), 5201),
        (Batch((PAYMENT.request, TokenTransfer(TOKEN, SPENDER, 1))), 5101),
        (Batch((TokenTransfer(TOKEN, SPENDER, 1),) * 20), 6400),
        (Batch((ContractCall(MEMO, b""),) * 20), 6400),
    ],
)
def test_the_largest_fee_that_is_signed_for_is_known_for_each_kind(
    request_: Request, fee_max: int
) -> None:
    """No limit counts it, so people are told."""
    assert UNIT_PRICE_MAX == UNIT_PRICES
    assert fee_lamports(UNIT_PRICE_MAX, units=compute_units(request_)) == fee_max
    assert f"| {fee_max} |\n" in POLICIES.read_text(encoding="utf-8")


@pytest.mark.parametrize("unit_price", [0, 1, UNIT_PRICE_MAX])
def test_the_runtime_takes_the_fee_we_say_and_no_more_units_than_we_declare(
    unit_price: int,
) -> None:
    runtime = LiteSVM()
    runtime.airdrop(PAYER.pubkey(), 10_000_000_000)
    message = dataclasses.replace(
        PAYMENT, unit_price=unit_price, blockhash=str(runtime.latest_blockhash())
    ).compose()
    signed = signed_transaction(message, signature=bytes(PAYER.sign_message(message)))
    done = runtime.send_transaction(VersionedTransaction.from_bytes(signed.raw))
    assert isinstance(done, TransactionMetadata)
    assert done.compute_units_consumed() == 450
    assert runtime.get_balance(RECIPIENT) == PAYMENT.lamports
    left = 10_000_000_000 - PAYMENT.lamports - fee_lamports(unit_price, units=UNITS)
    assert runtime.get_balance(PAYER.pubkey()) == left


def test_a_signed_payment_is_the_transaction_solders_would_make() -> None:
    message = PAYMENT.compose()
    signature = PAYER.sign_message(message)
    signed = signed_transaction(message, signature=bytes(signature))
    theirs = VersionedTransaction(MessageV0.from_bytes(message[1:]), [PAYER])
    assert signed.raw == bytes(theirs)
    assert signed.tx_hash == str(theirs.signatures[0])
    assert read_transaction(signed.raw) == signed


def test_an_unsigned_payment_is_a_transaction_with_a_blank_signature() -> None:
    message = PAYMENT.compose()
    blank = VersionedTransaction.populate(MessageV0.from_bytes(message[1:]), [Signature.default()])
    assert unsigned_transaction(message) == bytes(blank)


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64),
        bytes(63),
        b"",
        bytes(PAYER.sign_message(b"another message")),
        bytes(Keypair.from_seed(bytes([3]) * 32).sign_message(PAYMENT.compose())),
    ],
)
def test_a_signature_that_is_not_the_payers_over_these_bytes_is_refused(signature: bytes) -> None:
    with pytest.raises(ValueError, match=r"signature|sequence"):
        signed_transaction(PAYMENT.compose(), signature=signature)


@given(st.data())
def test_signed_bytes_changed_anywhere_are_not_read_as_signed(data: st.DataObject) -> None:
    message = PAYMENT.compose()
    raw = bytearray(signed_transaction(message, signature=bytes(PAYER.sign_message(message))).raw)
    where = data.draw(st.integers(0, len(raw) - 1))
    raw[where] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"signature|message"):
        read_transaction(bytes(raw))
