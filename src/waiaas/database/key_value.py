"""Small facts of the daemon, by key."""

from typing import Final

from sqlalchemy import bindparam, select

from waiaas.database.run import Run, define_upsert
from waiaas.database.schema import key_value_store
from waiaas.database.statements import define

DAEMON_ID: Final = "daemon.id"
"""The key of the daemon's own id, made at its first start."""

_GET: Final = define(
    select(key_value_store.c.value).where(key_value_store.c.key == bindparam("key")),
    is_remembered=True,
)
_PUT: Final = define_upsert(key_value_store, key=("key",), columns=("value", "updated_at"))


class KeyValues:
    """`waiaas.ports.KeyValueTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def get(self, key: str) -> str | None:
        rows = self._run(_GET, {"key": key})
        return str(rows[0].value) if rows else None

    def put(self, key: str, value: str, *, now_s: int) -> None:
        self._run(_PUT, {"key": key, "value": value, "updated_at": now_s})
