"""Setting a policy: validated, one row for a rule, and what stood there before is remembered."""

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from waiaas.database import generate_id, policies
from waiaas.database.connection import open_reader
from waiaas.domain.enums import PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import PolicyRecord
from waiaas.pipeline.policies import set_policy

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000


def rules(instant_max: int) -> str:
    return json.dumps({"asset": "native", "instant_max": str(instant_max)})


async def setting(
    office: "Office",
    agent_id: AgentId,
    text: str,
    *,
    kind: PolicyType = PolicyType.SPENDING_LIMIT,
) -> PolicyRecord:
    return await set_policy(
        agent_id,
        kind=kind,
        rules=text,
        ledger=office.ledger,
        clock=office.clock,
        generate_id=generate_id,
    )


def set_now(office: "Office", agent_id: AgentId, text: str) -> PolicyRecord:
    return asyncio.run(setting(office, agent_id, text))


def stored(office: "Office") -> list[PolicyRecord]:
    with open_reader(office.ledger.path) as connection:
        rows = connection.db.execute(policies.select().order_by(policies.c.id))
    return [PolicyRecord(*(getattr(row, name) for name in PolicyRecord._fields)) for row in rows]


@pytest.fixture
def agent_id(office: "Office") -> AgentId:
    """Return an agent without a policy."""
    return office.hire(limits={}).agent_id


def test_the_first_rule_is_a_row_of_its_own(office: "Office", agent_id: AgentId) -> None:
    policy = set_now(office, agent_id, rules(5))
    assert stored(office) == [policy]
    assert policy == PolicyRecord(
        policy.id, agent_id, PolicyType.SPENDING_LIMIT, rules(5), 0, 1, NOW_S, NOW_S
    )


def test_the_next_one_stands_in_its_place(office: "Office", agent_id: AgentId) -> None:
    first = set_now(office, agent_id, rules(5))
    office.clock.wall_s += 10
    second = set_now(office, agent_id, rules(7))
    assert second == first._replace(rules=rules(7), updated_at=NOW_S + 10)
    assert stored(office) == [second]


def test_the_audit_log_says_what_stood_there_before_and_what_does_now(
    office: "Office", agent_id: AgentId
) -> None:
    policy = set_now(office, agent_id, rules(5))
    set_now(office, agent_id, rules(7))
    rows = office.rows("audit_log")
    assert [(row.event_type, row.actor, row.agent_id) for row in rows] == [
        ("POLICY_UPDATED", "operator", agent_id)
    ] * 2
    facts = {"policyId": policy.id, "type": "SPENDING_LIMIT"}
    assert [json.loads(row.details) for row in rows] == [
        {**facts, "before": None, "after": rules(5)},
        {**facts, "before": rules(5), "after": rules(7)},
    ]


def test_fifty_at_once_are_one_rule_and_the_last_to_be_written_is_in_force(
    office: "Office", agent_id: AgentId
) -> None:
    async def act() -> None:
        await asyncio.gather(*(setting(office, agent_id, rules(n)) for n in range(1, 51)))

    asyncio.run(act())
    (policy,) = stored(office)
    details = [json.loads(row.details) for row in office.rows("audit_log")]
    assert len(details) == 50
    assert details[-1]["after"] == policy.rules
    # Each stood in the place of the one before it: none was overlooked.
    assert [each["before"] for each in details] == [None, *(each["after"] for each in details)][:-1]


def test_a_rule_of_one_agent_is_not_one_of_another_or_of_all(
    office: "Office", agent_id: AgentId
) -> None:
    office.set_policy(None, rules(1))
    other = office.hire().agent_id
    before = stored(office)
    policy = set_now(office, agent_id, rules(5))
    assert stored(office) == [*before, policy]
    assert {each.agent_id for each in stored(office)} == {None, other, agent_id}


# fmt: off
BROKEN = ["{}", "[]", "null", '"x"', '{"asset": "native"}',
          '{"asset": "native", "instant_max": 5}', '{"asset": "gold", "instant_max": "5"}',
          '{"asset": "native", "instant_max": "5", "x": 1}']
# fmt: on


@pytest.mark.parametrize("broken", BROKEN)
def test_a_stored_rule_that_says_nothing_is_mended_by_setting_one(
    office: "Office", agent_id: AgentId, broken: str
) -> None:
    office.set_policy(agent_id, broken)
    (denying,) = stored(office)
    policy = set_now(office, agent_id, rules(5))
    assert stored(office) == [policy]
    assert policy.id == denying.id
    assert json.loads(office.rows("audit_log")[0].details)["before"] == broken


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "rules"),
        ("{", "rules"),
        ("[]", "rules"),
        ("{}", "rules.asset"),
        ('{"asset": "gold", "instant_max": "5"}', "rules.asset"),
        ('{"asset": "native", "instant_max": "-5"}', "rules.instant_max"),
        ('{"asset": "native", "instant_max": "5", "instant_max": "9"}', "rules.instant_max"),
        ('{"asset": "native", "instant_max": "5", "on_exceed": "allow"}', "rules.on_exceed"),
        ('{"asset": "native", "instant_max": "5", "notify_max": "4"}', "rules.notify_max"),
    ],
)
def test_a_rule_that_nobody_could_keep_is_refused_with_the_field_and_changes_nothing(
    office: "Office", agent_id: AgentId, text: str, field: str
) -> None:
    set_now(office, agent_id, rules(5))
    before, counts = stored(office), office.counts()
    with pytest.raises(Refusal) as refused:
        set_now(office, agent_id, text)
    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    assert refused.value.details == {"field": field}
    assert (stored(office), office.counts()) == (before, counts)


RECIPIENT = "So11111111111111111111111111111111111111112"
ANOTHER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"


def whitelist(address: str) -> str:
    return json.dumps({"addresses": [address]})


def test_rules_of_different_types_stand_beside_each_other(
    office: "Office", agent_id: AgentId
) -> None:
    set_now(office, agent_id, rules(5))
    kind = PolicyType.WHITELIST
    first = asyncio.run(setting(office, agent_id, whitelist(RECIPIENT), kind=kind))
    second = asyncio.run(setting(office, agent_id, whitelist(ANOTHER), kind=kind))
    assert second.id == first.id  # an agent has one list of recipients
    assert [each.type for each in stored(office)] == ["SPENDING_LIMIT", "WHITELIST"]


def test_a_limit_has_one_row_for_each_asset_in_whatever_spelling(
    office: "Office", agent_id: AgentId
) -> None:
    local = "waiaas:solana-localnet"
    native = set_now(office, agent_id, rules(5))
    for asset, same in (
        (f"{local}/slip44:501", True),
        (ANOTHER, False),
        (f"{local}/token:{RECIPIENT}", False),
    ):
        policy = set_now(office, agent_id, json.dumps({"asset": asset, "instant_max": "1"}))
        assert (policy.id == native.id) is same
    assert len(stored(office)) == 3


def test_a_rule_about_an_asset_of_another_network_is_refused(
    office: "Office", agent_id: AgentId
) -> None:
    asset = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501"
    with pytest.raises(Refusal) as refused:
        set_now(office, agent_id, json.dumps({"asset": asset, "instant_max": "1"}))
    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    assert refused.value.details == {"field": "rules"}
    assert stored(office) == []


@pytest.mark.parametrize("agent_id", ["", "x", "\0", "01990000-0000-7000-8000-00000000abcd"])
def test_there_is_no_rule_for_an_agent_that_is_not(office: "Office", agent_id: str) -> None:
    with pytest.raises(Refusal) as refused:
        set_now(office, AgentId(agent_id), rules(5))
    assert refused.value.code is ErrorCode.AGENT_NOT_FOUND
    assert stored(office) == []
    assert office.rows("audit_log") == []


def test_a_rule_holds_from_the_next_payment_on(office: "Office") -> None:
    caller = office.hire(limits={})
    assert office.ask_now(caller, 5).refusal is not None
    set_now(office, caller.agent_id, rules(5))
    assert office.ask_now(caller, 5).refusal is None
    set_now(office, caller.agent_id, rules(0))
    assert office.ask_now(caller, 5).transaction.tier is PolicyTier.APPROVAL


def test_a_clock_that_is_set_back_dates_no_rule_back(office: "Office", agent_id: AgentId) -> None:
    set_now(office, agent_id, rules(5))
    office.clock.wall_s -= 10**6
    assert set_now(office, agent_id, rules(7)).updated_at == NOW_S
