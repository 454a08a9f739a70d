"""The kill switch: where it stands, which is the last of its moves."""

from typing import Final

from sqlalchemy import bindparam, func, insert, select

from waiaas.database.run import Run
from waiaas.database.schema import kill_switch
from waiaas.database.statements import define
from waiaas.domain.enums import KillSwitchState
from waiaas.domain.records import KillSwitch

_CURRENT: Final = define(
    select(*kill_switch.c).where(
        kill_switch.c.number == select(func.max(kill_switch.c.number)).scalar_subquery()
    ),
    is_remembered=True,
)
_INSERT: Final = define(
    insert(kill_switch).values({column.name: bindparam(column.name) for column in kill_switch.c})
)
_STATES: Final = {state.value: state for state in KillSwitchState}


class KillSwitches:
    """`waiaas.ports.KillSwitchTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def current(self) -> KillSwitch:
        rows = self._run(_CURRENT)
        if not rows:
            return KillSwitch()
        [row] = rows
        return KillSwitch(_STATES[row.state], row.since_at, row.reason, row.recoverable_at)

    def move(self, switch: KillSwitch) -> None:
        rows = self._run(_CURRENT)
        number = rows[0].number + 1 if rows else 1
        self._run(_INSERT, {"number": number, **switch._asdict()})
