"""Nobody ends an agent that has money, or may have some, without having been told."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.fakes.chain import LOCALNET

from waiaas.domain.assets import Network
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.pipeline.stranded import require_nothing_stranded
from waiaas.ports import Chain, ChainUnavailable

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000


class Purse:
    """A network on which everybody has the same; None: it does not answer."""

    def __init__(self, balance: int | None) -> None:
        self._balance = balance

    async def balance(self, _address: str) -> int:
        if self._balance is None:
            raise ChainUnavailable
        return self._balance


def require(office: "Office", agent_id: str, chains: dict[Network, Any]) -> None:
    known = cast("dict[Network, Chain]", chains)
    asyncio.run(require_nothing_stranded(AgentId(agent_id), ledger=office.ledger, chains=known))


@pytest.mark.parametrize(
    ("chains", "said"),
    [
        ({LOCALNET: Purse(1)}, "has 1 base units of SOL"),
        ({LOCALNET: Purse(2**64 - 1)}, "18446744073709551615"),
        ({LOCALNET: Purse(None)}, "gave no usable answer"),
        ({}, "no node is configured"),
    ],
)
def test_money_that_is_or_may_be_there_is_a_reason_not_to(
    office: "Office", chains: dict[Network, Any], said: str
) -> None:
    caller, before = office.hire(), office.counts()
    with pytest.raises(Refusal, match=said) as refused:
        require(office, caller.agent_id, chains)
    assert refused.value.code is ErrorCode.AGENT_HAS_MONEY
    assert refused.value.hint
    assert office.counts() == before


def test_nothing_there_is_no_reason(office: "Office") -> None:
    require(office, office.hire().agent_id, {LOCALNET: Purse(0)})


@pytest.mark.parametrize(
    "status", [AgentStatus.CREATING, AgentStatus.TERMINATING, AgentStatus.TERMINATED]
)
def test_of_who_cannot_be_ended_nobody_asks(office: "Office", status: AgentStatus) -> None:
    caller = office.hire()
    office.ledger.write(
        lambda tx: tx.agents.compare_and_set_status(
            caller.agent_id, old=AgentStatus.ACTIVE, new=status, now_s=NOW_S
        )
    )
    for agent_id in (caller.agent_id, "x", "01990000-0000-7000-8000-00000000abcd"):
        require(office, agent_id, {})


def test_on_a_chain_that_nobody_here_can_ask_there_may_be_some(office: "Office") -> None:
    sepolia = Network(ChainType.ETHEREUM, NetworkType.TESTNET)
    caller = office.hire(lives_on=sepolia)
    on_solana = {Network(ChainType.SOLANA, NetworkType.TESTNET): Purse(0)}
    with pytest.raises(Refusal, match="no adapter for ethereum") as refused:
        require(office, caller.agent_id, on_solana)
    assert refused.value.code is ErrorCode.AGENT_HAS_MONEY
