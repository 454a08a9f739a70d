"""Requests as they were admitted, found again by the agent's idempotency key."""

from typing import Final

from sqlalchemy import BigInteger, Text, bindparam, delete, func, insert, select

from waiaas.database.run import Run
from waiaas.database.schema import live_references, requests, transactions
from waiaas.database.statements import Parameters, define
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AcceptedRequest
from waiaas.domain.transaction import MOVED_NOTHING

_COLUMNS: Final = (
    requests.c.tx_id,
    requests.c.agent_id,
    requests.c.idempotency_key,
    requests.c.request,
    requests.c.request_sha256,
    requests.c.reference,
    requests.c.refusal,
    requests.c.admitted_at,
)

_INSERT: Final = define(
    insert(requests).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_GET: Final = define(select(*_COLUMNS).where(requests.c.tx_id == bindparam("tx_id")))
_BY_KEY: Final = define(
    select(*_COLUMNS).where(
        requests.c.agent_id == bindparam("agent_id"),
        requests.c.idempotency_key == bindparam("idempotency_key"),
    )
)
_ADMITTED_LIKE: Final = define(
    select(requests.c.tx_id)
    .join(transactions, transactions.c.id == requests.c.tx_id)
    .where(
        requests.c.agent_id == bindparam("agent_id"),
        requests.c.request_sha256 == bindparam("request_sha256"),
        requests.c.admitted_at > bindparam("since_s"),
        requests.c.reference.is_not_distinct_from(bindparam("reference", type_=Text)),
        *(transactions.c.status != bindparam(status) for status in MOVED_NOTHING),
    )
    .order_by(requests.c.admitted_at.desc())
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)
_CLAIM: Final = define(
    insert(live_references).values(
        {name: bindparam(name) for name in ("agent_id", "reference", "tx_id")}
    )
)
_CLAIMED_BY: Final = define(
    select(live_references.c.tx_id).where(
        live_references.c.agent_id == bindparam("agent_id"),
        live_references.c.reference == bindparam("reference"),
    )
)
_FREE: Final = define(delete(live_references).where(live_references.c.tx_id == bindparam("of_tx")))
_COUNT_ADMITTED: Final = define(
    select(func.count().label("counted")).select_from(
        select(requests.c.admitted_at)
        .where(
            requests.c.agent_id == bindparam("agent_id"),
            requests.c.admitted_at > bindparam("since_s"),
        )
        # SQLAlchemy writes an offset of its own, as a constant, where there is none.
        .limit(bindparam("most", type_=BigInteger))
        .offset(bindparam("skipped", type_=BigInteger))
        .subquery()
    )
)
_ADMITTED_AT: Final = define(
    select(requests.c.admitted_at)
    .where(requests.c.agent_id == bindparam("agent_id"), requests.c.admitted_at.is_not(None))
    .order_by(requests.c.admitted_at.desc())
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)


class Requests:
    """`waiaas.ports.RequestTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, request: AcceptedRequest) -> None:
        self._run(_INSERT, request._asdict())

    def get(self, tx_id: TransactionId) -> AcceptedRequest | None:
        rows = self._run(_GET, {"tx_id": tx_id})
        return AcceptedRequest._make(rows[0]) if rows else None

    def by_key(self, agent_id: AgentId, *, idempotency_key: str) -> AcceptedRequest | None:
        rows = self._run(_BY_KEY, {"agent_id": agent_id, "idempotency_key": idempotency_key})
        return AcceptedRequest._make(rows[0]) if rows else None

    def admitted_like(
        self, agent_id: AgentId, *, request_sha256: str, reference: str | None, since_s: int
    ) -> TransactionId | None:
        parameters: Parameters = {
            "agent_id": agent_id,
            "request_sha256": request_sha256,
            "reference": reference,
            "since_s": since_s,
            "most": 1,
            "skipped": 0,
            **{status: status for status in MOVED_NOTHING},
        }
        rows = self._run(_ADMITTED_LIKE, parameters)
        return TransactionId(rows[0].tx_id) if rows else None

    def claim_reference(self, tx_id: TransactionId, *, agent_id: AgentId, reference: str) -> None:
        self._run(_CLAIM, {"agent_id": agent_id, "reference": reference, "tx_id": tx_id})

    def claimed_by(self, agent_id: AgentId, *, reference: str) -> TransactionId | None:
        rows = self._run(_CLAIMED_BY, {"agent_id": agent_id, "reference": reference})
        return TransactionId(rows[0].tx_id) if rows else None

    def free_reference(self, tx_id: TransactionId) -> None:
        self._run(_FREE, {"of_tx": tx_id})

    def count_admitted(self, agent_id: AgentId, *, since_s: int, most: int) -> int:
        parameters: Parameters = {
            "agent_id": agent_id,
            "since_s": since_s,
            "most": most,
            "skipped": 0,
        }
        [row] = self._run(_COUNT_ADMITTED, parameters)
        return int(row.counted)

    def admitted_at(self, agent_id: AgentId, *, place: int) -> int | None:
        rows = self._run(_ADMITTED_AT, {"agent_id": agent_id, "most": 1, "skipped": place - 1})
        return rows[0].admitted_at if rows else None
