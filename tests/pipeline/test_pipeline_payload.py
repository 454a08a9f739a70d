"""No SOL leaves for rent that was not set aside: from the verdict to the chain, and back."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction
from tests.fakes.chain import FEE, LOCALNET, RENT, FakeChain, Manners
from tests.fakes.decisions import START_S, TOKEN, B, Desk
from tests.fakes.signer import FakeSigner

from waiaas.chains.solana.chain import SolanaChain
from waiaas.database import generate_id
from waiaas.database.totals import wrong_totals
from waiaas.domain.assets import Network
from waiaas.domain.enums import NetworkType, PolicyType, TransactionStatus
from waiaas.domain.money import NATIVE
from waiaas.domain.records import TransactionRecord
from waiaas.domain.request import Batch, Request, TokenTransfer, Transfer
from waiaas.pipeline.perform import World, perform, read_standing
from waiaas.pipeline.rent import rent_told
from waiaas.ports import Chain, LedgerTransaction, Payload, SimulationRefused

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office, Site

    from waiaas.pipeline.admit import Caller

LIMIT: Final = PolicyType.SPENDING_LIMIT
HAS, HAS_NOT = B, "So11111111111111111111111111111111111111112"
"""Recipients with and without an account for the token."""


class Till(Desk):
    """An agent with tokens and SOL, and a chain."""

    def __init__(self, constraints: dict[str, Any] | None = None) -> None:
        super().__init__(constraints)
        self.chain = FakeChain()
        self.signer = FakeSigner()
        self.address = self.signer.generate(self.agent_id)
        self.chain.fund(self.address, base_units=10**9)
        self.chain.fund(self.address, base_units=10**9, asset=TOKEN)
        self.chain.fund(HAS, base_units=1, asset=TOKEN)
        self.run("UPDATE agents SET public_key = ?", self.address)
        self.set((LIMIT, {"asset": TOKEN, "instant_max": "1000"}))

    def grant_native(self, **bounds: int) -> None:
        limit = {"instant_max": 10 * RENT, **bounds}
        amounts = {name: str(bound) for name, bound in limit.items()}
        self.set((LIMIT, {"asset": NATIVE, **amounts}))

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Look, or change something behind the pipeline's back."""
        return list(self.ledger.connection.sqlite.execute(sql, values))

    def step(self, transaction: TransactionRecord, times: int = 1) -> TransactionRecord:
        networks: dict[Network, Chain] = {LOCALNET: self.chain}
        world = World(self.ledger, self.signer, networks, self.clock, generate_id)
        for _ in range(times):
            standing = self.ledger.read(
                lambda tx: read_standing(tx, transaction.id, wall_s=START_S)
            )
            asyncio.run(perform(standing, world))
        found = self.ledger.read(lambda tx: tx.transactions.get(transaction.id))
        assert found is not None
        return found

    def finish(self, transaction: TransactionRecord) -> TransactionRecord:
        self.step(transaction, 3)
        self.chain.pass_blocks(1)
        return self.step(transaction)

    def held(self, transaction: TransactionRecord) -> dict[str, tuple[int, str]]:
        rows = "SELECT asset, amount, state FROM reservations WHERE tx_id = ?"
        assert not list(wrong_totals(self.ledger.connection))
        return {
            asset: (int(amount), state) for asset, amount, state in self.run(rows, transaction.id)
        }

    def told(self, transaction: TransactionRecord) -> int | None:
        """Return what everybody is told of a transaction's rent."""

        def look(tx: LedgerTransaction) -> int | None:
            found, accepted = tx.transactions.get(transaction.id), tx.requests.get(transaction.id)
            assert found is not None
            assert accepted is not None
            return rent_told(tx, found, accepted)

        return self.ledger.read(look)

    def recorded(self) -> list[str]:
        """Return the rent of each payload, as the audit log has it."""
        rows = "SELECT details FROM audit_log WHERE event_type = 'TX_PAYLOAD_RECORDED'"
        return [json.loads(details)["rent"] for (details,) in self.run(rows)]

    def used(self) -> tuple[int, int]:
        return self.ledger.read(lambda tx: tx.sessions.used(self.caller.session_id))


@pytest.fixture
def till() -> Iterator[Till]:
    constraints = {"allowedTokens": [TOKEN], "maxTotalAmount": str(10 * RENT)}
    with Till(constraints) as made:
        yield made


def sends(*to: str) -> Request:
    parts = [TokenTransfer(TOKEN, each, 5) for each in to]
    return parts[0] if len(parts) == 1 else Batch(tuple(parts))


def test_without_a_grant_tokens_go_to_those_who_have_an_account(till: Till) -> None:
    transaction = till.ask(sends(HAS)).transaction
    assert till.held(transaction) == {TOKEN: (5, "HELD")}
    assert till.finish(transaction).status is TransactionStatus.CONFIRMED
    assert till.held(transaction) == {TOKEN: (5, "SPENT")}
    assert till.chain.left(till.address) == 0


def test_without_a_grant_nobody_is_made_an_account(till: Till) -> None:
    transaction = till.ask(sends(HAS_NOT)).transaction
    ended = till.step(transaction)
    assert ended.status is TransactionStatus.FAILED
    assert ended.error == (
        "RENT_NOT_GRANTED: a recipient has no account for the token, and one costs 2039280 of"
        " native, of which 0 was set aside, because there is no SPENDING_LIMIT of native; let the"
        " recipient make his account, or ask the operator for a SPENDING_LIMIT of native with room"
        " for it"
    )
    assert till.held(transaction) == {TOKEN: (5, "RELEASED")}
    assert till.run("SELECT count(*) FROM attempts") == [(0,)], "nothing was ever to be signed"
    assert not till.chain.landed


def test_of_what_pays_no_tokens_and_of_what_cannot_be_read_no_rent_is_told(till: Till) -> None:
    till.grant_native()
    payments = [
        till.ask(each).transaction
        for each in (Transfer(HAS, 7), Batch((Transfer(HAS, 7), Transfer(HAS, 8))), sends(HAS))
    ]
    assert [till.told(each) for each in payments] == [None, None, RENT]
    till.run("DROP TRIGGER IF EXISTS requests_stay_as_they_are")
    till.run("UPDATE requests SET request = '{}' WHERE tx_id = ?", payments[-1].id)
    assert till.told(payments[-1]) is None


def test_what_waited_first_is_cancelled_for_it(till: Till) -> None:
    till.run("DELETE FROM policies")
    waits = {"asset": TOKEN, "instant_max": "1", "delay_max": "9", "delay_seconds": 1}
    till.set((LIMIT, waits))
    transaction = till.ask(sends(HAS_NOT)).transaction
    till.run("UPDATE waits SET until_at = ?", START_S)
    ended = till.step(transaction)
    assert ended.status is TransactionStatus.CANCELLED
    assert (ended.error or "").startswith("RENT_NOT_GRANTED: ")


def test_rent_that_is_paid_is_spent_like_any_other_money(till: Till) -> None:
    till.grant_native()
    transaction = till.ask(sends(HAS_NOT)).transaction
    assert till.held(transaction)[NATIVE] == (RENT, "HELD")
    assert till.told(transaction) == RENT
    assert till.finish(transaction).status is TransactionStatus.CONFIRMED
    assert till.held(transaction)[NATIVE] == (RENT, "SPENT")
    assert till.told(transaction) == RENT
    assert till.recorded() == [str(RENT)]
    assert till.chain.left(till.address) == RENT
    assert till.used() == (1, RENT)


def test_rent_that_is_not_needed_is_free_again_as_soon_as_that_is_known(till: Till) -> None:
    till.grant_native(daily_max=RENT)
    transaction = till.ask(sends(HAS)).transaction
    assert till.used() == (1, RENT)
    assert till.ask(Transfer(HAS, 1)).refusal is not None
    assert till.step(transaction).status is TransactionStatus.EXECUTING
    assert till.held(transaction)[NATIVE] == (0, "HELD")
    assert (till.told(transaction), till.recorded()) == (0, ["0"])
    assert till.used() == (1, 0)
    assert till.ask(Transfer(HAS, RENT)).refusal is None
    assert till.step(transaction, 2).status is TransactionStatus.SUBMITTED


def test_of_a_batch_as_much_is_kept_as_accounts_are_missing(till: Till) -> None:
    till.grant_native()
    request = Batch((*(TokenTransfer(TOKEN, each, 5) for each in (HAS, HAS_NOT)), Transfer(HAS, 7)))
    transaction = till.ask(request).transaction
    assert till.held(transaction)[NATIVE] == (2 * RENT + 7, "HELD")
    till.step(transaction)
    assert till.held(transaction)[NATIVE] == (RENT + 7, "HELD")
    till.step(transaction, 2)
    till.chain.pass_blocks(1)
    assert till.step(transaction).status is TransactionStatus.CONFIRMED
    assert till.chain.left(till.address) == RENT + 7
    assert till.used() == (1, RENT + 7)


def test_less_than_is_needed_is_not_enough(till: Till) -> None:
    till.grant_native(daily_max=2 * RENT - 1)
    transaction = till.ask(sends(HAS_NOT, "11111111111111111111111111111112")).transaction
    ended = till.step(transaction)
    assert "costs 4078560 of native, of which 0 was set aside, because with a rent" in str(
        ended.error
    )
    assert "daily_max of native is 4078559" in str(ended.error)


def test_a_session_that_has_no_room_is_what_is_to_be_asked_for() -> None:
    """A limit that already grants it would not help."""
    with Till({"allowedTokens": [TOKEN], "maxTotalAmount": str(RENT - 1)}) as till:
        till.grant_native()
        ended = till.step(till.ask(sends(HAS_NOT)).transaction)
    assert f"because with a rent of {RENT}, SESSION: maxTotalAmount of native is" in str(
        ended.error
    )
    assert str(ended.error).endswith("or ask the operator for a session with room for it")


def test_rent_of_what_provably_did_not_land_is_given_back(till: Till) -> None:
    till.grant_native()
    transaction = till.ask(sends(HAS_NOT)).transaction
    till.step(transaction, 2)
    till.chain.manners = lambda _: Manners(drops=True)
    till.step(transaction)
    till.chain.pass_blocks(400)
    assert till.step(transaction).status is TransactionStatus.EXPIRED
    assert till.held(transaction)[NATIVE] == (RENT, "RELEASED")
    assert till.told(transaction) == 0, "it was not paid"
    assert till.used() == (1, 0)


def test_an_account_that_is_closed_in_between_lets_the_payment_fail_for_its_fee(till: Till) -> None:
    transaction = till.ask(sends(HAS)).transaction
    till.step(transaction, 2)
    assert till.chain.close_account(HAS, TOKEN)
    till.step(transaction)
    till.chain.pass_blocks(40)
    ended = till.step(transaction)
    assert ended.status is TransactionStatus.FAILED
    assert "TRANSACTION_FAILED_ON_CHAIN" in str(ended.error)
    assert till.held(transaction) == {TOKEN: (5, "RELEASED")}
    assert till.chain.left(till.address) == 0


def test_what_the_ledger_does_not_hold_is_not_signed_for(till: Till) -> None:
    """Whatever a node said when the payload was built: the signature asks the ledger."""
    till.grant_native()
    transaction = till.ask(sends(HAS_NOT)).transaction
    till.step(transaction)
    till.run("UPDATE reservations SET amount = ? WHERE asset = 'native'", str(RENT - 1))
    before = till.signer.signed
    with pytest.raises(ValueError, match="more accounts than rent"):
        till.step(transaction)
    assert till.signer.signed == before


@pytest.mark.parametrize("to", [HAS, HAS_NOT])
@pytest.mark.parametrize("steps", [0, 1])
def test_policies_that_no_longer_grant_rent_end_what_would_pay_it_and_nothing_else(
    steps: int, to: str, till: Till
) -> None:
    till.grant_native()
    transaction = till.ask(sends(to)).transaction
    till.step(transaction, steps)
    till.grant_native(daily_max=RENT - 1)
    ended = till.step(transaction, 2 - steps)
    if to == HAS:
        assert ended.tx_hash is not None
        return
    assert ended.status is TransactionStatus.CANCELLED
    assert "the recipient's account for the token may not be paid for: with a rent" in str(
        ended.error
    )
    assert till.held(transaction)[NATIVE] == (RENT, "RELEASED")
    assert till.used() == (1, 0)


def test_rent_that_was_granted_with_more_care_than_is_asked_by_now_is_paid(till: Till) -> None:
    """Looser policies end nothing."""
    till.run("DELETE FROM policies")
    waits = {"instant_max": "1", "delay_max": str(10 * RENT), "delay_seconds": 1}
    till.set((LIMIT, {"asset": TOKEN, **waits}), (LIMIT, {"asset": NATIVE, **waits}))
    transaction = till.ask(sends(HAS_NOT)).transaction
    till.run("UPDATE waits SET until_at = ?", START_S)
    till.run("DELETE FROM policies WHERE rules LIKE ?", f"%{TOKEN}%")
    till.set((LIMIT, {"asset": TOKEN, "instant_max": "1000"}))
    assert till.finish(transaction).status is TransactionStatus.CONFIRMED


# ── the hole, on a network that nobody here scripted ───────────────────────────────────────────

ROUNDS: Final = 3


class Generous(SolanaChain):
    """As it was: every recipient is made an account, and nobody is told what that costs."""

    async def build(
        self, request: Request, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        built = await super().build(request, from_address=from_address, unit_price=unit_price)
        return replace(built, rent=0) if isinstance(built, Payload) else built

    def check(self, message: bytes, request: Request, *, from_address: str, rent: int) -> None:
        del rent
        super().check(message, request, from_address=from_address, rent=2**64)


def paid_to_a_closer(
    site: "Site",
    kind: type[SolanaChain],
    issue_token: Callable[..., bytes],
    close_account: Callable[..., bytes],
    **native: int,
) -> tuple[int, list[TransactionRecord], "Office", "Caller"]:
    """Pay tokens to somebody who closes his account each time.

    Returns:
        what the agent lost beside the fees, and its payments.
    """
    office, network = site.office, site.localnet.network
    caller = site.hire(limits=native)
    address, closer, (issuer, mint) = office.address(caller), Keypair(), (Keypair(), Keypair())
    for each in (issuer, closer):
        network.airdrop(each.pubkey(), lamports=10**9)
    blockhash = str(network.tip.blockhash)
    raw = issue_token(*(issuer, mint), to=address, amount=100, decimals=2, blockhash=blockhash)
    network.submit(VersionedTransaction.from_bytes(raw))
    network.advance_block()
    token, before = str(mint.pubkey()), site.balance(address)
    office.set_policy(caller.agent_id, json.dumps({"asset": token, "instant_max": "100"}))

    async def pay() -> TransactionRecord:
        request = TokenTransfer(token, str(closer.pubkey()), 1)
        transaction = (await office.ask_for(caller, request)).transaction
        chain = kind(site.localnet.url, network=NetworkType.LOCALNET, clock=office.clock)
        networks: dict[Network, Chain] = {LOCALNET: chain}
        world = World(office.ledger, office.signer, networks, office.clock, generate_id)
        try:
            while True:
                network.advance_block()
                standing = office.ledger.read(
                    lambda tx: read_standing(tx, transaction.id, wall_s=office.clock.now_s())
                )
                if standing.step is None:
                    return standing.transaction
                await perform(standing, world)
        finally:
            await chain.aclose()

    payments = []
    for _ in range(ROUNDS):
        payments.append(asyncio.run(pay()))
        if payments[-1].status is TransactionStatus.CONFIRMED:
            blockhash = str(network.tip.blockhash)
            closing = close_account(closer, token=token, amount=1, blockhash=blockhash)
            network.submit(VersionedTransaction.from_bytes(closing))
            network.advance_block()
    fees = FEE * sum(each.tx_hash is not None for each in payments)
    return before - site.balance(address) - fees, payments, office, caller


def test_an_agent_with_a_grant_for_tokens_alone_loses_no_sol_to_who_closes_his_account(
    site: "Site", issue_token: Callable[..., bytes], close_account: Callable[..., bytes]
) -> None:
    lost, payments, *_ = paid_to_a_closer(site, SolanaChain, issue_token, close_account)
    assert lost == 0
    assert {each.status for each in payments} == {TransactionStatus.FAILED}
    assert all("RENT_NOT_GRANTED" in str(each.error) for each in payments)


def test_an_agent_with_a_grant_for_sol_loses_as_much_as_that_grants(
    site: "Site", issue_token: Callable[..., bytes], close_account: Callable[..., bytes]
) -> None:
    most = (ROUNDS - 1) * RENT
    found = paid_to_a_closer(site, SolanaChain, issue_token, close_account, daily_max=most)
    lost, payments, office, caller = found
    assert lost == most
    *confirmed, last = payments
    assert {each.status for each in confirmed} == {TransactionStatus.CONFIRMED}
    assert "RENT_NOT_GRANTED" in str(last.error)
    spent = office.ledger.read(
        lambda tx: tx.reservations.spent_until(caller.agent_id, asset=NATIVE, until_s=2**40)
    )
    assert spent == lost


def test_control_without_counting_it_loses_rent_every_time(
    site: "Site", issue_token: Callable[..., bytes], close_account: Callable[..., bytes]
) -> None:
    lost, payments, *_ = paid_to_a_closer(site, Generous, issue_token, close_account)
    assert lost == ROUNDS * RENT
    assert {each.status for each in payments} == {TransactionStatus.CONFIRMED}
