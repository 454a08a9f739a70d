"""Policies, requests and usage as the tests of the evaluation write them."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.policy.listed import ListedUsage, Spend, Spending

from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyType
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.money import NATIVE
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Request, Transfer
from waiaas.policy.evaluate import evaluate, read_rules
from waiaas.policy.policies import parse_rules
from waiaas.policy.rule import WaitDefaults
from waiaas.policy.verdict import Verdict

RECIPIENT: Final = "So11111111111111111111111111111111111111112"
MAINNET: Final = Network(ChainType.SOLANA, NetworkType.MAINNET)
NOW_S: Final = 1_700_000_000
AGENT: Final = AgentId("0198c0de-0000-7000-8000-0000000000a1")
UNUSED: Final = ListedUsage({})


def _record(kind: PolicyType, rules: str, agent_id: AgentId | None = AGENT) -> PolicyRecord:
    return PolicyRecord(
        id=PolicyId("0198c0de-0000-7000-8000-00000000000a"),
        agent_id=agent_id,
        type=kind,
        rules=rules,
        priority=0,
        enabled=1,
        created_at=0,
        updated_at=0,
    )


def _rule(kind: PolicyType, **members: Any) -> PolicyRecord:
    return _record(kind, json.dumps(members))


def _limit(asset: str = NATIVE, **bounds: Any) -> PolicyRecord:
    amounts = {
        name: str(bound) if name.endswith("_max") else bound for name, bound in bounds.items()
    }
    return _rule(PolicyType.SPENDING_LIMIT, asset=asset, **amounts)


def _use(
    going_out: int = 0, *, waiting: int = 0, spends: tuple[Spend, ...] = (), asset: str = NATIVE
) -> ListedUsage:
    return ListedUsage({asset: Spending(going_out, waiting, spends)})


def _judge(
    request: Request,
    policies: list[PolicyRecord],
    usage: ListedUsage = UNUSED,
    *,
    now_s: int = NOW_S,
    network: Network = MAINNET,
    waits: WaitDefaults = WaitDefaults(),  # noqa: B008 -- it is immutable
    constraints: str | None = None,
) -> Verdict:
    return evaluate(
        request,
        network=network,
        policies=policies,
        usage=usage,
        waits=waits,
        now_s=now_s,
        constraints=constraints,
    )


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    """Let every test read its own rules: what was read is kept, and would hide how it is read."""
    parse_rules.cache_clear()
    read_rules.cache_clear()


@pytest.fixture(scope="session")
def record() -> Callable[..., PolicyRecord]:
    """Return a function that makes a stored policy of a type and the text of its rules."""
    return _record


@pytest.fixture(scope="session")
def rule() -> Callable[..., PolicyRecord]:
    """Return a function that makes a stored policy of a type and its members."""
    return _rule


@pytest.fixture(scope="session")
def limit() -> Callable[..., PolicyRecord]:
    """Return a function that makes a SPENDING_LIMIT of bounds in integers."""
    return _limit


@pytest.fixture(scope="session")
def use() -> Callable[..., ListedUsage]:
    """Return a function that makes the usage of one asset."""
    return _use


@pytest.fixture(scope="session")
def judge() -> Callable[..., Verdict]:
    """Return the evaluation, on mainnet and at a second of its own unless told otherwise."""
    return _judge


@pytest.fixture(scope="session")
def pay() -> Callable[[int], Transfer]:
    """Return a function that asks for a payment of so many base units."""
    return lambda base_units: Transfer(RECIPIENT, base_units)
