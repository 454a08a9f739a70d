"""The audit log: appended to, with its link of the chain, in the transaction of the act."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec
from sqlalchemy import bindparam, func, insert, select

from waiaas.database.chain import GENESIS, canonical, link_hash
from waiaas.database.run import Run
from waiaas.database.schema import audit_chain, audit_log, transactions
from waiaas.database.statements import PLAIN_TYPES, define
from waiaas.domain.audit import AuditEvent, EventCount

_LAST_SEQUENCE: Final = select(func.max(audit_chain.c.sequence)).scalar_subquery()
_INSERT: Final = define(
    insert(audit_log)
    .values(
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
    # The head comes along: one statement less for every row.
    .returning(
        audit_log.c.id,
        _LAST_SEQUENCE.label("sequence"),
        select(audit_chain.c.hash)
        .where(audit_chain.c.sequence == _LAST_SEQUENCE)
        .scalar_subquery()
        .label("hash"),
    )
)
_INSERT_LINK: Final = define(
    insert(audit_chain).values(
        sequence=bindparam("sequence"),
        audit_id=bindparam("audit_id"),
        previous_hash=bindparam("previous_hash"),
        hash=bindparam("hash"),
    )
)
_HEAD: Final = define(
    select(audit_chain.c.sequence, audit_chain.c.hash).where(
        audit_chain.c.sequence == _LAST_SEQUENCE
    )
)
_HASH_AT: Final = define(
    select(audit_chain.c.hash).where(audit_chain.c.sequence == bindparam("sequence"))
)
_LATEST: Final = define(
    select(audit_log.c.timestamp).where(
        audit_log.c.id == select(func.max(audit_log.c.id)).scalar_subquery()
    )
)

_LAST_ID: Final = define(select(func.max(audit_log.c.id).label("last_id")))
_COUNTS: Final = define(
    select(audit_log.c.event_type, transactions.c.tier, func.count().label("count"))
    .select_from(audit_log.outerjoin(transactions, transactions.c.id == audit_log.c.tx_id))
    .where(audit_log.c.id > bindparam("after"), audit_log.c.id <= bindparam("until"))
    .group_by(audit_log.c.event_type, transactions.c.tier)
)


class AuditLog:
    """`waiaas.ports.AuditTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def append(self, event: AuditEvent, *, now_s: int) -> None:
        values: dict[str, str | int | None] = {
            "timestamp": now_s,
            "event_type": event.action,
            "actor": event.actor,
            "agent_id": event.agent_id,
            "session_id": event.session_id,
            "tx_id": event.tx_id,
            "details": _json_text(event.details),
            "severity": event.severity,
            "ip_address": event.ip_address,
        }
        [added] = self._run(_INSERT, values)
        previous_hash = added.hash or GENESIS
        # In the order of the columns, as `dict` keeps it.
        row = canonical((added.id, *values.values()))
        self._run(
            _INSERT_LINK,
            {
                "sequence": (added.sequence or 0) + 1,
                "audit_id": added.id,
                "previous_hash": previous_hash,
                "hash": link_hash(previous_hash, row),
            },
        )

    def head(self) -> tuple[int, str]:
        rows = self._run(_HEAD)
        return (int(rows[0].sequence), str(rows[0].hash)) if rows else (0, GENESIS)

    def hash_at(self, sequence: int) -> str | None:
        if sequence == 0:
            return GENESIS
        rows = self._run(_HASH_AT, {"sequence": sequence})
        return str(rows[0].hash) if rows else None

    def last_id(self) -> int:
        [row] = self._run(_LAST_ID)
        return int(row.last_id or 0)

    def count_after(self, audit_id: int, *, most: int) -> list[EventCount]:
        rows = self._run(_COUNTS, {"after": audit_id, "until": audit_id + most})
        return [EventCount(str(row.event_type), row.tier, int(row.count)) for row in rows]

    def latest_timestamp(self) -> int:
        rows = self._run(_LATEST)
        return int(rows[0].timestamp) if rows else 0


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_escape: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def _json_text(details: Mapping[str, str | int | None]) -> str:
    facts = dict(details)
    if PLAIN_TYPES.issuperset(map(type, facts.values())):
        # Half a surrogate pair has a form in JSON, but none in UTF-8.
        with suppress(UnicodeEncodeError):
            return _encode(facts).decode()
    return _escape(facts)
