"""The facts of a decision: what a verdict was told, kept so that it can be told again.

`RecordingUsage` notes every answer while a request is judged. `RecordedUsage` gives the same
answers later. Other rules may ask for more: what moved and was admitted in seconds that are over is
known from the `History`, exactly; what neither knows is never guessed.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from waiaas.domain.records import SessionUse
from waiaas.policy.rate_limit import REQUESTS_MAX
from waiaas.policy.usage import InFlight, Usage

EVER_S: Final = -1
"""Before every second: what moved after it is all that ever moved."""


class NotRecorded(Exception):  # noqa: N818 -- says what is missing
    """A rule asks for what was not written down when the decision was made."""


@dataclass(slots=True)
class Answers:
    """By question, what `waiaas.policy.usage.Usage` answered; amounts in base units."""

    in_flight: dict[str, InFlight] = field(default_factory=dict)
    """By asset."""
    spent_after: dict[str, dict[int, int]] = field(default_factory=dict)
    """By asset and second."""
    spent_so_far: dict[str, dict[int, dict[int, int]]] = field(default_factory=dict)
    """By asset, second and base units."""
    admitted_after: dict[int, int] = field(default_factory=dict)
    """By second."""
    admitted_at: dict[int, int | None] = field(default_factory=dict)
    """By place."""
    session: SessionUse | None = None
    """None: nobody asked."""


class RecordingUsage:
    """A `Usage` that notes what another one answers."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self.answers: Final = Answers()

    def in_flight(self, asset: str) -> InFlight:
        answer = self.answers.in_flight[asset] = self._usage.in_flight(asset)
        return answer

    def spent_after(self, asset: str, since_s: int) -> int:
        answer = self._usage.spent_after(asset, since_s)
        self.answers.spent_after.setdefault(asset, {})[since_s] = answer
        return answer

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        answer = self._usage.spent_so_far(asset, since_s, base_units)
        of_asset = self.answers.spent_so_far.setdefault(asset, {})
        of_asset.setdefault(since_s, {})[base_units] = answer
        return answer

    def admitted_after(self, since_s: int) -> int:
        answer = self.answers.admitted_after[since_s] = self._usage.admitted_after(since_s)
        return answer

    def admitted_at(self, place: int) -> int | None:
        answer = self.answers.admitted_at[place] = self._usage.admitted_at(place)
        return answer

    def session(self) -> SessionUse:
        answer = self.answers.session = self._usage.session()
        return answer

    def note_assets(self, assets: Iterable[str]) -> None:
        """Note what cannot be found out later: of each asset, what is in flight and ever moved."""
        for asset in assets:
            if asset not in self.answers.in_flight:
                self.in_flight(asset)
            self.spent_after(asset, EVER_S)


class Moved(Protocol):
    """What had moved of one asset of an agent, as far back as windows reach."""

    def until(self, second: int) -> int:
        """Return the base units that had moved up to and with *second*."""

    def reaches(self, base_units: int, *, by_s: int) -> int:
        """Return the first second with this total; *by_s* if that is not before it."""


class Spent:
    """`Moved` from running totals of one asset of an agent: what had ever moved, by second."""

    def __init__(self, totals: Sequence[tuple[int, int]], *, before: int = 0) -> None:
        """Take seconds with their totals, in order, and the total before the first of them."""
        self._seconds: Final = [second for second, _ in totals]
        self._totals: Final = [before, *(total for _, total in totals)]

    def until(self, second: int) -> int:
        """Return the base units that had moved up to and with *second*."""
        return self._totals[bisect_right(self._seconds, second)]

    def reaches(self, base_units: int, *, by_s: int) -> int:
        """Return the first second with this total; *by_s* if that is not before it."""
        place = bisect_left(self._totals, base_units)
        second = self._seconds[place - 1] if 0 < place < len(self._totals) else by_s
        return min(second, by_s)


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one agent's past, as far back as windows reach.

    Running totals may go on past the decision that is looked at; admissions end before it.
    """

    spent: Mapping[str, Moved]
    """By asset."""
    admissions: Sequence[int]
    """When its requests were admitted, oldest first."""


NO_SPENDING: Final = Spent(())


class RecordedUsage:
    """`waiaas.policy.usage.Usage` as it was when something was decided.

    Without a history only what was noted is answered.
    """

    def __init__(self, answers: Answers, *, now_s: int, history: History | None = None) -> None:
        self._answers = answers
        self._now_s = now_s
        self._history = history

    def in_flight(self, asset: str) -> InFlight:
        answer = self._answers.in_flight.get(asset)
        if answer is None:
            raise NotRecorded(f"what was in flight of {asset}")
        return answer

    def spent_after(self, asset: str, since_s: int) -> int:
        noted = self._answers.spent_after.get(asset, {})
        if since_s in noted:
            return noted[since_s]
        if EVER_S not in noted:
            raise NotRecorded(f"how much had moved of {asset}")
        return noted[EVER_S] - self._spent(asset).until(since_s)

    def spent_so_far(self, asset: str, since_s: int, base_units: int) -> int:
        noted = self._answers.spent_so_far.get(asset, {}).get(since_s, {})
        if base_units in noted:
            return noted[base_units]
        spent = self._spent(asset)
        return spent.reaches(spent.until(since_s) + base_units, by_s=self._now_s)

    def admitted_after(self, since_s: int) -> int:
        if since_s in self._answers.admitted_after:
            return self._answers.admitted_after[since_s]
        admissions = self._past().admissions
        return min(len(admissions) - bisect_right(admissions, since_s), REQUESTS_MAX)

    def admitted_at(self, place: int) -> int | None:
        if place in self._answers.admitted_at:
            return self._answers.admitted_at[place]
        admissions = self._past().admissions
        return admissions[-place] if place <= len(admissions) else None

    def session(self) -> SessionUse:
        if self._answers.session is None:
            raise NotRecorded("what the session had used")
        return self._answers.session

    def _spent(self, asset: str) -> Moved:
        return self._past().spent.get(asset, NO_SPENDING)

    def _past(self) -> History:
        if self._history is None:
            raise NotRecorded("what happened before")
        return self._history
