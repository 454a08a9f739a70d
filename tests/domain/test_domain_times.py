"""Times in words."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.times import time_in_words


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (1795829175, "2026-11-28 01:26:15 UTC"),
        (253402300799, "9999-12-31 23:59:59 UTC"),
        (253402300800, "253402300800"),
        (2**63, "9223372036854775808"),
    ],
)
def test_a_time_is_a_date_in_utc_where_the_calendar_has_one(second: int, words: str) -> None:
    assert time_in_words(second) == words


@given(st.datetimes(min_value=datetime(1970, 1, 1)))  # noqa: DTZ001 -- it is put into UTC below
def test_no_second_is_lost(moment: datetime) -> None:
    second = int(moment.replace(tzinfo=UTC).timestamp())
    read = datetime.strptime(time_in_words(second), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert int(read.timestamp()) == second
