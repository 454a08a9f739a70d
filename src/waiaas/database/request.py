"""Requests as they were admitted, found again by the agent's idempotency key."""

from typing import Final

from sqlalchemy import bindparam, insert, select

from waiaas.database.run import Run
from waiaas.database.schema import requests
from waiaas.database.statements import define
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AcceptedRequest

_COLUMNS: Final = (
    requests.c.tx_id,
    requests.c.agent_id,
    requests.c.idempotency_key,
    requests.c.request_sha256,
    requests.c.refusal,
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


class Requests:
    """`waiaas.ports.RequestTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, request: AcceptedRequest) -> None:
        self._run(_INSERT, request._asdict())

    def by_key(self, agent_id: AgentId, *, idempotency_key: str) -> AcceptedRequest | None:
        rows = self._run(_BY_KEY, {"agent_id": agent_id, "idempotency_key": idempotency_key})
        return AcceptedRequest._make(rows[0]) if rows else None
