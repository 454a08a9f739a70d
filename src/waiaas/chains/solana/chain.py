"""`waiaas.ports.Chain` and `Faucet`, over one Solana node.

What one node cannot show. A node that lies consistently cannot be found out: it can claim that a
payment is nowhere and that its time is over. Nor can an honest node whose history has a hole, or
begins after the payment: for the last 300 blocks every node knows each payment, for older ones it
depends on what it keeps (often two days). Against honest nodes that lag behind each other at one
address (a load balancer), an expiry is only believed when the answer that knows no trace comes
from a view at least as new as the finalized block that ended the payment's time. The remedy for
the rest is to ask several independent nodes; it belongs above this module.
"""

import base64
import re
from typing import Final

from waiaas.chains.solana.answers import (
    COUNT_MAX,
    AccountResult,
    AccountsResult,
    Balance,
    Blockhash,
    Count,
    LatestBlockhash,
    SimulationResult,
    Status,
    Statuses,
    Time,
)
from waiaas.chains.solana.failures import (
    PREFLIGHT_FAILED,
    TransactionError,
    in_words,
    is_passing,
    says_it_has_it,
)
from waiaas.chains.solana.history import read_movement, read_page
from waiaas.chains.solana.instructions import (
    LAMPORTS_MAX,
    NotPayable,
    compute_units,
    token_account,
    tokens_of,
)
from waiaas.chains.solana.messages import (
    RENT_LAMPORTS,
    check,
    compose,
    fee_lamports,
    read_transaction,
    require_room,
    signed_transaction,
    unsigned_transaction,
)
from waiaas.chains.solana.outflow import View, excess, has_calls, is_unmoved, owned
from waiaas.chains.solana.reading import read_message
from waiaas.chains.solana.rpc import BODY_BYTES_MAX, TIMEOUT_S, JsonRpc, RpcError
from waiaas.chains.solana.tokens import (
    TOKEN_ACCOUNT_BYTES,
    AccountInfo,
    NoToken,
    keeps_token,
    mint_decimals,
    require_wallet,
)
from waiaas.domain.addresses import is_solana_address
from waiaas.domain.enums import NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import NATIVE
from waiaas.domain.rent import TokenAccount, paid_accounts
from waiaas.domain.request import Request, outflows, parts_of
from waiaas.ports import (
    ChainUnavailable,
    Clock,
    HistoryPage,
    Landed,
    Movement,
    Payload,
    ProvablyExpired,
    Sighting,
    SignedTransaction,
    SimulationRefused,
    Unseen,
)

GENESIS: Final = {
    NetworkType.MAINNET: "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    NetworkType.DEVNET: "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
    NetworkType.TESTNET: "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY",
}
"""The hash of each public network's first block. A local network is any other."""

BLOCKHASH_BLOCKS: Final = 150
"""A blockhash can be used in this many blocks after its own; the chain's rule."""

BLOCKHASH_BLOCKS_MIN: Final = 100
"""A blockhash with fewer blocks left is not fresh: the payment might not land in time."""

BLOCKHASH_BLOCKS_DRIFT_MAX: Final = 32
"""How far behind the blockhash's node the height's may be; a longer life is not believed."""

AIRDROP_POLLS_MAX: Final = 120
AIRDROP_POLL_S: Final = 0.25

_SIGNATURE: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}")


class WrongNetwork(ChainUnavailable):
    """The node is on another network than the one it is configured for; nothing is asked of it.

    Attributes:
        expected: the network it is configured for.
        genesis_hash: of the network it is on.
    """

    def __init__(self, node: str, *, expected: NetworkType, genesis_hash: str) -> None:
        self.expected = expected
        self.genesis_hash = genesis_hash
        super().__init__(
            f"the node at {node} is not on the {expected} it is configured for: "
            f"its genesis hash is {genesis_hash}"
        )


class SolanaChain:
    """One network, seen through one node.

    Every method that talks to the node first makes sure, once, that it is on *network*.

    Args:
        url: of the node's JSON-RPC; may hold credentials, which are never shown.
        network: the one the node must be on.
        clock: for waiting.
        timeout_s: for one exchange with the node.
        body_bytes_max: for one answer of the node.

    Raises:
        ValueError: *url* is not an http or https URL.
    """

    def __init__(
        self,
        url: str,
        *,
        network: NetworkType,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._rpc = JsonRpc(url, timeout_s=timeout_s, body_bytes_max=body_bytes_max)
        self._network = network
        self._clock = clock
        self._pinned_genesis: str | None = None

    async def aclose(self) -> None:
        """Close the connections to the node; calling twice is harmless."""
        await self._rpc.aclose()

    def is_reachable(self) -> bool | None:
        """Return whether the node gave its last answer; None before it was asked."""
        return self._rpc.gave_answer

    # ── the network ────────────────────────────────────────────────────────────────────────────

    async def genesis_hash(self) -> str:
        """Return the hash of the first block of the network the node is on."""
        genesis_hash = await self._rpc.call("getGenesisHash", [], returns=str)
        if not is_solana_address(genesis_hash):  # the same spelling: base58 of 32 bytes
            raise self._unusable("gave a genesis hash that is none")
        return genesis_hash

    async def check_network(self) -> None:
        """Ask the node afresh which network it is on.

        Raises:
            WrongNetwork: it is on another one than configured, or than it was before.
        """
        genesis_hash = await self.genesis_hash()
        expected = GENESIS.get(self._network, self._pinned_genesis)
        if expected is None:  # a local network, first seen
            is_ours = genesis_hash not in GENESIS.values()
        else:
            is_ours = genesis_hash == expected
        if not is_ours:
            raise WrongNetwork(self._rpc.node, expected=self._network, genesis_hash=genesis_hash)
        self._pinned_genesis = genesis_hash

    async def _check_network_once(self) -> None:
        if self._pinned_genesis is None:
            await self.check_network()

    # ── waiaas.ports.Chain ─────────────────────────────────────────────────────────────────────

    async def balance(self, address: str) -> int:
        await self._check_network_once()
        answer = await self._rpc.call(
            "getBalance", [address, {"commitment": "confirmed"}], returns=Balance
        )
        if answer.value > LAMPORTS_MAX:
            raise self._unusable("gave a balance that no account can hold")
        return answer.value

    def require_possible(self, request: Request, *, from_address: str) -> None:
        try:
            require_room(request, from_address=from_address)
        except NotPayable as refusal:
            raise Refusal(ErrorCode.VALIDATION_FAILED, str(refusal)) from refusal

    async def token_decimals(self, token_address: str) -> int:
        await self._check_network_once()
        try:
            return mint_decimals(await self._account(token_address), token_address)
        except NoToken as refusal:
            raise Refusal(ErrorCode.INVALID_ADDRESS, str(refusal)) from refusal

    async def build(
        self, request: Request, *, from_address: str, unit_price: int
    ) -> Payload | SimulationRefused:
        await self._check_network_once()
        try:
            decimals, missing = await self._tokens(request)
            latest = await self._fresh_blockhash()
            message = compose(
                request,
                from_address=from_address,
                unit_price=unit_price,
                blockhash=latest.blockhash,
                decimals=decimals,
                missing=missing,
            )
        except (NotPayable, NoToken) as refusal:
            return SimulationRefused(reason=str(refusal))
        lamports = outflows(request).get(NATIVE, 0)
        fee = fee_lamports(unit_price, units=compute_units(request))
        rent = len(missing) * RENT_LAMPORTS
        before = View(0, {})
        if has_calls(request):
            seen = await self._accounts(sorted(read_message(message).writable))
            before = View(seen.slot, owned(seen.accounts, wallet=from_address))
        error, simulated = await self._simulate(message, watched=list(before.accounts))
        if simulated.slot < before.slot:
            raise self._unusable("simulated on an older state than it had shown")
        if error is None and before.accounts:
            after = await self._accounts(list(before.accounts))
            if not is_unmoved(before, simulated, after):
                raise self._unusable("saw the agent's accounts change while it simulated")
            taken = excess(
                request,
                before.accounts,
                simulated.accounts,
                wallet=from_address,
                fee=fee,
                rent=rent,
            )
            if taken is not None:
                return SimulationRefused(reason=taken)
        if error is None:
            return Payload(
                message=message,
                unit_price=unit_price,
                last_valid_block_height=latest.last_valid_block_height,
                rent=rent,
            )
        if is_passing(error):
            raise self._unusable(f"cannot judge the payment now ({in_words(error)})")
        words = in_words(error, of=request, makes_accounts=bool(missing))
        return SimulationRefused(reason=f"{words} (amount {lamports} lamports, fee {fee} lamports)")

    def check(self, message: bytes, request: Request, *, from_address: str, rent: int) -> None:
        check(message, request, from_address=from_address, rent=rent)

    def assemble(self, message: bytes, *, signature: bytes, from_address: str) -> SignedTransaction:
        if read_message(message).payer != from_address:
            raise ValueError("the message does not pay from this address")
        return signed_transaction(message, signature=signature)

    async def send(self, raw: bytes) -> bool:
        transaction = read_transaction(raw)
        await self._check_network_once()
        try:
            answer = await self._rpc.call(
                "sendTransaction",
                [
                    _base64(raw),
                    {
                        "encoding": "base64",
                        # These bytes were simulated before they were signed. A refusal now would
                        # be no proof that they cannot land, yet would keep them from the leader:
                        # most often it is the node that lags. Passed on, they end soon and surely.
                        "skipPreflight": True,
                        # Still says where the node looks the blockhash up; by default it takes the
                        # finalized view, which does not know a fresh one.
                        "preflightCommitment": "confirmed",
                        # The worker above sends again; the node must not do so beside it.
                        "maxRetries": 0,
                    },
                ],
                returns=str,
            )
        except RpcError as error:
            return says_it_has_it(error)
        return answer == transaction.tx_hash

    async def look_up(self, tx_hash: str, *, last_valid_block_height: int) -> Sighting:
        await self._check_network_once()
        # The order is the proof: first a finalized end of the payment's time, then no trace of it.
        # The other way round it could land between the two questions.
        height = await self._block_height("finalized")
        is_over = height > last_valid_block_height
        end_slot = await self._finalized_slot(height) if is_over else None
        statuses = await self._statuses(tx_hash)
        status = statuses.value[0]
        if status is not None:
            return _sighting(status)
        if end_slot is None:
            return Unseen()
        if statuses.context.slot < end_slot:
            return Unseen()  # answered by a node whose view is older than the end
        # Expiry frees money, so the network is not taken on trust: on another one, no payment of
        # ours has ever left a trace.
        await self.check_network()
        return ProvablyExpired()

    async def chain_time(self) -> int:
        await self._check_network_once()
        slot = await self._rpc.call("getSlot", [{"commitment": "finalized"}], returns=Count)
        return await self._rpc.call("getBlockTime", [slot], returns=Time)

    async def horizon(self) -> int:
        await self._check_network_once()
        height = await self._block_height("processed")
        return height + BLOCKHASH_BLOCKS + BLOCKHASH_BLOCKS_DRIFT_MAX

    async def history(self, address: str, *, before: str | None) -> HistoryPage:
        # Afresh: on another network, nothing of this address has ever happened.
        await self.check_network()
        height = await self._block_height("finalized")
        slot = await self._finalized_slot(height)
        return await read_page(self._rpc, address, before=before, height=height, slot=slot)

    async def movement(self, tx_hash: str, *, address: str) -> Movement | None:
        await self._check_network_once()
        return await read_movement(self._rpc, tx_hash, address=address)

    # ── waiaas.ports.Faucet ────────────────────────────────────────────────────────────────────

    async def airdrop(self, address: str, *, base_units: int) -> str | SimulationRefused:
        await self._check_network_once()
        wanted = [address, base_units, {"commitment": "confirmed"}]
        try:
            tx_hash = await self._rpc.call("requestAirdrop", wanted, returns=str)
        except RpcError as refusal:
            if refusal.code != PREFLIGHT_FAILED:
                raise
            return SimulationRefused(reason=refusal.message)
        if _SIGNATURE.fullmatch(tx_hash) is None:
            raise self._unusable("gave a transaction hash that is none")
        for _ in range(AIRDROP_POLLS_MAX):
            match (await self._statuses(tx_hash)).value[0]:
                case Status(confirmation_status="confirmed" | "finalized", err=error):
                    if error is not None:
                        raise self._unusable(f"failed the airdrop ({in_words(error)})")
                    return tx_hash
                case _:
                    await self._clock.sleep(AIRDROP_POLL_S)
        raise self._unusable("did not confirm the airdrop in time")

    # ── questions to the node ──────────────────────────────────────────────────────────────────

    async def _block_height(self, commitment: str) -> int:
        height = await self._rpc.call("getBlockHeight", [{"commitment": commitment}], returns=int)
        if not 0 <= height <= COUNT_MAX:
            raise self._unusable("gave a block height that is none")
        return height

    async def _latest_blockhash(self, commitment: str) -> LatestBlockhash:
        return await self._rpc.call(
            "getLatestBlockhash", [{"commitment": commitment}], returns=LatestBlockhash
        )

    async def _fresh_blockhash(self) -> Blockhash:
        latest = (await self._latest_blockhash("confirmed")).value
        if not is_solana_address(latest.blockhash):  # the same spelling: base58 of 32 bytes
            raise self._unusable("gave a blockhash that is none")
        # A life told too long would hold the money for ever; too short, free it too early.
        blocks_left = latest.last_valid_block_height - await self._block_height("confirmed")
        if not BLOCKHASH_BLOCKS_MIN <= blocks_left <= BLOCKHASH_BLOCKS + BLOCKHASH_BLOCKS_DRIFT_MAX:
            raise self._unusable(f"gave a blockhash with {blocks_left} blocks to live")
        return latest

    async def _finalized_slot(self, height: int) -> int:
        """Return the slot of a finalized block that is at *height* or above it.

        A height comes without its slot, and a slot without its height; only a blockhash comes with
        both, its own height being where its life began.
        """
        latest = await self._latest_blockhash("finalized")
        if latest.value.last_valid_block_height - BLOCKHASH_BLOCKS < height:
            raise self._unusable("went back behind a block that it had called finalized")
        if latest.context.slot < height:  # a slot holds at most one block
            raise self._unusable("counts more blocks than slots")
        return latest.context.slot

    async def _account(self, address: str) -> AccountInfo | None:
        answer = await self._rpc.call(
            "getAccountInfo",
            [address, {"encoding": "base64", "commitment": "confirmed"}],
            returns=AccountResult,
        )
        return answer.value

    async def _accounts(self, addresses: list[str]) -> View:
        """Return accounts, each with as much of its data as we look at."""
        data_slice = {"offset": 0, "length": TOKEN_ACCOUNT_BYTES}
        config = {"encoding": "base64", "commitment": "confirmed", "dataSlice": data_slice}
        answer = await self._rpc.call(
            "getMultipleAccounts", [addresses, config], returns=AccountsResult
        )
        return View(answer.context.slot, self._by_address(addresses, answer.value))

    def _by_address(
        self, addresses: list[str], accounts: list[AccountInfo | None]
    ) -> dict[str, AccountInfo | None]:
        if len(accounts) != len(addresses):
            raise self._unusable("gave other accounts than it was asked for")
        return dict(zip(addresses, accounts, strict=True))

    async def _tokens(self, request: Request) -> tuple[dict[str, int], list[TokenAccount]]:
        """Return the decimals of each token that *request* is about, and the accounts to be made.

        Raises:
            NoToken: the chain has no such token, or none that can be sent to the recipient.
        """
        tokens, paid = tokens_of(request), paid_accounts(parts_of(request))
        if not tokens:
            return {}, []
        places = {each: token_account(*each) for each in paid}
        recipients = [each.wallet for each in paid]
        seen = await self._accounts(list(dict.fromkeys([*tokens, *recipients, *places.values()])))
        accounts = seen.accounts
        for recipient in recipients:
            require_wallet(accounts[recipient], recipient)
        decimals = {token: mint_decimals(accounts[token], token) for token in tokens}
        missing = [
            each
            for each, place in places.items()
            if not keeps_token(accounts[place], **each._asdict())
        ]
        return decimals, missing

    async def _simulate(
        self, message: bytes, *, watched: list[str]
    ) -> tuple[TransactionError | None, View]:
        """Return why *message* would fail, or None and the accounts that are *watched* then.

        The slot is that of the state it began from.
        """
        config: dict[str, object] = {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": False,
            "replaceRecentBlockhash": False,  # exactly these bytes
        }
        if watched:
            config["accounts"] = {"encoding": "base64", "addresses": watched}
        result = await self._rpc.call(
            "simulateTransaction",
            [_base64(unsigned_transaction(message)), config],
            returns=SimulationResult,
        )
        slot = result.context.slot
        if result.value.err is not None:
            return result.value.err, View(slot, {})
        return None, View(slot, self._by_address(watched, result.value.accounts or []))

    async def _statuses(self, tx_hash: str) -> Statuses:
        return await self._rpc.call(
            "getSignatureStatuses",
            [[tx_hash], {"searchTransactionHistory": True}],
            returns=Statuses,
        )

    def _unusable(self, what: str) -> ChainUnavailable:
        return ChainUnavailable(f"the node at {self._rpc.node} {what}")


def _sighting(status: Status) -> Landed | Unseen:
    """Say what a trace of the transaction is worth."""
    match status:
        case Status(confirmation_status="processed"):
            return Unseen()  # its block may yet be abandoned
        case Status(err=None):
            return Landed(error=None)
        case Status(confirmation_status="finalized", err=error) if error is not None:
            return Landed(error=in_words(error))
        case _:
            return Unseen()  # a failure frees money, so it counts only once it is final


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
