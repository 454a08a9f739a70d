"""Profiles: sets of rules with which an agent may begin. `waiaas/profiles` has the documents."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from waiaas.domain.enums import PolicyType


class ProfileName(StrEnum):
    """The profiles there are, least trusting first."""

    CAUTIOUS = "cautious"
    STANDARD = "standard"
    OPEN = "open"


class Profile(NamedTuple):
    """Rules that belong together."""

    name: ProfileName
    purpose: str
    """For whom it is, in one sentence."""
    documents: tuple[tuple[PolicyType, Mapping[str, Any]], ...]
    """Each rule's type, and its members in the order in which people read them."""

    def rules(self) -> tuple[tuple[PolicyType, str], ...]:
        """Return each rule with its type, as the ledger stores it."""
        return tuple(
            (kind, json.dumps(document, sort_keys=True)) for kind, document in self.documents
        )
