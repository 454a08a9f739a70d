"""Setting a policy: validated before it is written, and audited with what it says."""

from waiaas.domain.assets import Network
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction, PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.records import AgentRecord, PolicyRecord
from waiaas.pipeline.record import ledger_time
from waiaas.policy.document import RuleRefused
from waiaas.policy.policies import parse_policy, parse_rules
from waiaas.policy.rule import Rule
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
    """Give an agent this rule, in place of the one of the same type (and asset) it may have.

    Raises:
        Refusal: VALIDATION_FAILED with the field, or AGENT_NOT_FOUND.
    """
    try:
        rule = parse_rules(kind, rules, is_global=False)
    except RuleRefused as refused:
        raise Refusal(
            ErrorCode.VALIDATION_FAILED, str(refused), details={"field": refused.field}
        ) from refused
    wall_s = clock.now_s()

    def unit(tx: LedgerTransaction) -> PolicyRecord:
        agent = tx.agents.get(agent_id)
        if agent is None:
            raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
        _require_own_network(rule, agent)
        now_s = ledger_time(tx, wall_s=wall_s)
        existing = _existing(tx, agent_id, kind=kind, subject=rule.subject)
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


def _require_own_network(rule: Rule, agent: AgentRecord) -> None:
    """Refuse a rule about assets that the agent cannot have: nobody would ever keep it."""
    network = Network(agent.chain, agent.network)
    if not all(asset.is_on(network) for asset in rule.assets):
        raise Refusal(
            ErrorCode.VALIDATION_FAILED,
            f"rules: names an asset of another network than the agent's, {agent.network}",
            details={"field": "rules"},
        )


def _existing(
    tx: LedgerTransaction, agent_id: AgentId, *, kind: PolicyType, subject: str
) -> PolicyRecord | None:
    for policy in tx.policies.applying_to(agent_id):
        if policy.agent_id != agent_id or policy.type is not kind:
            continue
        try:
            if parse_policy(policy).subject == subject:
                return policy
        except RuleRefused:
            return policy  # It denies everything; setting a rule is how an operator mends it.
    return None
