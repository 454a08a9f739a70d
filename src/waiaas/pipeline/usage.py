"""What an agent has done so far, read from the ledger as far as rules ask for it."""

from typing import Final

from waiaas.domain.enums import PolicyTier
from waiaas.domain.ids import AgentId, SessionId
from waiaas.domain.records import UNUSED_SESSION, SessionUse, Sums
from waiaas.policy.rate_limit import REQUESTS_MAX
from waiaas.policy.usage import InFlight
from waiaas.ports import LedgerTransaction

GOES_OUT: Final = (PolicyTier.INSTANT, PolicyTier.NOTIFY)
"""Tiers of what nobody has to wait for."""


class LedgerUsage:
    """`waiaas.policy.usage.Usage` inside one transaction, which alone makes it stand still.

    Each question costs the same however large the ledger is and however much has happened.
    """

    def __init__(
        self,
        tx: LedgerTransaction,
        agent_id: AgentId,
        *,
        session_id: SessionId | None = None,
    ) -> None:
        self._tx = tx
        self._agent_id = agent_id
        self._session_id = session_id
        self._sums: dict[str, Sums] = {}
        self._spent_until: dict[tuple[str, int], int] = {}

    def in_flight(self, asset: str) -> InFlight:
        going_out = waiting = 0
        for tier, base_units in self._of(asset).held:
            if tier in GOES_OUT:
                going_out += base_units
            else:
                waiting += base_units
        return InFlight(going_out, waiting)

    def spent_after(self, asset: str, since_s: int) -> int:
        return self._of(asset).moved - self._until(asset, since_s)

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        second = self._tx.reservations.spent_reaches(
            self._agent_id,
            asset=asset,
            base_units=self._until(asset, since_s) + base_units,
            after_s=since_s,
        )
        assert second is not None, "no more is asked for than was spent"
        return second

    def admitted_after(self, since_s: int) -> int:
        return self._tx.requests.count_admitted(self._agent_id, since_s=since_s, most=REQUESTS_MAX)

    def admitted_at(self, place: int) -> int | None:
        return self._tx.requests.admitted_at(self._agent_id, place=place)

    def session(self) -> SessionUse:
        return (
            UNUSED_SESSION if self._session_id is None else self._tx.sessions.used(self._session_id)
        )

    def _of(self, asset: str) -> Sums:
        sums = self._sums.get(asset)
        if sums is None:
            sums = self._sums[asset] = self._tx.reservations.sums(self._agent_id, asset=asset)
        return sums

    def _until(self, asset: str, until_s: int) -> int:
        if until_s < 0:  # Ledger time begins with the epoch.
            return 0
        sums = self._of(asset)
        if until_s >= sums.moved_at:  # Whatever moved, moved by then.
            return sums.moved
        key = asset, until_s
        if key not in self._spent_until:
            self._spent_until[key] = self._tx.reservations.spent_until(
                self._agent_id, asset=asset, until_s=until_s
            )
        return self._spent_until[key]
