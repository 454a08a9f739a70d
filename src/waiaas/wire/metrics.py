"""The message that is none: figures for Prometheus."""

from waiaas.wire.message import Message


class Exposition(Message, frozen=True):
    """Not JSON: the body is `text`, figures in Prometheus' text format 0.0.4."""

    text: str
