"""ALLOWED_TOKENS: the only tokens that may be sent or approved."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import PolicyType
from waiaas.domain.request import Approve, Part, TokenTransfer
from waiaas.policy.document import Document, RuleAsset
from waiaas.policy.rule import Case, Rule, deny
from waiaas.policy.verdict import Violation

FIELDS: Final = ("tokens",)


@dataclass(frozen=True, slots=True)
class AllowedTokens(Rule):
    """Denies every other token. The asset of the network itself is not a token."""

    tokens: tuple[RuleAsset, ...]

    @property
    def assets(self) -> tuple[RuleAsset, ...]:
        return self.tokens

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        if not isinstance(part, TokenTransfer | Approve):
            return
        allowed = {token.name for token in self.tokens if token.is_on(case.network)}
        if part.token_address not in allowed:
            message = f"{part.token_address} is not on the list of tokens"
            yield deny(PolicyType.ALLOWED_TOKENS, message, bound="tokens")


def parse(document: Document) -> AllowedTokens:
    """Return the list that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong.
    """
    document.require_known(FIELDS)
    return AllowedTokens(document.tokens("tokens"))
