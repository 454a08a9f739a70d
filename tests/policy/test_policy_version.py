"""The version of policies changes with what they say, and with nothing else."""

import hashlib
from typing import Any

import pytest

from waiaas.domain.enums import PolicyType
from waiaas.domain.ids import AgentId, PolicyId
from waiaas.domain.records import PolicyRecord
from waiaas.policy.version import policy_version

FIRST = PolicyRecord(
    PolicyId("1"), AgentId("a"), PolicyType.SPENDING_LIMIT, '{"instant_max":"1"}', 0, 1, 100, 100
)
SECOND = PolicyRecord(PolicyId("2"), None, PolicyType.WHITELIST, "{}", 0, 1, 100, 100)


@pytest.mark.parametrize(
    "change",
    [
        {"rules": '{"instant_max":"2"}'},
        {"id": "3"},
        {"agent_id": None},
        {"type": PolicyType.RATE_LIMIT},
        {"priority": 1},
    ],
)
def test_what_a_rule_says_changes_the_version(change: dict[str, Any]) -> None:
    assert policy_version([FIRST._replace(**change), SECOND]) != policy_version([FIRST, SECOND])


def test_a_rule_more_or_less_changes_the_version() -> None:
    versions = {policy_version(some) for some in ([], [FIRST], [SECOND], [FIRST, SECOND])}
    assert len(versions) == 4
    assert all(len(version) == 64 for version in versions)


def test_order_and_times_change_nothing() -> None:
    again = FIRST._replace(created_at=200, updated_at=300)
    assert policy_version([SECOND, again]) == policy_version([FIRST, SECOND])


def test_text_cannot_move_from_one_rule_to_another() -> None:
    one = [FIRST._replace(rules='x","y'), SECOND._replace(rules="z")]
    other = [FIRST._replace(rules="x"), SECOND._replace(rules='y","z')]
    assert policy_version(one) != policy_version(other)


def test_the_version_of_the_same_policies_is_the_same_in_every_release() -> None:
    """Approvals and recorded decisions name it; the text is written here without our code."""
    text = (
        '[["1","a","SPENDING_LIMIT",0,"{\\"instant_max\\":\\"1\\"}"],["2","","WHITELIST",0,"{}"]]'
    )
    assert policy_version([FIRST, SECOND]) == hashlib.sha256(text.encode()).hexdigest()
