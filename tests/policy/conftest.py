"""Policies, requests and usage as the tests of the evaluation write them."""

import json
from collections.abc import Callable

import pytest

from waiaas.domain.enums import PolicyType
from waiaas.domain.ids import PolicyId
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import Transfer

RECIPIENT = "So11111111111111111111111111111111111111112"


def _record(kind: PolicyType, rules: str) -> PolicyRecord:
    return PolicyRecord(
        id=PolicyId("0198c0de-0000-7000-8000-00000000000a"),
        agent_id=None,
        type=kind,
        rules=rules,
        priority=0,
        enabled=1,
        created_at=0,
        updated_at=0,
    )


def _limit(**bounds: int) -> PolicyRecord:
    rules = {"asset": "native", **{name: str(bound) for name, bound in bounds.items()}}
    return _record(PolicyType.SPENDING_LIMIT, json.dumps(rules))


@pytest.fixture(scope="session")
def record() -> Callable[[PolicyType, str], PolicyRecord]:
    """Return a function that makes a stored policy of a type and the text of its rules."""
    return _record


@pytest.fixture(scope="session")
def limit() -> Callable[..., PolicyRecord]:
    """Return a function that makes a SPENDING_LIMIT of bounds in integers."""
    return _limit


@pytest.fixture(scope="session")
def pay() -> Callable[[int], Transfer]:
    """Return a function that asks for a payment of so many base units."""
    return lambda base_units: Transfer(RECIPIENT, base_units)
