"""Real solana-py, over a real socket, finds a node that behaves like one."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any, cast

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_status import TransactionConfirmationStatus

from waiaas.chains.localnet.network import Localnet
from waiaas.chains.localnet.server import RunningLocalnet, running

NOW = TxOpts(preflight_commitment=Processed)
BLIND = TxOpts(skip_preflight=True)
RENT_EXEMPT = 890_880


def test_an_airdrop_credits_the_account_and_climbs_the_commitments(
    net: RunningLocalnet, with_client: Callable[..., Any]
) -> None:
    address = Pubkey.new_unique()

    async def balances(client: AsyncClient) -> list[int]:
        levels = (Processed, Confirmed, Finalized)
        return [(await client.get_balance(address, level)).value for level in levels]

    async def session(client: AsyncClient) -> None:
        await client.request_airdrop(address, 10**9)
        assert await balances(client) == [10**9, 0, 0]
        net.network.advance_block()
        assert await balances(client) == [10**9, 10**9, 0]
        net.network.advance_blocks(30)
        assert await balances(client) == [10**9, 10**9, 0]
        net.network.advance_block()
        assert await balances(client) == [10**9, 10**9, 10**9]

    with_client(session)


def test_equal_airdrops_in_one_block_are_two_payments(
    net: RunningLocalnet, with_client: Callable[..., Any]
) -> None:
    address = Pubkey.new_unique()

    async def session(client: AsyncClient) -> set[Signature]:
        return {(await client.request_airdrop(address, 10**9)).value for _ in range(2)}

    assert len(with_client(session)) == 2
    assert net.network.balance(address) == 2 * 10**9


@pytest.mark.parametrize("legacy", [False, True], ids=["v0", "legacy"])
@pytest.mark.parametrize(
    ("unit_price", "fee"), [(0, 5000), (1, 5001), (1_000_000, 6000), (1_000_001, 6001)]
)
def test_a_transfer_moves_the_amount_and_costs_exactly_its_fee(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
    *,
    legacy: bool,
    unit_price: int,
    fee: int,
) -> None:
    to = Pubkey.new_unique()

    async def session(client: AsyncClient) -> None:
        blockhash = (await client.get_latest_blockhash(Processed)).value.blockhash
        payment = pay(
            payer, to, lamports=10**8, blockhash=blockhash, unit_price=unit_price, legacy=legacy
        )
        assert (
            await client.get_fee_for_message(cast("MessageV0", payment.message), Processed)
        ).value == fee
        sent = await client.send_raw_transaction(bytes(payment), NOW)
        assert sent.value == payment.signatures[0]
        net.network.advance_block()
        confirmed = await client.confirm_transaction(sent.value, Confirmed)
        assert confirmed.value[0] is not None
        assert confirmed.value[0].err is None
        assert (await client.get_balance(to, Confirmed)).value == 10**8
        assert (await client.get_balance(payer.pubkey(), Confirmed)).value == 9 * 10**8 - fee

    with_client(session)


def test_a_status_climbs_from_processed_to_finalized_with_the_blocks_on_top(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    payment = pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=net.network.tip.blockhash)
    slot = net.network.tip.slot
    status = TransactionConfirmationStatus
    expected = [
        (0, status.Processed, 0),
        (1, status.Confirmed, 1),
        (30, status.Confirmed, 31),
        (1, status.Finalized, None),
    ]

    async def session(client: AsyncClient) -> None:
        await client.send_raw_transaction(bytes(payment), NOW)
        for blocks, level, confirmations in expected:
            net.network.advance_blocks(blocks)
            (found,) = (await client.get_signature_statuses([payment.signatures[0]])).value
            assert found is not None
            assert found.slot == slot
            assert (found.confirmation_status, found.confirmations) == (level, confirmations)

    with_client(session)


def test_a_signature_nobody_used_has_no_status_and_no_transaction(
    payer: Keypair, with_client: Callable[..., Any]
) -> None:
    unknown = payer.sign_message(b"nothing")

    async def session(client: AsyncClient) -> None:
        for history in (False, True):
            answer = await client.get_signature_statuses([unknown, unknown], history)
            assert answer.value == [None, None]
        transaction = await client.get_transaction(unknown, "base64", Confirmed, 0)
        assert transaction.value is None

    with_client(session)


def test_an_old_status_is_found_only_by_searching_the_history(
    net: RunningLocalnet, with_client: Callable[..., Any]
) -> None:
    signature = net.network.airdrop(Pubkey.new_unique(), lamports=10**9)

    async def session(client: AsyncClient) -> None:
        net.network.advance_blocks(300)
        assert (await client.get_signature_statuses([signature])).value[0] is not None
        net.network.advance_block()
        assert (await client.get_signature_statuses([signature])).value[0] is None
        assert (await client.get_signature_statuses([signature], True)).value[0] is not None  # noqa: FBT003 -- solana-py's

    with_client(session)


def test_a_simulation_says_what_would_happen_and_changes_nothing(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    to = Pubkey.new_unique()
    blockhash = net.network.tip.blockhash
    good = pay(payer, to, lamports=10**8, blockhash=blockhash)
    unsigned = VersionedTransaction.populate(good.message, [Signature.default()])
    too_much = pay(payer, to, lamports=10**10, blockhash=blockhash)
    stale = pay(payer, to, lamports=10**8, blockhash=Hash.default())

    async def session(client: AsyncClient) -> None:
        async def outcome(
            transaction: VersionedTransaction, *, sig_verify: bool = False, replace: bool = False
        ) -> Any:
            answer = await client.simulate_transaction(
                transaction,
                sig_verify=sig_verify,
                commitment=Processed,
                replace_recent_blockhash=replace,
            )
            return answer.value

        assert (await outcome(good, sig_verify=True)).err is None
        assert (await outcome(good)).units_consumed == 450
        assert (await outcome(unsigned)).err is None
        assert "SignatureFailure" in str((await outcome(unsigned, sig_verify=True)).err)
        failed = await outcome(too_much)
        assert "InstructionErrorCustom(1)" in str(failed.err)
        assert any("insufficient lamports" in line for line in failed.logs)
        assert "BlockhashNotFound" in str((await outcome(stale)).err)
        assert (await outcome(stale, replace=True)).err is None
        assert net.network.balance(to) == 0

    with_client(session)


def test_a_payment_that_cannot_work_is_refused_with_its_logs_and_leaves_no_trace(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
) -> None:
    payment = pay(payer, Pubkey.new_unique(), lamports=10**10, blockhash=net.network.tip.blockhash)
    config = {"encoding": "base64", "preflightCommitment": "processed"}
    answer = ask(net.url, "sendTransaction", _base64(payment), config)
    assert answer["error"]["code"] == -32002
    assert answer["error"]["data"]["err"] == {"InstructionError": [2, {"Custom": 1}]}
    assert any("insufficient lamports" in line for line in answer["error"]["data"]["logs"])
    assert net.network.landing(payment.signatures[0]) is None
    assert net.network.balance(payer.pubkey()) == 10**9


def test_without_preflight_the_same_payment_lands_as_failed_and_costs_its_fee(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    to = Pubkey.new_unique()
    payment = pay(payer, to, lamports=10**10, blockhash=net.network.tip.blockhash)

    async def session(client: AsyncClient) -> None:
        await client.send_raw_transaction(bytes(payment), BLIND)
        (status,) = (await client.get_signature_statuses(list(payment.signatures))).value
        assert status is not None
        assert "InstructionErrorCustom(1)" in str(status.err)
        net.network.advance_block()
        found = await client.get_transaction(payment.signatures[0], "base64", Confirmed, 0)
        assert found.value is not None
        meta = found.value.transaction.meta
        assert meta is not None
        assert meta.fee == 5000
        assert (meta.pre_balances[0], meta.post_balances[0]) == (10**9, 10**9 - 5000)

    with_client(session)
    assert net.network.balance(to) == 0


@pytest.mark.parametrize("opts", [NOW, BLIND], ids=["with preflight", "without"])
def test_an_empty_payer_pays_nobody(
    net: RunningLocalnet,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
    opts: TxOpts,
) -> None:
    payment = pay(
        Keypair(), Pubkey.new_unique(), lamports=10**8, blockhash=net.network.tip.blockhash
    )

    async def session(client: AsyncClient) -> None:
        if opts is BLIND:
            await client.send_raw_transaction(bytes(payment), opts)
        else:
            with pytest.raises(RPCException, match="AccountNotFound"):
                await client.send_raw_transaction(bytes(payment), opts)
        assert (await client.get_signature_statuses(list(payment.signatures))).value == [None]

    with_client(session)


def test_a_resent_transaction_has_one_effect_and_the_same_signature(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    to = Pubkey.new_unique()
    payment = pay(payer, to, lamports=10**8, blockhash=net.network.tip.blockhash)

    async def session(client: AsyncClient) -> None:
        await client.send_raw_transaction(bytes(payment), NOW)
        for _ in range(3):
            net.network.advance_block()
            sent = await client.send_raw_transaction(bytes(payment), BLIND)
            assert sent.value == payment.signatures[0]
        with pytest.raises(RPCException, match="AlreadyProcessed"):
            await client.send_raw_transaction(bytes(payment), NOW)

    with_client(session)
    assert net.network.balance(to) == 10**8


def test_a_preflight_that_cannot_see_the_original_yet_accepts_the_duplicate(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    to = Pubkey.new_unique()
    payment = pay(payer, to, lamports=6 * 10**8, blockhash=net.network.tip.blockhash)
    net.network.advance_blocks(32)
    settled = TxOpts(preflight_commitment=Finalized)

    async def session(client: AsyncClient) -> None:
        await client.send_raw_transaction(bytes(payment), settled)
        sent = await client.send_raw_transaction(bytes(payment), settled)
        assert sent.value == payment.signatures[0]

    with_client(session)
    assert net.network.balance(to) == 6 * 10**8


@pytest.mark.parametrize("skip_preflight", [False, True])
def test_a_wrong_signature_moves_nothing(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
    *,
    skip_preflight: bool,
) -> None:
    to = Pubkey.new_unique()
    good = pay(payer, to, lamports=10**8, blockhash=net.network.tip.blockhash)
    forged = VersionedTransaction.populate(good.message, [payer.sign_message(b"something else")])
    config = {"encoding": "base64", "skipPreflight": skip_preflight}
    answer = ask(net.url, "sendTransaction", _base64(forged), config)
    if skip_preflight:
        assert answer["result"] == str(forged.signatures[0])
    else:
        assert answer["error"]["code"] == -32003
    assert net.network.balance(to) == 0
    assert net.network.landing(forged.signatures[0]) is None


def test_a_blockhash_that_the_preflight_block_has_not_seen_is_not_found(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    with_client: Callable[..., Any],
) -> None:
    payment = pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=net.network.tip.blockhash)

    async def session(client: AsyncClient) -> None:
        with pytest.raises(RPCException, match="BlockhashNotFound"):
            await client.send_raw_transaction(
                bytes(payment), TxOpts(preflight_commitment=Finalized)
            )
        await client.send_raw_transaction(bytes(payment), NOW)

    with_client(session)


def test_slots_and_heights_are_two_counters_and_lag_by_commitment(
    net: RunningLocalnet, with_client: Callable[..., Any]
) -> None:
    net.network.advance_blocks(40)

    async def counters(client: AsyncClient) -> list[tuple[int, int]]:
        return [
            ((await client.get_block_height(level)).value, (await client.get_slot(level)).value)
            for level in (Processed, Confirmed, Finalized)
        ]

    async def session(client: AsyncClient) -> None:
        (height, slot), *older = await counters(client)
        assert older == [(height - 1, slot - 1), (height - 32, slot - 32)]
        net.network.skip_slot()
        net.network.skip_slot()
        assert (await counters(client))[0] == (height, slot)
        net.network.advance_block()
        assert (await counters(client))[:2] == [(height + 1, slot + 3), (height, slot)]

    with_client(session)


def test_two_networks_share_no_blockhash_and_no_payment(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
) -> None:
    blockhash = net.network.tip.blockhash
    payment = pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=blockhash)
    config = {"encoding": "base64", "preflightCommitment": "processed"}
    with running() as other:
        other.network.airdrop(payer.pubkey(), lamports=10**9)
        other.network.advance_blocks(40)
        refused = ask(other.url, "sendTransaction", _base64(payment), config)
        assert refused["error"]["data"]["err"] == "BlockhashNotFound"
        genesis = {ask(each.url, "getGenesisHash")["result"] for each in (net, other)}
        assert len(genesis) == 2


def test_control_networks_of_one_genesis_are_the_same() -> None:
    first, second = Localnet(genesis=b"same"), Localnet(genesis=b"same")
    assert first.tip.blockhash == second.tip.blockhash


def test_accounts_are_shown_as_they_are(
    net: RunningLocalnet, payer: Keypair, with_client: Callable[..., Any]
) -> None:
    async def session(client: AsyncClient) -> None:
        found = (await client.get_account_info(payer.pubkey(), Processed)).value
        assert found is not None
        assert (found.lamports, found.data, found.executable) == (10**9, b"", False)
        assert (await client.get_account_info(Pubkey.new_unique(), Processed)).value is None
        rent = await client.get_minimum_balance_for_rent_exemption(0)
        assert rent.value == RENT_EXEMPT
        assert await client.is_connected()
        assert (await client.get_version()).value.solana_core
        assert (await client.get_genesis_hash()).value == net.network.genesis_hash

    with_client(session)


def test_an_airdrop_below_the_rent_exempt_minimum_is_refused(
    net: RunningLocalnet, ask: Callable[..., Any]
) -> None:
    address = str(Pubkey.new_unique())
    answer = ask(net.url, "requestAirdrop", address, RENT_EXEMPT - 1)
    assert answer["error"]["data"]["err"] == {"InsufficientFundsForRent": {"account_index": 1}}
    assert "result" in ask(net.url, "requestAirdrop", address, RENT_EXEMPT)


def test_base58_is_understood_as_well_as_base64(
    net: RunningLocalnet,
    payer: Keypair,
    pay: Callable[..., VersionedTransaction],
    ask: Callable[..., Any],
) -> None:
    payment = pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=net.network.tip.blockhash)
    config = {"preflightCommitment": "processed"}
    answer = ask(net.url, "sendTransaction", _base58(bytes(payment)), config)
    assert answer["result"] == str(payment.signatures[0])


def test_a_version_0_transaction_is_not_shown_to_who_does_not_ask_for_it(
    net: RunningLocalnet, ask: Callable[..., Any]
) -> None:
    signature = str(net.network.airdrop(Pubkey.new_unique(), lamports=10**9))
    net.network.advance_block()
    config = {"encoding": "base64", "commitment": "confirmed"}
    assert ask(net.url, "getTransaction", signature, config)["error"]["code"] == -32015
    config["commitment"] = "finalized"
    assert ask(net.url, "getTransaction", signature, config)["result"] is None


def test_with_a_clock_a_payment_confirms_by_itself(
    pay: Callable[..., VersionedTransaction],
) -> None:
    payer = Keypair()

    async def session(url: str) -> None:
        async with AsyncClient(url) as client, asyncio.timeout(10):
            airdrop = await client.request_airdrop(payer.pubkey(), 10**9)
            await client.confirm_transaction(airdrop.value, Confirmed, sleep_seconds=0.01)
            latest = (await client.get_latest_blockhash(Confirmed)).value
            payment = pay(payer, Pubkey.new_unique(), lamports=10**8, blockhash=latest.blockhash)
            sent = await client.send_raw_transaction(
                bytes(payment), TxOpts(preflight_commitment=Confirmed)
            )
            await client.confirm_transaction(sent.value, Finalized, sleep_seconds=0.01)

    with running(slot_ms=5) as localnet:
        asyncio.run(session(localnet.url))


def _base64(transaction: VersionedTransaction) -> str:

    return base64.b64encode(bytes(transaction)).decode()


def _base58(raw: bytes) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return text
