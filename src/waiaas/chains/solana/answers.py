"""What a node answers, as far as it is looked at; everything else in an answer is ignored."""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from waiaas.chains.solana.failures import TransactionError
from waiaas.chains.solana.tokens import AccountInfo

COUNT_MAX: Final = 2**63 - 1
"""Of slots and blocks; keeps what a node may make us compute, store and print small."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]

Time: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]
"""Of `getBlockTime`: Unix epoch seconds."""


class Camel(msgspec.Struct, rename="camel"):
    """Members in the node's spelling. What it adds over time is ignored."""


class Context(Camel):
    """From when an answer is."""

    slot: Count


class Balance(Camel):
    """Of `getBalance`."""

    value: Annotated[int, msgspec.Meta(ge=0)]


class Blockhash(Camel):
    """A blockhash and its end."""

    blockhash: str
    last_valid_block_height: Count


class LatestBlockhash(Camel):
    """Of `getLatestBlockhash`."""

    context: Context
    value: Blockhash


class Simulation(Camel):
    """What would happen."""

    err: TransactionError | None  # required: an answer that leaves it out is no answer
    accounts: list[AccountInfo | None] | None = None


class AccountResult(Camel):
    """Of `getAccountInfo`."""

    value: AccountInfo | None


class AccountsResult(Camel):
    """Of `getMultipleAccounts`."""

    context: Context
    value: list[AccountInfo | None]


class SimulationResult(Camel):
    """Of `simulateTransaction`."""

    context: Context
    value: Simulation


class Status(Camel):
    """What a node knows of a transaction."""

    confirmation_status: Literal["processed", "confirmed", "finalized"]
    err: TransactionError | None  # required, likewise


class Statuses(Camel):
    """Of `getSignatureStatuses`, asked about one."""

    context: Context
    value: Annotated[list[Status | None], msgspec.Meta(min_length=1, max_length=1)]


class Listed(Camel):
    """One entry of `getSignaturesForAddress`."""

    signature: str
    slot: Count
    err: TransactionError | None


class TokenAmount(Camel):
    """How much of a token."""

    amount: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}$")]


class TokenBalance(Camel):
    """What one account of a token held."""

    mint: str
    owner: str
    ui_token_amount: TokenAmount


class LoadedAddresses(Camel):
    """Accounts that a transaction names through lookup tables."""

    writable: list[str]
    readonly: list[str]


class Effect(Camel):
    """What a transaction did."""

    err: TransactionError | None
    fee: Count
    pre_balances: list[Count]
    post_balances: list[Count]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]
    loaded_addresses: LoadedAddresses


class LandedTransaction(Camel):
    """Of `getTransaction`, in base64."""

    transaction: tuple[str, Literal["base64"]]
    meta: Effect
    block_time: int | None = None
