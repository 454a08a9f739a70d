"""Money: integers in base units (lamports, wei), never floats.

The textual form, stored and sent, is canonical: decimal digits without sign, leading zeros or
separators, at most 2^256-1, the largest amount any chain we speak to can express.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from waiaas.domain.enums import ChainType

BASE_UNITS_MAX: Final = 2**256 - 1
"""The largest amount: what one EVM word holds."""

DIGITS_MAX: Final = len(str(BASE_UNITS_MAX))
"""Digits in the largest amount (78); a longer text is refused before it is converted."""

_HUMAN_AMOUNT: Final = re.compile(r"(?P<whole>0|[1-9][0-9]{0,77})(?:\.(?P<fraction>[0-9]{1,77}))?")

NATIVE: Final = "native"
"""The asset a chain pays its fees in (SOL, ETH), on the agent's own network."""


class Unit(NamedTuple):
    """How people write an asset: one coin is 10^decimals base units."""

    symbol: str
    decimals: int


NATIVE_UNITS: Final[Mapping[ChainType, Unit]] = MappingProxyType(
    {ChainType.SOLANA: Unit("SOL", 9), ChainType.ETHEREUM: Unit("ETH", 18)}
)
"""Each chain's own asset."""


def parse_human_amount(text: str, *, decimals: int) -> int:
    """Return in base units the amount that people write as *text*, such as `1.5`.

    Raises:
        ValueError: *text* is not plain ASCII digits with at most one point and at most so many
            digits behind it, or the amount is past 2^256-1. Nothing is ever rounded.
    """
    found = _HUMAN_AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(
            "a human amount is decimal digits, at most one point, and digits behind it"
        )
    whole, fraction = found["whole"], found["fraction"] or ""
    if len(fraction) > decimals:
        raise ValueError(f"this asset has {decimals} decimals, and no smaller part of it exists")
    return parse_base_units((whole + fraction.ljust(decimals, "0")).lstrip("0") or "0")


def human_amount(base_units: int, *, decimals: int) -> str:
    """Return an amount as people write it, exactly: 1500000000 with 9 decimals is `1.5`."""
    whole, rest = divmod(base_units, 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


def parse_base_units(text: str) -> int:
    """Return the amount that *text* writes canonically.

    Raises:
        ValueError: *text* is not canonical digits, or is past 2^256-1. ASCII digits only: `int()`
            would also read other scripts' digits, underscores, signs and spaces.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise ValueError("an amount is 1 to 78 decimal digits, in base units")
    if text[0] == "0" and text != "0":
        raise ValueError("an amount has no leading zeros")
    base_units = int(text)
    if base_units > BASE_UNITS_MAX:
        raise ValueError("an amount is at most 2^256-1")
    return base_units
