"""The outbox: what owners are to be told, written with the act it tells of, numbered in order."""

from typing import Final

import msgspec
from sqlalchemy import BigInteger, bindparam, insert, select

from waiaas.database.run import Run
from waiaas.database.schema import outbox
from waiaas.database.statements import Parameters, define
from waiaas.domain.enums import NotificationEventType
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.notification import Notification
from waiaas.domain.records import OutboxRecord

_INSERT: Final = define(
    insert(outbox).values(
        event_type=bindparam("event_type"),
        agent_id=bindparam("agent_id"),
        tx_id=bindparam("tx_id"),
        details=bindparam("details"),
        created_at=bindparam("created_at"),
    )
)
_AFTER: Final = define(
    select(
        outbox.c.id,
        outbox.c.event_type,
        outbox.c.agent_id,
        outbox.c.tx_id,
        outbox.c.details,
        outbox.c.created_at,
    )
    .where(outbox.c.id > bindparam("after"))
    .order_by(outbox.c.id)
    # SQLAlchemy writes an offset of its own, as a constant, where there is none.
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)


class Outbox:
    """`waiaas.ports.OutboxTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def append(self, notification: Notification, *, now_s: int) -> None:
        parameters: Parameters = {
            "event_type": notification.event,
            "agent_id": notification.agent_id,
            "tx_id": notification.tx_id,
            "details": msgspec.json.encode(dict(notification.details)).decode(),
            "created_at": now_s,
        }
        self._run(_INSERT, parameters)

    def after(self, number: int, *, most: int) -> list[OutboxRecord]:
        rows = self._run(_AFTER, {"after": number, "most": most, "skipped": 0})
        return [
            OutboxRecord(
                number=row.id,
                event=NotificationEventType(row.event_type),
                agent_id=None if row.agent_id is None else AgentId(row.agent_id),
                tx_id=None if row.tx_id is None else TransactionId(row.tx_id),
                details=row.details,
                created_at=row.created_at,
            )
            for row in rows
        ]
