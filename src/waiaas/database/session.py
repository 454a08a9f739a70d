"""Sessions."""

from typing import Any, Final

from sqlalchemy import bindparam, func, insert, select, update

from waiaas.database.run import Run, define_upsert
from waiaas.database.schema import session_totals, sessions
from waiaas.database.statements import Parameters, define
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.records import UNUSED_SESSION, SessionRecord, SessionUse

_COLUMNS: Final = (
    sessions.c.id,
    sessions.c.agent_id,
    sessions.c.token_hash,
    sessions.c.expires_at,
    sessions.c.revoked_at,
    sessions.c.absolute_expires_at,
    sessions.c.created_at,
    sessions.c.constraints,
)

_INSERT: Final = define(
    insert(sessions).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_GET: Final = define(select(*_COLUMNS).where(sessions.c.id == bindparam("id")), is_remembered=True)
_BY_TOKEN_HASH: Final = define(
    select(*_COLUMNS).where(sessions.c.token_hash == bindparam("token_hash"))
)
_COUNT_LIVE: Final = define(
    select(func.count().label("live"))
    .select_from(sessions)
    .where(
        sessions.c.agent_id == bindparam("agent_id"),
        sessions.c.revoked_at.is_(None),
        sessions.c.expires_at > bindparam("now_s"),
    )
)
_IS_LIVE: Final = (sessions.c.revoked_at.is_(None), sessions.c.expires_at > bindparam("now_s"))
_LIVE: Final = define(select(*_COLUMNS).where(*_IS_LIVE).order_by(sessions.c.id))
_LIVE_OF: Final = define(
    select(*_COLUMNS)
    .where(sessions.c.agent_id == bindparam("agent_id"), *_IS_LIVE)
    .order_by(sessions.c.id)
)
_REVOKE: Final = define(
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"), sessions.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("revoked_at"))
    .returning(sessions.c.id)
)


_USED: Final = define(
    select(session_totals.c.transactions, session_totals.c.total).where(
        session_totals.c.session_id == bindparam("session_id")
    )
)
_SET_USED: Final = define_upsert(
    session_totals, key=("session_id",), columns=("transactions", "total")
)


class Sessions:
    """`waiaas.ports.SessionTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, session: SessionRecord) -> None:
        self._run(_INSERT, session._asdict())

    def get(self, session_id: SessionId) -> SessionRecord | None:
        rows = self._run(_GET, {"id": session_id})
        return _record(rows[0]) if rows else None

    def by_token_hash(self, token_hash: str) -> SessionRecord | None:
        rows = self._run(_BY_TOKEN_HASH, {"token_hash": token_hash})
        return _record(rows[0]) if rows else None

    def count_live(self, agent_id: AgentId, *, now_s: int) -> int:
        return int(self._run(_COUNT_LIVE, {"agent_id": agent_id, "now_s": now_s})[0].live)

    def used(self, session_id: SessionId) -> SessionUse:
        rows = self._run(_USED, {"session_id": session_id})
        return SessionUse(rows[0].transactions, int(rows[0].total)) if rows else UNUSED_SESSION

    def add_use(self, session_id: SessionId, *, transactions: int, base_units: int) -> None:
        before = self.used(session_id)
        parameters: Parameters = {
            "session_id": session_id,
            "transactions": before.transactions + transactions,
            "total": str(before.base_units + base_units),
        }
        self._run(_SET_USED, parameters)

    def live(self, *, now_s: int) -> list[SessionRecord]:
        return [_record(row) for row in self._run(_LIVE, {"now_s": now_s})]

    def live_of(self, agent_id: AgentId, *, now_s: int) -> list[SessionRecord]:
        rows = self._run(_LIVE_OF, {"agent_id": agent_id, "now_s": now_s})
        return [_record(row) for row in rows]

    def revoke(self, session_id: SessionId, *, now_s: int) -> bool:
        return bool(self._run(_REVOKE, {"session_id": session_id, "revoked_at": now_s}))


def _record(row: Any) -> SessionRecord:  # noqa: ANN401 -- rows are made from column names
    return SessionRecord._make(row)
