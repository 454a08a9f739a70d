"""RATE_LIMIT: how many requests are admitted in a rolling window. A batch is one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.policy.document import Document
from waiaas.policy.rule import Case, Rule
from waiaas.policy.verdict import Violation

REQUESTS_MAX: Final = 1000
"""The largest number a rule may name; further than that nobody has to count."""

RATE_WINDOW_S_MAX: Final = 30 * 86_400

FIELDS: Final = ("max_requests", "window_seconds")


@dataclass(frozen=True, slots=True)
class RateLimit(Rule):
    """Denies what would be one request too many; denied ones do not count."""

    max_requests: int
    window_s: int

    def judge_whole(self, case: Case) -> Iterator[Violation]:
        since_s = case.now_s - self.window_s
        # The last of so many that fill the window: once it has left, there is room.
        filled_at = case.usage.admitted_at(self.max_requests)
        if filled_at is None or filled_at <= since_s:
            return
        yield Violation(
            ErrorCode.RATE_LIMIT_EXCEEDED,
            PolicyType.RATE_LIMIT,
            f"{self.max_requests} requests in {self.window_s} seconds is the most",
            bound="max_requests",
            limit=self.max_requests,
            observed=case.usage.admitted_after(since_s) + 1,
            retry_at=filled_at + self.window_s,
        )


def parse(document: Document) -> RateLimit:
    """Return the limit that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong.
    """
    document.require_known(FIELDS)
    return RateLimit(
        document.integer("max_requests", least=1, most=REQUESTS_MAX),
        document.integer("window_seconds", least=1, most=RATE_WINDOW_S_MAX),
    )
