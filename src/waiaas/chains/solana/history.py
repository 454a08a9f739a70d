"""What happened to an address, as one node tells it: read strictly, and in bounded pieces.

A node can leave something out, or lie about amounts; one node alone cannot be found out. What it
cannot do is contradict itself unnoticed: the pages run one way, and what it lists it must be able
to show.
"""

import base64
from collections import Counter
from typing import Final

from solders.transaction import VersionedTransaction

from waiaas.chains.solana.answers import Effect, LandedTransaction, Listed, TokenBalance
from waiaas.chains.solana.rpc import JsonRpc
from waiaas.domain.addresses import is_solana_address
from waiaas.domain.money import NATIVE
from waiaas.ports import ChainUnavailable, HistoryPage, Movement

PAGE_SIGNATURES: Final = 1000
"""In one answer; the most that nodes give."""

_VERSION_MAX: Final = 1


async def read_page(
    rpc: JsonRpc, address: str, *, before: str | None, height: int, slot: int
) -> HistoryPage:
    """Return one page of an address's history, from a view at least as new as *slot*.

    Args:
        rpc: the node.
        address: whose history it is.
        before: the signature behind which the page begins, or None for the newest.
        height: of a finalized block.
        slot: of the same block, or a later one.
    """
    config: dict[str, object] = {
        "limit": PAGE_SIGNATURES,
        "commitment": "finalized",
        "minContextSlot": slot,
    }
    if before is not None:
        config["before"] = before
    listed = await rpc.call("getSignaturesForAddress", [address, config], returns=list[Listed])
    slots = [each.slot for each in listed]
    signatures = {each.signature for each in listed}
    runs_back = slots == sorted(slots, reverse=True)
    if not runs_back or len(signatures) != len(listed) or before in signatures:
        raise ChainUnavailable(f"the node at {rpc.node} gave a history that is in no order")
    if len(listed) > PAGE_SIGNATURES:
        raise ChainUnavailable(f"the node at {rpc.node} gave more history than was asked for")
    return HistoryPage(
        tx_hashes=tuple(each.signature for each in listed if each.err is None),
        # Not by the page's length: a node may give less at once than it was asked for.
        earlier=listed[-1].signature if listed else None,
        height=height,
    )


async def read_movement(rpc: JsonRpc, tx_hash: str, *, address: str) -> Movement | None:
    """Return what left *address* with a finalized transaction; None if nothing did."""
    config = {
        "encoding": "base64",
        "commitment": "finalized",
        "maxSupportedTransactionVersion": _VERSION_MAX,
    }
    # What it listed it has to show: null is an answer of the wrong shape.
    found = await rpc.call("getTransaction", [tx_hash, config], returns=LandedTransaction)
    try:
        outflows = _outflows(found, tx_hash, address)
    except ValueError as error:
        reason = f"the node at {rpc.node} showed another transaction than it listed ({error})"
        raise ChainUnavailable(reason) from None
    return Movement(tx_hash, outflows, found.block_time) if outflows else None


def _outflows(found: LandedTransaction, tx_hash: str, address: str) -> dict[str, int]:
    """Add up what left; the fee is no part of any limit, so it is none of this.

    Raises:
        ValueError: the answer contradicts itself.
    """
    accounts = _accounts(found, tx_hash)
    effect = found.meta
    if effect.err is not None:
        return {}
    if not len(accounts) == len(effect.pre_balances) == len(effect.post_balances):
        raise ValueError("it has other accounts than balances")
    left = Counter[str]()
    if address in accounts:
        index = accounts.index(address)
        fee = effect.fee if index == 0 else 0
        left[NATIVE] = effect.pre_balances[index] - effect.post_balances[index] - fee
    left.update(_tokens(effect, address))
    return {asset: amount for asset, amount in left.items() if amount > 0}


def _tokens(effect: Effect, address: str) -> Counter[str]:
    """Add up by token what the accounts of *address* held less afterwards."""
    left = Counter[str]()
    for sign, balances in ((1, effect.pre_token_balances), (-1, effect.post_token_balances)):
        for each in balances:
            if each.owner == address:
                if not is_solana_address(each.mint):
                    raise ValueError("a token's name is no address")
                left[each.mint] += sign * _amount(each)
    return left


def _amount(balance: TokenBalance) -> int:
    return int(balance.ui_token_amount.amount)


def _accounts(found: LandedTransaction, tx_hash: str) -> list[str]:
    """Return the addresses of a transaction in the order of its balances."""
    transaction = VersionedTransaction.from_bytes(
        base64.b64decode(found.transaction[0], validate=True)
    )
    if [str(each) for each in transaction.signatures[:1]] != [tx_hash]:
        raise ValueError("its signature is another")
    named = [str(each) for each in transaction.message.account_keys]
    loaded = found.meta.loaded_addresses
    return [*named, *loaded.writable, *loaded.readonly]
