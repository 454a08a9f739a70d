"""Challenges: the messages written for owners, and which of them took effect."""

from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from waiaas.database.run import Run
from waiaas.database.schema import challenges
from waiaas.database.statements import Parameters, define
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.owner import Challenge, OwnerAction

_COLUMNS: Final = tuple(challenges.columns)

_INSERT: Final = define(
    insert(challenges).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_GET: Final = define(select(*_COLUMNS).where(challenges.c.nonce == bindparam("nonce")))
_UNUSED: Final = define(
    select(*_COLUMNS)
    .where(
        challenges.c.agent_id == bindparam("agent_id"),
        challenges.c.action == bindparam("action"),
        challenges.c.tx_id.is_not_distinct_from(bindparam("of_tx")),
        challenges.c.used_at.is_(None),
        challenges.c.expires_at > bindparam("now_s"),
    )
    .order_by(challenges.c.created_at, challenges.c.nonce)
)
_USED_FOR: Final = define(
    select(*_COLUMNS).where(
        challenges.c.tx_id == bindparam("of_tx"),
        challenges.c.action == bindparam("action"),
        challenges.c.used_at.is_not(None),
    )
)
_USE: Final = define(
    update(challenges)
    .where(challenges.c.nonce == bindparam("of_nonce"), challenges.c.used_at.is_(None))
    .values(used_at=bindparam("used_at"))
    .returning(challenges.c.nonce)
)
_SET_REFUSALS: Final = define(
    update(challenges)
    .where(challenges.c.nonce == bindparam("of_nonce"))
    .values(refusals=bindparam("refusals"))
)


class Challenges:
    """`waiaas.ports.ChallengeTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, challenge: Challenge) -> None:
        self._run(_INSERT, challenge._asdict())

    def get(self, nonce: str) -> Challenge | None:
        return _first(self._run(_GET, {"nonce": nonce}))

    def unused(
        self, action: OwnerAction, *, agent_id: AgentId, tx_id: TransactionId | None, now_s: int
    ) -> list[Challenge]:
        parameters: Parameters = {
            "agent_id": agent_id,
            "action": action,
            "of_tx": tx_id,
            "now_s": now_s,
        }
        return [_record(row) for row in self._run(_UNUSED, parameters)]

    def used_for(self, action: OwnerAction, *, tx_id: TransactionId) -> Challenge | None:
        return _first(self._run(_USED_FOR, {"of_tx": tx_id, "action": action}))

    def use(self, nonce: str, *, now_s: int) -> bool:
        return bool(self._run(_USE, {"of_nonce": nonce, "used_at": now_s}))

    def set_refusals(self, nonce: str, *, refusals: str) -> None:
        self._run(_SET_REFUSALS, {"of_nonce": nonce, "refusals": refusals})


def _first(rows: list[Any]) -> Challenge | None:
    return _record(rows[0]) if rows else None


def _record(row: Any) -> Challenge:  # noqa: ANN401 -- rows are made from column names
    challenge = Challenge._make(row)
    return challenge._replace(action=OwnerAction(challenge.action))
