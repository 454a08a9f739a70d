"""The version of the policies that apply to an agent: a name for exactly what they say."""

import hashlib
import json
from collections.abc import Iterable

from waiaas.domain.records import PolicyRecord


def policy_version(policies: Iterable[PolicyRecord]) -> str:
    """Return the SHA-256, in hex, of what *policies* say, in whatever order they are given.

    Times are left out: a rule that is set again, word for word, is the same rule.
    """
    rules = sorted(
        [policy.id, policy.agent_id or "", policy.type, policy.priority, policy.rules]
        for policy in policies
    )
    return hashlib.sha256(json.dumps(rules, separators=(",", ":")).encode("ascii")).hexdigest()
