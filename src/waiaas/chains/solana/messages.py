"""What a SOL payment looks like in bytes: composed by one hand, read back by another.

A payment is a version 0 message of three instructions: a compute-unit limit, a compute-unit price
and a System transfer; the sender pays the fee. Its four accounts always sort the same way (sender,
recipient, System program, Compute Budget program), so every payment is one template of 204 bytes
with five holes. Composing is left to solders; reading is done against the template, here, without
solders. Bytes that differ from it anywhere are not a payment, whatever else they may be.
"""

import struct
from dataclasses import dataclass
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

from waiaas.domain.addresses import solana_address
from waiaas.ports import SignedTransaction

LAMPORTS_MAX: Final = 2**64 - 1
"""What a Solana account can hold."""

SIGNATURE_FEE_LAMPORTS: Final = 5000
"""What the network takes for the one signature of a payment."""

COMPUTE_UNITS_MAX: Final = 600
"""The limit every payment declares. Its three instructions use 450; the rest is margin."""

UNIT_PRICE_MAX: Final = 1_000_000_000
"""In micro-lamports. Keeps the priority fee at or below 600000 lamports (0.0006 SOL)."""

MICRO_LAMPORTS_PER_LAMPORT: Final = 1_000_000

SYSTEM_PROGRAM: Final = "11111111111111111111111111111111"
COMPUTE_BUDGET_PROGRAM: Final = "ComputeBudget111111111111111111111111111111"

TRANSFER_INSTRUCTION: Final = 2
"""Which of the three instructions moves the money, counted from 0 as the chain counts."""

# The template. Counts and indices are single bytes while they are below 128.
_HEAD: Final = bytes((
    0x80,  # version 0
    1, 0, 2,  # one signer, who is writable; the last two accounts, the programs, are not
    4,  # accounts
))  # fmt: skip
_PROGRAMS: Final = bytes(Pubkey.from_string(SYSTEM_PROGRAM)) + bytes(
    Pubkey.from_string(COMPUTE_BUDGET_PROGRAM)
)
_LIMIT: Final = bytes((
    3,  # instructions
    3, 0, 5, 2,  # account 3 (Compute Budget), no accounts, 5 bytes: number 2, then a u32
)) + COMPUTE_UNITS_MAX.to_bytes(4, "little")  # fmt: skip
_PRICE: Final = bytes((3, 0, 9, 3))  # the same program, no accounts, 9 bytes: number 3, then a u64
_TRANSFER: Final = bytes((
    2, 2, 0, 1,  # account 2 (System), from account 0 to account 1
    12, 2, 0, 0, 0,  # 12 bytes: number 2 as a u32, then a u64
))  # fmt: skip
_TAIL: Final = bytes(1)  # no lookup tables: every account is spelled out above

_LAYOUT: Final = struct.Struct(
    f"<{len(_HEAD)}s32s32s{len(_PROGRAMS)}s32s{len(_LIMIT)}s"
    f"{len(_PRICE)}sQ{len(_TRANSFER)}sQ{len(_TAIL)}s"
)
_FIXED: Final = (_HEAD, _PROGRAMS, _LIMIT, _PRICE, _TRANSFER, _TAIL)

_SIGNATURE_COUNT: Final = b"\x01"
_NO_SIGNATURE: Final = bytes(Signature.LENGTH)


class NotPayable(ValueError):  # noqa: N818 -- named for the payment it is about
    """No Solana transfer can do what is asked; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class TransferMessage:
    """Everything a payment says; two equal values are the same bytes.

    Two requests alike in all else differ in `unit_price`, or they would be one payment: the chain
    takes the same bytes only once.

    Raises:
        NotPayable: the chain has no transfer for these two accounts, or for this amount.
        ValueError: `unit_price` is out of bounds.
    """

    from_address: str
    to_address: str
    lamports: int
    unit_price: int
    """In micro-lamports per compute unit."""
    blockhash: str

    def __post_init__(self) -> None:
        if not 0 < self.lamports <= LAMPORTS_MAX:
            raise NotPayable(f"a Solana transfer moves 1 to {LAMPORTS_MAX} lamports")
        if self.to_address == self.from_address:
            raise NotPayable("the recipient is the paying wallet itself")
        if self.to_address in {SYSTEM_PROGRAM, COMPUTE_BUDGET_PROGRAM}:
            raise NotPayable("the recipient is a program of the chain and cannot be paid")
        if not 0 <= self.unit_price <= UNIT_PRICE_MAX:
            raise ValueError(f"a compute-unit price is 0 to {UNIT_PRICE_MAX} micro-lamports")


def compose_transfer(wanted: TransferMessage) -> bytes:
    """Return the bytes to be signed, after reading back that they say what is *wanted*.

    Raises:
        ValueError: an address or the blockhash is not the base58 text of 32 bytes.
    """
    payer = Pubkey.from_string(wanted.from_address)
    message = to_bytes_versioned(
        MessageV0.try_compile(
            payer,
            [
                set_compute_unit_limit(COMPUTE_UNITS_MAX),
                set_compute_unit_price(wanted.unit_price),
                transfer(
                    TransferParams(
                        from_pubkey=payer,
                        to_pubkey=Pubkey.from_string(wanted.to_address),
                        lamports=wanted.lamports,
                    )
                ),
            ],
            [],
            Hash.from_string(wanted.blockhash),
        )
    )
    assert decode_transfer(message) == wanted, "composed bytes do not say what was asked"
    return message


def decode_transfer(message: bytes) -> TransferMessage:
    """Return what *message* says, if it is a payment and nothing besides.

    Raises:
        ValueError: it is anything else.
    """
    if len(message) != _LAYOUT.size:
        raise ValueError(f"a payment's message has {_LAYOUT.size} bytes, not {len(message)}")
    head, payer, recipient, programs, blockhash, limit, price, unit_price, move, lamports, tail = (
        _LAYOUT.unpack(message)
    )
    if (head, programs, limit, price, move, tail) != _FIXED:
        raise ValueError("the message is not a payment as this program composes it")
    return TransferMessage(
        from_address=solana_address(payer),
        to_address=solana_address(recipient),
        lamports=lamports,
        unit_price=unit_price,
        blockhash=solana_address(blockhash),  # the same spelling: base58 of 32 bytes
    )


def fee_lamports(unit_price: int) -> int:
    """Return what the chain takes for a payment, landed or failed, beside its amount.

    That is the signature's fee and the price of every declared compute unit, used or not, rounded
    up to a whole lamport.
    """
    priority_fee = -(-COMPUTE_UNITS_MAX * unit_price // MICRO_LAMPORTS_PER_LAMPORT)
    return SIGNATURE_FEE_LAMPORTS + priority_fee


def unsigned_transaction(message: bytes) -> bytes:
    """Return *message* in a transaction whose signature is left blank, for simulation only."""
    return _SIGNATURE_COUNT + _NO_SIGNATURE + message


def signed_transaction(message: bytes, *, signature: bytes) -> SignedTransaction:
    """Join a payment and its signature; the very bytes that were signed are what is sent.

    Raises:
        ValueError: *message* is not a payment, or *signature* is not its payer's.
    """
    payer = Pubkey.from_string(decode_transfer(message).from_address)
    parsed = Signature.from_bytes(signature)
    if not parsed.verify(payer, message):
        raise ValueError("the signature is not the paying wallet's over this message")
    return SignedTransaction(raw=_SIGNATURE_COUNT + signature + message, tx_hash=str(parsed))


def read_transaction(raw: bytes) -> SignedTransaction:
    """Return *raw* and its hash, after checking it as if it had just been signed.

    Raises:
        ValueError: *raw* is not one of our payments under a valid signature.
    """
    if not raw.startswith(_SIGNATURE_COUNT):
        raise ValueError("a payment has exactly one signature")
    rest = raw[len(_SIGNATURE_COUNT) :]
    return signed_transaction(
        rest[Signature.LENGTH :],
        signature=rest[: Signature.LENGTH],
    )
