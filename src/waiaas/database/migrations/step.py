"""What a step is."""

from collections.abc import Callable
from typing import NamedTuple

import apsw


class Step(NamedTuple):
    """One schema version more.

    It runs inside a transaction, with foreign keys off: nothing it does cascades. Every table keeps
    all of its rows, or the whole upgrade is undone.
    """

    version: int
    """The version it leads to, from the one before."""
    before: str
    """The fingerprint of the schema it starts from (`waiaas.database.definitions`)."""
    apply: Callable[[apsw.Connection], object]
    """Changes the schema; neither begins nor ends a transaction, and leaves the version alone."""
