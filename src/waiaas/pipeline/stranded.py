"""Money that would be out of reach: an agent that is ended never signs again.

So the chain is asked first. It tells of its own asset alone: which tokens an address holds is not
looked at. Where nobody can say, there may be some.
"""

from waiaas.domain.assets import why_unreachable
from waiaas.domain.enums import AgentStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId, is_id
from waiaas.domain.money import NATIVE_UNITS
from waiaas.domain.records import AgentRecord
from waiaas.ports import Chain, Chains, ChainUnavailable, Ledger


async def require_nothing_stranded(agent_id: AgentId, *, ledger: Ledger, chains: Chains) -> None:
    """Return if ending the agent leaves no money behind, as far as the chain shows it.

    An agent that does not exist, or can be ended no more, is somebody else's refusal.

    Raises:
        Refusal: AGENT_HAS_MONEY, also if nobody can say.
    """
    agent = ledger.read(lambda tx: tx.agents.get(agent_id) if is_id(agent_id) else None)
    if agent is None or agent.status not in {AgentStatus.ACTIVE, AgentStatus.SUSPENDED}:
        return
    money = await _money(agent, chains.get(agent.lives_on))
    if money is not None:
        raise Refusal(ErrorCode.AGENT_HAS_MONEY, f"agent {agent_id} would be ended, and {money}")


async def _money(agent: AgentRecord, chain: Chain | None) -> str | None:
    """Say what the agent has, or that it may have some; None: it has nothing."""
    if chain is None:
        return f"what it has cannot be looked up: {why_unreachable(agent.lives_on)}"
    try:
        balance = await chain.balance(agent.public_key)
    except ChainUnavailable:
        return "what it has cannot be looked up: the node gave no usable answer"
    unit = NATIVE_UNITS[agent.chain]
    return None if balance == 0 else f"has {balance} base units of {unit.symbol}"
