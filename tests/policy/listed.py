"""Usage as a list of everything that happened: the naive sums that a ledger's are held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from waiaas.domain.records import UNUSED_SESSION, SessionUse
from waiaas.policy.usage import InFlight


class Spend(NamedTuple):
    """Money that moved, and in which second."""

    settled_at: int
    base_units: int


@dataclass(frozen=True, slots=True)
class Spending:
    """An agent's use of one asset."""

    going_out: int = 0
    waiting: int = 0
    spends: tuple[Spend, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedUsage:
    """`waiaas.policy.usage.Usage` by adding, one by one."""

    spending: Mapping[str, Spending] = field(default_factory=dict)
    admissions: tuple[int, ...] = ()
    used: SessionUse = UNUSED_SESSION

    def in_flight(self, asset: str) -> InFlight:
        spending = self._of(asset)
        return InFlight(spending.going_out, spending.waiting)

    def spent_after(self, asset: str, since_s: int) -> int:
        return sum(each.base_units for each in self._later(asset, since_s))

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        assert 1 <= base_units <= self.spent_after(asset, since_s)
        later = self._later(asset, since_s)
        return next(
            each.settled_at
            for each in later
            if base_units <= sum(one.base_units for one in later if one <= each)
        )

    def admitted_after(self, since_s: int) -> int:
        return sum(second > since_s for second in self.admissions)

    def admitted_at(self, place: int) -> int | None:
        newest_first = sorted(self.admissions, reverse=True)
        return newest_first[place - 1] if place <= len(newest_first) else None

    def session(self) -> SessionUse:
        return self.used

    def _of(self, asset: str) -> Spending:
        return self.spending.get(asset, Spending())

    def _later(self, asset: str, since_s: int) -> list[Spend]:
        return sorted(each for each in self._of(asset).spends if each.settled_at > since_s)
