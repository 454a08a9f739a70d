"""The fake chain does what no real one can be made to: blocks vanish, and nodes lie."""

import asyncio
from typing import Final

from nacl.signing import SigningKey
from tests.fakes.chain import FakeChain, Manners

from waiaas.domain.addresses import solana_address
from waiaas.domain.request import Transfer
from waiaas.ports import Landed, Payload, ProvablyExpired, Sighting, SignedTransaction, Unseen

KEY: Final = SigningKey(bytes([1]) * 32)
FROM: Final = solana_address(bytes(KEY.verify_key))
TO: Final = solana_address(bytes(SigningKey(bytes([2]) * 32).verify_key))


def pay(chain: FakeChain) -> tuple[SignedTransaction, int]:
    """Send a payment into the open block; return it and its last height."""
    chain.fund(FROM, base_units=10**9)
    built = asyncio.run(chain.build(Transfer(TO, 1000), from_address=FROM, unit_price=1))
    assert isinstance(built, Payload)
    signature = KEY.sign(built.message).signature
    signed = chain.assemble(built.message, signature=signature, from_address=FROM)
    asyncio.run(chain.send(signed.raw))
    return signed, built.last_valid_block_height


def look(chain: FakeChain, signed: SignedTransaction, last_valid: int) -> Sighting:
    return asyncio.run(chain.look_up(signed.tx_hash, last_valid_block_height=last_valid))


def test_a_block_that_vanishes_takes_its_payment_along_until_it_lands_anew() -> None:
    chain = FakeChain()
    signed, last_valid = pay(chain)
    chain.pass_blocks(5)
    assert look(chain, signed, last_valid) == Landed(None)
    chain.abandon_blocks(6, forgets=False)
    assert look(chain, signed, last_valid) == Unseen()
    assert not chain.effects()
    assert chain.undone == {signed.tx_hash}
    chain.pass_blocks(2)
    assert look(chain, signed, last_valid) == Landed(None)
    assert chain.effects().total() == 1


def test_what_was_forgotten_with_its_block_lands_when_it_is_sent_again() -> None:
    chain = FakeChain()
    signed, last_valid = pay(chain)
    chain.pass_blocks(1)
    chain.abandon_blocks(2, forgets=True)
    chain.pass_blocks(10)
    assert look(chain, signed, last_valid) == Unseen()
    assert asyncio.run(chain.send(signed.raw))
    chain.pass_blocks(1)
    assert look(chain, signed, last_valid) == Landed(None)


def test_a_final_block_never_vanishes_and_final_heights_never_fall() -> None:
    chain = FakeChain()
    signed, last_valid = pay(chain)
    chain.pass_blocks(32)
    final = chain.final
    chain.abandon_blocks(1000, forgets=True)
    assert chain.final == final < chain.tip
    assert chain.effects().total() == 1
    chain.pass_blocks(32)
    assert look(chain, signed, last_valid) == Landed(None)


def test_a_denial_is_no_proof_unless_the_node_perjures_itself() -> None:
    for perjures, proof in [(False, Unseen()), (True, ProvablyExpired())]:
        chain = FakeChain(perjures=perjures)
        signed, last_valid = pay(chain)
        chain.manners = lambda _call: Manners(denies=True)
        chain.pass_blocks(5)
        assert look(chain, signed, last_valid) == Unseen()
        chain.pass_blocks(200)
        assert look(chain, signed, last_valid) == proof
