"""Ids: the canonical text of a UUID, and nothing that another reader would take for one."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.ids import is_id

GOOD = "0192d3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"

# fmt: off
REFUSED = {
    "empty":              "",
    "capitals":           GOOD.upper(),
    "one capital":        GOOD[:-1] + "F",
    "no hyphens":         GOOD.replace("-", ""),
    "braces":             "{" + GOOD + "}",
    "a URN":              "urn:uuid:" + GOOD,
    "one digit cut":      GOOD[:-1],
    "one digit more":     GOOD + "0",
    "a misplaced hyphen": "0192d3c45-b6a-7c8d-9e0f-a1b2c3d4e5f6",
    "a letter past f":    GOOD[:-1] + "g",
    "a space before":     " " + GOOD,
    "a newline behind":   GOOD + "\n",
    "a zero byte behind": GOOD + "\0",
    "Arabic-Indic digit": "\u0660" + GOOD[1:],
    "full-width letter":  GOOD[:-1] + "\uff46",
    "an en dash":         GOOD.replace("-", "\u2013"),
}
# fmt: on


def test_canonical_text_is_an_id() -> None:
    assert is_id(GOOD)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_any_other_spelling_is_not_an_id(text: str) -> None:
    assert not is_id(text)


@given(st.uuids())
def test_the_canonical_text_of_every_uuid_is_an_id(value: uuid.UUID) -> None:
    assert is_id(str(value))


@given(st.one_of(st.text(), st.text(alphabet="0123456789abcdefABCDEF-", max_size=40)))
def test_a_text_is_an_id_exactly_if_it_is_what_the_standard_library_writes(text: str) -> None:
    try:
        canonical = str(uuid.UUID(text)) == text
    except ValueError:
        canonical = False
    assert is_id(text) == canonical
