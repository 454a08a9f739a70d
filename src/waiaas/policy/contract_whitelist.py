"""CONTRACT_WHITELIST: contracts that may be called, and with how much care.

It grants the call, not the money that goes along: that takes a SPENDING_LIMIT besides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.assets import Network
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.request import ContractCall, Part
from waiaas.policy.document import Document
from waiaas.policy.rule import CARE_FIELDS, Call, Care, Case, Grant, Need, ask_for, read_care
from waiaas.policy.verdict import Violation

FIELDS: Final = ("contracts", *CARE_FIELDS)


@dataclass(frozen=True, slots=True)
class ContractWhitelist(Grant):
    """Grants calls of its contracts; a person approves each, unless it says otherwise."""

    contracts: frozenset[str]
    care: Care

    def grants(self, need: Need, network: Network) -> bool:
        del network
        return isinstance(need, Call) and need.contract_address in self.contracts

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        del case
        if isinstance(part, ContractCall) and part.contract_address in self.contracts:
            message = f"a call of {part.contract_address} needs {self.care.tier}"
            yield from ask_for(self.care, PolicyType.CONTRACT_WHITELIST, message)


def parse(document: Document) -> ContractWhitelist:
    """Return the list that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong.
    """
    document.require_known(FIELDS)
    care = read_care(document, default=PolicyTier.APPROVAL)
    contracts = document.addresses("contracts")
    covered = sorted(contracts & COVERED_PROGRAMS.keys())
    if document.is_new and covered:
        reason = f"names {covered[0]}, which no request can call: {COVERED_PROGRAMS[covered[0]]}"
        raise document.refuse("contracts", reason)
    return ContractWhitelist(contracts, care)
