"""New ids: UUID v7 (RFC 9562) as canonical lower-case text."""

import uuid_utils


def generate_id() -> str:
    """Return a new UUID v7.

    Ids made later in a process sort later as strings: also within one millisecond, across threads,
    and after the clock was set back (the counter then runs on in the last millisecond seen).
    """
    return str(uuid_utils.uuid7())
