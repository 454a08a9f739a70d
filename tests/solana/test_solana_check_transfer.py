"""What was asked for is what is signed: recorded bytes are read again before a signature."""

import pytest

from waiaas.chains.solana.chain import SolanaChain
from waiaas.chains.solana.messages import TransferMessage, compose_transfer
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import NetworkType
from waiaas.domain.request import Transfer
from waiaas.system import SystemClock

PAYER, RECIPIENT, STRANGER, BLOCKHASH = (solana_address(bytes([n]) * 32) for n in (1, 2, 3, 4))
MESSAGE = compose_transfer(
    TransferMessage(
        from_address=PAYER, to_address=RECIPIENT, lamports=5, unit_price=1, blockhash=BLOCKHASH
    )
)


def chain() -> SolanaChain:
    return SolanaChain("http://127.0.0.1:1", network=NetworkType.LOCALNET, clock=SystemClock())


def test_the_payment_that_was_asked_for_may_be_signed() -> None:
    chain().check_transfer(MESSAGE, Transfer(RECIPIENT, 5), from_address=PAYER)


@pytest.mark.parametrize(
    ("message", "to_address", "base_units", "from_address"),
    [
        (MESSAGE, STRANGER, 5, PAYER),
        (MESSAGE, RECIPIENT, 6, PAYER),
        (MESSAGE, RECIPIENT, 5, STRANGER),
        (MESSAGE + b"\0", RECIPIENT, 5, PAYER),
        (b"", RECIPIENT, 5, PAYER),
    ],
)
def test_anything_else_is_refused(
    message: bytes, to_address: str, base_units: int, from_address: str
) -> None:
    with pytest.raises(ValueError, match="message"):
        chain().check_transfer(message, Transfer(to_address, base_units), from_address=from_address)
