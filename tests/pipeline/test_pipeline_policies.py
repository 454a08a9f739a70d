"""Setting policies: what cannot be kept is not written, and what is written counts at once."""

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from waiaas.database import generate_id
from waiaas.domain.enums import PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import PolicyRecord
from waiaas.pipeline.policies import set_policy

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
TIGHT = '{"asset": "native", "instant_max": "10"}'
WIDE = '{"asset": "native", "instant_max": "1000"}'


def put(
    office: "Office",
    agent_id: AgentId,
    rules: str,
    *,
    kind: PolicyType = PolicyType.SPENDING_LIMIT,
) -> PolicyRecord:
    return asyncio.run(
        set_policy(
            agent_id,
            kind=kind,
            rules=rules,
            ledger=office.ledger,
            clock=office.clock,
            generate_id=generate_id,
        )
    )


def stored(office: "Office", agent_id: AgentId) -> list[PolicyRecord]:
    return office.ledger.read(lambda tx: tx.policies.applying_to(agent_id))


def test_a_policy_counts_for_the_next_request_and_only_for_its_agent(office: "Office") -> None:
    one, other = office.hire(limits={}), office.hire(limits={})
    policy = put(office, one.agent_id, TIGHT)
    assert stored(office, one.agent_id) == [policy]
    assert (policy.agent_id, policy.created_at, policy.updated_at) == (one.agent_id, NOW_S, NOW_S)
    assert office.ask_now(one, 10).refusal is None
    assert office.ask_now(other, 10).refusal is not None


def test_a_second_policy_of_the_same_asset_takes_the_place_of_the_first(office: "Office") -> None:
    caller = office.hire(limits={})
    first = put(office, caller.agent_id, TIGHT)
    office.clock.wall_s += 60
    second = put(office, caller.agent_id, WIDE)
    assert second == first._replace(rules=WIDE, updated_at=NOW_S + 60)
    assert stored(office, caller.agent_id) == [second]
    assert office.ask_now(caller, 1000).refusal is None


def test_every_setting_is_audited_with_what_it_was_and_what_it_is(office: "Office") -> None:
    caller = office.hire(limits={})
    policy = put(office, caller.agent_id, TIGHT)
    put(office, caller.agent_id, WIDE)
    rows = office.rows("audit_log")
    assert {(row.event_type, row.actor, row.agent_id) for row in rows} == {
        ("POLICY_UPDATED", "operator", caller.agent_id)
    }
    assert [json.loads(row.details) for row in rows] == [
        {"policyId": policy.id, "type": "SPENDING_LIMIT", "before": None, "after": TIGHT},
        {"policyId": policy.id, "type": "SPENDING_LIMIT", "before": TIGHT, "after": WIDE},
    ]


@pytest.mark.parametrize(
    ("kind", "rules", "field"),
    [
        (PolicyType.SPENDING_LIMIT, "", "rules"),
        (PolicyType.SPENDING_LIMIT, '{"asset": "native"}', "rules.instant_max"),
        (PolicyType.SPENDING_LIMIT, '{"asset": "native", "instant_max": 1}', "rules.instant_max"),
        (
            PolicyType.SPENDING_LIMIT,
            '{"asset": "native", "instant_max": "1", "delay_max": "2"}',
            "rules.delay_max",
        ),
        (PolicyType.WHITELIST, "{}", "type"),
    ],
)
def test_what_would_not_be_kept_is_refused_and_not_written(
    kind: PolicyType, rules: str, field: str, office: "Office"
) -> None:
    caller = office.hire(limits={})
    with pytest.raises(Refusal) as refusal:
        put(office, caller.agent_id, rules, kind=kind)
    assert refusal.value.code is ErrorCode.VALIDATION_FAILED
    assert refusal.value.details == {"field": field}
    assert stored(office, caller.agent_id) == []
    assert office.rows("audit_log") == []


def test_an_agent_that_does_not_exist_gets_no_policy(office: "Office") -> None:
    agent_id = AgentId(generate_id())
    with pytest.raises(Refusal) as refusal:
        put(office, agent_id, TIGHT)
    assert refusal.value.code is ErrorCode.AGENT_NOT_FOUND
    assert stored(office, agent_id) == []


def test_setting_a_policy_mends_one_that_cannot_be_read(office: "Office") -> None:
    caller = office.hire(limits={})
    office.set_policy(caller.agent_id, "{}")
    assert office.ask_now(caller, 1).refusal is not None
    put(office, caller.agent_id, TIGHT)
    assert office.ask_now(caller, 1).refusal is None
    assert len(stored(office, caller.agent_id)) == 1


def test_a_global_policy_is_not_replaced_by_that_of_an_agent(office: "Office") -> None:
    caller = office.hire(limits={})
    office.set_policy(None, TIGHT)
    put(office, caller.agent_id, WIDE)
    assert [each.rules for each in stored(office, caller.agent_id)] == [TIGHT, WIDE]
    assert office.ask_now(caller, 11).refusal is not None  # both have to let it through


def test_policies_set_at_the_same_time_leave_one(office: "Office") -> None:
    caller = office.hire(limits={})

    async def several() -> None:
        await asyncio.gather(
            *(
                set_policy(
                    caller.agent_id,
                    kind=PolicyType.SPENDING_LIMIT,
                    rules=rules,
                    ledger=office.ledger,
                    clock=office.clock,
                    generate_id=generate_id,
                )
                for rules in [TIGHT, WIDE] * 10
            )
        )

    asyncio.run(several())
    assert len(stored(office, caller.agent_id)) == 1
    assert len(office.rows("audit_log")) == 20
