"""How a table family runs its statements: the shape of `Database.execute`, and the one upsert."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Table, bindparam
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from waiaas.database.statements import Parameters, Statement, define

RECORDS_KEPT_MAX: Final = 1024
"""How many rows of a table that is asked for with each payment are kept as their records."""


class Run(Protocol):
    """Runs a statement on the connection of the current transaction."""

    def __call__(self, statement: Statement, parameters: Parameters | None = None, /) -> list[Any]:
        """Return all rows."""


def define_upsert(
    table: Table, *, key: Sequence[str], columns: Sequence[str], keeps: bool = False
) -> Statement:
    """Define the insert of a row by *key*, or the overwriting of *columns* if it exists.

    With *keeps* a row that exists is left as it is. `ON CONFLICT … DO` reads the same on both
    engines; SQLAlchemy has a construct for each, of which only PostgreSQL's compiles for both.
    """
    new = insert_or_update(table).values({name: bindparam(name) for name in (*key, *columns)})
    at = [table.c[name] for name in key]
    if keeps:
        return define(new.on_conflict_do_nothing(index_elements=at))
    return define(
        new.on_conflict_do_update(
            index_elements=at, set_={name: new.excluded[name] for name in columns}
        )
    )
