"""WHITELIST: the only recipients that transfers may go to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import PolicyType
from waiaas.domain.request import Part, TokenTransfer, Transfer
from waiaas.policy.document import Document
from waiaas.policy.rule import Case, Rule, deny
from waiaas.policy.verdict import Violation

FIELDS: Final = ("addresses",)


@dataclass(frozen=True, slots=True)
class Whitelist(Rule):
    """Denies transfers to anybody else. Two of them leave the recipients that are in both."""

    addresses: frozenset[str]

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        del case
        if isinstance(part, Transfer | TokenTransfer) and part.to_address not in self.addresses:
            message = f"{part.to_address} is not on the list of recipients"
            yield deny(PolicyType.WHITELIST, message, bound="addresses")


def parse(document: Document) -> Whitelist:
    """Return the list that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong.
    """
    document.require_known(FIELDS)
    return Whitelist(document.addresses("addresses"))
