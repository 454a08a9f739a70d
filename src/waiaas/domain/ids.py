"""The names of things: ids that the type checker keeps apart.

Ids are UUID v7 (RFC 9562) in canonical lower-case text: 36 characters, time-ordered as strings.
"""

import re
from typing import Final, NewType

AgentId = NewType("AgentId", str)
SessionId = NewType("SessionId", str)
TransactionId = NewType("TransactionId", str)
PolicyId = NewType("PolicyId", str)
AttemptId = NewType("AttemptId", str)

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Tell whether *text* has the form of an id: the canonical lower-case text of a UUID."""
    return _UUID.fullmatch(text) is not None
