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
"""The largest number a rule may name; so many of the newest requests tell how it stands."""
RATE_WINDOW_S_MAX: Final = 30 * 86_400

FIELDS: Final = ("max_requests", "window_seconds")


@dataclass(frozen=True, slots=True)
class RateLimit(Rule):
    """Denies what would be one request too many; denied ones do not count."""

    max_requests: int
    window_s: int

    def judge_whole(self, case: Case) -> Iterator[Violation]:
        since_s = case.now_s - self.window_s
        counted = [second for second in case.usage.admitted_at if second > since_s]
        if len(counted) < self.max_requests:
            return
        yield Violation(
            ErrorCode.POLICY_DENIED,
            PolicyType.RATE_LIMIT,
            f"{self.max_requests} requests in {self.window_s} seconds is the most",
            bound="max_requests",
            limit=self.max_requests,
            observed=len(counted) + 1,
            # Once the last of so many that fill the window has left it.
            retry_at=counted[self.max_requests - 1] + self.window_s,
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
