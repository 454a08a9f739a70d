"""Ethereum's addresses: EIP-55's own examples, and every slip of the pen refused."""

import pytest

from waiaas.domain.evm_address import evm_address, is_evm_address

# The test cases of EIP-55: all capitals, all lower case, and four normal ones.
EXAMPLES = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", EXAMPLES)
def test_the_examples_of_the_standard_are_addresses(address: str) -> None:
    assert is_evm_address(address)


@pytest.mark.parametrize("address", EXAMPLES[4:])
def test_another_case_of_any_letter_is_a_slip(address: str) -> None:
    for place, character in enumerate(address[2:], start=2):
        if character.isalpha():
            assert not is_evm_address(address[:place] + character.swapcase() + address[place + 1 :])
    assert not is_evm_address(address.lower())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "27b1fdb04752bbc536007a920d24acb045561c26",
        "0X27b1fdb04752bbc536007a920d24acb045561c26",
        "0x27b1fdb04752bbc536007a920d24acb045561c2",
        "0x27b1fdb04752bbc536007a920d24acb045561c260",
        "0x27b1fdb04752bbc536007a920d24acb045561c2g",
        "0x27b1fdb04752bbc536007a920d24acb045561c26\n",
        " 0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x27b1fdb04752bbc536007a920d24acb04556\u0661c26",
        "So11111111111111111111111111111111111111112",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_evm_address(text)


def test_the_address_of_a_public_key() -> None:
    # The point of the private key 1: the generator (SEC 2), whose address is widely known.
    generator = bytes.fromhex(
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    assert evm_address(generator) == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
    with pytest.raises(ValueError, match="64 bytes"):
        evm_address(b"\x04" + generator)
