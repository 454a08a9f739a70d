"""Kinds of values: each admits its example and what is at its bounds, and nothing past them."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain import event_values
from waiaas.domain.enums import PolicyTier
from waiaas.domain.event_values import (
    ADDRESS,
    AMOUNT,
    ASSET,
    CODE,
    COUNT,
    DOCUMENT,
    DOCUMENT_CHARACTERS_MAX,
    HASH,
    ID,
    INTEGER_MAX,
    KINDS,
    NAME,
    NONCE,
    SELECTOR,
    SIGNATURE,
    SUM,
    TEXT,
    TEXT_CHARACTERS_MAX,
    TIME,
    TX_HASH,
    Kind,
    either,
    one_of,
    or_null,
)
from waiaas.domain.money import BASE_UNITS_MAX, parse_base_units

ADMITTED: Final[list[tuple[Kind, object]]] = [
    (ID, "00000000-0000-7000-8000-000000000000"),
    (TEXT, "x" * TEXT_CHARACTERS_MAX),
    (DOCUMENT, "x" * DOCUMENT_CHARACTERS_MAX),
    (CODE, "INTERNAL_ERROR"),
    (NAME, "DEFAULT_DENY"),
    (NAME, "maxTransactions"),
    (TIME, 0),
    (COUNT, INTEGER_MAX),
    (AMOUNT, "0"),
    (AMOUNT, str(BASE_UNITS_MAX)),
    (SUM, str(BASE_UNITS_MAX + 1)),
    (SUM, str(BASE_UNITS_MAX * INTEGER_MAX)),
    (ADDRESS, "1" * 32),
    (ADDRESS, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    (ASSET, "native"),
    (ASSET, "1" * 32),
    (SELECTOR, "0x"),
    (SELECTOR, "0x" + "0f" * 8),
    (HASH, "0f" * 32),
    (TX_HASH, "z" * 88),
    (NONCE, "0f" * 16),
    (SIGNATURE, "+/=="),
    (one_of(PolicyTier), PolicyTier.DELAY),
    (one_of(PolicyTier), "DELAY"),
    (either("a", "b"), "b"),
    (or_null(TIME), None),
    (or_null(TIME), 0),
]

REFUSED: Final[list[tuple[Kind, object]]] = [
    (ID, "00000000-0000-7000-8000-00000000000A"),
    (ID, "00000000-0000-7000-8000-000000000000\n"),
    (TEXT, ""),
    (TEXT, "x" * (TEXT_CHARACTERS_MAX + 1)),
    (DOCUMENT, "x" * (DOCUMENT_CHARACTERS_MAX + 1)),
    (CODE, "NO_SUCH_CODE"),
    (NAME, ""),
    (NAME, "a b"),
    (NAME, "a" * 65),
    (TIME, -1),
    (TIME, INTEGER_MAX + 1),
    (AMOUNT, ""),
    (AMOUNT, "00"),
    (AMOUNT, "01"),
    (AMOUNT, "-1"),
    (AMOUNT, "1.5"),
    (AMOUNT, "\u0661"),
    (AMOUNT, str(BASE_UNITS_MAX + 1)),
    (AMOUNT, "1" + "0" * 100_000),
    (SUM, str(BASE_UNITS_MAX * INTEGER_MAX + 1)),
    (ADDRESS, "native"),
    (ADDRESS, "0" * 32),
    (ADDRESS, "1" * 32 + "\n"),
    (ADDRESS, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe"),
    (ASSET, "other"),
    (SELECTOR, "0x0"),
    (SELECTOR, "0x" + "00" * 9),
    (HASH, "0F" * 32),
    (TX_HASH, "x" * 129),
    (TX_HASH, "-" * 64),
    (NONCE, "short"),
    (SIGNATURE, ""),
    (SIGNATURE, "a" * 201),
    (one_of(PolicyTier), "NEVER"),
    (one_of(PolicyTier), None),
    (either("a", "b"), "c"),
    (or_null(TIME), "0"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_admits_its_example_and_nothing_of_another_type(kind: Kind) -> None:
    assert kind.admits(kind.example)
    text_or_integer = {str, int} - {type(kind.example)}
    others = [
        None,
        True,
        1.5,
        b"text",
        ["text"],
        {"text": 1},
        *(each(7) for each in text_or_integer),
    ]
    assert not any(kind.admits(other) for other in others)


@pytest.mark.parametrize(("kind", "value"), ADMITTED)
def test_what_is_at_its_bounds_is_admitted(kind: Kind, value: object) -> None:
    assert kind.admits(value)


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_what_is_past_its_bounds_is_not(kind: Kind, value: object) -> None:
    assert not kind.admits(value)


def test_every_kind_is_put_into_words() -> None:
    assert {kind for kind in vars(event_values).values() if isinstance(kind, Kind)} == set(KINDS)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@given(st.integers(0, 2 * BASE_UNITS_MAX).map(str) | st.text("0123456789-+ _", max_size=80))
def test_an_amount_is_what_money_reads_as_one(text: str) -> None:
    try:
        parse_base_units(text)
    except ValueError:
        assert not AMOUNT.admits(text)
    else:
        assert AMOUNT.admits(text)
