"""Agents."""

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, select, update

from waiaas.database.run import RECORDS_KEPT_MAX, Run
from waiaas.database.schema import agents
from waiaas.database.statements import Parameters, define
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord

_COLUMNS: Final = (
    agents.c.id,
    agents.c.name,
    agents.c.chain,
    agents.c.network,
    agents.c.public_key,
    agents.c.status,
    agents.c.created_at,
    agents.c.suspended_at,
    agents.c.suspension_reason,
)

_INSERT: Final = define(
    insert(agents).values(
        id=bindparam("id"),
        name=bindparam("name"),
        chain=bindparam("chain"),
        network=bindparam("network"),
        public_key=bindparam("public_key"),
        status=bindparam("status"),
        created_at=bindparam("created_at"),
        updated_at=bindparam("updated_at"),
    )
)
_GET: Final = define(select(*_COLUMNS).where(agents.c.id == bindparam("id")), is_remembered=True)
_WITH_STATUS: Final = define(
    select(*_COLUMNS).where(agents.c.status == bindparam("status")).order_by(agents.c.id)
)
_TERMINATED_SINCE: Final = define(
    select(*_COLUMNS)
    .where(agents.c.status == bindparam("status"), agents.c.updated_at >= bindparam("since_s"))
    .order_by(agents.c.id)
)
_COUNT: Final = define(select(func.count().label("agents")).select_from(agents))
_SET_STATUS: Final = define(
    update(agents)
    .where(agents.c.id == bindparam("agent_id"), agents.c.status == bindparam("old_status"))
    .values(status=bindparam("status"), updated_at=bindparam("updated_at"))
    .returning(agents.c.id)
)
_SUSPEND: Final = define(
    update(agents)
    .where(agents.c.id == bindparam("agent_id"), agents.c.status == bindparam("old_status"))
    .values(
        status=bindparam("status"),
        suspended_at=bindparam("suspended_at"),
        suspension_reason=bindparam("suspension_reason"),
        updated_at=bindparam("updated_at"),
    )
    .returning(agents.c.id)
)


_CHAINS: Final = {chain.value: chain for chain in ChainType}
_NETWORKS: Final = {network.value: network for network in NetworkType}
_STATUSES: Final = {status.value: status for status in AgentStatus}


class Agents:
    """`waiaas.ports.AgentTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, agent: AgentRecord) -> None:
        self._run(
            _INSERT,
            {
                "id": agent.id,
                "name": agent.name,
                "chain": agent.chain,
                "network": agent.network,
                "public_key": agent.public_key,
                "status": agent.status,
                "created_at": agent.created_at,
                "updated_at": agent.created_at,
            },
        )

    def get(self, agent_id: AgentId) -> AgentRecord | None:
        rows = self._run(_GET, {"id": agent_id})
        return _record(rows[0]) if rows else None

    def with_status(self, status: AgentStatus) -> list[AgentRecord]:
        return [_record(row) for row in self._run(_WITH_STATUS, {"status": status})]

    def terminated_since(self, since_s: int) -> list[AgentRecord]:
        given: Parameters = {"status": AgentStatus.TERMINATED, "since_s": since_s}
        return [_record(row) for row in self._run(_TERMINATED_SINCE, given)]

    def count(self) -> int:
        return int(self._run(_COUNT)[0].agents)

    def compare_and_set_status(
        self, agent_id: AgentId, *, old: AgentStatus, new: AgentStatus, now_s: int
    ) -> bool:
        parameters: Parameters = {
            "agent_id": agent_id,
            "old_status": old,
            "status": new,
            "updated_at": now_s,
        }
        return bool(self._run(_SET_STATUS, parameters))

    def suspend(self, agent_id: AgentId, *, reason: str, now_s: int) -> bool:
        parameters: Parameters = {
            "agent_id": agent_id,
            "old_status": AgentStatus.ACTIVE,
            "status": AgentStatus.SUSPENDED,
            "suspended_at": now_s,
            "suspension_reason": reason,
            "updated_at": now_s,
        }
        return bool(self._run(_SUSPEND, parameters))

    def resume(self, agent_id: AgentId, *, now_s: int) -> bool:
        parameters: Parameters = {
            "agent_id": agent_id,
            "old_status": AgentStatus.SUSPENDED,
            "status": AgentStatus.ACTIVE,
            "suspended_at": None,
            "suspension_reason": None,
            "updated_at": now_s,
        }
        return bool(self._run(_SUSPEND, parameters))


@lru_cache(maxsize=RECORDS_KEPT_MAX)
def _record(row: Any) -> AgentRecord:  # noqa: ANN401 -- rows are made from column names
    return AgentRecord(
        id=row.id,
        name=row.name,
        chain=_CHAINS[row.chain],
        network=_NETWORKS[row.network],
        public_key=row.public_key,
        status=_STATUSES[row.status],
        created_at=row.created_at,
        suspended_at=row.suspended_at,
        suspension_reason=row.suspension_reason,
    )
