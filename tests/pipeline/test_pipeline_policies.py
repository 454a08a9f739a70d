"""Setting a policy: validated, one row for a rule, and what stood there before is remembered."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.database import generate_id, policies
from waiaas.database.connection import open_reader
from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType, PolicyTier, PolicyType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.profile import ProfileName
from waiaas.domain.records import PolicyRecord
from waiaas.pipeline.policies import (
    POLICIES_MAX,
    add_policy,
    change_policy,
    insert_profile,
    list_policies,
    remove_policy,
    set_policy,
)
from waiaas.ports import LedgerTransaction
from waiaas.profiles import read_profiles

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000


def rules(instant_max: int) -> str:
    return json.dumps({"asset": "native", "instant_max": str(instant_max)})


async def setting(
    office: "Office",
    agent_id: AgentId | None,
    text: str,
    *,
    kind: PolicyType = PolicyType.SPENDING_LIMIT,
    write: Callable[..., Awaitable[PolicyRecord]] = set_policy,
    enabled: bool = True,
) -> PolicyRecord:
    return await write(
        agent_id,
        kind=kind,
        rules=text,
        priority=0,
        enabled=enabled,
        ip_address=None,
        ledger=office.ledger,
        clock=office.clock,
        generate_id=generate_id,
    )


def set_now(office: "Office", agent_id: AgentId | None, text: str, **how: Any) -> PolicyRecord:
    return asyncio.run(setting(office, agent_id, text, **how))


def change_now(office: "Office", policy_id: str, **changes: Any) -> PolicyRecord:
    same: dict[str, Any] = dict.fromkeys(("rules", "priority", "enabled", "ip_address"))
    return asyncio.run(
        change_policy(policy_id, **same | changes, ledger=office.ledger, clock=office.clock)
    )


def remove_now(office: "Office", policy_id: str) -> PolicyRecord:
    return asyncio.run(
        remove_policy(policy_id, ip_address=None, ledger=office.ledger, clock=office.clock)
    )


def list_now(office: "Office", agent_id: AgentId | None) -> list[PolicyRecord]:
    return list(office.ledger.read(lambda tx: list_policies(tx, agent_id)))


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
        ('{"asset": "native", "instant_max": "5", "on_exceed": "approval"}', "rules.on_exceed"),
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
    assert set_now(office, agent_id, rules(7)).updated_at == NOW_S + 1


def test_a_rule_that_is_changed_and_changed_back_in_one_second_is_not_taken_for_what_it_was(
    office: "Office", agent_id: AgentId
) -> None:
    first = set_now(office, agent_id, rules(5))
    versions = [first]
    for back_and_forth in (7, 5, 7, 5):
        versions += [change_now(office, first.id, rules=rules(back_and_forth))]
    versions.append(set_now(office, agent_id, rules(5)))
    assert len(set(versions)) == len(versions)
    assert {row.timestamp for row in office.rows("audit_log")} == {NOW_S}


def test_a_second_rule_of_a_type_stands_beside_the_first_and_only_restricts(
    office: "Office",
) -> None:
    caller = office.hire(limits={})
    first = set_now(office, caller.agent_id, rules(9))
    second = set_now(office, caller.agent_id, rules(5), write=add_policy)
    assert stored(office) == [first, second]
    tiers = [office.ask_now(caller, amount).transaction.tier for amount in (5, 1)]
    assert tiers == [PolicyTier.INSTANT, PolicyTier.APPROVAL]  # 5 are on their way already


def test_which_of_two_rules_is_meant_is_not_guessed(office: "Office", agent_id: AgentId) -> None:
    set_now(office, agent_id, rules(9))
    set_now(office, agent_id, rules(5), write=add_policy)
    before, counts = stored(office), office.counts()
    with pytest.raises(Refusal) as refused:
        set_now(office, agent_id, rules(7))
    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    assert (stored(office), office.counts()) == (before, counts)


def test_a_global_rule_restricts_every_agent_and_has_no_agent_to_belong_to(
    office: "Office",
) -> None:
    callers = [office.hire(limits={"instant_max": 9}) for _ in range(2)]
    policy = set_now(office, None, whitelist(ANOTHER), kind=PolicyType.WHITELIST)
    assert policy.agent_id is None
    assert office.rows("audit_log")[0].agent_id is None
    assert all(office.ask_now(caller, 1).refusal is not None for caller in callers)
    assert set_now(office, None, whitelist(RECIPIENT), kind=PolicyType.WHITELIST).id == policy.id


def test_a_global_rule_names_assets_of_a_network(office: "Office") -> None:
    with pytest.raises(Refusal) as refused:
        set_now(office, None, rules(5))
    assert refused.value.details == {"field": "rules.asset"}


@pytest.mark.parametrize(
    ("kind", "member", "others"),
    [
        (PolicyType.SPENDING_LIMIT, "asset", {"instant_max": "5"}),
        (PolicyType.APPROVE_AMOUNT_LIMIT, "token", {"amount_max": "5"}),
    ],
)
def test_a_global_rule_stands_in_the_place_of_one_of_its_own_network_only(
    office: "Office", kind: PolicyType, member: str, others: dict[str, str]
) -> None:
    name = "slip44:501" if member == "asset" else f"token:{RECIPIENT}"
    first, second = (
        json.dumps({member: f"{CHAIN_IDS[Network(ChainType.SOLANA, network)]}/{name}", **others})
        for network in (NetworkType.MAINNET, NetworkType.DEVNET)
    )
    of_mainnet = set_now(office, None, first, kind=kind)
    of_devnet = set_now(office, None, second, kind=kind)
    assert stored(office) == [of_mainnet, of_devnet]
    assert set_now(office, None, second, kind=kind).id == of_devnet.id


def test_an_asset_has_one_rule_however_it_is_named(office: "Office", agent_id: AgentId) -> None:
    first = set_now(office, agent_id, rules(5))
    chain_id = CHAIN_IDS[Network(ChainType.SOLANA, NetworkType.LOCALNET)]
    renamed = json.dumps({"asset": f"{chain_id}/slip44:501", "instant_max": "7"})
    assert set_now(office, agent_id, renamed).id == first.id
    assert set_now(office, agent_id, rules(5)).id == first.id


def test_only_what_is_given_changes(office: "Office", agent_id: AgentId) -> None:
    policy = set_now(office, agent_id, rules(5))
    for changes, expected in (
        ({"priority": 3}, {"priority": 3}),
        ({"enabled": False}, {"enabled": 0}),
        ({"rules": rules(7)}, {"rules": rules(7)}),
        ({"enabled": True}, {"enabled": 1}),
    ):
        office.clock.wall_s += 10
        policy = policy._replace(updated_at=office.clock.wall_s, **expected)
        assert change_now(office, policy.id, **changes) == policy
        assert stored(office) == [policy]


def test_the_audit_log_follows_a_rule_that_is_switched_changed_and_removed(
    office: "Office", agent_id: AgentId
) -> None:
    policy = set_now(office, agent_id, rules(5), enabled=False)
    change_now(office, policy.id, rules=rules(7))
    change_now(office, policy.id, enabled=True)
    change_now(office, policy.id, enabled=False)
    change_now(office, policy.id, enabled=True)
    assert remove_now(office, policy.id).rules == rules(7)
    assert stored(office) == []
    details = [json.loads(row.details) for row in office.rows("audit_log")]
    assert [(each["before"], each["after"]) for each in details] == [
        (None, None),
        (None, None),
        (None, rules(7)),
        (rules(7), None),
        (None, rules(7)),
        (rules(7), None),
    ]


def test_a_rule_that_is_not_in_force_or_removed_permits_nothing(office: "Office") -> None:
    caller = office.hire(limits={})
    policy = set_now(office, caller.agent_id, rules(5))
    assert office.ask_now(caller, 1).refusal is None
    change_now(office, policy.id, enabled=False)
    assert office.ask_now(caller, 1).refusal is not None
    change_now(office, policy.id, enabled=True)
    assert office.ask_now(caller, 1).refusal is None
    remove_now(office, policy.id)
    assert office.ask_now(caller, 1).refusal is not None


def test_a_change_is_read_as_strictly_as_a_new_rule(office: "Office", agent_id: AgentId) -> None:
    policy = set_now(office, agent_id, rules(5))
    before, counts = stored(office), office.counts()
    foreign = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501"
    for text, field in (
        ("{}", "rules.asset"),
        (json.dumps({"asset": foreign, "instant_max": "1"}), "rules"),
    ):
        with pytest.raises(Refusal) as refused:
            change_now(office, policy.id, rules=text)
        assert refused.value.details == {"field": field}
    assert (stored(office), office.counts()) == (before, counts)


@pytest.mark.parametrize("policy_id", ["", "x", "\0", "01990000-0000-7000-8000-00000000abcd"])
def test_a_rule_that_is_not_there_is_neither_changed_nor_removed(
    office: "Office", policy_id: str
) -> None:
    for act in (change_now, remove_now):
        with pytest.raises(Refusal) as refused:
            act(office, policy_id)
        assert refused.value.code is ErrorCode.POLICY_NOT_FOUND
    assert office.rows("audit_log") == []


def test_there_is_room_for_so_many_rules_and_no_more(office: "Office", agent_id: AgentId) -> None:
    for _ in range(POLICIES_MAX):
        set_now(office, agent_id, rules(5), write=add_policy)
    with pytest.raises(Refusal, match=str(POLICIES_MAX)) as refused:
        set_now(office, agent_id, rules(5), write=add_policy)
    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    # Those of others are not counted.
    set_now(office, office.hire(limits={}).agent_id, rules(5), write=add_policy)


def test_a_list_has_the_global_rules_and_the_agents_own(
    office: "Office", agent_id: AgentId
) -> None:
    own = set_now(office, agent_id, rules(5), enabled=False)
    shared = set_now(office, None, whitelist(ANOTHER), kind=PolicyType.WHITELIST)
    set_now(office, office.hire(limits={}).agent_id, rules(6))
    assert list_now(office, agent_id) == [shared, own]
    assert list_now(office, None) == [shared]
    for nobody in ("", "x", "01990000-0000-7000-8000-00000000abcd"):
        with pytest.raises(Refusal) as refused:
            list_now(office, AgentId(nobody))
        assert refused.value.code is ErrorCode.AGENT_NOT_FOUND


def test_a_profile_is_given_once_and_belongs_to_the_agent_from_then_on(office: "Office") -> None:
    caller = office.hire(limits={})

    profile = read_profiles()[ProfileName.CAUTIOUS]

    def give(tx: LedgerTransaction) -> None:
        insert_profile(
            tx,
            profile,
            caller.agent_id,
            ip_address=None,
            generate_id=generate_id,
            now_s=NOW_S,
        )

    office.ledger.write(give)
    tiers = [office.ask_now(caller, amount).transaction.tier for amount in (10**7, 4 * 10**7)]
    assert tiers == [PolicyTier.INSTANT, PolicyTier.NOTIFY]
    assert office.ask_now(caller, 10**9 + 1).refusal is not None
    limit, rate = stored(office)
    assert (limit.type, rate.type) == (PolicyType.SPENDING_LIMIT, PolicyType.RATE_LIMIT)
    assert set_now(office, caller.agent_id, rules(5)).id == limit.id
