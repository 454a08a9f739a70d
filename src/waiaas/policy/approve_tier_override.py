"""APPROVE_TIER_OVERRIDE: the least care that any approval needs, whatever granted it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.request import Approve, Part
from waiaas.policy.document import Document
from waiaas.policy.rule import CARE_FIELDS, Care, Case, Rule, ask_for, read_care
from waiaas.policy.verdict import Violation

FIELDS: Final = CARE_FIELDS


@dataclass(frozen=True, slots=True)
class ApproveTierOverride(Rule):
    """Raises the tier of approvals. It never lowers it: what grants an approval says how far."""

    care: Care

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        del case
        if isinstance(part, Approve):
            message = f"every approval needs at least {self.care.tier}"
            yield from ask_for(self.care, PolicyType.APPROVE_TIER_OVERRIDE, message)


def parse(document: Document) -> ApproveTierOverride:
    """Return the floor that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong, or the tier is the lowest one.
    """
    document.require_known(FIELDS)
    if not document.has("tier"):
        raise document.refuse("tier", "is missing")
    care = read_care(document, default=PolicyTier.APPROVAL)
    if care.tier is PolicyTier.INSTANT:
        raise document.refuse("tier", "INSTANT restricts nothing: this rule only raises the tier")
    return ApproveTierOverride(care)
