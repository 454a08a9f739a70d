"""Requests as they were admitted, found again by the agent's idempotency key."""

from typing import Final

from sqlalchemy import BigInteger, bindparam, insert, select

from waiaas.database.run import Run
from waiaas.database.schema import requests
from waiaas.database.statements import Parameters, define
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AcceptedRequest

_COLUMNS: Final = (
    requests.c.tx_id,
    requests.c.agent_id,
    requests.c.idempotency_key,
    requests.c.request_sha256,
    requests.c.refusal,
    requests.c.admitted_at,
)

_INSERT: Final = define(
    insert(requests).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_BY_KEY: Final = define(
    select(*_COLUMNS).where(
        requests.c.agent_id == bindparam("agent_id"),
        requests.c.idempotency_key == bindparam("idempotency_key"),
    )
)
_ADMITTED: Final = define(
    select(requests.c.admitted_at)
    .where(
        requests.c.agent_id == bindparam("agent_id"), requests.c.admitted_at > bindparam("since_s")
    )
    .order_by(requests.c.admitted_at.desc())
    # SQLAlchemy writes an offset of its own, as a constant, where there is none.
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)


class Requests:
    """`waiaas.ports.RequestTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, request: AcceptedRequest) -> None:
        self._run(_INSERT, request._asdict())

    def by_key(self, agent_id: AgentId, *, idempotency_key: str) -> AcceptedRequest | None:
        rows = self._run(_BY_KEY, {"agent_id": agent_id, "idempotency_key": idempotency_key})
        return AcceptedRequest._make(rows[0]) if rows else None

    def admitted_since(self, agent_id: AgentId, *, since_s: int, most: int) -> list[int]:
        parameters: Parameters = {
            "agent_id": agent_id,
            "since_s": since_s,
            "most": most,
            "skipped": 0,
        }
        rows = self._run(_ADMITTED, parameters)
        return [row.admitted_at for row in rows]
