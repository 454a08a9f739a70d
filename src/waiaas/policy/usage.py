"""What counts against a limit: money in flight, whatever its age, and what happened lately."""

from collections.abc import Mapping
from dataclasses import dataclass

from waiaas.domain.records import Spend


@dataclass(frozen=True, slots=True)
class Spending:
    """An agent's use of one asset, at the moment of a decision."""

    going_out: int = 0
    """Base units in flight of tier INSTANT or NOTIFY: what goes out by itself."""
    waiting: int = 0
    """Base units in flight of tier DELAY or APPROVAL: counted in windows, not towards the tier."""
    spends: tuple[Spend, ...] = ()
    """What moved within the longest window, oldest first."""

    @property
    def in_flight(self) -> int:
        """Base units reserved and not yet settled. Submitted and unknown money is in flight."""
        return self.going_out + self.waiting

    def spent_after(self, since_s: int) -> int:
        """Return the base units that moved after *since_s*: windows are half-open."""
        return sum(spend.base_units for spend in self.spends if spend.settled_at > since_s)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an agent has done so far, as far as rules ask for it."""

    spending: Mapping[str, Spending]
    """By asset: `native`, or a token's address. What is not there was never used."""
    admitted_at: tuple[int, ...] = ()
    """When the newest requests were admitted, newest first, as many as a RATE_LIMIT may count."""

    def of(self, asset: str) -> Spending:
        """Return the use of one asset."""
        return self.spending.get(asset, Spending())
