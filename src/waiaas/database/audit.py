"""The audit log: appended to, with its link of the chain, in the transaction of the act."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, func, insert, select

from waiaas.database.chain import GENESIS, canonical, link_hash
from waiaas.database.run import Run
from waiaas.database.schema import audit_chain, audit_log, transactions
from waiaas.database.statements import PLAIN_TYPES, define
from waiaas.domain.audit import AuditEvent, EventCount

_LAST_SEQUENCE: Final = select(func.max(audit_chain.c.sequence)).scalar_subquery()
_NEW: Final = (
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
    .returning(audit_log.c.id)
)
_INSERT: Final = define(_NEW)
_INSERT_AND_HEAD: Final = define(
    # The head comes along, where it is not known.
    _NEW.returning(
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


class Last(NamedTuple):
    """The newest audit row."""

    sequence: int
    hash: str
    """Of its link: the head of the chain."""
    timestamp: int


class Tail:
    """Where the audit log ends, as its only writer knows without asking.

    Whoever rolls back, or learns of another writer, has to `forget`. One who did not would be
    refused by the triggers, which accept the next link only.
    """

    def __init__(self) -> None:
        self.last: Last | None = None
        """None: the ledger has to be asked."""

    def forget(self) -> None:
        """Ask the ledger next time."""
        self.last = None


class AuditLog:
    """`waiaas.ports.AuditTable` on a connection."""

    def __init__(self, run: Run, tail: Tail | None = None) -> None:
        """Run statements by *run*; with a *tail* the end of the log is remembered there."""
        self._run = run
        self._tail = tail

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
        last = self._take_last()
        [added] = self._run(_INSERT_AND_HEAD if last is None else _INSERT, values)
        if last is None:
            last = Last(added.sequence or 0, added.hash or GENESIS, now_s)
        # In the order of the columns, as `dict` keeps it.
        row = canonical((added.id, *values.values()))
        new = Last(last.sequence + 1, link_hash(last.hash, row), now_s)
        self._run(
            _INSERT_LINK,
            {
                "sequence": new.sequence,
                "audit_id": added.id,
                "previous_hash": last.hash,
                "hash": new.hash,
            },
        )
        if self._tail is not None:
            self._tail.last = new

    def _take_last(self) -> Last | None:
        """Return what is remembered, which is forgotten until all of the next row is written."""
        if self._tail is None:
            return None
        last = self._tail.last
        self._tail.forget()
        return last

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
        if self._tail is not None and self._tail.last is not None:
            return self._tail.last.timestamp
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
