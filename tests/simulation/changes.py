"""Operators change their minds: rules are tightened, loosened, added, removed; sessions narrowed.

It happens between payments and in the middle of them.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, update
from tests.simulation.permitted import WINDOWS_S
from tests.simulation.start import AGENTS, CONTRACT, RECIPIENTS, TIERS, TOKEN

from waiaas.database import sessions
from waiaas.database.statements import Statement
from waiaas.domain.enums import PolicyType, TransactionStatus
from waiaas.domain.ids import AgentId
from waiaas.domain.records import PolicyRecord
from waiaas.domain.transaction import MOVED_NOTHING
from waiaas.pipeline.policies import add_policy, change_policy, remove_policy, set_policy
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

SCALES: Final = ((1, 2), (1, 4), (3, 4), (2, 1), (4, 1))
"""What bounds are multiplied with."""

BOUND_MAX: Final = 2**256 - 1
DAYS: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
SOME: Final = [each for place, each in enumerate(RECIPIENTS) if place % 4]

ADDED: Final[tuple[tuple[PolicyType, dict[str, Any]], ...]] = (
    (PolicyType.SPENDING_LIMIT, {"asset": "native", "instant_max": "60", "hourly_max": "120"}),
    (PolicyType.SPENDING_LIMIT, {**TIERS, "daily_max": "150", "on_exceed": "approval"}),
    (PolicyType.SPENDING_LIMIT, {"asset": TOKEN, "instant_max": "50", "daily_max": "90"}),
    (PolicyType.WHITELIST, {"addresses": SOME}),
    (PolicyType.WHITELIST, {"addresses": RECIPIENTS[:30]}),
    (PolicyType.ALLOWED_TOKENS, {"tokens": [TOKEN]}),
    (PolicyType.ALLOWED_TOKENS, {"tokens": RECIPIENTS[:1]}),
    (PolicyType.RATE_LIMIT, {"max_requests": 3, "window_seconds": 60}),
    (PolicyType.RATE_LIMIT, {"max_requests": 6, "window_seconds": 3600}),
    (
        PolicyType.TIME_RESTRICTION,
        {"timezone": "UTC", "windows": [{"days": DAYS, "start": "22:00", "end": "23:00"}]},
    ),
    (
        PolicyType.TIME_RESTRICTION,
        {"timezone": "UTC", "windows": [{"days": DAYS[1:], "start": "00:00", "end": "24:00"}]},
    ),
    (PolicyType.APPROVED_SPENDERS, {"spenders": RECIPIENTS[:2], "tier": "INSTANT"}),
    (PolicyType.APPROVE_AMOUNT_LIMIT, {"amount_max": "6"}),
    (PolicyType.APPROVE_TIER_OVERRIDE, {"tier": "NOTIFY"}),
    (PolicyType.CONTRACT_WHITELIST, {"contracts": [CONTRACT]}),
    (PolicyType.METHOD_WHITELIST, {"contracts": [{"address": CONTRACT, "methods": ["0x01"]}]}),
)

CONSTRAINTS: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("maxAmountPerTx", ("20", "60", "100")),
    ("maxTotalAmount", ("100", "160")),
    ("maxTransactions", (1, 3)),
    ("allowedOperations", (["TRANSFER"], ["TRANSFER", "TOKEN_TRANSFER"], ["APPROVE"])),
    ("allowedDestinations", (SOME, RECIPIENTS[:20])),
    ("allowedTokens", ([TOKEN], RECIPIENTS[:1])),
    ("allowedContracts", ([CONTRACT], RECIPIENTS[:1])),
    ("allowedSpenders", (RECIPIENTS[:1], RECIPIENTS[1:2])),
)


async def change_policies(world: "Simulation") -> None:
    """Change one rule, or add one."""
    source, agent_id = world.source, world.source.choice(AGENTS)
    terms: Any = {"ip_address": None, "ledger": world.ledger, "clock": world.clock}
    there = world.ledger.read(lambda tx: [*tx.policies.of(None), *tx.policies.of(agent_id)])
    limits = [each for each in there if each.type is PolicyType.SPENDING_LIMIT]
    [how] = source.choices(["scale", "toggle", "remove", "add"], [6, 2, 1, 2])
    if how == "scale" and limits:
        policy = source.choice(limits)
        rules = _scaled(world, policy)
        if source.random() < 1 / 2:
            await change_policy(policy.id, rules=rules, priority=None, enabled=None, **terms)
        else:
            await _set(world, policy, rules)
    elif how in {"toggle", "remove"} and there:
        policy = source.choice(there)
        if how == "remove" and policy.id not in world.truth.first:
            await remove_policy(policy.id, **terms)
        else:
            is_on = not policy.enabled
            await change_policy(policy.id, rules=None, priority=None, enabled=is_on, **terms)
    else:
        kind, added = source.choice(ADDED)
        is_own = kind is PolicyType.SPENDING_LIMIT or source.random() < 3 / 4
        await add_policy(
            agent_id if is_own else None,
            kind=kind,
            rules=json.dumps(added),
            priority=0,
            enabled=True,
            generate_id=world.generate_id,
            **terms,
        )


async def _set(world: "Simulation", policy: PolicyRecord, rules: str) -> None:
    """Set what stands in a rule's place; it is refused where two could be meant."""
    await set_policy(
        policy.agent_id,
        kind=policy.type,
        rules=rules,
        priority=0,
        enabled=True,
        ip_address=None,
        ledger=world.ledger,
        clock=world.clock,
        generate_id=world.generate_id,
    )


def _scaled(world: "Simulation", policy: PolicyRecord) -> str:
    """Return a limit with other bounds, or as it was when the world began."""
    first = world.truth.first.get(policy.id)
    if first is not None and world.source.random() < 1 / 3:
        return json.dumps(first.rules)
    times, parts = world.source.choice(SCALES)
    return json.dumps(_times(json.loads(policy.rules), times, parts))


def _times(rules: Mapping[str, Any], times: int, parts: int) -> dict[str, Any]:
    return {
        name: str(min(int(value) * times // parts, BOUND_MAX)) if name.endswith("_max") else value
        for name, value in rules.items()
    }


async def toggle(world: "Simulation", agent_id: str | None, *, asset: str | None = None) -> None:
    """Take a limit of that agent out of force; of None, put one back that anybody's was taken."""
    agents = AGENTS if agent_id is None else [AgentId(agent_id)]
    found = world.ledger.read(lambda tx: [rule for each in agents for rule in tx.policies.of(each)])
    alike = [
        each
        for each in found
        if each.type is PolicyType.SPENDING_LIMIT
        and bool(each.enabled) is (agent_id is not None)
        and asset in {None, json.loads(each.rules)["asset"]}
    ]
    if alike:
        await change_policy(
            world.source.choice(alike).id,
            rules=None,
            priority=None,
            enabled=agent_id is None,
            ip_address=None,
            ledger=world.ledger,
            clock=world.clock,
        )


async def scale(world: "Simulation", policy_id: str, rules: Mapping[str, Any], times: int) -> None:
    """Let a limit be so many times what *rules* say."""
    await change_policy(
        policy_id,
        rules=json.dumps(_times(rules, times, 1)),
        priority=None,
        enabled=None,
        ip_address=None,
        ledger=world.ledger,
        clock=world.clock,
    )


async def hold_to(world: "Simulation", limit: PolicyRecord, bound: int) -> None:
    """Let the windows of a limit hold so much: the longest alone, which no clock here gets past."""
    others = {*WINDOWS_S, "per_transaction_max"}  # They may not be as much, or more.
    rules = {name: value for name, value in json.loads(limit.rules).items() if name not in others}
    await change_policy(
        limit.id,
        rules=json.dumps(rules | {"monthly_max": str(bound)}),
        priority=None,
        enabled=None,
        ip_address=None,
        ledger=world.ledger,
        clock=world.clock,
    )


def overtaken(world: "Simulation") -> list[tuple[PolicyRecord, int]]:
    """Return limits of payments that wait, and were overtaken by others that cannot be called back.

    Each with what it has to hold for the one and for all before it: by what its own decision rests
    on it has room then; beside what has gone out since, it has none.
    """
    return [each for agent_id in AGENTS for each in _overtaken(world, agent_id)]


def _overtaken(world: "Simulation", agent_id: AgentId) -> list[tuple[PolicyRecord, int]]:
    def look(tx: LedgerTransaction) -> list[tuple[PolicyRecord, int]]:
        newest = tx.transactions.newest(agent_id=agent_id, before=None, most=100)
        payments = [each for each in newest if each.status not in MOVED_NOTHING]
        found = []
        for limit in tx.policies.of(agent_id):
            asset = json.loads(limit.rules).get("asset", "")
            taken = {each.id: tx.reservations.amount_of(each.id, asset=asset) for each in payments}
            gone = [each.id for each in payments if each.tx_hash is not None and taken[each.id]]
            found += [
                (limit, sum(taken[each] for each in taken if each <= waiting.id))
                for waiting in payments
                if waiting.status is TransactionStatus.QUEUED
                and taken[waiting.id]
                and any(each > waiting.id for each in gone)
            ]
        return found

    return world.ledger.read(look)


def draw_constraints(world: "Simulation") -> str | None:
    """Draw what a new session may do; None: whatever its agent may."""
    if world.source.random() >= world.luck.constrained:
        return None
    chosen = world.source.sample(CONSTRAINTS, k=world.source.randint(0, 2))
    return json.dumps({name: world.source.choice(values) for name, values in chosen})


def narrow(world: "Simulation") -> None:
    """Let a session's constraints be others in the ledger: they hold as they stand.

    Nothing in the product changes them yet; what does one day, or a hand, is obeyed.
    """
    session_id = world.sessions[world.source.choice(AGENTS)]
    chosen = world.source.sample(CONSTRAINTS, k=2)
    more = {name: world.source.choice(values) for name, values in chosen}

    def unit(tx: LedgerTransaction) -> None:
        session = tx.sessions.get(session_id)
        if session is not None and session.constraints is not None:
            text = json.dumps({**json.loads(session.constraints), **more})
            run = tx.approvals._run  # type: ignore[attr-defined]  # -- nothing does it yet
            run(_NARROW, {"of_session": session_id, "text": text})

    world.write_now(unit)


_NARROW: Final = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("of_session"))
    .values(constraints=bindparam("text"))
)
