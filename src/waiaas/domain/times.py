"""Times in words, for the messages that people read; everywhere else they are Unix seconds."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time_in_words(second: int) -> str:
    """Return a time as people write it, to the second and in UTC; *second* is a Unix second."""
    try:
        return f"{_EPOCH + timedelta(seconds=second):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:  # Of a year that no calendar has, as a clock may show.
        return str(second)
