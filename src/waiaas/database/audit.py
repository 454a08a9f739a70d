"""The audit log: appended to in the transaction of the act, and never changed."""

import json
from typing import Final

from sqlalchemy import bindparam, func, insert, select

from waiaas.database.run import Run
from waiaas.database.schema import audit_log
from waiaas.database.statements import define
from waiaas.domain.audit import AuditEvent

_INSERT: Final = define(
    insert(audit_log).values(
        timestamp=bindparam("timestamp"),
        event_type=bindparam("event_type"),
        actor=bindparam("actor"),
        agent_id=bindparam("agent_id"),
        session_id=bindparam("session_id"),
        tx_id=bindparam("tx_id"),
        details=bindparam("details"),
        severity=bindparam("severity"),
        ip_address=bindparam("ip_address"),
    )
)
_LATEST: Final = define(
    select(audit_log.c.timestamp).where(
        audit_log.c.id == select(func.max(audit_log.c.id)).scalar_subquery()
    )
)

_json_text: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class AuditLog:
    """`waiaas.ports.AuditTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def append(self, event: AuditEvent, *, now_s: int) -> None:
        self._run(
            _INSERT,
            {
                "timestamp": now_s,
                "event_type": event.action,
                "actor": event.actor,
                "agent_id": event.agent_id,
                "session_id": event.session_id,
                "tx_id": event.tx_id,
                "details": _json_text(event.details),
                "severity": event.severity,
                "ip_address": event.ip_address,
            },
        )

    def latest_timestamp(self) -> int:
        rows = self._run(_LATEST)
        return int(rows[0].timestamp) if rows else 0
