"""Setting a policy: validated before it is written, and audited with what it says."""

from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction, PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.records import PolicyRecord
from waiaas.pipeline.record import ledger_time
from waiaas.policy.policies import RuleRefused, parse_rules
from waiaas.ports import Clock, GenerateId, Ledger, LedgerTransaction


async def set_policy(
    agent_id: AgentId,
    *,
    kind: PolicyType,
    rules: str,
    ledger: Ledger,
    clock: Clock,
    generate_id: GenerateId,
) -> PolicyRecord:
    """Give an agent this rule, in place of the one of the same type and asset it may have.

    Raises:
        Refusal: VALIDATION_FAILED with the field, or AGENT_NOT_FOUND.
    """
    try:
        asset = parse_rules(kind, rules).asset
    except RuleRefused as refused:
        raise Refusal(
            ErrorCode.VALIDATION_FAILED, str(refused), details={"field": refused.field}
        ) from refused
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> PolicyRecord:
        if tx.agents.get(agent_id) is None:
            raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
        now_s = ledger_time(tx, wall_s=wall_s)
        existing = _existing(tx, agent_id, kind=kind, asset=asset)
        if existing is None:
            policy = PolicyRecord(
                PolicyId(generate_id()), agent_id, kind, rules, 0, 1, now_s, now_s
            )
            tx.policies.insert(policy)
        else:
            policy = existing._replace(rules=rules, updated_at=now_s)
            tx.policies.set_rules(policy)
        tx.audit.append(
            AuditEvent(
                AuditAction.POLICY_UPDATED,
                OPERATOR,
                agent_id=agent_id,
                details={
                    "policyId": policy.id,
                    "type": kind,
                    "before": None if existing is None else existing.rules,
                    "after": rules,
                },
            ),
            now_s=now_s,
        )
        return policy

    return await ledger.write_async(unit)


def _existing(
    tx: LedgerTransaction, agent_id: AgentId, *, kind: PolicyType, asset: str
) -> PolicyRecord | None:
    for policy in tx.policies.applying_to(agent_id):
        if policy.agent_id != agent_id or policy.type is not kind:
            continue
        try:
            if parse_rules(policy.type, policy.rules).asset == asset:
                return policy
        except RuleRefused:
            return policy  # It denies everything; setting a rule is how an operator mends it.
    return None
