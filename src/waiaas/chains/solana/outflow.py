"""What leaves the agent with a call, by the simulation's word, against what the rules were told.

A payment's bytes say what leaves. A call's do not: a program may move what its caller owns by
calling others in turn. So the agent's accounts that a message may write are looked at as they are,
and as they would be afterwards. A simulation binds nobody, the chain may have moved on when the
call lands; but a call that takes more *now* is not signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from waiaas.chains.solana.instructions import token_account
from waiaas.chains.solana.tokens import MINT, OWNER, TOKEN_ACCOUNT_BYTES, AccountInfo
from waiaas.domain.addresses import solana_address
from waiaas.domain.money import NATIVE
from waiaas.domain.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from waiaas.domain.request import (
    Approve,
    ContractCall,
    Request,
    outflows,
    parts_of,
)

WRAPPED_SOL: Final = "So11111111111111111111111111111111111111112"

_AMOUNT: Final = slice(64, 72)
_DELEGATE: Final = slice(72, 108)
_HAS_DELEGATE: Final = slice(72, 76)
_DELEGATED: Final = slice(121, 129)
_CLOSE_AUTHORITY: Final = slice(129, 165)
_NONE: Final = bytes(4)

Accounts: TypeAlias = Mapping[str, AccountInfo | None]
"""By address; None where there is none."""


@dataclass(frozen=True, slots=True)
class View:
    """Accounts, and the slot at whose end a node saw them."""

    slot: int
    accounts: Accounts


def is_unmoved(before: View, simulated: View, after: View) -> bool:
    """Tell whether what a simulation shows may be held against *before*.

    Else another payment of the agent's would look like a deed of the call: an approval that a
    person gave, landing between the two, as "somebody else may move the agent's token". One
    address may be served by nodes that lag behind each other, so asking in this order is not
    enough; the slots have to be in it too. Then a payment that lies between *before* and the
    simulation lies before *after*, and shows there: it took a fee from the agent's wallet, which
    is one of the accounts. Only who pays the agent, to the lamport and between the same two
    answers, what its payments took from it meanwhile could hide them.

    Args:
        before: the accounts of the agent's, as they were first seen.
        simulated: the slot that the simulation began from; its accounts are not looked at.
        after: the same accounts as *before*, asked for when the simulation had been answered.
    """
    return before.slot <= simulated.slot <= after.slot and before.accounts == after.accounts


def has_calls(request: Request) -> bool:
    """Tell whether *request* may do more than its bytes say."""
    return any(isinstance(part, ContractCall) for part in parts_of(request))


def owned(accounts: Accounts, *, wallet: str) -> dict[str, AccountInfo | None]:
    """Return those of *accounts* from which something of the wallet's could leave."""
    return {
        address: account
        for address, account in accounts.items()
        if address == wallet or (account is not None and _is_token_account_of(account, wallet))
    }


def excess(
    request: Request, before: Accounts, after: Accounts, *, wallet: str, fee: int, rent: int
) -> str | None:
    """Return what *request* would take beyond what it says, for a person; None if nothing.

    Args:
        request: with calls.
        before: what `owned` returned of the chain as it is.
        after: the same accounts as they would be; one that is gone may be None, or hold nothing.
        wallet: the agent's.
        fee: of the transaction, in lamports.
        rent: of the accounts that its message makes for recipients.
    """
    told = outflows(request)
    left = after[wallet]
    if left is not None and (left.owner != SYSTEM_PROGRAM or left.content):
        return "it would hand the agent's wallet over to a program"
    leaving: dict[str, int] = {}
    for address, account in before.items():
        held, holds = account, after[address]
        if held is None:
            continue
        leaving[NATIVE] = leaving.get(NATIVE, 0) + held.lamports - _lamports(holds)
        if address == wallet:
            continue
        mint = solana_address(held.content[MINT])
        leaving[mint] = leaving.get(mint, 0) + _amount(held) - _amount(holds)
        if not _lamports(holds):
            continue  # closed: what it held has been counted
        assert holds is not None, "what holds lamports is there"
        if holds.owner != held.owner or not _is_token_account_of(holds, wallet):
            return f"it would give the agent's account of token {mint} away"
        if not _is_as_free(held, holds, _approved(request, mint, address, wallet)):
            return f"it would let somebody else move the agent's token {mint}"
    allowed = {**told, NATIVE: told.get(NATIVE, 0) + told.get(WRAPPED_SOL, 0) + fee + rent}
    for asset, amount in leaving.items():
        if amount > allowed.get(asset, 0):
            return f"it would take {amount} of {asset}, and may take {allowed.get(asset, 0)}"
    return None


def _approved(request: Request, mint: str, address: str, wallet: str) -> Approve | None:
    """Return the last approval of *request* for this account."""
    found = None
    for part in parts_of(request):
        if isinstance(part, Approve) and part.token_address == mint:
            found = part
    return found if found is not None and address == token_account(wallet, mint) else None


def _is_as_free(before: AccountInfo, after: AccountInfo, approved: Approve | None) -> bool:
    """Tell whether nobody may move more of an account than before, but for what was approved."""
    old, new = before.content, after.content
    if new[_CLOSE_AUTHORITY] != old[_CLOSE_AUTHORITY]:
        return False
    if new[_HAS_DELEGATE] == _NONE:
        return True
    if approved is not None:
        delegate = solana_address(new[_DELEGATE][len(_NONE) :])
        delegated = int.from_bytes(new[_DELEGATED], "little")
        return delegate == approved.spender_address and delegated <= approved.base_units
    return (new[_DELEGATE], new[_DELEGATED]) == (old[_DELEGATE], old[_DELEGATED])


def _is_token_account_of(account: AccountInfo, wallet: str) -> bool:
    content = account.content
    return (
        account.owner in {TOKEN_PROGRAM, TOKEN_2022_PROGRAM}
        and len(content) >= TOKEN_ACCOUNT_BYTES
        and solana_address(content[OWNER]) == wallet
    )


def _amount(account: AccountInfo | None) -> int:
    return 0 if account is None else int.from_bytes(account.content[_AMOUNT], "little")


def _lamports(account: AccountInfo | None) -> int:
    return 0 if account is None else account.lamports
