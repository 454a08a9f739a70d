"""The operator makes agents and sessions."""

import json
from typing import Final

from msgspec import UNSET

from waiaas.api.requests import amount_of
from waiaas.api.routes import Call, Route
from waiaas.api.wallet import balance_of
from waiaas.domain.access import Credential
from waiaas.domain.assets import Network, require_adapter
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.pipeline.agents import create_agent
from waiaas.pipeline.sessions import issue_session
from waiaas.ports import LedgerTransaction, SimulationRefused
from waiaas.wire.agents import Agent, Agents, CreateAgent, FundAgent, Funded
from waiaas.wire.sessions import CreateSession, IssuedSession
from waiaas.wire.transactions import WalletBalance

FUND_BASE_UNITS_MAX: Final = 10**6 * 10**9
"""A million SOL at a time: enough to play, and far from where a balance would overflow."""


async def create(call: Call) -> Agent:
    """Make an agent with a key of its own."""
    body: CreateAgent = call.body
    services = call.services
    if body.chain is not ChainType.SOLANA:
        raise Refusal(ErrorCode.NOT_SUPPORTED_YET, f"{body.chain} is not supported yet")
    if Network(body.chain, body.network) not in services.chains:
        configured = ", ".join(sorted(each.network for each in services.chains)) or "none"
        raise Refusal(
            ErrorCode.NETWORK_NOT_CONFIGURED,
            f"this daemon does not know the network {body.network} (it knows: {configured})",
            hint="Say one of those; or set the URL of a node of that network in config.toml and"
            " start again; or start with --localnet, which brings the network localnet along.",
        )
    agent = await create_agent(
        body.name,
        chain=body.chain,
        network=body.network,
        profile=None if body.profile is None else services.profiles[body.profile],
        ip_address=call.ip_address,
        ledger=services.ledger,
        keystore=services.keystore,
        clock=services.clock,
        generate_id=services.generate_id,
    )
    return render_agent(agent)


async def list_all(call: Call) -> Agents:
    """Show every agent there ever was."""

    def look(tx: LedgerTransaction) -> list[AgentRecord]:
        found = [each for status in AgentStatus for each in tx.agents.with_status(status)]
        return sorted(found, key=lambda agent: agent.id)

    return Agents([render_agent(each) for each in call.services.ledger.read(look)])


async def get_one(call: Call) -> Agent:
    """Show one agent."""
    return render_agent(_agent(call))


def render_agent(agent: AgentRecord) -> Agent:
    """Return an agent as the operator sees it."""
    return Agent(
        id=agent.id,
        name=agent.name,
        chain=agent.chain,
        network=agent.network,
        public_key=agent.public_key,
        status=agent.status,
        created_at=agent.created_at,
        suspended_at=agent.suspended_at,
        suspension_reason=agent.suspension_reason,
    )


async def fund(call: Call) -> Funded:
    """Give an agent play money; there is no such thing outside the local network."""
    body: FundAgent = call.body
    services = call.services
    base_units = amount_of(body.amount)
    if not 0 < base_units <= FUND_BASE_UNITS_MAX:
        raise Refusal(
            ErrorCode.INVALID_AMOUNT,
            f"`amount` is not between 1 and {FUND_BASE_UNITS_MAX} base units",
            hint="Give lamports as digits in a string; 1000000000 are 1 SOL.",
        )
    if services.faucet is None:
        raise _no_faucet("this daemon")
    agent = _agent(call)
    require_adapter(agent.lives_on)
    if agent.network is not NetworkType.LOCALNET:
        raise _no_faucet(agent.network)
    paid = await services.faucet.airdrop(agent.public_key, base_units=base_units)
    if isinstance(paid, SimulationRefused):
        raise Refusal(
            ErrorCode.INVALID_AMOUNT,
            f"the local network does not pay this: {paid.reason}",
            hint="Give more: below its rent (890880 lamports) no account of Solana can be.",
        )
    balance = await services.chains[agent.lives_on].balance(agent.public_key)
    return Funded(agent.id, paid, str(balance))


async def get_balance(call: Call) -> WalletBalance:
    """Tell the operator what an agent has, by the chain's word."""
    return await balance_of(_agent(call), call)


async def create_session(call: Call) -> IssuedSession:
    """Issue a session; its token is in this answer and nowhere else."""
    body: CreateSession = call.body
    services = call.services
    issued = await issue_session(
        AgentId(body.agent_id),
        ttl_s=None if body.ttl is UNSET else body.ttl,
        constraints=(
            None if body.constraints is None else json.dumps(body.constraints, sort_keys=True)
        ),
        ip_address=call.ip_address,
        rules=services.sessions,
        ledger=services.ledger,
        clock=services.clock,
        generate_id=services.generate_id,
        generate_secret=services.generate_secret,
    )
    session = issued.session
    return IssuedSession(session.id, issued.token, session.expires_at, session.agent_id)


def _no_faucet(where: str) -> Refusal:
    return Refusal(
        ErrorCode.FAUCET_UNAVAILABLE,
        f"there is no faucet on {where}",
        hint="Send money to the agent's address, or use an agent on localnet.",
    )


def _agent(call: Call) -> AgentRecord:
    agent_id = AgentId(call.path_id)
    agent = call.services.ledger.read(lambda tx: tx.agents.get(agent_id))
    if agent is None:
        raise Refusal(ErrorCode.AGENT_NOT_FOUND, "there is no agent with this id")
    return agent


ROUTES = (
    Route(
        "POST",
        "/v1/agents",
        Credential.OPERATOR,
        create,
        Agent,
        body=CreateAgent,
        status=201,
        codes=(
            ErrorCode.NOT_SUPPORTED_YET,
            ErrorCode.NETWORK_NOT_CONFIGURED,
            ErrorCode.KILL_SWITCH_ACTIVE,
        ),
    ),
    Route("GET", "/v1/agents", Credential.OPERATOR_LOOK, list_all, Agents),
    Route(
        "GET",
        "/v1/agents/{id}",
        Credential.OPERATOR_LOOK,
        get_one,
        Agent,
        codes=(ErrorCode.AGENT_NOT_FOUND,),
    ),
    Route(
        "POST",
        "/v1/agents/{id}/fund",
        Credential.OPERATOR,
        fund,
        Funded,
        body=FundAgent,
        codes=(
            ErrorCode.INVALID_AMOUNT,
            ErrorCode.NOT_SUPPORTED_YET,
            ErrorCode.FAUCET_UNAVAILABLE,
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.CHAIN_UNAVAILABLE,
        ),
    ),
    Route(
        "GET",
        "/v1/agents/{id}/balance",
        Credential.OPERATOR_LOOK,
        get_balance,
        WalletBalance,
        codes=(
            ErrorCode.NOT_SUPPORTED_YET,
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.CHAIN_UNAVAILABLE,
            ErrorCode.NETWORK_NOT_CONFIGURED,
        ),
    ),
    Route(
        "POST",
        "/v1/sessions",
        Credential.OPERATOR,
        create_session,
        IssuedSession,
        body=CreateSession,
        status=201,
        codes=(
            ErrorCode.NOT_SUPPORTED_YET,
            ErrorCode.AGENT_NOT_FOUND,
            ErrorCode.AGENT_NOT_ACTIVE,
            ErrorCode.SESSION_LIMIT_EXCEEDED,
            ErrorCode.KILL_SWITCH_ACTIVE,
        ),
    ),
)
