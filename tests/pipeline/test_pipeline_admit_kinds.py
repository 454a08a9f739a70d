"""Every kind of request from its admission to the chain."""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from waiaas.chains.solana.instructions import token_account
from waiaas.database import transactions
from waiaas.database.integrity import CheckKind, check_integrity
from waiaas.database.schema import requests
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import PolicyTier, PolicyType, TransactionStatus
from waiaas.domain.errors import ErrorCode
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.pipeline.advance import Step
from waiaas.pipeline.asked import Tampered

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

    from waiaas.pipeline.admit import Admission, Caller

A, B, TOKEN = (solana_address(bytes([n]) * 32) for n in (1, 2, 3))
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
SOL = 10**9
RENT = 2_039_280

CALL = ContractCall(MEMO, b"hello", 3)
BATCH = Batch((Transfer(A, 1), TokenTransfer(TOKEN, A, 2), CALL, Transfer(B, 4)))


def allow(office: "Office", caller: "Caller", *, token: str = TOKEN, most: int = 100) -> None:
    """Let an agent do a little of everything."""
    limit = {"asset": token, "instant_max": str(most), "daily_max": str(most)}
    office.set_policy(caller.agent_id, json.dumps(limit))
    calls = {"contracts": [MEMO], "tier": "INSTANT"}
    office.set_policy(caller.agent_id, json.dumps(calls), PolicyType.CONTRACT_WHITELIST)
    office.set_policy(caller.agent_id, json.dumps({"spenders": [B]}), PolicyType.APPROVED_SPENDERS)


def ask(office: "Office", caller: "Caller", request: Request, **how: Any) -> "Admission":
    return asyncio.run(office.ask_for(caller, request, **how))


def held(office: "Office") -> dict[str, tuple[str, str]]:
    return {row.asset: (row.amount, row.state) for row in office.rows("reservations")}


@pytest.fixture
def caller(office: "Office") -> "Caller":
    hired = office.hire()
    allow(office, hired)
    return hired


@pytest.mark.parametrize(
    ("request_", "set_aside", "tier"),
    [
        (Transfer(A, 1), {"native": ("1", "HELD")}, PolicyTier.INSTANT),
        (
            TokenTransfer(TOKEN, A, 2),
            {TOKEN: ("2", "HELD"), "native": (str(RENT), "HELD")},
            PolicyTier.INSTANT,
        ),
        (CALL, {"native": ("3", "HELD")}, PolicyTier.INSTANT),
        (ContractCall(MEMO, b"x"), {"native": ("0", "HELD")}, PolicyTier.INSTANT),
        (Approve(TOKEN, B, 9), {"native": ("0", "HELD")}, PolicyTier.APPROVAL),
        (
            BATCH,
            {"native": (str(8 + RENT), "HELD"), TOKEN: ("2", "HELD")},
            PolicyTier.INSTANT,
        ),
    ],
)
def test_every_kind_is_admitted_and_holds_each_asset_that_it_moves(
    office: "Office",
    caller: "Caller",
    request_: Request,
    set_aside: dict[str, tuple[str, str]],
    tier: PolicyTier,
) -> None:
    admission = ask(office, caller, request_)
    assert admission.refusal is None
    assert (admission.transaction.type, admission.transaction.tier) == (request_.type, tier)
    assert held(office) == set_aside


def test_the_totals_of_what_moves_several_assets_or_nothing_are_sums_of_its_rows(
    office: "Office", caller: "Caller"
) -> None:
    for request in (BATCH, Approve(TOKEN, B, 9), ContractCall(MEMO, b"x")):
        assert ask(office, caller, request).refusal is None
        assert not check_integrity(office.ledger.path, kind=CheckKind.FULL)


def test_a_batch_is_one_row_and_one_for_each_part_in_the_same_commit(
    office: "Office", caller: "Caller"
) -> None:
    batch = ask(office, caller, BATCH).transaction
    parts = office.ledger.read(lambda tx: tx.transactions.parts(batch.id))
    assert [(each.parent_id, each.batch_index) for each in parts] == [
        (batch.id, index) for index in range(4)
    ]
    assert [each.type for each in parts] == [each.type for each in BATCH.parts]
    assert [each.amount for each in parts] == ["1", "2", "3", "4"]
    assert {each.status for each in parts} == {batch.status} == {TransactionStatus.PENDING}
    ids = office.ledger.read(lambda tx: tx.transactions.ids_with_status(batch.status))
    assert ids == [(batch.id, batch.agent_id)], "a part is no transaction by itself"
    assert office.ledger.read(lambda tx: tx.transactions.get(parts[0].id)) is None
    assert office.audit_of(batch.id) == ["TX_REQUESTED"]


def test_a_batch_that_is_denied_lists_everything_and_its_parts_are_cancelled_with_it(
    office: "Office", caller: "Caller"
) -> None:
    denied = Batch((TokenTransfer(TOKEN, A, 101), ContractCall(A, b""), Approve(TOKEN, A, 1), CALL))
    admission = ask(office, caller, denied)
    assert admission.refusal is not None
    assert admission.refusal.code is ErrorCode.POLICY_DENIED
    for words in ("[0]: daily_max of", "[1]: no policy grants", "[2]: no policy grants"):
        assert f"instructions{words}" in admission.refusal.message
    assert "instructions[3]" not in admission.refusal.message
    parts = office.ledger.read(lambda tx: tx.transactions.parts(admission.transaction.id))
    assert {each.status for each in parts} == {TransactionStatus.CANCELLED}
    assert held(office) == {}


def test_parts_that_each_pass_are_denied_where_their_sum_does_not(
    office: "Office", caller: "Caller"
) -> None:
    each = TokenTransfer(TOKEN, A, 60)
    assert ask(office, caller, Batch((each, each))).refusal is not None
    assert ask(office, caller, each).refusal is None
    assert ask(office, caller, each).refusal is not None, "what is in flight counts by its asset"
    assert ask(office, caller, Transfer(A, 60)).refusal is None, "and only there"


@pytest.mark.parametrize(
    "other",
    [
        Transfer(A, 1),
        ContractCall(MEMO, b"hello", 4),
        ContractCall(MEMO, b"hell", 3),
        ContractCall(MEMO, b"hello", 3, (CallAccount(A, is_signer=False, is_writable=False),)),
        Batch((CALL, CALL)),
    ],
)
def test_a_key_is_bound_to_the_whole_meaning_of_a_request(
    office: "Office", caller: "Caller", other: Request
) -> None:
    first = ask(office, caller, CALL, key="k").transaction
    assert ask(office, caller, CALL, key="k").transaction.id == first.id
    with pytest.raises(Exception, match="another request") as refusal:
        ask(office, caller, other, key="k")
    assert getattr(refusal.value, "code", None) is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert len(office.rows("transactions")) == 1


# ── to the chain ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rich(site: "Site", issue_token: Callable[..., bytes]) -> tuple["Caller", str]:
    """An agent with SOL and a hundred of a token of its own, which it may spend."""
    caller, issuer, mint = site.hire(), Keypair(), Keypair()
    network = site.localnet.network
    network.airdrop(issuer.pubkey(), lamports=SOL)
    raw = issue_token(
        *(issuer, mint),
        to=site.office.address(caller),
        amount=100,
        decimals=2,
        blockhash=str(network.tip.blockhash),
    )
    network.submit(VersionedTransaction.from_bytes(raw))
    network.advance_block()
    allow(site.office, caller, token=str(mint.pubkey()))
    return caller, str(mint.pubkey())


def test_a_batch_of_tokens_calls_and_payments_is_confirmed_and_settled_by_asset(
    site: "Site", rich: tuple["Caller", str]
) -> None:
    caller, token = rich
    to = site.office.new_address()
    request = Batch((Transfer(to, SOL), TokenTransfer(token, to, 60), ContractCall(MEMO, b"x")))
    batch = ask(site.office, caller, request).transaction

    async def main() -> None:
        async with site.shift() as shift:
            await shift.finish(batch.id)

    asyncio.run(main())
    assert site.office.transaction(batch.id).status is TransactionStatus.CONFIRMED
    parts = site.office.ledger.read(lambda tx: tx.transactions.parts(batch.id))
    assert {each.status for each in parts} == {TransactionStatus.CONFIRMED}
    assert held(site.office) == {"native": (str(SOL + RENT), "SPENT"), token: ("60", "SPENT")}
    assert site.balance(to) == SOL
    assert site.balance(token_account(to, token)) > 0
    assert ask(site.office, caller, TokenTransfer(token, to, 41)).refusal is not None


@pytest.mark.parametrize("table", ["requests", "transactions"])
@pytest.mark.parametrize("steps", [[], [Step.PREPARE]], ids=["admitted", "recorded"])
def test_a_ledger_that_contradicts_itself_about_a_request_signs_nothing(
    site: "Site", table: str, steps: list[Step]
) -> None:
    caller = site.hire()
    transaction = site.office.ask_now(caller).transaction

    async def main() -> list[str]:
        async with site.shift() as shift:
            for step in steps:
                assert await shift.step(transaction.id) is step
            if table == "requests":
                site.office.execute(requests.update().values(request="{}"))
            else:
                site.office.execute(transactions.update().values(to_address=A))
            with pytest.raises(Tampered):
                await shift.step(transaction.id)
            return shift.tap.calls

    assert "sign" not in asyncio.run(main())
    assert site.balance(A) == 0
