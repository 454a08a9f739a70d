"""An agent in a ledger, and how it asks: the one place here that knows what admission takes."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.fakes.chain import LOCALNET
from tests.fakes.clock import NOW_S

from waiaas.domain.assets import Network
from waiaas.domain.enums import AgentStatus, PolicyType
from waiaas.domain.ids import AgentId, PolicyId, SessionId
from waiaas.domain.records import AgentRecord, PolicyRecord, SessionRecord
from waiaas.domain.request import Request
from waiaas.pipeline.admit import Admission, AdmissionRules, Caller, admit
from waiaas.pipeline.asked import Asked
from waiaas.policy.rule import WaitDefaults
from waiaas.ports import GuardedClock, Ledger, LedgerTransaction

RULES = AdmissionRules(
    WaitDefaults(delay_s=300, approval_s=3600), pending_max=10**6, waiting_max=10**6
)
"""How many there are is not what is tried here."""

Rules = Mapping[str, Any]


def insert_agent(
    tx: LedgerTransaction,
    agent_id: AgentId,
    *,
    address: str,
    limits: Sequence[Rules],
    generate_id: Callable[[], str],
    lives_on: Network = LOCALNET,
) -> Caller:
    """Write down an agent with a session and SPENDING_LIMITs; return who asks for it."""
    ends_at = NOW_S + 10**9  # sessions are not what is tried here
    agent = AgentRecord(
        agent_id,
        "agent",
        *lives_on,
        address,
        AgentStatus.ACTIVE,
        NOW_S,
        suspended_at=None,
        suspension_reason=None,
    )
    session_id = SessionId(generate_id())
    tx.agents.insert(agent)
    tx.sessions.insert(
        SessionRecord(
            session_id, agent_id, session_id, ends_at, None, ends_at, NOW_S, constraints=None
        )
    )
    for rules in limits:
        insert_limit(tx, agent_id, rules, generate_id=generate_id)
    return Caller(agent_id, session_id, None)


def insert_limit(
    tx: LedgerTransaction, agent_id: AgentId, rules: Rules, *, generate_id: Callable[[], str]
) -> None:
    """Write down one more SPENDING_LIMIT."""
    tx.policies.insert(
        PolicyRecord(
            PolicyId(generate_id()),
            agent_id,
            PolicyType.SPENDING_LIMIT,
            json.dumps(rules),
            0,
            1,
            NOW_S,
            NOW_S,
        )
    )


async def ask(
    request: Request,
    *,
    caller: Caller,
    key: str,
    ledger: Ledger,
    clock: GuardedClock,
    generate_id: Callable[[], str],
) -> Admission:
    """Ask for a payment, as the API does."""
    return await admit(
        Asked(request, key),
        caller=caller,
        ledger=ledger,
        clock=clock,
        generate_id=generate_id,
        rules=RULES,
    )
