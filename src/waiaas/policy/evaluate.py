"""May this happen? One pure function, used by everything that asks.

Every applicable rule always runs. Any denial denies, and all denials are listed; otherwise the
highest tier wins. What no rule grants is denied, and so is everything while a rule cannot be read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from waiaas.domain.assets import Network
from waiaas.domain.enums import NetworkType, PolicyTier
from waiaas.domain.errors import ErrorCode
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Part, Request, parts_of
from waiaas.domain.waiting import DELAY_S_FLOOR
from waiaas.policy.document import RuleRefused
from waiaas.policy.policies import parse_policy
from waiaas.policy.rent import judge_rent
from waiaas.policy.rule import (
    Call,
    Case,
    Grant,
    Need,
    Rule,
    Spend,
    WaitDefaults,
    needs,
)
from waiaas.policy.schedule import Schedule
from waiaas.policy.session_constraints import parse_constraints
from waiaas.policy.usage import Usage
from waiaas.policy.verdict import DEFAULT_DENY, SESSION, Allow, Deny, Verdict, Violation

_CARE: Final = list(PolicyTier)

SETS_KEPT_MAX: Final = 256
"""How many sets of policies are kept as what they mean; the least used makes room."""


def evaluate(
    request: Request,
    *,
    network: Network,
    policies: Sequence[PolicyRecord],
    usage: Usage,
    waits: WaitDefaults,
    now_s: int,
    constraints: str | None = None,
    care: PolicyTier = PolicyTier.INSTANT,
) -> Verdict:
    """Return the verdict of every policy taken together.

    Of a batch, each part is judged alone and then the whole.

    Args:
        request: what the agent asks for.
        network: where the agent lives.
        policies: the enabled rules of this agent and the global ones, as stored; their order does
            not matter, and their priority orders nothing but the explanations.
        usage: what the agent has done so far.
        waits: how long is waited where a rule does not say.
        now_s: ledger time in Unix epoch seconds.
        constraints: of the session that asks, as stored; None: it has none.
        care: what the request gets in any case, whatever the rules ask for; rent needs no other.
    """
    case = Case(network, parts_of(request), usage, now_s)
    rules, grants, schedules, unreadable = read_rules(tuple(policies), constraints)
    found = list(unreadable)
    for index, part in enumerate(case.parts):
        of_part = [*_not_granted(part, grants, network)]
        of_part += [each for rule in rules for each in rule.judge_part(part, case)]
        found += [replace(each, part=index) for each in of_part] if case.is_batch else of_part
    found += [each for rule in rules for each in rule.judge_whole(case)]
    denials = tuple(each for each in found if each.tier is None)
    escalations = tuple(each for each in found if each.tier is not None)
    if denials:
        return Deny(denials, escalations, schedules)
    allow = _allow(escalations, schedules, network, waits)
    rent = judge_rent(case, rules, care=max(care, allow.tier, key=_CARE.index))
    return allow if rent is None else replace(allow, rent=rent)


class _Read(NamedTuple):
    """What policies and constraints mean together."""

    rules: tuple[Rule, ...]
    grants: tuple[Grant, ...]
    """Those of the rules that allow anything."""
    schedules: tuple[Schedule, ...]
    unreadable: tuple[Violation, ...]
    """What stands against every request because it cannot be read."""


@lru_cache(maxsize=SETS_KEPT_MAX)
def read_rules(policies: tuple[PolicyRecord, ...], constraints: str | None) -> _Read:
    """Read them, most wanted first. Equal ones mean the same, so what was read is kept."""
    rules: list[Rule] = []
    unreadable: list[Violation] = []
    for record in sorted(policies, key=_place):
        try:
            rules.append(parse_policy(record))
        except RuleRefused as refused:
            unreadable.append(_unreadable(record, refused))
    try:
        rules += [] if constraints is None else [parse_constraints(constraints)]
    except RuleRefused as refused:
        unreadable.append(_unreadable_constraints(refused))
    return _Read(
        tuple(rules),
        tuple(rule for rule in rules if isinstance(rule, Grant)),
        tuple(rule.schedule for rule in rules if rule.schedule is not None),
        tuple(unreadable),
    )


def _allow(
    escalations: tuple[Violation, ...],
    schedules: tuple[Schedule, ...],
    network: Network,
    waits: WaitDefaults,
) -> Allow:
    """Return the most careful tier that is asked for: the longest wait, the shortest deadline."""
    tiers = [each.tier for each in escalations if each.tier is not None]
    tier = max(tiers, key=_CARE.index, default=PolicyTier.INSTANT)
    asking = [each for each in escalations if each.tier is tier]
    if tier is PolicyTier.DELAY:
        floor_s = 1 if network.network is NetworkType.LOCALNET else DELAY_S_FLOOR
        delays = [each.delay_s or waits.delay_s for each in asking]
        return Allow(tier, escalations, delay_s=max(floor_s, *delays), schedules=schedules)
    if tier is PolicyTier.APPROVAL:
        deadlines = [each.approval_s or waits.approval_s for each in asking]
        return Allow(tier, escalations, approval_s=min(deadlines), schedules=schedules)
    return Allow(tier, escalations, schedules=schedules)


def _place(record: PolicyRecord) -> tuple[int, str, str]:
    """Return where a policy's explanations stand among the others': the first is most wanted."""
    return -record.priority, record.id, record.rules


def _not_granted(part: Part, grants: Sequence[Grant], network: Network) -> Iterator[Violation]:
    for need in needs(part):
        if not any(grant.grants(need, network) for grant in grants):
            yield Violation(
                ErrorCode.POLICY_DENIED,
                DEFAULT_DENY,
                f"no policy grants this agent a {part.type}: {_words(need)}",
            )


def _words(need: Need) -> str:
    if isinstance(need, Spend):
        return f"there is no SPENDING_LIMIT of {need.asset}"
    if isinstance(need, Call):
        return f"no CONTRACT_WHITELIST lists {need.contract_address}"
    return f"no APPROVED_SPENDERS lists {need.spender_address}"


def _unreadable_constraints(refused: RuleRefused) -> Violation:
    message = f"the session's constraints cannot be evaluated ({refused}), so nothing is allowed"
    return Violation(ErrorCode.CONSTRAINT_VIOLATED, SESSION, message)


def _unreadable(record: PolicyRecord, refused: RuleRefused) -> Violation:
    return Violation(
        code=ErrorCode.POLICY_DENIED,
        rule=record.type,
        message=f"policy {record.id} cannot be evaluated ({refused}), so nothing is allowed",
    )
