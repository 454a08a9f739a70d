"""What the adapter makes of a node's answers, right and wrong, and what it asks."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pytest
from solders.keypair import Keypair

from waiaas.chains.solana.chain import (
    AIRDROP_POLL_S,
    AIRDROP_POLLS_MAX,
    GENESIS,
    SolanaChain,
    WrongNetwork,
)
from waiaas.chains.solana.messages import check, unsigned_transaction
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import NetworkType
from waiaas.domain.request import ContractCall, Request, Transfer
from waiaas.ports import (
    ChainUnavailable,
    Landed,
    Payload,
    ProvablyExpired,
    SimulationRefused,
    Unseen,
)

Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
Node = Callable[[Respond], AbstractAsyncContextManager[int]]
Do = Callable[[SolanaChain], Awaitable[Any]]

PAYER: Final = Keypair.from_seed(bytes([1]) * 32)
FROM: Final = str(PAYER.pubkey())
TRANSFER: Final = Transfer(to_address=solana_address(bytes([2]) * 32), base_units=5_000_000)
BLOCKHASH: Final = solana_address(bytes([9]) * 32)
LOCAL_GENESIS: Final = solana_address(bytes([8]) * 32)
TX_HASH: Final = str(PAYER.sign_message(b"anything"))
LAST_VALID: Final = 1150


class Error(Exception):
    """Make the node answer with an error object."""


class World:
    """A node that answers by a script and remembers what it was asked; also a clock."""

    def __init__(self, node: Node, **script: Any) -> None:
        self._node = node
        self.script: dict[str, Any] = {
            "getGenesisHash": LOCAL_GENESIS,
            "getLatestBlockhash": blockhash(),
            "getBlockHeight": 1000,
            "simulateTransaction": simulated(None),
            "getSignatureStatuses": statuses(None),
            **script,
        }
        self.asked: list[tuple[str, list[Any]]] = []
        self.slept_s: list[float] = []

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    def params(self, method: str) -> list[Any]:
        return next(params for asked, params in self.asked if asked == method)

    def now_s(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    def do(self, do: Do, *, network: NetworkType = NetworkType.LOCALNET) -> Any:
        async def run() -> Any:
            async with self._node(self._respond) as port:
                chain = SolanaChain(f"http://127.0.0.1:{port}/", network=network, clock=self)
                try:
                    return await do(chain)
                finally:
                    await chain.aclose()

        return asyncio.run(run())

    def build(self, transfer: Request = TRANSFER, unit_price: int = 3) -> Any:
        return self.do(
            lambda chain: chain.build(transfer, from_address=FROM, unit_price=unit_price)
        )

    def look_up(self) -> Any:
        return self.do(lambda chain: chain.look_up(TX_HASH, last_valid_block_height=LAST_VALID))

    async def _respond(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        request = json.loads(body)
        self.asked.append((request["method"], request["params"]))
        answer = self.script[request["method"]]
        if callable(answer):
            answer = answer()
        part = {"error": answer.args[0]} if isinstance(answer, Error) else {"result": answer}
        text = json.dumps({"jsonrpc": "2.0", "id": request["id"], **part}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
        await writer.drain()


def with_slot(value: Any, slot: int = 2000) -> dict[str, Any]:
    return {"context": {"slot": slot, "apiVersion": "4.1.2"}, "value": value}


def blockhash(
    text: Any = BLOCKHASH, *, last_valid: Any = LAST_VALID, slot: int = 2000
) -> dict[str, Any]:
    return with_slot({"blockhash": text, "lastValidBlockHeight": last_valid}, slot)


def simulated(err: Any) -> dict[str, Any]:
    return with_slot({"err": err, "logs": [], "unitsConsumed": 450})


def statuses(*value: Any, slot: int = 2000) -> dict[str, Any]:
    return with_slot(list(value), slot)


def status(confirmation: Any, err: Any = None) -> dict[str, Any]:
    return {"slot": 1400, "confirmations": 3, "err": err, "confirmationStatus": confirmation}


def error(code: int, message: str, data: Any = None) -> Error:
    return Error({"code": code, "message": message, "data": data})


# ── build ──────────────────────────────────────────────────────────────────────────────────────


def test_a_payload_is_what_was_asked_and_exactly_what_was_simulated(node: Node) -> None:
    world = World(node)
    payload = world.build()
    assert isinstance(payload, Payload)
    said = check(payload.message, TRANSFER, from_address=FROM, rent=0)
    assert (said.unit_price, said.blockhash) == (3, BLOCKHASH)
    assert (payload.unit_price, payload.last_valid_block_height) == (3, LAST_VALID)
    text, options = world.params("simulateTransaction")
    assert base64.b64decode(text) == unsigned_transaction(payload.message)
    assert options == {
        "encoding": "base64",
        "commitment": "confirmed",
        "sigVerify": False,
        "replaceRecentBlockhash": False,
    }


@pytest.mark.parametrize(
    ("err", "words"),
    [
        ("AccountNotFound", "holds nothing"),
        ("InsufficientFundsForFee", "cannot pay the network's fee"),
        ({"InstructionError": [2, {"Custom": 1}]}, "less than the amount and the fee"),
        ({"InsufficientFundsForRent": {"account_index": 0}}, "would keep too little"),
        ({"InsufficientFundsForRent": {"account_index": 1}}, "recipient would hold too little"),
        ({"InstructionError": [0, "ComputationalBudgetExceeded"]}, "ComputationalBudgetExceeded"),
        ("SomethingOfTheFuture", 'the chain reports "SomethingOfTheFuture"'),
        ({"Future\u202e\x1b": ["\n"]}, "the chain reports"),
        pytest.param("x" * 100_000, "xxx...", id="long"),
        ({}, "the chain reports {}"),
    ],
)
def test_a_payment_that_would_fail_is_refused_in_plain_words(
    err: Any, words: str, node: Node
) -> None:
    refusal = World(node, simulateTransaction=simulated(err)).build()
    assert isinstance(refusal, SimulationRefused)
    assert words in refusal.reason
    assert refusal.reason.endswith("(amount 5000000 lamports, fee 5001 lamports)")
    assert refusal.reason.isascii()
    assert refusal.reason.isprintable()
    assert len(refusal.reason) < 300


@pytest.mark.parametrize("base_units", [2**64, 2**256 - 1])
def test_an_amount_past_what_an_account_can_hold_is_refused(base_units: int, node: Node) -> None:
    refusal = World(node).build(Transfer(to_address=FROM, base_units=base_units))
    assert refusal == SimulationRefused(
        "a Solana transfer moves 1 to 18446744073709551615 lamports"
    )


@pytest.mark.parametrize(
    "script",
    [
        {"getBlockHeight": 10**4000},
        {"getBlockHeight": -1},
        {"simulateTransaction": simulated("BlockhashNotFound")},
        {"simulateTransaction": simulated("AlreadyProcessed")},
        {"simulateTransaction": with_slot({"logs": []})},
        {"simulateTransaction": with_slot({"err": 7})},
        {"simulateTransaction": with_slot({"err": False})},
        {"simulateTransaction": with_slot(None)},
        {"simulateTransaction": error(-32002, "insufficient funds")},
        {"getLatestBlockhash": blockhash(last_valid=1000 + 99)},
        {"getLatestBlockhash": blockhash(last_valid=1000 + 183)},
        {"getLatestBlockhash": blockhash(last_valid=2**63 - 1)},
        {"getLatestBlockhash": blockhash(last_valid=2**64)},
        {"getLatestBlockhash": blockhash(last_valid=-1)},
        {"getLatestBlockhash": blockhash(last_valid=None)},
        {"getLatestBlockhash": blockhash("")},
        {"getLatestBlockhash": blockhash("0" * 44)},
        {"getLatestBlockhash": blockhash("1" * 33)},
        {"getLatestBlockhash": blockhash("1" * 100_000)},
        {"getLatestBlockhash": blockhash(None)},
    ],
)
def test_an_answer_that_decides_nothing_is_an_unavailable_chain(
    script: dict[str, Any], node: Node
) -> None:
    with pytest.raises(ChainUnavailable) as caught:
        World(node, **script).build()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("blocks_left", [100, 150, 182])
def test_a_fresh_blockhash_is_taken(blocks_left: int, node: Node) -> None:
    world = World(node, getLatestBlockhash=blockhash(last_valid=1000 + blocks_left))
    assert world.build().last_valid_block_height == 1000 + blocks_left


CALL: Final = ContractCall(solana_address(bytes([7]) * 32), b"")


def wallets(*lamports: int) -> dict[str, Any]:
    system = solana_address(bytes(32))
    return with_slot(
        [{"lamports": each, "owner": system, "data": ["", "base64"]} for each in lamports]
    )


def simulated_wallets(*lamports: int) -> dict[str, Any]:
    value = {"err": None, "accounts": wallets(*lamports)["value"]}
    return with_slot(value)


def test_a_call_is_simulated_with_the_agents_accounts_before_and_afterwards(node: Node) -> None:
    world = World(
        node, getMultipleAccounts=wallets(10**9), simulateTransaction=simulated_wallets(10**9 - 1)
    )
    assert isinstance(world.build(CALL), Payload)
    _, options = world.params("simulateTransaction")
    assert options["accounts"] == {"encoding": "base64", "addresses": [FROM]}
    asked = [method for method in world.methods if method.startswith(("getMulti", "simulate"))]
    assert asked == ["getMultipleAccounts", "simulateTransaction", "getMultipleAccounts"]


def test_a_call_that_takes_more_than_the_fee_is_refused(node: Node) -> None:
    world = World(
        node, getMultipleAccounts=wallets(10**9), simulateTransaction=simulated_wallets(0)
    )
    refused = world.build(CALL)
    assert isinstance(refused, SimulationRefused)
    assert "it would take 1000000000 of native" in refused.reason


def test_a_wallet_that_changes_while_a_call_is_simulated_is_looked_at_again_later(
    node: Node,
) -> None:
    answers = iter([wallets(10**9), wallets(10**9 + 1)])
    world = World(
        node,
        getMultipleAccounts=lambda: next(answers),
        simulateTransaction=simulated_wallets(10**9),
    )
    with pytest.raises(ChainUnavailable, match="change while it simulated"):
        world.build(CALL)


@pytest.mark.parametrize(
    ("before", "after"),
    [((), (1,)), ((1, 1), (1,)), ((1,), ()), ((1,), (1, 1))],
)
def test_accounts_that_were_not_asked_for_are_no_answer(
    node: Node, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    world = World(
        node, getMultipleAccounts=wallets(*before), simulateTransaction=simulated_wallets(*after)
    )
    with pytest.raises(ChainUnavailable, match="other accounts than it was asked for"):
        world.build(CALL)


# ── assemble and send ──────────────────────────────────────────────────────────────────────────


def signed(node: Node) -> Any:
    message = World(node).build().message
    return SolanaChain(
        "http://127.0.0.1/", network=NetworkType.LOCALNET, clock=World(node)
    ).assemble(message, signature=bytes(PAYER.sign_message(message)), from_address=FROM)


def test_a_payload_is_not_assembled_for_another_wallet(node: Node) -> None:
    message = World(node).build().message
    chain = SolanaChain("http://127.0.0.1/", network=NetworkType.LOCALNET, clock=World(node))
    signature = bytes(PAYER.sign_message(message))
    with pytest.raises(ValueError, match="does not pay from this address"):
        chain.assemble(message, signature=signature, from_address=TRANSFER.to_address)
    with pytest.raises(ValueError, match="not the paying wallet's"):
        chain.assemble(message, signature=bytes(64), from_address=FROM)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (None, True),
        (TX_HASH, False),
        ("1" * 64, False),
        ("", False),
        (error(-32002, "x", {"err": "AlreadyProcessed", "logs": []}), True),
        (error(-32002, "This transaction has already been processed"), True),
        (error(-32002, "Blockhash not found", {"err": "BlockhashNotFound"}), False),
        (error(-32002, "insufficient funds"), False),
        (error(-32005, "node is behind by 42 slots"), False),
        (error(-32603, "already been processed"), False),
    ],
)
def test_only_a_node_that_names_our_transaction_has_taken_it(
    answer: Any,
    taken: Any,
    node: Node,
) -> None:
    transaction = signed(node)
    world = World(node, sendTransaction=transaction.tx_hash if answer is None else answer)
    assert world.do(lambda chain: chain.send(transaction.raw)) == taken
    assert world.params("sendTransaction") == [
        base64.b64encode(transaction.raw).decode(),
        {
            "encoding": "base64",
            "skipPreflight": True,
            "preflightCommitment": "confirmed",
            "maxRetries": 0,
        },
    ]


@pytest.mark.parametrize("answer", [None, 7, ["x"]])
def test_an_answer_that_is_no_hash_leaves_the_sending_unknown(answer: Any, node: Node) -> None:
    transaction = signed(node)
    with pytest.raises(ChainUnavailable):
        World(node, sendTransaction=answer).do(lambda chain: chain.send(transaction.raw))


def test_bytes_that_are_not_a_signed_payment_are_never_sent(node: Node) -> None:
    world = World(node)
    raw = bytearray(signed(node).raw)
    raw[-2] ^= 1  # the amount
    with pytest.raises(ValueError, match="signature"):
        world.do(lambda chain: chain.send(bytes(raw)))
    assert world.asked == []


# ── look up ────────────────────────────────────────────────────────────────────────────────────

AFTER: Final = {
    "getBlockHeight": LAST_VALID + 1,
    "getLatestBlockhash": blockhash(last_valid=LAST_VALID + 1 + 150, slot=1700),
}
"""A finalized block past the payment's last, at slot 1700."""


@pytest.mark.parametrize(
    ("script", "sighting"),
    [
        ({"getSignatureStatuses": statuses(status("confirmed"))}, Landed(error=None)),
        ({"getSignatureStatuses": statuses(status("finalized"))}, Landed(error=None)),
        (
            {"getSignatureStatuses": statuses(status("finalized", "AccountNotFound"))},
            Landed(error="the paying wallet holds nothing"),
        ),
        (
            {
                "getSignatureStatuses": statuses(
                    status("finalized", {"InstructionError": [2, {"Custom": 1}]})
                )
            },
            Landed(
                error="its first instruction failed with code 1: in a payment, "
                "the paying wallet holds less than the amount and the fee together"
            ),
        ),
        (  # a failure frees money, so it has to be final
            {"getSignatureStatuses": statuses(status("confirmed", "AccountNotFound"))},
            Unseen(),
        ),
        (
            AFTER | {"getSignatureStatuses": statuses(status("finalized"))},
            Landed(error=None),
        ),
        ({"getSignatureStatuses": statuses(status("processed"))}, Unseen()),
        ({"getSignatureStatuses": statuses(status("processed", "AccountNotFound"))}, Unseen()),
        (
            AFTER | {"getSignatureStatuses": statuses(status("processed"))},
            Unseen(),
        ),
        ({"getBlockHeight": LAST_VALID - 1}, Unseen()),
        ({"getBlockHeight": LAST_VALID}, Unseen()),
        (AFTER, ProvablyExpired()),
        (
            AFTER | {"getSignatureStatuses": statuses(None, slot=1700)},
            ProvablyExpired(),
        ),
        (  # a lagging node behind the same address knows no trace yet
            AFTER | {"getSignatureStatuses": statuses(None, slot=1699)},
            Unseen(),
        ),
    ],
)
def test_what_the_chain_knows_is_read_with_care(
    script: dict[str, Any], sighting: Any, node: Node
) -> None:
    assert World(node, **script).look_up() == sighting


@pytest.mark.parametrize(
    "script",
    [
        {"getSignatureStatuses": statuses()},
        {"getSignatureStatuses": statuses(None, None)},
        {"getSignatureStatuses": statuses(status(None))},
        {"getSignatureStatuses": statuses(status("rooted"))},
        {"getSignatureStatuses": statuses({"slot": 1, "confirmationStatus": "finalized"})},
        {"getSignatureStatuses": statuses(status("finalized", 0))},
        {"getSignatureStatuses": {"value": [None]}},
        {"getSignatureStatuses": None},
        {"getSignatureStatuses": error(-32011, "history is not kept here")},
        {"getBlockHeight": -1},
        {"getBlockHeight": 2**64},
        {"getBlockHeight": None},
        {"getBlockHeight": error(-32016, "not there yet")},
        {"getLatestBlockhash": blockhash(last_valid=LAST_VALID + 150, slot=1700)},
        {"getLatestBlockhash": blockhash(last_valid=LAST_VALID + 151, slot=LAST_VALID)},
        {"getLatestBlockhash": None},
    ],
)
def test_a_node_that_cannot_say_proves_nothing(script: dict[str, Any], node: Node) -> None:
    with pytest.raises(ChainUnavailable):
        World(node, **(AFTER | script)).look_up()


def test_the_end_is_read_before_the_trace_is_looked_for(node: Node) -> None:
    world = World(node, **AFTER)
    world.look_up()
    assert world.methods == [
        "getGenesisHash",
        "getBlockHeight",
        "getLatestBlockhash",
        "getSignatureStatuses",
        "getGenesisHash",
    ]
    assert world.params("getBlockHeight") == [{"commitment": "finalized"}]
    assert world.params("getLatestBlockhash") == [{"commitment": "finalized"}]
    assert world.params("getSignatureStatuses") == [[TX_HASH], {"searchTransactionHistory": True}]


def test_a_payment_that_lands_between_the_two_questions_is_not_expired(node: Node) -> None:
    world = World(node, **AFTER)

    def land_after_the_height_was_read() -> Any:
        assert "getBlockHeight" in world.methods
        return statuses(status("finalized"))

    world.script["getSignatureStatuses"] = land_after_the_height_was_read
    assert world.look_up() == Landed(error=None)


# ── the network ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("configured", NetworkType)
@pytest.mark.parametrize("met", NetworkType)
def test_a_node_of_another_network_is_not_used(
    configured: NetworkType, met: NetworkType, node: Node
) -> None:
    world = World(node, getGenesisHash=GENESIS.get(met, LOCAL_GENESIS), getBalance=with_slot(1))
    if configured is met:
        assert world.do(lambda chain: chain.balance(FROM), network=configured) == 1
        return
    for ask in (
        lambda chain: chain.balance(FROM),
        lambda chain: chain.build(TRANSFER, from_address=FROM, unit_price=0),
        lambda chain: chain.look_up(TX_HASH, last_valid_block_height=1),
        lambda chain: chain.airdrop(FROM, base_units=1),
    ):
        with pytest.raises(WrongNetwork, match=f"not on the {configured}") as caught:
            world.do(ask, network=configured)
        assert caught.value.expected is configured
    assert set(world.methods) == {"getGenesisHash"}


def test_bytes_are_not_sent_to_a_node_of_another_network(node: Node) -> None:
    transaction = signed(node)
    world = World(node)
    with pytest.raises(WrongNetwork):
        world.do(lambda chain: chain.send(transaction.raw), network=NetworkType.DEVNET)
    assert world.methods == ["getGenesisHash"]


def test_the_network_is_asked_for_once(node: Node) -> None:
    world = World(node, getBalance=with_slot(1))

    async def twice(chain: SolanaChain) -> None:
        await chain.balance(FROM)
        await chain.balance(FROM)

    world.do(twice)
    assert world.methods == ["getGenesisHash", "getBalance", "getBalance"]


@pytest.mark.parametrize("network", [NetworkType.LOCALNET, NetworkType.DEVNET])
def test_nothing_expires_on_a_network_that_was_swapped_underneath(
    network: NetworkType, node: Node
) -> None:
    genesis = iter([GENESIS.get(network, LOCAL_GENESIS), solana_address(bytes([7]) * 32)])
    world = World(node, **AFTER, getGenesisHash=lambda: next(genesis))
    with pytest.raises(WrongNetwork):
        world.do(
            lambda chain: chain.look_up(TX_HASH, last_valid_block_height=LAST_VALID),
            network=network,
        )


@pytest.mark.parametrize("answer", ["", "devnet", "0" * 44, None, error(-32601, "what?")])
def test_a_node_that_does_not_say_its_network_is_not_used(answer: Any, node: Node) -> None:
    with pytest.raises(ChainUnavailable):
        World(node, getGenesisHash=answer, getBalance=with_slot(1)).do(
            lambda chain: chain.balance(FROM)
        )


# ── balance and airdrop ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lamports", [0, 1, 2**63, 2**64 - 1])
def test_a_balance_is_read(lamports: int, node: Node) -> None:
    world = World(node, getBalance=with_slot(lamports))
    assert world.do(lambda chain: chain.balance(FROM)) == lamports
    assert world.params("getBalance") == [FROM, {"commitment": "confirmed"}]


@pytest.mark.parametrize("lamports", [-1, 2**64, 1.5, "1", None, True])
def test_a_balance_no_account_can_hold_is_not_believed(lamports: Any, node: Node) -> None:
    with pytest.raises(ChainUnavailable):
        World(node, getBalance=with_slot(lamports)).do(lambda chain: chain.balance(FROM))


def test_an_airdrop_is_waited_for_on_the_clock_until_it_is_confirmed(node: Node) -> None:
    answers = iter([None, status("processed"), status("confirmed")])
    world = World(
        node, requestAirdrop=TX_HASH, getSignatureStatuses=lambda: statuses(next(answers))
    )
    assert world.do(lambda chain: chain.airdrop(FROM, base_units=7)) == TX_HASH
    assert world.slept_s == [AIRDROP_POLL_S] * 2
    assert world.params("requestAirdrop") == [FROM, 7, {"commitment": "confirmed"}]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({}, "did not confirm the airdrop in time"),
        ({"requestAirdrop": "?"}, "a transaction hash that is none"),
        ({"requestAirdrop": error(-32603, "faucet is dry")}, "faucet is dry"),
        (
            {"getSignatureStatuses": statuses(status("confirmed", "AccountNotFound"))},
            "failed the airdrop",
        ),
    ],
)
def test_an_airdrop_that_does_not_arrive_is_an_unavailable_chain(
    script: dict[str, Any], words: str, node: Node
) -> None:
    world = World(node, **({"requestAirdrop": TX_HASH} | script))
    with pytest.raises(ChainUnavailable, match=words):
        world.do(lambda chain: chain.airdrop(FROM, base_units=7))
    assert len(world.slept_s) <= AIRDROP_POLLS_MAX


# ── the time ───────────────────────────────────────────────────────────────────────────────────


def test_the_time_is_that_of_the_newest_final_block(node: Node) -> None:
    world = World(node, getSlot=1234, getBlockTime=1_700_000_000)
    assert world.do(lambda chain: chain.chain_time()) == 1_700_000_000
    assert world.asked[-2:] == [
        ("getSlot", [{"commitment": "finalized"}]),
        ("getBlockTime", [1234]),
    ]


@pytest.mark.parametrize("bad", [None, -1, 2**40, 2**70, 1.5, "1700000000", True, [], {}])
@pytest.mark.parametrize("method", ["getSlot", "getBlockTime"])
def test_what_is_no_time_is_an_unavailable_chain(node: Node, method: str, bad: Any) -> None:
    script = {"getSlot": 1234, "getBlockTime": 1_700_000_000, method: bad}
    if (method, bad) == ("getSlot", 2**40):
        bad = script["getSlot"] = 2**63  # No slot either, as 2**40 is one.
    world = World(node, **script)
    with pytest.raises(ChainUnavailable):
        world.do(lambda chain: chain.chain_time())


def test_a_block_whose_time_the_node_has_forgotten_is_an_unavailable_chain(node: Node) -> None:
    forgotten = Error({"code": -32004, "message": "Block not available for slot 1234"})
    world = World(node, getSlot=1234, getBlockTime=forgotten)
    with pytest.raises(ChainUnavailable):
        world.do(lambda chain: chain.chain_time())


def test_the_time_of_another_network_is_not_asked_for(node: Node) -> None:
    world = World(node, getSlot=1234, getBlockTime=1_700_000_000)
    with pytest.raises(WrongNetwork):
        world.do(lambda chain: chain.chain_time(), network=NetworkType.MAINNET)
    assert world.methods == ["getGenesisHash"]
