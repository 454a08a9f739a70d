"""A Solana message read back, byte by byte, without the library that wrote it.

Only the one shape is read that this program composes: version 0, one signer who pays, a
compute-unit limit, a compute-unit price, then instructions; no lookup tables; every account used,
none named twice; counts and indices in their shortest spelling and nothing behind the end. What
deviates is no message of ours, whatever else it may be.
"""

import struct
from dataclasses import dataclass
from typing import Final

from waiaas.domain.addresses import SOLANA_ADDRESS_BYTES, solana_address
from waiaas.domain.programs import COMPUTE_BUDGET_PROGRAM

MESSAGE_BYTES_MAX: Final = 1232 - 1 - 64
"""What a packet of the network leaves beside one signature and its count."""

_VERSION_0: Final = 0x80
_LIMIT: Final = struct.Struct("<BI")
_PRICE: Final = struct.Struct("<BQ")
_LIMIT_TAG: Final = 2
_PRICE_TAG: Final = 3
_MORE: Final = 0x80
"""The bit of a count's byte that says that another one follows."""


@dataclass(frozen=True, slots=True)
class ReadInstruction:
    """One instruction as a message holds it; who may write is said by the message as a whole."""

    program: str
    accounts: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """Everything that a message of ours says."""

    payer: str
    """The only signer."""
    writable: frozenset[str]
    blockhash: str
    unit_limit: int
    unit_price: int
    """In micro-lamports per compute unit."""
    instructions: tuple[ReadInstruction, ...]
    """Behind the two that set limit and price."""


def read_message(message: bytes) -> ReadMessage:
    """Return what *message* says.

    Raises:
        ValueError: it is not a message as this program composes it.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message has at most {MESSAGE_BYTES_MAX} bytes, not {len(message)}")
    cursor = _Cursor(message)
    version, signers, readonly_signers, readonly = cursor.take(4)
    if (version, signers, readonly_signers) != (_VERSION_0, 1, 0):
        raise ValueError("the message is not of version 0 with one signer who pays")
    addresses = [solana_address(cursor.take(SOLANA_ADDRESS_BYTES)) for _ in range(cursor.count())]
    if len(set(addresses)) != len(addresses) or readonly >= len(addresses):
        raise ValueError("the message contradicts itself about its accounts")
    blockhash = solana_address(cursor.take(SOLANA_ADDRESS_BYTES))
    instructions = tuple(_read_instruction(cursor, addresses) for _ in range(cursor.count()))
    if cursor.count() != 0 or cursor.rest:
        raise ValueError("the message has lookup tables, or more behind its end")
    used = {address for each in instructions for address in (each.program, *each.accounts)}
    if used | {addresses[0]} != set(addresses):
        raise ValueError("the message names an account that nothing uses")
    if len(instructions) < 2:  # noqa: PLR2004 -- the limit and the price
        raise ValueError("the message lacks its compute-unit limit and price")
    return ReadMessage(
        payer=addresses[0],
        writable=frozenset(addresses[: len(addresses) - readonly]),
        blockhash=blockhash,
        unit_limit=_read_budget(instructions[0], _LIMIT, _LIMIT_TAG),
        unit_price=_read_budget(instructions[1], _PRICE, _PRICE_TAG),
        instructions=instructions[2:],
    )


class _Cursor:
    """Where in the message reading has got to."""

    def __init__(self, message: bytes) -> None:
        self.rest = message

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        if len(self.rest) < length:
            raise ValueError("the message ends in the middle")
        taken, self.rest = self.rest[:length], self.rest[length:]
        return taken

    def count(self) -> int:
        """Return the next compact-u16; two bytes hold more than any message does."""
        (low,) = self.take(1)
        if low < _MORE:
            return low
        (high,) = self.take(1)
        if not 0 < high < _MORE:
            raise ValueError("the message spells a count as nobody does")
        return low - _MORE + high * _MORE


def _read_instruction(cursor: _Cursor, addresses: list[str]) -> ReadInstruction:
    (program,) = cursor.take(1)
    indices = cursor.take(cursor.count())
    data = cursor.take(cursor.count())
    if max(program, *indices, 0) >= len(addresses):
        raise ValueError("the message uses an account that it does not name")
    return ReadInstruction(addresses[program], tuple(addresses[each] for each in indices), data)


def _read_budget(instruction: ReadInstruction, layout: struct.Struct, tag: int) -> int:
    if (instruction.program, instruction.accounts) == (COMPUTE_BUDGET_PROGRAM, ()) and len(
        instruction.data
    ) == layout.size:
        found, value = layout.unpack(instruction.data)
        if found == tag:
            return int(value)
    raise ValueError("the message does not begin with its compute-unit limit and price")
