"""The ten kinds of policy, and what the rules of each mean.

Rules are parsed when they are written *and* each time they are read; what does not parse denies.
Grants and limits are different types: only a `Grant` allows anything, and what only limits can be
added without permitting more.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from waiaas.domain.assets import Network
from waiaas.domain.enums import PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.policy import (
    allowed_tokens,
    approve_amount_limit,
    approve_tier_override,
    approved_spenders,
    contract_whitelist,
    method_whitelist,
    rate_limit,
    spending_limit,
    time_restriction,
    whitelist,
)
from waiaas.policy.document import Document, RuleRefused, read_document
from waiaas.policy.rule import Rule

PARSERS: Final[Mapping[PolicyType, Callable[[Document], Rule]]] = MappingProxyType(
    {
        PolicyType.SPENDING_LIMIT: spending_limit.parse,
        PolicyType.WHITELIST: whitelist.parse,
        PolicyType.TIME_RESTRICTION: time_restriction.parse,
        PolicyType.RATE_LIMIT: rate_limit.parse,
        PolicyType.ALLOWED_TOKENS: allowed_tokens.parse,
        PolicyType.CONTRACT_WHITELIST: contract_whitelist.parse,
        PolicyType.METHOD_WHITELIST: method_whitelist.parse,
        PolicyType.APPROVED_SPENDERS: approved_spenders.parse,
        PolicyType.APPROVE_AMOUNT_LIMIT: approve_amount_limit.parse,
        PolicyType.APPROVE_TIER_OVERRIDE: approve_tier_override.parse,
    }
)
"""By type, what reads its rules; the rule it returns judges requests."""


RULES_KEPT_MAX: Final = 1024
"""How many texts of rules are kept as what they mean; the least used makes room."""


def parse_policy(record: PolicyRecord) -> Rule:
    """Return what a stored policy means.

    Raises:
        RuleRefused: its rules do not parse, or we do not know its type.
    """
    return parse_rules(record.type, record.rules, is_global=record.agent_id is None)


@lru_cache(maxsize=RULES_KEPT_MAX)
def parse_rules(kind: PolicyType, rules: str, *, is_global: bool, is_new: bool = False) -> Rule:
    """Return what the JSON text *rules* means for a policy of type *kind*.

    The same text always means the same, so what was read is kept; what was refused is read again.

    Args:
        kind: the type.
        rules: JSON.
        is_global: whether it is for every agent.
        is_new: whether it is being set, and must not have a member that could never matter.

    Raises:
        RuleRefused: names the field, and why.
    """
    parse = PARSERS.get(kind)
    if parse is None:
        raise RuleRefused("type", "is not a type of policy we know")
    return parse(read_document(rules, is_global=is_global, is_new=is_new))


def require_own_network(rule: Rule, network: Network) -> None:
    """Refuse a rule of an agent on *network* about assets that it cannot have: none would keep it.

    Raises:
        RuleRefused: it names one.
    """
    if not all(asset.is_on(network) for asset in rule.assets):
        reason = f"names an asset of another network than the agent's, {network.network}"
        raise RuleRefused("rules", reason)
