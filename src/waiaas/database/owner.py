"""Owners: who an agent's columns say it belongs to."""

from typing import Final

from sqlalchemy import bindparam, select, update

from waiaas.database.run import Run
from waiaas.database.schema import agents
from waiaas.database.statements import Parameters, define
from waiaas.domain.ids import AgentId
from waiaas.domain.owner import Owner

_OF_AGENT: Final = define(
    select(agents.c.owner_address, agents.c.owner_verified).where(
        agents.c.id == bindparam("agent_id")
    )
)
_SET: Final = define(
    update(agents)
    .where(
        agents.c.id == bindparam("agent_id"),
        # Two NULLs are the same here, which `=` does not say.
        agents.c.owner_address.is_not_distinct_from(bindparam("old_address")),
        agents.c.owner_verified == bindparam("old_verified"),
    )
    .values(
        owner_address=bindparam("owner_address"),
        owner_verified=bindparam("owner_verified"),
        updated_at=bindparam("updated_at"),
    )
    .returning(agents.c.id)
)


class Owners:
    """`waiaas.ports.OwnerTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def of_agent(self, agent_id: AgentId) -> Owner | None:
        rows = self._run(_OF_AGENT, {"agent_id": agent_id})
        if not rows:
            return None
        return Owner(rows[0].owner_address, is_verified=bool(rows[0].owner_verified))

    def compare_and_set(self, agent_id: AgentId, *, old: Owner, new: Owner, now_s: int) -> bool:
        parameters: Parameters = {
            "agent_id": agent_id,
            "old_address": old.address,
            "old_verified": int(old.is_verified),
            "owner_address": new.address,
            "owner_verified": int(new.is_verified),
            "updated_at": now_s,
        }
        return bool(self._run(_SET, parameters))
