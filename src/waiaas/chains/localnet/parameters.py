"""What callers may pass, in types that refuse everything else.

Where a real node has more encodings and fields, or a laxer ear, asking for them is an error here,
so that nothing is silently answered in another way.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from waiaas.chains.localnet.encodings import Encoding
from waiaas.chains.localnet.network import Commitment

ADDRESSES_MAX: Final = 100
"""In one question."""

HISTORY_MAX: Final = 1000
"""Transactions in one answer about an address."""

ACCOUNT_BYTES_MAX: Final = 10 * 1024 * 1024

Lamports: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Slot: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32)]
DataBytes: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=ACCOUNT_BYTES_MAX)]


class _Config(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    """The last parameter of most methods; null fields are as good as absent ones."""


class ContextConfig(_Config, frozen=True):
    """Which block to answer from."""

    commitment: Commitment | None = None
    min_context_slot: Slot | None = None


class DataSlice(_Config, frozen=True):
    """A part of an account's data."""

    offset: DataBytes
    length: DataBytes


class AccountConfig(ContextConfig, frozen=True):
    """How to show an account. We parse none, and what is not parsed is shown in base64."""

    encoding: Literal["base64", "jsonParsed"] | None = None
    data_slice: DataSlice | None = None


class SimulatedAccounts(_Config, frozen=True):
    """Which accounts to show as they would be afterwards."""

    addresses: Annotated[list[Pubkey], msgspec.Meta(max_length=ADDRESSES_MAX)]
    encoding: Literal["base64"] | None = None


class SendConfig(_Config, frozen=True):
    """How to take a transaction."""

    skip_preflight: bool | None = None
    preflight_commitment: Commitment | None = None
    encoding: Encoding | None = None
    max_retries: Count | None = None
    min_context_slot: Slot | None = None


class SimulateConfig(ContextConfig, frozen=True):
    """How to try a transaction."""

    sig_verify: bool | None = None
    replace_recent_blockhash: bool | None = None
    encoding: Encoding | None = None
    inner_instructions: Literal[False] | None = None
    accounts: SimulatedAccounts | None = None


class StatusesConfig(_Config, frozen=True):
    """How far back to search."""

    search_transaction_history: bool | None = None


class HistoryConfig(_Config, frozen=True):
    """Which part of an address's history to show."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=HISTORY_MAX)] | None = None
    before: Signature | None = None
    commitment: Literal["confirmed", "finalized"] | None = None
    min_context_slot: Slot | None = None


class TransactionConfig(_Config, frozen=True):
    """How to show a transaction; parsing is not offered."""

    commitment: Literal["confirmed", "finalized"] | None = None
    encoding: Literal["base64"] | None = None
    max_supported_transaction_version: Count | None = None


class AirdropConfig(_Config, frozen=True):
    """Accepted for the sake of clients that send it; an airdrop is always on a fresh blockhash."""

    commitment: Commitment | None = None
    recent_blockhash: Hash | None = None
