"""Rent of new token accounts: may it leave beside what was asked for?

It is money of the network's own asset, so it takes a SPENDING_LIMIT that grants that asset, and
each rule that bounds the asset judges it, together with what else of it the request moves. It never
raises a tier: where it would need more care than the request gets anyway, none may leave.
"""

from collections.abc import Sequence
from typing import Final

from waiaas.domain.enums import PolicyTier
from waiaas.domain.money import NATIVE
from waiaas.domain.rent import rent_max
from waiaas.policy.rule import Case, Grant, Rule, Spend, outflow
from waiaas.policy.verdict import Rent

_CARE: Final = list(PolicyTier)


def judge_rent(case: Case, rules: Sequence[Rule], *, care: PolicyTier) -> Rent | None:
    """Return what may leave for rent; None: no account is paid to that may have to be made.

    All or nothing: which accounts are missing is not known yet.

    Args:
        case: of a request that no rule denies.
        rules: all that apply.
        care: the tier that the request gets.
    """
    most = rent_max(case.parts, chain=case.network.chain)
    if not most:
        return None
    need = Spend(NATIVE)
    if not any(isinstance(rule, Grant) and rule.grants(need, case.network) for rule in rules):
        return Rent(0, f"there is no SPENDING_LIMIT of {NATIVE}")
    amount = most + sum(outflow(part, NATIVE) for part in case.parts)
    for rule in rules:
        for found in rule.judge_native(amount, case):
            if found.tier is None or _CARE.index(found.tier) > _CARE.index(care):
                objection = f"with a rent of {most}, {found.rule}: {found.message}"
                return Rent(0, objection, found.rule)
    return Rent(most)
