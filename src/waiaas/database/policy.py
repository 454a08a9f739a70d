"""Policies: rules as stored; `waiaas.policy` reads what they mean."""

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, or_, select, update

from waiaas.database.run import RECORDS_KEPT_MAX, Run
from waiaas.database.schema import policies
from waiaas.database.statements import define
from waiaas.domain.enums import PolicyType
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.records import PolicyRecord

_COLUMNS: Final = (
    policies.c.id,
    policies.c.agent_id,
    policies.c.type,
    policies.c.rules,
    policies.c.priority,
    policies.c.enabled,
    policies.c.created_at,
    policies.c.updated_at,
)

_INSERT: Final = define(
    insert(policies).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_APPLYING_TO: Final = define(
    select(*_COLUMNS)
    .where(
        policies.c.enabled == bindparam("enabled"),
        or_(policies.c.agent_id == bindparam("agent_id"), policies.c.agent_id.is_(None)),
    )
    .order_by(policies.c.id),
    is_remembered=True,
)
_GET: Final = define(select(*_COLUMNS).where(policies.c.id == bindparam("policy_id")))
_OF_AGENT: Final = define(
    select(*_COLUMNS).where(policies.c.agent_id == bindparam("agent_id")).order_by(policies.c.id)
)
_OF_EVERY_AGENT: Final = define(
    select(*_COLUMNS).where(policies.c.agent_id.is_(None)).order_by(policies.c.id)
)
_DELETE: Final = define(delete(policies).where(policies.c.id == bindparam("policy_id")))
_SET_RULES: Final = define(
    update(policies)
    .where(policies.c.id == bindparam("policy_id"))
    .values(
        rules=bindparam("rules"),
        priority=bindparam("priority"),
        enabled=bindparam("enabled"),
        updated_at=bindparam("updated_at"),
    )
)


_TYPES: Final = {kind.value: kind for kind in PolicyType}


class Policies:
    """`waiaas.ports.PolicyTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, policy: PolicyRecord) -> None:
        self._run(_INSERT, policy._asdict())

    def applying_to(self, agent_id: AgentId) -> list[PolicyRecord]:
        rows = self._run(_APPLYING_TO, {"enabled": 1, "agent_id": agent_id})
        return [_record(row) for row in rows]

    def get(self, policy_id: PolicyId) -> PolicyRecord | None:
        rows = self._run(_GET, {"policy_id": policy_id})
        return _record(rows[0]) if rows else None

    def of(self, agent_id: AgentId | None) -> list[PolicyRecord]:
        rows = (
            self._run(_OF_EVERY_AGENT, {})
            if agent_id is None
            else self._run(_OF_AGENT, {"agent_id": agent_id})
        )
        return [_record(row) for row in rows]

    def delete(self, policy_id: PolicyId) -> None:
        self._run(_DELETE, {"policy_id": policy_id})

    def set_rules(self, policy: PolicyRecord) -> None:
        self._run(
            _SET_RULES,
            {
                "policy_id": policy.id,
                "rules": policy.rules,
                "priority": policy.priority,
                "enabled": policy.enabled,
                "updated_at": policy.updated_at,
            },
        )


@lru_cache(maxsize=RECORDS_KEPT_MAX)
def _record(row: Any) -> PolicyRecord:  # noqa: ANN401 -- rows are made from column names
    return PolicyRecord(
        id=row.id,
        agent_id=row.agent_id,
        type=_TYPES[row.type],
        rules=row.rules,
        priority=row.priority,
        enabled=row.enabled,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
