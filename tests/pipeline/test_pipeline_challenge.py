"""Messages for owners: written when there is something to sign, and the same one while it lives."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from nacl.signing import SigningKey

from waiaas.database.schema import challenges
from waiaas.domain.addresses import solana_address
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.owner import CHALLENGE_TTL_S, NO_OWNER, Challenge, Owner, OwnerAction
from waiaas.domain.owner_message import Letterhead
from waiaas.domain.request import TokenTransfer
from waiaas.pipeline.challenge import ask_message, find_subject, why_stale
from waiaas.system import generate_secret

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
LETTERHEAD = Letterhead("127.0.0.1:3100", "0192d3c4-0000-7000-8000-00000000dae0")
APPROVE, REJECT, VERIFY, REMOVE = OwnerAction
ADDRESS = solana_address(bytes(SigningKey(bytes(32)).verify_key))


def ask(office: "Office", action: OwnerAction, subject_id: str) -> Challenge:
    return asyncio.run(
        ask_message(
            action,
            subject_id,
            letterhead=LETTERHEAD,
            ledger=office.ledger,
            clock=office.clock,
            generate_secret=generate_secret,
        )
    )


def refused(office: "Office", action: OwnerAction, subject_id: str) -> ErrorCode:
    with pytest.raises(Refusal) as refusal:
        ask(office, action, subject_id)
    return refusal.value.code


def register(office: "Office", caller: Any) -> None:
    owner = Owner(ADDRESS, is_verified=False)
    assert office.ledger.write(
        lambda tx: tx.owners.compare_and_set(caller.agent_id, old=NO_OWNER, new=owner, now_s=NOW_S)
    )


@pytest.fixture
def caller(office: "Office") -> Any:
    hired = office.hire(limits={"instant_max": 0, "delay_max": 5})
    register(office, hired)
    return hired


@pytest.mark.parametrize(("daily_max", "is_granted"), [(1, False), (10**9, True)])
def test_a_message_says_what_rent_may_be_paid(
    daily_max: int,
    *,
    is_granted: bool,
    office: "Office",
) -> None:
    caller = office.hire(limits={"instant_max": 1, "daily_max": daily_max})
    register(office, caller)
    token = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    office.set_policy(caller.agent_id, json.dumps({"asset": token, "instant_max": "1"}))
    asking = office.ask_for(caller, TokenTransfer(token, ADDRESS, 5))
    transaction = asyncio.run(asking).transaction
    said = "pay up to 0.00203928 SOL (2039280 lamports) for new token accounts."
    assert (said in ask(office, APPROVE, transaction.id).message) == is_granted


def test_a_message_names_the_payment_the_policies_and_the_audit_head(
    office: "Office", caller: Any
) -> None:
    transaction = office.ask_now(caller, 1_000_000).transaction
    sequence, head = office.ledger.read(lambda tx: tx.audit.head())
    challenge = ask(office, APPROVE, transaction.id)
    request = office.rows("requests")[0]
    lines = challenge.message.splitlines()
    assert (challenge.tx_id, challenge.agent_id) == (transaction.id, caller.agent_id)
    assert "send 0.001 SOL (1000000 lamports)" in lines[3]
    assert sequence == 2
    for line in (
        f"- urn:waiaas:request:sha256:{request.request_sha256}",
        f"- urn:waiaas:audit:{sequence}:{head}",
        f"- urn:waiaas:policies:sha256:{challenge.policy_version}",
        f"- urn:waiaas:transaction:{transaction.id}",
        f"Nonce: {challenge.nonce}",
    ):
        assert line in lines
    assert len(challenge.nonce) == 32


def test_before_the_first_audit_row_the_head_is_the_chains_beginning(
    office: "Office", caller: Any
) -> None:
    challenge = ask(office, VERIFY, caller.agent_id)
    assert (challenge.audit_sequence, challenge.audit_hash) == (0, "0" * 64)
    subject = office.ledger.read(lambda tx: find_subject(tx, VERIFY, caller.agent_id))
    assert office.ledger.read(lambda tx: why_stale(tx, challenge, subject, LETTERHEAD)) is None


def test_asking_again_gives_the_same_message_while_it_lives(office: "Office", caller: Any) -> None:
    first = ask(office, VERIFY, caller.agent_id)
    office.clock.wall_s += CHALLENGE_TTL_S - 60
    assert ask(office, VERIFY, caller.agent_id) == first
    assert ask(office, REMOVE, caller.agent_id) != first
    office.clock.wall_s += 1
    second = ask(office, VERIFY, caller.agent_id)
    assert second.nonce != first.nonce
    assert second.expires_at == office.clock.now_s() + CHALLENGE_TTL_S


def test_a_message_that_ends_with_the_time_to_decide_is_given_until_then(office: "Office") -> None:
    caller = office.hire(limits={"instant_max": 0, "approval_timeout": 30})
    register(office, caller)
    transaction = office.ask_now(caller).transaction
    first = ask(office, APPROVE, transaction.id)
    office.clock.wall_s += 29
    assert ask(office, APPROVE, transaction.id) == first


@pytest.mark.parametrize("change", ["used", "policies"])
def test_a_message_that_would_count_for_nothing_is_not_given_again(
    change: str, office: "Office", caller: Any
) -> None:
    first = ask(office, VERIFY, caller.agent_id)
    if change == "used":
        assert office.ledger.write(lambda tx: tx.challenges.use(first.nonce, now_s=NOW_S))
        assert not office.ledger.write(lambda tx: tx.challenges.use(first.nonce, now_s=NOW_S))
    else:
        office.set_policy(caller.agent_id, json.dumps({"asset": "native", "instant_max": "1"}))
    assert ask(office, VERIFY, caller.agent_id).nonce != first.nonce


def test_every_nonce_is_another(office: "Office", caller: Any) -> None:
    nonces = set()
    for _ in range(20):
        nonces.add(ask(office, VERIFY, caller.agent_id).nonce)
        office.execute(challenges.update().values(used_at=NOW_S))
    assert len(nonces) == 20


def test_there_is_nothing_to_sign_without_an_owner(office: "Office") -> None:
    caller = office.hire(limits={"instant_max": 0})
    transaction = office.ask_now(caller).transaction
    assert refused(office, VERIFY, caller.agent_id) is ErrorCode.OWNER_NOT_CONNECTED
    assert refused(office, APPROVE, transaction.id) is ErrorCode.OWNER_NOT_CONNECTED


def test_there_is_nothing_to_sign_about_what_waits_for_nobody(
    office: "Office", caller: Any
) -> None:
    delayed = office.ask_now(caller, 5).transaction
    assert refused(office, APPROVE, delayed.id) is ErrorCode.APPROVAL_NOT_FOUND


@pytest.mark.parametrize("subject_id", ["", "x", "%", "01990000-0000-7000-8000-00000000abcd"])
def test_there_is_nothing_to_sign_about_what_is_not_there(
    subject_id: str, office: "Office"
) -> None:
    assert refused(office, APPROVE, subject_id) is ErrorCode.TX_NOT_FOUND
    assert refused(office, REMOVE, subject_id) is ErrorCode.AGENT_NOT_FOUND
    assert office.ledger.read(lambda tx: tx.audit.hash_at(1)) is None
