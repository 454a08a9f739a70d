"""What all messages have in common."""

import msgspec


class Message(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A JSON object with exactly these members."""
