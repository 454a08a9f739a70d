"""Public keys of ed25519: a point of the curve that somebody can hold the key of."""

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from waiaas.domain.ed25519 import is_public_key

PRIME = 2**255 - 19
SMALL_ORDER = [
    1,  # the identity
    PRIME - 1,  # of order 2
    0,  # of order 4; as an address, the System program
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,  # of order 8
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
]


def bytes_of(y: int, *, x_is_odd: bool = False) -> bytes:
    return (y | x_is_odd << 255).to_bytes(32, "little")


@given(seed=st.binary(min_size=32, max_size=32))
def test_every_key_is_one(seed: bytes) -> None:
    assert is_public_key(bytes(Keypair.from_seed(seed).pubkey()))


@given(encoded=st.binary(min_size=32, max_size=32))
def test_what_is_no_point_of_the_curve_is_none(encoded: bytes) -> None:
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    assume(y < PRIME and y not in SMALL_ORDER)
    assert is_public_key(encoded) == Pubkey.from_bytes(encoded).is_on_curve()


def test_an_address_that_a_program_derives_is_none() -> None:
    address, _ = Pubkey.find_program_address([b"vault"], Pubkey.default())
    assert not is_public_key(bytes(address))


@pytest.mark.parametrize("y", SMALL_ORDER)
@pytest.mark.parametrize("x_is_odd", [False, True])
def test_a_point_of_small_order_is_none(y: int, *, x_is_odd: bool) -> None:
    encoded = bytes_of(y, x_is_odd=x_is_odd)
    assert not is_public_key(encoded)


def test_the_curve_alone_would_take_the_system_program_for_a_key() -> None:
    """The control."""
    assert Pubkey.default().is_on_curve()


@pytest.mark.parametrize("y", [PRIME, PRIME + 1, 2**255 - 1])
def test_a_number_past_the_prime_is_another_spelling_and_none(y: int) -> None:
    assert not is_public_key(bytes_of(y))
