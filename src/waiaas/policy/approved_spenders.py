"""APPROVED_SPENDERS: who may be allowed to move the agent's tokens, and with how much care."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.assets import Network
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.request import Approve, Part, is_unlimited, limited_max
from waiaas.policy.document import Document
from waiaas.policy.rule import CARE_FIELDS, Care, Case, Grant, Need, Permit, ask_for, read_care
from waiaas.policy.verdict import Violation

FIELDS: Final = ("spenders", *CARE_FIELDS)


@dataclass(frozen=True, slots=True)
class ApprovedSpenders(Grant):
    """Grants approvals for its spenders; a person approves each, unless it says otherwise.

    An unlimited one always needs a person: who may move everything later needs no limit now.
    """

    spenders: frozenset[str]
    care: Care

    def grants(self, need: Need, network: Network) -> bool:
        del network
        return isinstance(need, Permit) and need.spender_address in self.spenders

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        if not isinstance(part, Approve) or part.spender_address not in self.spenders:
            return
        message = f"an approval for {part.spender_address} needs {self.care.tier}"
        yield from ask_for(self.care, PolicyType.APPROVED_SPENDERS, message)
        if is_unlimited(part.base_units, chain=case.network.chain):
            most = limited_max(case.network.chain)
            yield Violation(
                ErrorCode.POLICY_DENIED,
                PolicyType.APPROVED_SPENDERS,
                f"an approval of {part.base_units} is as good as unlimited and needs a person",
                asset=part.token_address,
                bound="unlimited",
                limit=most,
                observed=part.base_units,
                max_allowed=most,
                tier=PolicyTier.APPROVAL,
                approval_s=self.care.approval_s,
            )


def parse(document: Document) -> ApprovedSpenders:
    """Return the list that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong.
    """
    document.require_known(FIELDS)
    care = read_care(document, default=PolicyTier.APPROVAL)
    return ApprovedSpenders(document.addresses("spenders"), care)
