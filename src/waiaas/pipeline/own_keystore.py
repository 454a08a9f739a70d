"""The keystore that holds the keys of a ledger's agents: no other one takes its place unnoticed."""

from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction, KeystoreProblem
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import Clock, Ledger


class OwnKeystoreLost(Exception):  # noqa: N818 -- says what is the case
    """There are agents and no keystore: a new one would only hide that their keys are gone."""

    def __init__(self, agent_count: int) -> None:
        counted = "1 agent" if agent_count == 1 else f"{agent_count} agents"
        super().__init__(
            f"the ledger here has {counted}, and their keystore is gone: a new one would"
            " not have their keys. Restore the newest backup (`waiaas backup restore`), which"
            " brings both back; or give another directory"
        )


def require_no_agents(ledger: Ledger, clock: Clock) -> None:
    """Return if a new keystore may be made beside *ledger*.

    Raises:
        OwnKeystoreLost: it has agents, of whatever status; the refusal is in the audit log.
    """
    agent_count = ledger.read(lambda tx: tx.agents.count())
    if agent_count:
        _remember_refusal("init", KeystoreProblem.AGENTS_WITHOUT_KEYSTORE, ledger, clock)
        raise OwnKeystoreLost(agent_count)


def _remember_refusal(
    operation: str, problem: KeystoreProblem, ledger: Ledger, clock: Clock
) -> None:
    wall_s = clock.now_s()
    details = {"operation": operation, "problem": problem}
    event = AuditEvent(AuditAction.OPERATION_REFUSED, OPERATOR, details=details)
    ledger.write(lambda tx: remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s)))
