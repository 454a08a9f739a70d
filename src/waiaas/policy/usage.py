"""What counts against a limit: money in flight, whatever its age, and money that moved lately."""

from dataclasses import dataclass

from waiaas.domain.records import Spend


@dataclass(frozen=True, slots=True)
class Usage:
    """An agent's use of one asset, at the moment of a decision."""

    in_flight: int
    """Base units reserved and not yet settled. Submitted and unknown money is in flight."""
    spends: tuple[Spend, ...]
    """What moved within the longest window, oldest first."""

    def spent_after(self, since_s: int) -> int:
        """Return the base units that moved after *since_s*: windows are half-open."""
        return sum(spend.base_units for spend in self.spends if spend.settled_at > since_s)
