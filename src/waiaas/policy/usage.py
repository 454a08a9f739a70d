"""What counts against a limit: money in flight, whatever its age, and what happened lately.

Rules ask for it in numbers, and only for what they need. The same answers give the same verdict,
so the answers a decision was given are the facts it rests on, few however much has happened.
"""

from typing import NamedTuple, Protocol

from waiaas.domain.records import SessionUse


class InFlight(NamedTuple):
    """Base units reserved and not yet settled. Submitted and unknown money is in flight."""

    going_out: int
    """Of tier INSTANT or NOTIFY: what goes out by itself."""
    waiting: int
    """Of tier DELAY or APPROVAL: counted in windows, not towards the tier."""


class Usage(Protocol):
    """What an agent has done so far, as it stands for the whole of one decision.

    An asset is `native`, or a token's address; one that was never used has nothing in it. Seconds
    are of ledger time. Sums are exact, and may be past 2^256-1.
    """

    def in_flight(self, asset: str) -> InFlight:
        """Return what is in flight of one asset."""

    def spent_after(self, asset: str, since_s: int) -> int:
        """Return the base units that moved after the second *since_s*: windows are half-open."""

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        """Return the first second up to which *base_units* had moved after *since_s*.

        Asked only for 1 to `spent_after(asset, since_s)` base units.
        """

    def admitted_after(self, since_s: int) -> int:
        """Return how many requests were admitted after *since_s*; counting ends at a bound.

        The bound is `waiaas.policy.rate_limit.REQUESTS_MAX`: no rule has a larger one.
        """

    def admitted_at(self, place: int) -> int | None:
        """Return when the request in this place was admitted, 1 being the newest, if there is."""

    def session(self) -> SessionUse:
        """Return what the session that asks has done; asked only if it has constraints."""
