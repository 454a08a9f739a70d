"""Amounts: one spelling for each number, and nothing that only looks like one."""

import re
from decimal import Context, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waiaas.domain.money import (
    BASE_UNITS_MAX,
    DIGITS_MAX,
    human_amount,
    parse_base_units,
    parse_human_amount,
)

LARGEST = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
"""2^256-1, written out."""

# fmt: off
ACCEPTED = [
    # text                   base units
    ("0",                    0),
    ("1",                    1),
    ("5000",                 5_000),
    ("9223372036854775807",  2**63 - 1),
    ("9223372036854775808",  2**63),
    ("10000000000000000000", 10 * 10**18),   # 10 ETH in wei does not fit 64 signed bits
    ("18446744073709551616", 2**64),
    (LARGEST,                2**256 - 1),
]

REFUSED = {
    "empty":                    "",
    "a space":                  " ",
    "a space before":           " 1",
    "a space behind":           "1 ",
    "a newline behind":         "1\n",
    "a tab behind":             "1\t",
    "a minus sign":             "-5",
    "minus zero":               "-0",
    "a plus sign":              "+5",
    "an underscore":            "1_000",
    "a thousands separator":    "1,000",
    "a decimal point":          "1.0",
    "an exponent":              "1e3",
    "a huge exponent":          "1e400",
    "hexadecimal":              "0x10",
    "hexadecimal digits":       "ff",
    "not a number":             "NaN",
    "infinity":                 "Infinity",
    "a leading zero":           "01",
    "two zeros":                "00",
    "Arabic-Indic digits":      "١٢",
    "Devanagari digits":        "१२",
    "full-width digits":        "\uff11\uff12",
    "a superscript":            "1²",
    "a circled digit":          "①",
    "a Roman numeral":          "\u2167",
    "a zero byte":              "1\0",
    "a zero-width space":       "1\u200b",
    "a byte-order mark":        "\ufeff1",
    "a lone surrogate":         "1\ud800",
    "2^256":                    str(2**256),
    "78 nines":                 "9" * 78,
    "79 digits":                "1" + "0" * 78,
    "79 digits of little":      "0" * 78 + "1",
    "more than int() takes":    "9" * 5_000,
}
# fmt: on


@pytest.mark.parametrize(("text", "base_units"), ACCEPTED)
def test_a_canonical_amount_is_read_exactly(text: str, base_units: int) -> None:
    assert parse_base_units(text) == base_units


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_only_looks_like_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an amount "):
        parse_base_units(text)


def test_the_bounds_are_those_of_an_evm_word() -> None:
    assert int(LARGEST) == BASE_UNITS_MAX
    assert len(LARGEST) == DIGITS_MAX == 78


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_every_amount_is_read_back_from_its_digits(base_units: int) -> None:
    assert parse_base_units(str(base_units)) == base_units


EXACT = Context(prec=200)

DIGIT_LIKE = st.text(alphabet="0123456789 +-_.eE,\u0661\u00b2\uff11\n\0", max_size=82)


@given(st.one_of(DIGIT_LIKE, st.text(), st.from_regex(r"[0-9]{76,80}", fullmatch=True)))
@example("0")
@example(LARGEST)
def test_a_text_is_accepted_exactly_if_it_is_the_canonical_spelling(text: str) -> None:
    canonical = re.fullmatch(r"(?:0|[1-9][0-9]*)", text) and Decimal(text) <= Decimal(LARGEST)
    if canonical:
        assert str(parse_base_units(text)) == text
    else:
        with pytest.raises(ValueError, match="an amount "):
            parse_base_units(text)


@pytest.mark.parametrize(
    ("text", "decimals", "base_units"),
    [
        ("1", 9, 10**9),
        ("1.5", 9, 1_500_000_000),
        ("0.000000001", 9, 1),
        ("0", 9, 0),
        ("0.0", 9, 0),
        ("12", 0, 12),
        (LARGEST, 0, 2**256 - 1),
    ],
)
def test_a_human_amount_is_read_exactly(text: str, decimals: int, base_units: int) -> None:
    assert parse_human_amount(text, decimals=decimals) == base_units


@pytest.mark.parametrize(
    ("text", "decimals"),
    [
        ("", 9),
        (".5", 9),
        ("1.", 9),
        ("01", 9),
        ("-1", 9),
        ("+1", 9),
        ("1e3", 9),
        ("1,5", 9),
        ("1.5.5", 9),
        (" 1", 9),
        ("1\n", 9),
        ("1_0", 9),
        ("\u0661", 9),
        ("1.\uff15", 9),
        ("0.0000000001", 9),
        ("1.10", 1),
        ("1.0", 0),
        (LARGEST, 1),
        (str(2**256), 0),
        ("9" * 79, 0),
    ],
)
def test_what_is_no_human_amount_of_the_asset_is_refused(text: str, decimals: int) -> None:
    with pytest.raises(ValueError, match=r"amount|decimals"):
        parse_human_amount(text, decimals=decimals)


@given(st.integers(0, 2**256 - 1), st.integers(0, 30))
def test_every_amount_is_read_back_from_what_people_write(base_units: int, decimals: int) -> None:
    written = f"{Decimal(base_units).scaleb(-decimals, EXACT):f}"
    assert parse_human_amount(written, decimals=decimals) == base_units


@given(st.integers(0, 2**256 - 1), st.integers(0, 30))
def test_an_amount_is_written_for_people_exactly_and_shortly(
    base_units: int, decimals: int
) -> None:
    written = human_amount(base_units, decimals=decimals)
    assert parse_human_amount(written, decimals=decimals) == base_units
    assert "." not in written or not written.endswith("0")
