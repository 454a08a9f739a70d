"""The owner: what each state lets whom do, and what a signature does, once and for one thing."""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from nacl.signing import SigningKey
from tests.fakes.events import BACKUP

from waiaas.database import agents, generate_id, pending_approvals, transactions
from waiaas.database.schema import challenges
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import OwnerState, TransactionStatus
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.owner import (
    CHALLENGE_TTL_S,
    REFUSALS_RECORDED_MAX,
    Challenge,
    OwnerAction,
    Proof,
    wallet_chain,
)
from waiaas.domain.owner_message import Letterhead
from waiaas.domain.transaction import ReservationState
from waiaas.owner_signatures import WalletSignatures
from waiaas.pipeline.challenge import ask_message
from waiaas.pipeline.decide import Decider, approve, cancel, reject
from waiaas.pipeline.owner import (
    Reception,
    decide_as_owner,
    give_up_owner,
    remove_owner,
    set_owner,
    verify_owner,
)
from waiaas.pipeline.restored import mark_restored
from waiaas.system import generate_secret

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

NOW_S = 1_700_000_000
AMOUNT = 10**6
TIMEOUT_S = 3600
LIMITS = {"instant_max": 0, "approval_timeout": TIMEOUT_S}
OPERATOR = Decider(None, None, "127.0.0.1")
LETTERHEAD = Letterhead("127.0.0.1:3100", "0192d3c4-0000-7000-8000-00000000dae0")
APPROVE, REJECT, VERIFY, REMOVE = OwnerAction


def base58(raw: bytes) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


class Wallet:
    """An owner's Solana wallet."""

    def __init__(self) -> None:
        self._key = SigningKey.generate()
        self.address = solana_address(bytes(self._key.verify_key))

    def sign(self, challenge: Challenge) -> Proof:
        signature = self._key.sign(challenge.message.encode()).signature
        return Proof(challenge.nonce, base58(signature))


class Court:
    """An office, and what the operator and an owner do in it."""

    def __init__(self, office: "Office", caller: Any) -> None:
        self.office, self.caller = office, caller
        self.wallet = Wallet()

    @property
    def reception(self) -> Reception:
        return Reception(self.office.ledger, self.office.clock, WalletSignatures(), LETTERHEAD)

    @property
    def state(self) -> OwnerState:
        owner = self.office.ledger.read(lambda tx: tx.owners.of_agent(self.caller.agent_id))
        assert owner is not None
        return owner.state

    def set(self, address: str | None = None) -> Any:
        return asyncio.run(
            set_owner(
                self.caller.agent_id,
                self.wallet.address if address is None else address,
                ip_address=None,
                ledger=self.office.ledger,
                clock=self.office.clock,
            )
        )

    def remove(self) -> Any:
        return asyncio.run(
            remove_owner(
                self.caller.agent_id,
                ip_address=None,
                ledger=self.office.ledger,
                clock=self.office.clock,
            )
        )

    def lock(self) -> None:
        self.set()
        self.act(VERIFY, self.wallet.sign(self.message(VERIFY)))
        assert self.state is OwnerState.LOCKED

    def payment(self) -> Any:
        return self.office.ask_now(self.caller, AMOUNT, to=self.office.new_address()).transaction

    def message(self, action: OwnerAction, transaction: Any = None, **letterhead: str) -> Challenge:
        subject = self.caller.agent_id if transaction is None else transaction.id
        return asyncio.run(
            ask_message(
                action,
                subject,
                letterhead=LETTERHEAD._replace(**letterhead),
                ledger=self.office.ledger,
                clock=self.office.clock,
                generate_secret=generate_secret,
            )
        )

    def act(self, action: OwnerAction, proof: Proof, transaction: Any = None) -> Any:
        if action in (APPROVE, REJECT):
            tx_id = transaction.id
            work = decide_as_owner(action, tx_id, proof, ip_address="::1", reception=self.reception)
            return asyncio.run(work)
        agent_id = self.caller.agent_id
        function: Callable[..., Any] = verify_owner if action is VERIFY else give_up_owner
        return asyncio.run(function(agent_id, proof, ip_address="::1", reception=self.reception))

    def approve(self, transaction: Any) -> Any:
        return self.act(APPROVE, self.wallet.sign(self.message(APPROVE, transaction)), transaction)

    def operator(self, function: Callable[..., Any], transaction: Any) -> Any:
        work = function(
            transaction.id, by=OPERATOR, ledger=self.office.ledger, clock=self.office.clock
        )
        return asyncio.run(work)

    def refused(self, act: Callable[[], Any], *, rows: int = 1) -> ErrorCode:
        """Act in vain; look that only the refusal was written down, and return its code."""
        before = {name: self.office.rows(name) for name in ("agents", "transactions", "waits")}
        approvals, audit = self.office.rows("pending_approvals"), self.office.rows("audit_log")
        with pytest.raises(Refusal) as refusal:
            act()
        assert {name: self.office.rows(name) for name in before} == before
        assert self.office.rows("pending_approvals") == approvals
        added = self.office.rows("audit_log")[len(audit) :]
        assert len(added) == rows
        for row in added:
            assert row.event_type in ("TX_DECISION_REFUSED", "OWNER_CHANGE_REFUSED")
            assert refusal.value.code in row.details
        return refusal.value.code


@pytest.fixture
def court(office: "Office") -> Court:
    return Court(office, office.hire(limits=LIMITS))


# ── what each state lets whom do ───────────────────────────────────────────────────────────────


def test_the_first_good_signature_of_a_registered_owner_locks(court: Court) -> None:
    assert court.state is OwnerState.NONE
    assert court.set().state is OwnerState.GRACE
    proof = court.wallet.sign(court.message(VERIFY))
    assert court.act(VERIFY, proof).state is OwnerState.LOCKED
    events = [row.event_type for row in court.office.rows("audit_log")]
    assert events == ["OWNER_SET", "OWNER_VERIFIED"]
    proved = court.office.rows("audit_log")[1]
    assert proved.actor == f"owner:{court.wallet.address}"
    assert proof.signature in proved.details


@pytest.mark.parametrize("action", [APPROVE, REJECT])
def test_deciding_on_a_payment_proves_the_key_too(action: OwnerAction, court: Court) -> None:
    court.set()
    transaction = court.payment()
    court.act(action, court.wallet.sign(court.message(action, transaction)), transaction)
    assert court.state is OwnerState.LOCKED
    assert "OWNER_VERIFIED" in [row.event_type for row in court.office.rows("audit_log")]


@pytest.mark.parametrize("state", OwnerState)
def test_the_operator_approves_until_an_owner_has_proved_his_key(
    state: OwnerState, court: Court
) -> None:
    if state is OwnerState.GRACE:
        court.set()
    if state is OwnerState.LOCKED:
        court.lock()
    transaction = court.payment()
    if state is OwnerState.LOCKED:
        code = court.refused(lambda: court.operator(approve, transaction))
        assert code is ErrorCode.OWNER_REQUIRED
    else:
        court.operator(approve, transaction)
        assert court.office.rows("pending_approvals")[0].approved_at == NOW_S


def test_the_operator_still_rejects_what_only_the_owner_approves(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    assert court.operator(reject, transaction).status is TransactionStatus.CANCELLED


def test_in_grace_the_operator_changes_and_takes_back(court: Court) -> None:
    first, second = Wallet(), Wallet()
    court.set(first.address)
    assert court.set(second.address).address == second.address
    assert court.set(second.address).address == second.address
    assert court.remove().state is OwnerState.NONE
    events = [row.event_type for row in court.office.rows("audit_log")]
    assert events == ["OWNER_SET", "OWNER_SET", "OWNER_REMOVED"]
    assert court.refused(court.remove, rows=0) is ErrorCode.OWNER_NOT_CONNECTED


def test_once_locked_only_the_owner_gives_it_up(court: Court) -> None:
    court.lock()
    other = Wallet()
    code = court.refused(lambda: court.set(other.address))
    assert code is ErrorCode.OWNER_ALREADY_CONNECTED
    assert court.refused(court.remove) is ErrorCode.OWNER_REQUIRED
    assert court.set().state is OwnerState.LOCKED  # the same once more changes nothing
    proof = other.sign(court.message(REMOVE))
    assert court.refused(lambda: court.act(REMOVE, proof)) is ErrorCode.INVALID_SIGNATURE
    proof = court.wallet.sign(court.message(REMOVE))
    assert court.act(REMOVE, proof).state is OwnerState.NONE
    assert court.office.rows("audit_log")[-1].actor == f"owner:{court.wallet.address}"
    assert court.set(other.address).state is OwnerState.GRACE


def test_proving_the_key_again_is_written_down_and_changes_nothing(court: Court) -> None:
    court.lock()
    proof = court.wallet.sign(court.message(VERIFY))
    assert court.act(VERIFY, proof).state is OwnerState.LOCKED
    assert [row.event_type for row in court.office.rows("audit_log")][-2:] == ["OWNER_VERIFIED"] * 2


@pytest.mark.parametrize("address", ["", "nobody", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"])
def test_what_is_no_address_is_nobodys(address: str, court: Court) -> None:
    code = court.refused(lambda: court.set(address), rows=0)
    assert code is ErrorCode.INVALID_ADDRESS


def test_an_agent_is_not_its_own_owner(court: Court) -> None:
    own = court.office.address(court.caller)
    assert court.refused(lambda: court.set(own)) is ErrorCode.INVALID_ADDRESS


@pytest.mark.parametrize(
    "address",
    [
        "1" * 32,  # the System program
        "58CDQ9Qgw1ZPedjaTtwrR2MSG4EmmguHSPE2bFtyfinD",  # of a program
        "0x" + "0" * 40,
        "0x" + "0" * 39 + "9",
    ],
)
def test_what_can_never_sign_is_no_owner(address: str, court: Court) -> None:
    assert wallet_chain(address) is not None, "the control: as an address it is a good one"
    assert court.refused(lambda: court.set(address)) is ErrorCode.INVALID_ADDRESS


def test_another_agent_is_no_owner(court: Court) -> None:
    other = court.office.address(court.office.hire())
    assert court.refused(lambda: court.set(other)) is ErrorCode.INVALID_ADDRESS


def test_no_owner_is_registered_while_the_kill_switch_is_on(court: Court) -> None:
    court.office.kill()
    assert court.refused(court.set) is ErrorCode.KILL_SWITCH_ACTIVE
    assert court.state is OwnerState.NONE


def test_there_is_no_owner_of_an_agent_that_is_not_there(court: Court) -> None:
    court.caller = court.caller.__class__(generate_id(), court.caller.session_id, None)
    for act in (court.set, court.remove, lambda: court.message(VERIFY)):
        assert court.refused(act, rows=0) is ErrorCode.AGENT_NOT_FOUND


# ── what a signature does ──────────────────────────────────────────────────────────────────────


def test_a_payment_that_the_owner_approves_is_made_once(site: "Site") -> None:
    court = Court(site.office, site.hire(limits=LIMITS))
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(APPROVE, transaction))
    assert court.act(APPROVE, proof, transaction).status is TransactionStatus.QUEUED
    (approval,) = site.office.rows("pending_approvals")
    assert (approval.approved_at, approval.owner_signature) == (NOW_S, proof.signature)
    row = next(row for row in site.office.rows("audit_log") if row.event_type == "TX_APPROVED")
    assert row.actor == f"owner:{court.wallet.address}"
    assert proof.signature in row.details

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.finish(transaction.id)

    asyncio.run(scenario())
    assert site.office.transaction(transaction.id).status is TransactionStatus.CONFIRMED
    assert site.balance(transaction.to_address) == AMOUNT


def test_a_payment_that_the_owner_rejects_is_cancelled(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(REJECT, transaction))
    ended = court.act(REJECT, proof, transaction)
    assert ended.error == "TX_CANCELLED: rejected by the owner"
    assert court.office.reservation(transaction.id) == (ReservationState.RELEASED, str(AMOUNT))
    assert court.office.rows("pending_approvals")[0].owner_signature == proof.signature


def test_the_wrong_key_decides_nothing(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proof = Wallet().sign(court.message(APPROVE, transaction))
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.INVALID_SIGNATURE
    court.approve(transaction)  # the message is still good for the right one


def test_a_signature_counts_once(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(APPROVE, transaction))
    court.act(APPROVE, proof, transaction)
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.INVALID_NONCE


def test_a_proof_of_the_key_counts_once_also_after_the_owner_was_removed(court: Court) -> None:
    court.set()
    proof = court.wallet.sign(court.message(VERIFY))
    court.act(VERIFY, proof)
    court.act(REMOVE, court.wallet.sign(court.message(REMOVE)))
    court.set()
    assert court.refused(lambda: court.act(VERIFY, proof)) is ErrorCode.INVALID_NONCE
    assert court.state is OwnerState.GRACE


def test_a_signature_is_for_one_payment_of_several_that_are_equal(court: Court) -> None:
    court.lock()
    to = court.office.new_address()
    first, second = (court.office.ask_now(court.caller, AMOUNT, to=to).transaction for _ in "12")
    proof = court.wallet.sign(court.message(APPROVE, first))
    code = court.refused(lambda: court.act(APPROVE, proof, second))
    assert code is ErrorCode.INVALID_NONCE


def test_a_signature_is_for_one_action(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    rejecting = court.wallet.sign(court.message(REJECT, transaction))
    code = court.refused(lambda: court.act(APPROVE, rejecting, transaction))
    assert code is ErrorCode.INVALID_NONCE
    verifying = court.wallet.sign(court.message(VERIFY))
    assert court.refused(lambda: court.act(REMOVE, verifying)) is ErrorCode.INVALID_NONCE


def test_a_signature_is_for_one_agent_of_the_same_owner(court: Court) -> None:
    court.lock()
    other = Court(court.office, court.office.hire(limits=LIMITS))
    other.wallet = court.wallet
    other.lock()
    proof = court.wallet.sign(court.message(REMOVE))
    assert other.refused(lambda: other.act(REMOVE, proof)) is ErrorCode.INVALID_NONCE


@pytest.mark.parametrize(("late_s", "expired"), [(-1, False), (0, True), (10**6, True)])
def test_a_message_counts_until_the_second_of_its_end(
    late_s: int, *, expired: bool, court: Court
) -> None:
    court.set()
    challenge = court.message(VERIFY)
    assert challenge.expires_at == NOW_S + CHALLENGE_TTL_S
    court.office.clock.wall_s = challenge.expires_at + late_s
    proof = court.wallet.sign(challenge)
    if not expired:
        court.act(VERIFY, proof)
        return
    assert court.refused(lambda: court.act(VERIFY, proof)) is ErrorCode.CHALLENGE_EXPIRED
    court.office.clock.wall_s = NOW_S  # set back: what was recorded since keeps it expired
    assert court.refused(lambda: court.act(VERIFY, proof)) is ErrorCode.CHALLENGE_EXPIRED


def test_what_nobody_asked_for_is_refused_and_writes_nothing(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    for nonce in ("", "0" * 32, court.message(APPROVE, transaction).nonce + "0"):
        for about, action in ((transaction, APPROVE), (transaction, REJECT), (None, REMOVE)):
            code = court.refused(lambda: court.act(action, Proof(nonce, "1"), about), rows=0)  # noqa: B023 -- called at once
            assert code is ErrorCode.INVALID_NONCE


def test_bad_signatures_do_not_fill_the_disk(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    challenge = court.message(APPROVE, transaction)
    bad = Proof(challenge.nonce, "1" * 88)
    rows = len(court.office.rows("audit_log"))
    for _ in range(20):
        with pytest.raises(Refusal):
            court.act(APPROVE, bad, transaction)
    assert len(court.office.rows("audit_log")) == rows + 5
    court.act(APPROVE, court.wallet.sign(challenge), transaction)


def test_bad_signatures_hide_nothing_else_that_is_tried(court: Court) -> None:
    """The control: all kinds counted together, as they once were, there is no room for more."""
    court.lock()
    transaction = court.payment()
    challenge = court.message(APPROVE, transaction)
    for _ in range(REFUSALS_RECORDED_MAX):
        court.refused(lambda: court.act(APPROVE, Proof(challenge.nonce, "1" * 88), transaction))
    proof = court.wallet.sign(challenge)
    court.act(APPROVE, proof, transaction)
    court.refused(lambda: court.act(APPROVE, proof, transaction))
    known = court.office.ledger.read(lambda tx: tx.challenges.get(challenge.nonce))
    assert known is not None
    counts = json.loads(known.refusals)
    assert counts == {"INVALID_SIGNATURE": REFUSALS_RECORDED_MAX, "INVALID_NONCE": 1}
    assert sum(counts.values()) - 1 >= REFUSALS_RECORDED_MAX


# ── what changed since it was written ──────────────────────────────────────────────────────────


def change_policies(court: Court) -> None:
    court.office.set_policy(None, '{"asset":"native","instant_max":"1"}')


def change_recipient(court: Court) -> None:
    court.office.execute(transactions.update().values(to_address=court.office.new_address()))


def change_amount(court: Court) -> None:
    court.office.execute(transactions.update().values(amount=str(AMOUNT + 1)))


def change_message(court: Court) -> None:
    message = court.message(APPROVE, court.office.rows("transactions")[0]).message
    forged = message.replace("Approve a payment", "Approve nothing")
    court.office.execute(challenges.update().values(message=forged))


def change_owner(court: Court) -> None:
    court.office.execute(agents.update().values(owner_address=Wallet().address))


def change_anchor(court: Court) -> None:
    court.office.execute(challenges.update().values(audit_hash="0" * 64))


@pytest.mark.parametrize(
    "change", [change_policies, change_recipient, change_amount, change_owner, change_anchor]
)
def test_a_message_that_is_true_no_more_counts_for_nothing(
    change: Callable[[Court], None], court: Court
) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(APPROVE, transaction))
    change(court)
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.CHALLENGE_STALE


def test_a_message_that_somebody_rewrote_in_the_ledger_counts_for_nothing(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    challenge = court.message(APPROVE, transaction)
    change_message(court)
    proof = court.wallet.sign(challenge)
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.INVALID_SIGNATURE
    forged = court.office.ledger.read(lambda tx: tx.challenges.get(challenge.nonce))
    assert forged is not None
    proof = court.wallet.sign(forged)
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.CHALLENGE_STALE


def test_control_a_signature_that_is_only_compared_with_its_message_lets_the_changed_payment_go(
    court: Court,
) -> None:
    court.lock()
    transaction = court.payment()
    challenge = court.message(APPROVE, transaction)
    proof = court.wallet.sign(challenge)
    change_recipient(court)
    naive = WalletSignatures().verify(court.wallet.address, challenge.message, proof.signature)
    assert naive


def test_a_message_of_another_daemon_counts_for_nothing(court: Court) -> None:
    court.set()
    proof = court.wallet.sign(court.message(VERIFY, authority="127.0.0.1:3101"))
    assert court.refused(lambda: court.act(VERIFY, proof)) is ErrorCode.CHALLENGE_STALE


# ── the first decision wins ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("decision", [reject, cancel])
@pytest.mark.parametrize("action", [APPROVE, REJECT])
def test_the_owner_comes_too_late(
    action: OwnerAction, decision: Callable[..., Any], court: Court
) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(action, transaction))
    court.operator(decision, transaction)
    code = court.refused(lambda: court.act(action, proof, transaction))
    assert code is ErrorCode.TX_ALREADY_PROCESSED
    with pytest.raises(Refusal, match="TX_ALREADY_PROCESSED"):
        court.message(action, transaction)


def test_the_owner_changes_his_mind_too_late(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(REJECT, transaction))
    court.approve(transaction)
    code = court.refused(lambda: court.act(REJECT, proof, transaction))
    assert code is ErrorCode.TX_ALREADY_PROCESSED
    code = court.refused(lambda: court.message(REJECT, transaction), rows=0)
    assert code is ErrorCode.TX_ALREADY_PROCESSED


@pytest.mark.parametrize("action", [APPROVE, REJECT])
def test_two_signatures_at_once_do_one_thing(action: OwnerAction, court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proofs = [
        (each, court.wallet.sign(court.message(each, transaction))) for each in (APPROVE, action)
    ]

    async def scenario() -> list[Any]:
        work = (
            decide_as_owner(each, transaction.id, proof, ip_address=None, reception=court.reception)
            for each, proof in proofs
        )
        return await asyncio.gather(*work, return_exceptions=True)

    outcomes = asyncio.run(scenario())
    assert [isinstance(outcome, Refusal) for outcome in outcomes] == [False, True]


def test_no_message_outlives_the_time_to_decide(office: "Office") -> None:
    court = Court(office, office.hire(limits={**LIMITS, "approval_timeout": 60}))
    court.lock()
    transaction = court.payment()
    challenge = court.message(APPROVE, transaction)
    assert challenge.expires_at == NOW_S + 60
    office.clock.wall_s += 60
    proof = court.wallet.sign(challenge)
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.CHALLENGE_EXPIRED
    code = court.refused(lambda: court.message(APPROVE, transaction), rows=0)
    assert code is ErrorCode.APPROVAL_TIMEOUT


def test_a_deadline_that_was_brought_forward_counts(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(APPROVE, transaction))
    court.office.execute(pending_approvals.update().values(expires_at=NOW_S))
    code = court.refused(lambda: court.act(APPROVE, proof, transaction))
    assert code is ErrorCode.APPROVAL_TIMEOUT


def test_a_restored_ledger_takes_no_signature(court: Court) -> None:
    court.lock()
    transaction = court.payment()
    proof = court.wallet.sign(court.message(APPROVE, transaction))
    court.office.ledger.write(lambda tx: mark_restored(tx, wall_s=NOW_S, details=BACKUP))
    code = court.refused(lambda: court.act(APPROVE, proof, transaction), rows=0)
    assert code is ErrorCode.LEDGER_RESTORED
