"""Setting policies: validated before they are written, and audited with what they say."""

from collections.abc import Sequence
from itertools import product
from typing import Final

from waiaas.domain.assets import require_adapter
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction, PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, PolicyId, is_id
from waiaas.domain.profile import Profile
from waiaas.domain.records import PolicyRecord
from waiaas.pipeline.kill_switch import write_while_off
from waiaas.pipeline.record import ledger_time, remember
from waiaas.policy.document import RuleRefused
from waiaas.policy.policies import parse_policy, parse_rules, require_own_network
from waiaas.policy.rule import Rule
from waiaas.ports import Clock, GenerateId, Ledger, LedgerTransaction

POLICIES_MAX: Final = 100
"""How many an agent may have of its own, and how many there may be for every agent."""


async def set_policy(
    agent_id: AgentId | None,
    *,
    kind: PolicyType,
    rules: str,
    priority: int,
    enabled: bool,
    ip_address: str | None,
    ledger: Ledger,
    clock: Clock,
    generate_id: GenerateId,
) -> PolicyRecord:
    """Set a rule in place of the one of the same type (and asset) that there may be.

    Args:
        agent_id: whose rule; None: every agent's.
        kind: its type.
        rules: JSON text.
        priority: orders explanations, highest first, and nothing else.
        enabled: whether it is in force.
        ip_address: whose wish it is, for the audit log.
        ledger: where it is written.
        clock: when.
        generate_id: names a new one.

    Raises:
        Refusal: VALIDATION_FAILED with the field, or if several could be meant; NOT_SUPPORTED_YET,
            AGENT_NOT_FOUND, KILL_SWITCH_ACTIVE.
    """
    rule = _parsed(kind, rules, agent_id)
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> PolicyRecord:
        _require_own_network(tx, rule, agent_id)
        now_s = ledger_time(tx, wall_s=wall_s)
        alike = [each for each in tx.policies.of(agent_id) if _stands_for(each, kind, rule)]
        if len(alike) > 1:
            raise Refusal(
                ErrorCode.VALIDATION_FAILED,
                f"there are {len(alike)} rules of this type and subject: which one is not clear",
                hint="Change or remove one by its id; `waiaas policy list` shows them.",
            )
        if alike:
            after = alike[0]._replace(
                rules=rules,
                priority=priority,
                enabled=int(enabled),
                updated_at=_changed_at(alike[0], now_s=now_s),
            )
            tx.policies.set_rules(after)
            _audit(tx, before=alike[0], after=after, ip_address=ip_address, now_s=now_s)
            return after
        return _insert(
            tx,
            PolicyRecord(
                PolicyId(generate_id()), agent_id, kind, rules, priority, int(enabled), now_s, now_s
            ),
            ip_address,
        )

    return await write_while_off(
        unit,
        operation="set policy",
        agent_id=agent_id,
        ip_address=ip_address,
        ledger=ledger,
        wall_s=wall_s,
    )


async def add_policy(
    agent_id: AgentId | None,
    *,
    kind: PolicyType,
    rules: str,
    priority: int,
    enabled: bool,
    ip_address: str | None,
    ledger: Ledger,
    clock: Clock,
    generate_id: GenerateId,
) -> PolicyRecord:
    """Set a rule beside those that there are; a second one of a type only restricts further.

    Raises:
        Refusal: VALIDATION_FAILED with the field, or if there are too many;
            NOT_SUPPORTED_YET, AGENT_NOT_FOUND, KILL_SWITCH_ACTIVE.
    """
    rule = _parsed(kind, rules, agent_id)
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> PolicyRecord:
        _require_own_network(tx, rule, agent_id)
        now_s = ledger_time(tx, wall_s=wall_s)
        policy = PolicyRecord(
            PolicyId(generate_id()), agent_id, kind, rules, priority, int(enabled), now_s, now_s
        )
        return _insert(tx, policy, ip_address)

    return await write_while_off(
        unit,
        operation="add policy",
        agent_id=agent_id,
        ip_address=ip_address,
        ledger=ledger,
        wall_s=wall_s,
    )


async def change_policy(
    policy_id: str,
    *,
    rules: str | None,
    priority: int | None,
    enabled: bool | None,
    ip_address: str | None,
    ledger: Ledger,
    clock: Clock,
) -> PolicyRecord:
    """Change what is given of a rule, and leave the rest as it is.

    Raises:
        Refusal: NOT_SUPPORTED_YET, KILL_SWITCH_ACTIVE, POLICY_NOT_FOUND, or VALIDATION_FAILED with
            the field.
    """
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> PolicyRecord:
        before = _existing(tx, policy_id)
        now_s = ledger_time(tx, wall_s=wall_s)
        after = before._replace(
            rules=before.rules if rules is None else rules,
            priority=before.priority if priority is None else priority,
            enabled=before.enabled if enabled is None else int(enabled),
            updated_at=_changed_at(before, now_s=now_s),
        )
        if rules is not None:
            rule = _parsed(before.type, rules, before.agent_id)
            _require_own_network(tx, rule, before.agent_id)
        tx.policies.set_rules(after)
        _audit(tx, before=before, after=after, ip_address=ip_address, now_s=now_s)
        return after

    return await write_while_off(
        unit,
        operation="change policy",
        agent_id=None,
        ip_address=ip_address,
        ledger=ledger,
        wall_s=wall_s,
    )


async def remove_policy(
    policy_id: str, *, ip_address: str | None, ledger: Ledger, clock: Clock
) -> PolicyRecord:
    """Remove a rule for good; return what it was. The audit log keeps what it said.

    Raises:
        Refusal: KILL_SWITCH_ACTIVE, POLICY_NOT_FOUND.
    """
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> PolicyRecord:
        policy = _existing(tx, policy_id)
        tx.policies.delete(policy.id)
        _audit(
            tx,
            before=policy,
            after=None,
            ip_address=ip_address,
            now_s=ledger_time(tx, wall_s=wall_s),
        )
        return policy

    return await write_while_off(
        unit,
        operation="remove policy",
        agent_id=None,
        ip_address=ip_address,
        ledger=ledger,
        wall_s=wall_s,
    )


def insert_profile(
    tx: LedgerTransaction,
    profile: Profile,
    agent_id: AgentId,
    *,
    ip_address: str | None,
    generate_id: GenerateId,
    now_s: int,
) -> None:
    """Give a new agent the rules of a profile, in the transaction that makes the agent."""
    for kind, rules in profile.rules():
        policy = PolicyRecord(PolicyId(generate_id()), agent_id, kind, rules, 0, 1, now_s, now_s)
        _insert(tx, policy, ip_address)


def _changed_at(before: PolicyRecord, *, now_s: int) -> int:
    """Return a second in which the rule was never changed before.

    What was admitted under a rule that is changed, and changed back, must not take it for the same:
    what was let through in between counts.
    """
    return max(now_s, before.updated_at + 1)


def _parsed(kind: PolicyType, rules: str, agent_id: AgentId | None) -> Rule:
    try:
        return parse_rules(kind, rules, is_global=agent_id is None, is_new=True)
    except RuleRefused as refused:
        raise _refusal(refused) from refused


def _refusal(refused: RuleRefused) -> Refusal:
    details = {"field": refused.field}
    return Refusal(ErrorCode.VALIDATION_FAILED, str(refused), details=details)


def _require_own_network(tx: LedgerTransaction, rule: Rule, agent_id: AgentId | None) -> None:
    if agent_id is None:
        return
    agent = tx.agents.get(agent_id) if is_id(agent_id) else None
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    require_adapter(agent.lives_on)  # What a rule would name there, we could not read.
    try:
        require_own_network(rule, agent.lives_on)
    except RuleRefused as refused:
        raise _refusal(refused) from refused


def _existing(tx: LedgerTransaction, policy_id: str) -> PolicyRecord:
    policy = tx.policies.get(PolicyId(policy_id)) if is_id(policy_id) else None
    if policy is None:
        raise Refusal(ErrorCode.POLICY_NOT_FOUND, "there is no policy with this id")
    return policy


def _stands_for(policy: PolicyRecord, kind: PolicyType, rule: Rule) -> bool:
    """Tell whether a rule that is set takes this one's place."""
    if policy.type is not kind:
        return False
    try:
        return _is_about_the_same(parse_policy(policy), rule)
    except RuleRefused:
        return True  # It denies everything; setting a rule is how an operator mends it.


def _is_about_the_same(one: Rule, other: Rule) -> bool:
    """Tell whether two rules of a type have one subject; an asset is one on each network anew."""
    if one.subject != other.subject or not one.subject:
        return one.subject == other.subject
    return all(mine.may_be(theirs) for mine, theirs in product(one.assets, other.assets))


def _insert(tx: LedgerTransaction, policy: PolicyRecord, ip_address: str | None) -> PolicyRecord:
    if len(tx.policies.of(policy.agent_id)) >= POLICIES_MAX:
        raise Refusal(
            ErrorCode.VALIDATION_FAILED,
            f"there are {POLICIES_MAX} policies already, the most there may be",
            hint="Remove one that is not needed; `waiaas policy list` shows them.",
        )
    tx.policies.insert(policy)
    _audit(tx, before=None, after=policy, ip_address=ip_address, now_s=policy.created_at)
    return policy


def _audit(
    tx: LedgerTransaction,
    *,
    before: PolicyRecord | None,
    after: PolicyRecord | None,
    ip_address: str | None,
    now_s: int,
) -> None:
    policy = after or before
    assert policy is not None, "there is a policy before or after"
    event = AuditEvent(
        AuditAction.POLICY_UPDATED,
        OPERATOR,
        agent_id=policy.agent_id,
        details={
            "policyId": policy.id,
            "type": policy.type,
            "before": _said(before),
            "after": _said(after),
        },
        ip_address=ip_address,
    )
    remember(tx, event, now_s=now_s)


def _said(policy: PolicyRecord | None) -> str | None:
    """Return what a rule says, for the log; one that is not in force says nothing."""
    return None if policy is None or not policy.enabled else policy.rules


def list_policies(tx: LedgerTransaction, agent_id: AgentId | None) -> Sequence[PolicyRecord]:
    """Return the rules of an agent with the global ones, or only the global ones; oldest first.

    Raises:
        Refusal: AGENT_NOT_FOUND.
    """
    if agent_id is None:
        return tx.policies.of(None)
    if not is_id(agent_id) or tx.agents.get(agent_id) is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    return [*tx.policies.of(None), *tx.policies.of(agent_id)]
