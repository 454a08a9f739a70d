"""What may happen in a world, and how likely it is.

Whatever somebody asks of the daemon is a task of its newest process, which may be held, or killed,
anywhere. Everybody is as rude as he can be: too early, too late, twice, with a wrong key.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import dropwhile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nacl.encoding import Base64Encoder
from tests.fakes.chain import paid_by
from tests.simulation.changes import (
    change_policies,
    draw_constraints,
    hold_to,
    narrow,
    overtaken,
    scale,
    toggle,
)
from tests.simulation.start import (
    AGENTS,
    AMOUNTS_SMALL,
    OWNERS,
    RECIPIENTS,
    TOKEN,
    draw_request,
)
from tests.simulation.told import require

from waiaas.database import open_ledger
from waiaas.database.errors import AlreadyOpen, LedgerFull
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, SessionId, TransactionId
from waiaas.domain.owner import PAYMENT_ACTIONS, OwnerAction, Proof
from waiaas.domain.owner_message import Letterhead
from waiaas.domain.request import Request, Transfer
from waiaas.owner_signatures import WalletSignatures
from waiaas.pipeline.agent_life import AgentVerbs
from waiaas.pipeline.challenge import ask_message
from waiaas.pipeline.decide import Decider, approve, cancel, reject
from waiaas.pipeline.kill_switch import recover
from waiaas.pipeline.owner import (
    Reception,
    decide_as_owner,
    give_up_owner,
    remove_owner,
    set_owner,
    verify_owner,
)
from waiaas.pipeline.sessions import SessionRules, issue_session, revoke_session

if TYPE_CHECKING:
    from tests.simulation.process import Asked, Process
    from tests.simulation.world import Simulation

RECOVERY_WAIT_S: Final = 60
SESSION_TTL_S: Final = 604_800
LETTERHEAD: Final = Letterhead("127.0.0.1:3100", "0192d3c4-0000-7000-8000-00000000dae0")
OPERATOR: Final = Decider(None, None, None)


# ── processes, nodes, clocks, disks ────────────────────────────────────────────────────────────


def go_on(world: "Simulation") -> None:
    world.source.choice(world.processes).stage.let_one_go()


def pass_time(world: "Simulation") -> None:
    world.wait(world.source.choice(world.luck.waits_s))


def jump(world: "Simulation") -> None:
    """Set the machine's clock; mostly the operator accepts that."""
    world.machine.jump(world.source.choice(world.luck.jumps_s))
    if world.source.random() < 3 / 4:
        do(world, accept_clock(world))


async def accept_clock(world: "Simulation") -> None:
    doubt, ahead_s = world.clock.doubt(), world.machine.now_s() - world.machine.monotonic_s()
    if doubt is not None and await world.clock.accept(doubt.difference_s, None):
        world.believe(ahead_s)


def abandon_blocks(world: "Simulation") -> None:
    blocks = world.source.choice([1, 1, 2, 5, 31])
    world.chain.abandon_blocks(blocks, forgets=world.source.random() < 1 / 2)


def close_account(world: "Simulation") -> None:
    """Let a recipient close his account for the token and keep what was paid for it."""
    world.chain.close_account(world.source.choice(RECIPIENTS), TOKEN)


def fill_disk(world: "Simulation") -> None:
    """Let the file grow no more; SQLite says so itself."""
    world.limit_pages(is_full=True)


def empty_disk(world: "Simulation") -> None:
    world.limit_pages(is_full=False)


def open_twice(world: "Simulation") -> None:
    with suppress(AlreadyOpen):
        open_ledger(world.folder).close()
        require(holds=False, what="a second daemon opened the ledger")


def pause(world: "Simulation") -> None:
    """Stop the process where it is; another one takes over."""
    world.newest.stage.is_frozen = world.newest.stage.has_slept = True
    world.start()


def wake(world: "Simulation") -> None:
    for process in world.processes:
        process.stage.is_frozen = False


async def kill(world: "Simulation") -> None:
    """End every process where it is, and start a new one on what is left."""
    await world.kill()


def copy(world: "Simulation") -> None:
    world.back_up()


async def restore(world: "Simulation") -> None:
    """Start again with an older ledger, as a restore does."""
    await world.restore()


# ── the agents ─────────────────────────────────────────────────────────────────────────────────


def ask(world: "Simulation") -> None:
    """Ask for something: anew, or once more with the same key, or the same with another key."""
    source, agent_id = world.source, world.source.choice(AGENTS)
    if world.asked and source.random() < 1 / 4:
        asked = source.choice(world.asked)
    else:
        number, luck = len(world.truth.asked), world.luck
        request = draw_request(source, number, amounts=luck.amounts, in_tokens=luck.in_tokens)
        if world.asked and source.random() < 1 / 6:
            request = source.choice(world.asked).request
        asked = _new(world, agent_id, request)
    do(world, world.admit(asked, world.sessions[asked.agent_id], world.newest))


def _new(world: "Simulation", agent_id: AgentId, request: Request) -> "Asked":
    world.truth.asked[paid_by(request, world.address_of(agent_id))] += 1
    return world.new_request(agent_id, request)


# ── people ─────────────────────────────────────────────────────────────────────────────────────


def do(world: "Simulation", work: Awaitable[Any]) -> None:
    """Let somebody ask the daemon for *work*; he is told if it is refused."""

    async def told() -> None:
        # The reserve of a full disk helps where files cannot grow, not against SQLite itself.
        with suppress(Refusal, LedgerFull):
            await work

    world.newest.start(told())


def decide(world: "Simulation") -> None:
    """Let the operator, or an agent, decide on a payment, whatever became of it."""
    decision: Any = world.source.choice([cancel, approve, approve, approve, reject])
    by, tx_id = OPERATOR, world.any_payment()
    if decision is cancel:
        by = world.source.choice([OPERATOR, *(Decider(each, None, None) for each in AGENTS)])
    do(world, _decided(world, decision, tx_id, by, world.newest))


async def _decided(
    world: "Simulation", decision: Any, tx_id: TransactionId, by: Decider, process: "Process"
) -> None:
    decided = await decision(tx_id, by=by, ledger=world.ledger, clock=world.clock)
    process.worker.wake(decided)


def set_or_remove_owner(world: "Simulation") -> None:
    agent_id, first = world.source.choice(AGENTS), next(iter(OWNERS))
    terms: Any = {"ip_address": None, "ledger": world.ledger, "clock": world.clock}
    if world.source.random() < 1 / 4:
        do(world, remove_owner(agent_id, **terms))
    else:
        own = world.address_of(agent_id)
        address = world.source.choice([first, first, first, *OWNERS, own, "nobody"])
        do(world, set_owner(agent_id, address, **terms))


def sign(world: "Simulation") -> None:
    """Let somebody with a wallet ask for a message, sign it, and hand the signature in."""
    action = world.source.choice([OwnerAction.APPROVE] * 4 + [*OwnerAction])
    is_right = world.source.random() < 3 / 4
    subject_id: str = world.source.choice(
        [each for each, (address, _) in world.owners.items() if address]
    )
    if action in PAYMENT_ACTIONS:
        if not world.payments:
            return
        subject_id = world.any_payment()
    do(world, sign_and_hand_in(world, action, subject_id, is_right=is_right))


async def sign_and_hand_in(
    world: "Simulation", action: OwnerAction, subject_id: str, *, is_right: bool
) -> None:
    process = world.newest
    challenge = await ask_message(
        action,
        subject_id,
        letterhead=LETTERHEAD,
        ledger=world.ledger,
        clock=world.clock,
        generate_secret=world.generate_secret,
    )
    [key] = [
        key for address, key in OWNERS.items() if (address == challenge.owner_address) == is_right
    ]
    signature = key.sign(challenge.message.encode()).signature
    proof = Proof(challenge.nonce, Base64Encoder.encode(signature).decode("ascii"))
    world.proofs.append((action, subject_id, proof))
    await _hand_in(world, action, subject_id, proof, process)


def hand_in_again(world: "Simulation") -> None:
    """Use a signature once more, for the same or for something else."""
    action, subject_id, proof = world.source.choice(world.proofs)
    if world.source.random() < 1 / 4:
        action, subject_id = world.source.choice([*OwnerAction]), world.source.choice(AGENTS)
        if action in PAYMENT_ACTIONS and world.payments:
            subject_id = world.any_payment()
    do(world, _hand_in(world, action, subject_id, proof, world.newest))


async def _hand_in(
    world: "Simulation", action: OwnerAction, subject_id: str, proof: Proof, process: "Process"
) -> None:
    reception = Reception(world.ledger, world.clock, WalletSignatures(), LETTERHEAD)
    if action in PAYMENT_ACTIONS:
        tx_id = TransactionId(subject_id)
        decided = await decide_as_owner(action, tx_id, proof, ip_address=None, reception=reception)
        process.worker.wake(decided)
    else:
        act = verify_owner if action is OwnerAction.VERIFY else give_up_owner
        await act(AgentId(subject_id), proof, ip_address=None, reception=reception)


# ── the operator ───────────────────────────────────────────────────────────────────────────────


def _stopping(world: "Simulation") -> Any:
    return {
        "ip_address": None,
        "ledger": world.ledger,
        "clock": world.clock,
        "report": _left,
    }


def _left(_error: Exception) -> None:
    """Leave the rest to the worker, who is watched."""


def stop_everything(world: "Simulation") -> None:
    do(world, world.variant.activate(None, **_stopping(world)))


def take_a_step_back(world: "Simulation") -> None:
    """Recover from the kill switch: begin the wait, or end it, or come too early."""
    terms: Any = {"ip_address": None, "ledger": world.ledger, "clock": world.clock}
    do(world, recover(wait_s=RECOVERY_WAIT_S, **terms))


def suspend(world: "Simulation") -> None:
    do(world, _verbs(world).suspend(world.source.choice(AGENTS), reason=None))


def resume(world: "Simulation") -> None:
    suspended = [each for each, status in world.truth.told.agents.items() if status == "SUSPENDED"]
    do(world, _verbs(world).resume(AgentId(world.source.choice(suspended))))


def terminate(world: "Simulation") -> None:
    do(world, _verbs(world).terminate(world.source.choice(AGENTS)))


def _verbs(world: "Simulation") -> AgentVerbs:
    return AgentVerbs(world.ledger, world.clock, None, _left)


def revoke(world: "Simulation") -> None:
    session_id = world.sessions[world.source.choice(AGENTS)]
    do(world, revoke_session(session_id, **_stopping(world)))


def issue(world: "Simulation") -> None:
    revoked = world.truth.told.revoked
    without = [each for each in AGENTS if world.sessions[each] in revoked]
    do(world, issued(world, world.source.choice(without)))


async def issued(world: "Simulation", agent_id: AgentId) -> None:
    issued = await issue_session(
        agent_id,
        ttl_s=SESSION_TTL_S,
        constraints=draw_constraints(world),
        ip_address=None,
        rules=SessionRules(),
        ledger=world.ledger,
        clock=world.clock,
        generate_id=world.generate_id,
        generate_secret=world.generate_secret,
    )
    world.sessions[agent_id] = SessionId(issued.session.id)


def change(world: "Simulation") -> None:
    do(world, change_policies(world))


def overtake(world: "Simulation") -> None:
    """Let something small overtake what waits; then lower a limit to what that one needs."""
    source, found = world.source, overtaken(world)
    if found:
        do(world, hold_to(world, *source.choice(found)))
    else:
        agent_id = world.truth.permitted.payments[source.choice(waiting(world))].agent_id
        _ask_beside(world, agent_id, source.choice(AMOUNTS_SMALL))


def _ask_beside(world: "Simulation", agent_id: str | None, amount: int) -> None:
    request = Transfer(world.source.choice(RECIPIENTS), amount)
    asked = _new(world, AgentId(agent_id or AGENTS[0]), request)
    do(world, world.admit(asked, world.sessions[asked.agent_id], world.newest))


def set_back(world: "Simulation") -> None:
    """Loosen a limit of who waits, let two payments overtake him by it, and set it back."""
    source, live, first = world.source, world.truth.permitted.live, world.truth.first
    limits = [each for each in live if each in first and first[each].is_limit_of_coins]
    ahead = {each: _overtakers(world, first[each].agent_id) for each in limits}
    loosened = [each for each in limits if live[each].rules != first[each].rules]
    untouched = [each for each in limits if ahead[each] == 0]
    if loosened:
        chosen = source.choice(loosened)
        if ahead[chosen] in {0, 1}:
            _ask_beside(world, first[chosen].agent_id, source.choice(world.luck.amounts))
        else:
            do(world, scale(world, chosen, first[chosen].rules, 1))
    elif untouched:
        chosen = source.choice(untouched)
        do(world, scale(world, chosen, first[chosen].rules, 8))


def _overtakers(world: "Simulation", agent_id: str | None) -> int | None:
    """Count what an agent signed behind the oldest of its payments that wait; None: none waits."""
    payments, queued = world.truth.permitted.payments, waiting(world)
    mine = {each: payment for each, payment in payments.items() if payment.agent_id == agent_id}
    line = list(dropwhile(lambda each: each not in queued, mine))
    return sum(mine[each].is_signed for each in line) if line else None


def interrupt(world: "Simulation") -> None:
    """Take a limit away between payload and signature, that of the rent if some is paid.

    Where nothing is there, give one again.
    """
    found = prepared(world)
    if found:
        payment = world.truth.permitted.payments[world.source.choice(found)]
        do(world, toggle(world, payment.agent_id, asset="native" if payment.rent else None))
    else:
        do(world, toggle(world, None))


def issue_another(world: "Simulation") -> None:
    do(world, issued(world, world.source.choice(AGENTS)))


def reconcile(world: "Simulation") -> None:
    do(world, world.reconcile(gives_up=world.source.random() < 1 / 8))


# ── all of it ──────────────────────────────────────────────────────────────────────────────────


def always(_world: "Simulation") -> bool:
    return True


class Act(NamedTuple):
    """Something that may happen."""

    likelihood: float
    """Beside the others'."""
    do: Callable[["Simulation"], Awaitable[None] | None]
    when: Callable[["Simulation"], object] = always
    """Whether it can make a difference."""


def is_stopped(world: "Simulation") -> bool:
    return world.truth.told.switch != "NORMAL"


def is_quarantined(world: "Simulation") -> bool:
    return world.truth.told.is_quarantined


def can_pause(world: "Simulation") -> bool:
    are_few = sum(not each.stage.is_frozen for each in world.processes) == len(world.processes) < 3
    return are_few and (bool(prepared(world)) or is_rude(world))


def can_resume(world: "Simulation") -> bool:
    return "SUSPENDED" in world.truth.told.agents.values() and is_mendable(world)


def can_issue(world: "Simulation") -> bool:
    is_without = not world.truth.told.revoked.isdisjoint(world.sessions.values())
    return is_without and is_mendable(world)


def is_mendable(world: "Simulation") -> bool:
    """Tell whether the operator does not have to wait, or does it all the same."""
    return not (is_stopped(world) or is_quarantined(world)) or is_rude(world)


def is_rude(world: "Simulation") -> bool:
    return world.source.random() < 1 / 8


def waiting(world: "Simulation") -> list[str]:
    return [each for each, status in world.truth.told.statuses.items() if status == "QUEUED"]


def prepared(world: "Simulation") -> list[str]:
    told = world.truth.told
    executing = [each for each, status in told.statuses.items() if status == "EXECUTING"]
    return [each for each in executing if not told.signatures[each]]


def can_decide(world: "Simulation") -> bool:
    return bool(world.payments) and (bool(world.waiting_for_person()) or is_rude(world))


def can_sign(world: "Simulation") -> bool:
    has_owner = any(address for address, _ in world.owners.values())
    return has_owner and (bool(world.waiting_for_person()) or is_rude(world))


ACTS: Final[Mapping[str, Act]] = MappingProxyType(
    {
        "go_on": Act(60, go_on, lambda world: any(each.stage.held for each in world.processes)),
        "pass_time": Act(20, pass_time),
        "jump": Act(3, jump),
        "abandon_blocks": Act(3, abandon_blocks, lambda world: world.chain.landed),
        "close_account": Act(3, close_account),
        "kill": Act(1.5, kill),
        "pause": Act(1.5, pause, can_pause),
        "wake": Act(6, wake, lambda world: any(each.stage.is_frozen for each in world.processes)),
        "open_twice": Act(0.3, open_twice),
        "fill_disk": Act(0.8, fill_disk),
        "empty_disk": Act(10, empty_disk, lambda world: world.is_disk_full),
        "copy": Act(2, copy),
        "restore": Act(0.7, restore, lambda world: world.chain.landed or is_rude(world)),
        "ask": Act(20, ask),
        "decide": Act(16, decide, can_decide),
        "sign": Act(16, sign, can_sign),
        "hand_in_again": Act(2, hand_in_again, lambda world: world.proofs),
        "set_or_remove_owner": Act(1.5, set_or_remove_owner),
        "stop_everything": Act(0.7, stop_everything),
        "recover": Act(20, take_a_step_back, is_stopped),
        "suspend": Act(0.7, suspend),
        "resume": Act(12, resume, can_resume),
        "terminate": Act(0.2, terminate),
        "revoke": Act(0.7, revoke),
        "issue": Act(12, issue, can_issue),
        "change_policies": Act(3, change),
        "overtake": Act(1, overtake, waiting),
        "interrupt": Act(0.5, interrupt),
        "set_back": Act(1, set_back, waiting),
        "issue_another": Act(0.5, issue_another),
        "narrow": Act(1, narrow, lambda world: world.luck.constrained),
        "reconcile": Act(12, reconcile, is_quarantined),
    }
)
