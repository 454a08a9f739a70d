"""TIME_RESTRICTION: the only hours of the week, in a time zone, in which anything may be asked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from waiaas.domain.enums import PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.policy.document import Document
from waiaas.policy.rule import Case, Rule
from waiaas.policy.schedule import DAY_MINUTES, Schedule, Window
from waiaas.policy.verdict import Violation

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

FIELDS: Final = ("timezone", "windows")
WINDOW_FIELDS: Final = ("days", "start", "end")

_TIME: Final = re.compile(r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])")
_END_OF_DAY: Final = "24:00"

WINDOWS_MAX: Final = 21
"""Three kinds of day, seven times over; the next opening is found among so many starts."""

_ZONE: Final = re.compile(
    r"UTC|(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)(?:/[\w+-]+){1,2}",
    re.ASCII,
)
"""IANA's names of places. The files beside them (`right/`, `localtime`) are no zone for a rule."""


@dataclass(frozen=True, slots=True)
class TimeRestriction(Rule):
    """Denies everything outside of its windows. Two of them leave the hours that are in both."""

    hours: Schedule

    @property
    def schedule(self) -> Schedule:
        return self.hours

    def judge_whole(self, case: Case) -> Iterator[Violation]:
        if not self.hours.is_open(case.now_s):
            yield Violation(
                ErrorCode.POLICY_DENIED,
                PolicyType.TIME_RESTRICTION,
                f"this is outside of the hours allowed ({self.hours.zone.key})",
                bound="windows",
                retry_at=self.hours.opens_at(case.now_s),
            )


def parse(document: Document) -> TimeRestriction:
    """Return the hours that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong, or the same hours are set twice.
    """
    document.require_known(FIELDS)
    zone = _zone(document)
    windows = tuple(_window(entry) for entry in document.documents("windows", most=WINDOWS_MAX))
    if document.is_new:
        for index, window in enumerate(windows):
            if window in windows[:index]:
                raise document.refuse(f"windows[{index}]", "is listed twice")
    return TimeRestriction(Schedule(zone, windows))


def _zone(document: Document) -> ZoneInfo:
    name = document.text("timezone")
    reason = "must be UTC or a place in IANA's database of time zones, such as Europe/Berlin"
    if not _ZONE.fullmatch(name):
        raise document.refuse("timezone", reason)
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise document.refuse("timezone", reason) from error


def _window(document: Document) -> Window:
    document.require_known(WINDOW_FIELDS)
    days = document.texts("days")
    for index, day in enumerate(days):
        if day not in DAYS:
            raise document.refuse(f"days[{index}]", f"must be one of {', '.join(DAYS)}")
    start, end = _minute(document, "start"), _minute(document, "end")
    if start == end:
        raise document.refuse("end", "is the start; a whole day is 00:00 to 24:00")
    return Window(frozenset(DAYS.index(day) for day in days), start, end)


def _minute(document: Document, name: str) -> int:
    text = document.text(name)
    if name == "end" and text == _END_OF_DAY:
        return DAY_MINUTES
    matched = _TIME.fullmatch(text)
    if matched is None:
        raise document.refuse(name, "must be a time of day such as 09:30")
    return int(matched["hour"]) * 60 + int(matched["minute"])
