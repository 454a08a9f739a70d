"""Profiles: three sets of rules to begin with. An agent that gets none may spend nothing.

Amounts are of the network's own asset, in base units (1 SOL = 1000000000 lamports). A profile is
where an agent starts: its rules are the agent's own from then on, to be changed one by one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from waiaas.domain.enums import PolicyType
from waiaas.domain.profile import ProfileName


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules that belong together."""

    purpose: str
    documents: tuple[tuple[PolicyType, Mapping[str, Any]], ...]

    def rules(self) -> tuple[tuple[PolicyType, str], ...]:
        """Return each rule with its type, as the ledger stores it."""
        return tuple(
            (kind, json.dumps(document, sort_keys=True)) for kind, document in self.documents
        )


PROFILES: Final[Mapping[ProfileName, Profile]] = MappingProxyType(
    {
        ProfileName.CAUTIOUS: Profile(
            "An agent you do not know yet: cents at once, a person for everything large.",
            (
                (
                    PolicyType.SPENDING_LIMIT,
                    {
                        "asset": "native",
                        "instant_max": "10000000",  # 0.01 SOL
                        "notify_max": "50000000",  # 0.05 SOL
                        "delay_max": "200000000",  # 0.2 SOL
                        "delay_seconds": 900,
                        "approval_timeout": 3600,
                        "per_transaction_max": "1000000000",  # 1 SOL
                        "daily_max": "1000000000",  # 1 SOL
                        "monthly_max": "10000000000",  # 10 SOL
                    },
                ),
                (PolicyType.RATE_LIMIT, {"max_requests": 20, "window_seconds": 3600}),
            ),
        ),
        ProfileName.STANDARD: Profile(
            "An agent at its daily work: small payments at once, larger ones with time to stop.",
            (
                (
                    PolicyType.SPENDING_LIMIT,
                    {
                        "asset": "native",
                        "instant_max": "100000000",  # 0.1 SOL
                        "notify_max": "500000000",  # 0.5 SOL
                        "delay_max": "2000000000",  # 2 SOL
                        "delay_seconds": 300,
                        "approval_timeout": 3600,
                        "per_transaction_max": "10000000000",  # 10 SOL
                        "daily_max": "10000000000",  # 10 SOL
                        "monthly_max": "100000000000",  # 100 SOL
                    },
                ),
                (PolicyType.RATE_LIMIT, {"max_requests": 200, "window_seconds": 3600}),
            ),
        ),
        ProfileName.OPEN: Profile(
            "An agent you trust with real amounts: bounded by the day, rarely asking.",
            (
                (
                    PolicyType.SPENDING_LIMIT,
                    {
                        "asset": "native",
                        "instant_max": "1000000000",  # 1 SOL
                        "notify_max": "10000000000",  # 10 SOL
                        "delay_max": "50000000000",  # 50 SOL
                        "delay_seconds": 300,
                        "approval_timeout": 3600,
                        "daily_max": "100000000000",  # 100 SOL
                        "monthly_max": "1000000000000",  # 1000 SOL
                    },
                ),
            ),
        ),
    }
)
