"""The methods of a Solana node, as far as a wallet needs them.

One function per method; its parameters, with their types, are what callers may pass, so the
signature is the specification. Answers and error codes are those of a real node.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from waiaas.chains.localnet import encodings
from waiaas.chains.localnet.encodings import Encoding
from waiaas.chains.localnet.errors import (
    INVALID_PARAMS,
    MIN_CONTEXT_SLOT_NOT_REACHED,
    NODE_UNHEALTHY,
    PREFLIGHT_FAILURE,
    SIGNATURE_FAILURE,
    VERSION_UNSUPPORTED,
    RpcError,
)
from waiaas.chains.localnet.faults import Fault, Faults
from waiaas.chains.localnet.network import (
    DEPTH,
    Block,
    Commitment,
    Landing,
    Localnet,
    Outcome,
)
from waiaas.chains.localnet.parameters import (
    ADDRESSES_MAX,
    HISTORY_MAX,
    AccountConfig,
    AirdropConfig,
    ContextConfig,
    DataBytes,
    DataSlice,
    HistoryConfig,
    Lamports,
    SendConfig,
    SimulateConfig,
    StatusesConfig,
    TransactionConfig,
)
from waiaas.chains.localnet.token_balances import shown

RUNTIME_VERSION: Final = "4.1.2"
"""The release of Agave whose runtime solders 0.29 carries."""

SIGNATURES_PER_QUESTION_MAX: Final = 256
ADVANCE_BLOCKS_MAX: Final = 10_000

RECENT_STATUS_BLOCKS: Final = 300
"""Older statuses are found only by a caller who asks for history."""

HEALTHY_LAG_BLOCKS_MAX: Final = 128
"""A node further behind says that it is unhealthy."""

# ── what a method is given ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Identity:
    """Which localnet this is."""

    instance: str
    """Random; another process, or the same one started again, has another."""
    pid: int


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and everything it may look at."""

    network: Localnet
    identity: Identity
    faults: Faults
    fault: Fault

    def block(self, commitment: Commitment | None, *, min_slot: int | None = None) -> Block:
        """Return the block to answer from; a node that lags has an older one."""
        block = self.network.block(
            commitment or Commitment.FINALIZED, lag_blocks=self.fault.lag_blocks
        )
        if min_slot is not None and block.slot < min_slot:
            raise RpcError(
                MIN_CONTEXT_SLOT_NOT_REACHED,
                "Minimum context slot has not been reached",
                data={"contextSlot": block.slot},
            )
        return block

    def block_for(self, config: ContextConfig | None) -> Block:
        """Return the block that the caller wants the answer from."""
        if config is None:
            return self.block(None)
        return self.block(config.commitment, min_slot=config.min_context_slot)

    def require_health(self) -> None:
        """Refuse to speak for a node that is too far behind."""
        if self.fault.lag_blocks > HEALTHY_LAG_BLOCKS_MAX:
            raise RpcError(
                NODE_UNHEALTHY,
                f"Node is behind by {self.fault.lag_blocks} slots",
                data={"numSlotsBehind": self.fault.lag_blocks},
            )


def _in_context(block: Block, value: object) -> object:
    return {"context": {"slot": block.slot, "apiVersion": RUNTIME_VERSION}, "value": value}


# ── the node ───────────────────────────────────────────────────────────────────────────────────


def get_health(call: Call) -> object:
    """Tell whether the node keeps up."""
    call.require_health()
    return "ok"


def get_version(_call: Call) -> object:
    """Name the software."""
    return {"solana-core": RUNTIME_VERSION, "feature-set": 0}


def get_genesis_hash(call: Call) -> object:
    """Name the network."""
    return str(call.network.genesis_hash)


# ── blocks ─────────────────────────────────────────────────────────────────────────────────────


def get_slot(call: Call, config: ContextConfig | None = None) -> object:
    """Return the slot of a block."""
    return call.block_for(config).slot


def get_block_height(call: Call, config: ContextConfig | None = None) -> object:
    """Return the height of a block."""
    return call.block_for(config).height


def get_latest_blockhash(call: Call, config: ContextConfig | None = None) -> object:
    """Return the newest blockhash of a block, and the last height that accepts it."""
    block = call.block_for(config)
    return _in_context(block, _blockhash(block))


def is_blockhash_valid(call: Call, blockhash: Hash, config: ContextConfig | None = None) -> object:
    """Tell whether a transaction may name *blockhash*."""
    block = call.block_for(config)
    found = call.network.block_of_hash(blockhash, seen_from=block)
    return _in_context(block, found is not None)


def _blockhash(block: Block) -> object:
    return {
        "blockhash": str(block.blockhash),
        "lastValidBlockHeight": block.last_valid_block_height,
    }


# ── accounts ───────────────────────────────────────────────────────────────────────────────────


def get_balance(call: Call, address: Pubkey, config: ContextConfig | None = None) -> object:
    """Return lamports; an account that is not there holds none."""
    block = call.block_for(config)
    return _in_context(block, call.network.balance(address, at=block))


def get_account_info(call: Call, address: Pubkey, config: AccountConfig | None = None) -> object:
    """Return an account, or null."""
    block = call.block_for(config)
    account = call.network.account(address, at=block)
    data_slice = None if config is None else config.data_slice
    return _in_context(block, account and _account(account, data_slice))


def get_multiple_accounts(
    call: Call,
    addresses: Annotated[list[Pubkey], msgspec.Meta(max_length=ADDRESSES_MAX)],
    config: AccountConfig | None = None,
) -> object:
    """Return accounts, or null for each that is not there."""
    block = call.block_for(config)
    data_slice = None if config is None else config.data_slice
    found = [call.network.account(address, at=block) for address in addresses]
    return _in_context(block, [each and _account(each, data_slice) for each in found])


def _account(account: Account, data_slice: DataSlice | None) -> object:
    data = account.data
    if data_slice is not None:
        data = data[data_slice.offset : data_slice.offset + data_slice.length]
    return {
        "lamports": account.lamports,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


def get_minimum_balance_for_rent_exemption(
    call: Call, data_bytes: DataBytes, _config: ContextConfig | None = None
) -> object:
    """Return what an account with so much data has to hold."""
    return call.network.rent_exempt_minimum(data_bytes=data_bytes)


# ── transactions ───────────────────────────────────────────────────────────────────────────────


def get_fee_for_message(call: Call, message: str, config: ContextConfig | None = None) -> object:
    """Return what a message costs its payer, or null if its blockhash is not accepted."""
    block = call.block_for(config)
    try:
        found = encodings.message(message)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {error}") from None
    if call.network.block_of_hash(found.recent_blockhash, seen_from=block) is None:
        return _in_context(block, None)
    return _in_context(block, call.network.fee(found))


def simulate_transaction(
    call: Call, transaction: str, config: SimulateConfig | None = None
) -> object:
    """Say what a transaction would do. It fails inside the answer, not as an error."""
    config = config or SimulateConfig()
    block = call.block_for(config)
    found = _transaction(transaction, config.encoding)
    if config.replace_recent_blockhash:
        if config.sig_verify:
            raise RpcError(INVALID_PARAMS, "sigVerify may not be used with replaceRecentBlockhash")
        return _in_context(
            block,
            _simulation(
                call.network.simulate(found, at=block),
                replacement=_blockhash(block),
                accounts=_watched(call, config, block),
            ),
        )
    if config.sig_verify and not all(found.verify_with_results()):
        return _in_context(block, _simulation(Outcome("SignatureFailure")))
    outcome = call.network.preflight(found, at=block)
    return _in_context(block, _simulation(outcome, accounts=_watched(call, config, block)))


def send_transaction(call: Call, transaction: str, config: SendConfig | None = None) -> object:
    """Take a transaction and return its signature; it is executed in the open block.

    With preflight a duplicate is refused as AlreadyProcessed once the preflight's block has seen
    the original; without preflight, whatever has a signature is accepted and may be dropped.
    """
    config = config or SendConfig()
    found = _transaction(transaction, config.encoding)
    block = call.block(config.preflight_commitment, min_slot=config.min_context_slot)
    if not config.skip_preflight:
        if not all(found.verify_with_results()):
            raise RpcError(SIGNATURE_FAILURE, "Transaction signature verification failure")
        call.require_health()
        outcome = call.network.preflight(found, at=block)
        if outcome.error is not None:
            raise _refused(outcome)
    if call.fault.drops:
        return str(found.signatures[0])
    return str(call.network.submit(found, delay_blocks=call.fault.delay_blocks))


def request_airdrop(
    call: Call, address: Pubkey, lamports: Lamports, _config: AirdropConfig | None = None
) -> object:
    """Credit an account by a payment of the faucet, and return its signature."""
    payment = call.network.compose_airdrop(address, lamports=lamports)
    outcome = call.network.simulate(payment)
    if outcome.error is not None:
        raise _refused(outcome)
    if call.fault.drops:
        return str(payment.signatures[0])
    return str(call.network.submit(payment, delay_blocks=call.fault.delay_blocks))


def _transaction(text: str, encoding: Encoding | None) -> VersionedTransaction:
    try:
        return encodings.transaction(text, encoding=encoding or Encoding.BASE58)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {error}") from None


def _refused(outcome: Outcome) -> RpcError:
    error = outcome.error
    reason = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    return RpcError(
        PREFLIGHT_FAILURE,
        f"Transaction simulation failed: {reason}",
        data=_simulation(outcome),
    )


def _watched(
    call: Call, config: SimulateConfig, block: Block
) -> dict[Pubkey, Account | None] | None:
    """Return the accounts that the caller wants to see afterwards, as they are before."""
    if config.accounts is None:
        return None
    return {each: call.network.account(each, at=block) for each in config.accounts.addresses}


def _simulation(
    outcome: Outcome,
    *,
    replacement: object = None,
    accounts: Mapping[Pubkey, Account | None] | None = None,
) -> object:
    shown = None
    if accounts is not None and outcome.error is None:
        after = [{**accounts, **outcome.accounts}[address] for address in accounts]
        shown = [each and _account(each, None) for each in after]
    return {
        "err": outcome.error,
        "logs": outcome.logs,
        "accounts": shown,
        "unitsConsumed": outcome.units,
        "returnData": None,
        "innerInstructions": None,
        "replacementBlockhash": replacement,
    }


# ── what became of them ────────────────────────────────────────────────────────────────────────


def get_signature_statuses(
    call: Call,
    signatures: Annotated[list[Signature], msgspec.Meta(max_length=SIGNATURES_PER_QUESTION_MAX)],
    config: StatusesConfig | None = None,
) -> object:
    """Return for each signature what is known of it, or null."""
    tip = call.block(Commitment.PROCESSED)
    everything = config is not None and bool(config.search_transaction_history)
    return _in_context(
        tip, [_status(call, each, tip=tip, everything=everything) for each in signatures]
    )


def _status(call: Call, signature: Signature, *, tip: Block, everything: bool) -> object:
    landing = call.network.landing(signature, seen_from=tip)
    if landing is None:
        return None
    depth = tip.height - landing.block.height
    if depth > RECENT_STATUS_BLOCKS and not everything:
        return None
    finalized = depth >= DEPTH[Commitment.FINALIZED]
    reached = [each for each in Commitment if depth >= DEPTH[each]]
    return {
        "slot": landing.block.slot,
        "confirmations": None if finalized else depth,
        "err": landing.outcome.error,
        "status": _ok_or_error(landing),
        "confirmationStatus": reached[-1],
    }


def get_transaction(
    call: Call, signature: Signature, config: TransactionConfig | None = None
) -> object:
    """Return a transaction and what it did, or null below the commitment asked for."""
    config = config or TransactionConfig()
    block = call.block(Commitment(config.commitment or Commitment.FINALIZED))
    landing = call.network.landing(signature, seen_from=block)
    if landing is None:
        return None
    version = landing.transaction.version()
    if isinstance(version, int):
        newest = config.max_supported_transaction_version
        if newest is None or newest < version:
            raise RpcError(
                VERSION_UNSUPPORTED,
                f"Transaction version ({version}) is not supported by the requesting client",
            )
    raw = base64.b64encode(bytes(landing.transaction)).decode()
    return {
        "slot": landing.block.slot,
        "blockTime": None,
        "version": version if isinstance(version, int) else "legacy",
        "transaction": [raw, "base64"],
        "meta": {
            "err": landing.outcome.error,
            "status": _ok_or_error(landing),
            "fee": landing.outcome.fee,
            "preBalances": landing.balances_before,
            "postBalances": landing.balances_after,
            "preTokenBalances": [shown(each) for each in landing.tokens_before],
            "postTokenBalances": [shown(each) for each in landing.tokens_after],
            "innerInstructions": None,
            "logMessages": landing.outcome.logs,
            "computeUnitsConsumed": landing.outcome.units,
            "loadedAddresses": {"writable": [], "readonly": []},
        },
    }


def get_signatures_for_address(
    call: Call, address: Pubkey, config: HistoryConfig | None = None
) -> object:
    """Return the transactions that name an address, newest first."""
    config = config or HistoryConfig()
    commitment = Commitment(config.commitment or Commitment.FINALIZED)
    landings = call.network.landings_of(
        address, seen_from=call.block(commitment, min_slot=config.min_context_slot)
    )
    if config.before is not None:
        known = [each.transaction.signatures[0] for each in landings]
        landings = landings[known.index(config.before) + 1 :] if config.before in known else []
    return [
        {
            "signature": str(landing.transaction.signatures[0]),
            "slot": landing.block.slot,
            "err": landing.outcome.error,
            "blockTime": None,
            "confirmationStatus": commitment,
        }
        for landing in landings[: config.limit or HISTORY_MAX]
    ]


def _ok_or_error(landing: Landing) -> object:
    error = landing.outcome.error
    return {"Ok": None} if error is None else {"Err": error}


# ── our own ────────────────────────────────────────────────────────────────────────────────────


def localnet_identity(call: Call) -> object:
    """Say which localnet this is, to whoever wants to be sure before using or stopping it."""
    return {
        "instance": call.identity.instance,
        "pid": call.identity.pid,
        "genesisHash": str(call.network.genesis_hash),
    }


def localnet_set_faults(
    call: Call, faults: Annotated[list[Fault], msgspec.Meta(max_length=100)]
) -> object:
    """Let exactly these faults be in force, from the next request on."""
    call.faults.replace(faults)
    return None


def localnet_advance_blocks(
    call: Call, blocks: Annotated[int, msgspec.Meta(ge=1, le=ADVANCE_BLOCKS_MAX)]
) -> object:
    """Let blocks pass at once; return the height of the new tip."""
    return call.network.advance_blocks(blocks).height


METHODS: Final[Mapping[str, Callable[..., object]]] = MappingProxyType({
    "getHealth": get_health,
    "getVersion": get_version,
    "getGenesisHash": get_genesis_hash,
    "getSlot": get_slot,
    "getBlockHeight": get_block_height,
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "getBalance": get_balance,
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getMinimumBalanceForRentExemption": get_minimum_balance_for_rent_exemption,
    "getFeeForMessage": get_fee_for_message,
    "simulateTransaction": simulate_transaction,
    "sendTransaction": send_transaction,
    "requestAirdrop": request_airdrop,
    "getSignatureStatuses": get_signature_statuses,
    "getTransaction": get_transaction,
    "getSignaturesForAddress": get_signatures_for_address,
    "localnet_identity": localnet_identity,
})  # fmt: skip

FAULT_METHODS: Final[Mapping[str, Callable[..., object]]] = MappingProxyType({
    "localnet_setFaults": localnet_set_faults,
    "localnet_advanceBlocks": localnet_advance_blocks,
})  # fmt: skip
"""Offered only where misbehaviour was asked for. No fault concerns them."""
