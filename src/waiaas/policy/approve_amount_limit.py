"""APPROVE_AMOUNT_LIMIT: how much a spender may be allowed to move."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from waiaas.domain.enums import ChainType, PolicyType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.request import EXPRESSIBLE_MAX, Approve, Part, is_unlimited, limited_max
from waiaas.policy.document import Document, RuleAsset
from waiaas.policy.rule import Case, Rule
from waiaas.policy.verdict import Violation

FIELDS: Final = ("token", "amount_max", "block_unlimited")


@dataclass(frozen=True, slots=True)
class ApproveAmountLimit(Rule):
    """Denies approvals of more than a bound, and unlimited ones."""

    token: RuleAsset | None
    """None: whichever token, each in its own base units."""
    amount_max: int | None
    """Inclusive."""
    block_unlimited: bool

    @property
    def assets(self) -> tuple[RuleAsset, ...]:
        return () if self.token is None else (self.token,)

    @property
    def subject(self) -> str:
        return "" if self.token is None else self.token.name

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        if not isinstance(part, Approve) or not self._is_about(part, case):
            return
        if self.amount_max is not None and part.base_units > self.amount_max:
            yield _above("amount_max", self.amount_max, part)
        if self.block_unlimited and is_unlimited(part.base_units, chain=case.network.chain):
            yield _above("block_unlimited", limited_max(case.network.chain), part)

    def _is_about(self, part: Approve, case: Case) -> bool:
        token = self.token
        return token is None or (token.name == part.token_address and token.is_on(case.network))


def _above(name: str, bound: int, part: Approve) -> Violation:
    return Violation(
        ErrorCode.POLICY_DENIED,
        PolicyType.APPROVE_AMOUNT_LIMIT,
        f"an approval of {part.base_units} is above {bound} ({name})",
        asset=part.token_address,
        bound=name,
        limit=bound,
        observed=part.base_units,
        max_allowed=bound or None,
    )


def parse(document: Document) -> ApproveAmountLimit:
    """Return the limit that *document* is.

    Raises:
        RuleRefused: a member is unknown or wrong, or together they restrict nothing.
    """
    document.require_known(FIELDS)
    amount_max = document.amount_if_any("amount_max")
    if amount_max is None and not document.has("block_unlimited"):
        raise document.refuse("amount_max", "is missing, and so is block_unlimited")
    block_unlimited = document.flag("block_unlimited", default=True)
    if amount_max is None and not block_unlimited:
        raise document.refuse(
            "block_unlimited", "is false, so without amount_max nothing is limited"
        )
    if document.is_new and amount_max is not None:
        _require_within_reach(document, amount_max, block_unlimited=block_unlimited)
    token = document.token("token") if document.has("token") else None
    return ApproveAmountLimit(token, amount_max, block_unlimited)


def _require_within_reach(document: Document, amount_max: int, *, block_unlimited: bool) -> None:
    """Return if there are approvals above *amount_max* that nothing else in the rule denies.

    Rules are set for agents of Solana only.
    """
    limited, largest = limited_max(ChainType.SOLANA), EXPRESSIBLE_MAX[ChainType.SOLANA]
    if block_unlimited and amount_max >= limited:
        reason = f"denies nothing: above {limited}, block_unlimited denies already; leave it out"
        raise document.refuse("amount_max", reason)
    if amount_max >= largest:
        raise document.refuse(
            "amount_max", f"denies nothing: {largest} is all that can be approved"
        )
