"""An agent's wallet: where its money is, and how much of it the chain shows."""

from waiaas.api.access import Principal
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.assets import require_adapter, why_unreachable
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import NATIVE_UNITS
from waiaas.domain.records import AgentRecord
from waiaas.wire.transactions import WalletAddress, WalletBalance


async def get_address(call: Call) -> WalletAddress:
    """Tell the agent its address."""
    agent = agent_of(call.principal)
    return WalletAddress(agent.id, agent.chain, agent.network, agent.public_key)


async def get_balance(call: Call) -> WalletBalance:
    """Tell the agent its confirmed balance, by the chain's word."""
    return await balance_of(agent_of(call.principal), call)


async def balance_of(agent: AgentRecord, call: Call) -> WalletBalance:
    """Return what the chain says that an agent has.

    Raises:
        Refusal: NOT_SUPPORTED_YET, NETWORK_NOT_CONFIGURED.
    """
    require_adapter(agent.lives_on)
    chain = call.services.chains.get(agent.lives_on)
    if chain is None:
        raise Refusal(
            ErrorCode.NETWORK_NOT_CONFIGURED,
            why_unreachable(agent.lives_on),
            hint="The operator sets its URL in config.toml.",
        )
    balance = await chain.balance(agent.public_key)
    unit = NATIVE_UNITS[agent.chain]
    return WalletBalance(
        agent_id=agent.id,
        chain=agent.chain,
        network=agent.network,
        address=agent.public_key,
        balance=str(balance),
        decimals=unit.decimals,
        symbol=unit.symbol,
    )


def agent_of(principal: Principal) -> AgentRecord:
    """Return the calling agent of a route that admits agents."""
    assert principal.agent is not None, "the route's credential is AGENT"
    return principal.agent


ROUTES = (
    Route("GET", "/v1/wallet/address", Credential.AGENT, get_address, WalletAddress),
    Route(
        "GET",
        "/v1/wallet/balance",
        Credential.AGENT,
        get_balance,
        WalletBalance,
        codes=(
            ErrorCode.NOT_SUPPORTED_YET,
            ErrorCode.CHAIN_UNAVAILABLE,
            ErrorCode.NETWORK_NOT_CONFIGURED,
        ),
    ),
)
