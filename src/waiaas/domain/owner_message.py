"""The message an owner signs, written by the daemon from what it knows: a function of typed values.

It has the form of EIP-4361 (Sign-In with Ethereum) or, for Solana, of SIWS (the Wallet Standard's
Sign-In With Solana), so that wallets show it as text. Nobody ever parses one: the daemon keeps what
it wrote, writes it again when the signature comes, and compares. Whatever is not of the grammar's
characters cannot get in, so no value can begin a line of its own.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple, assert_never

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.money import NATIVE_UNITS, human_amount
from waiaas.domain.owner import PAYMENT_ACTIONS, OwnerAction, wallet_chain
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Part,
    Request,
    TokenTransfer,
    Transfer,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATEMENT: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]+")
"""RFC 3986's reserved and unreserved characters, and the space: what a statement may hold."""
_URI: Final = re.compile(r"[a-z]+:[A-Za-z0-9\-._~:/]+")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]+)?")
_NONCE: Final = re.compile(r"[A-Za-z0-9]{8,}")

_WANTS_YOU: Final = " wants you to sign in with your"
_WALLETS: Final[Mapping[ChainType, str]] = MappingProxyType(
    {ChainType.ETHEREUM: "Ethereum", ChainType.SOLANA: "Solana"}
)
_BASE_UNITS: Final[Mapping[ChainType, str]] = MappingProxyType(
    {ChainType.ETHEREUM: "wei", ChainType.SOLANA: "lamports"}
)
_EIP155_MAINNET: Final = "1"
"""EIP-4361 wants the chain of the *wallet's* session, a number; the payment's is a resource."""


class Letterhead(NamedTuple):
    """Who writes."""

    authority: str
    """Host and port under which the daemon is called."""
    daemon_id: str


class Payment(NamedTuple):
    """The payment that is decided on."""

    tx_id: TransactionId
    request: Request
    request_sha256: str
    """Of what the request means, as it was admitted; hex."""
    rent: int = 0
    """What of the chain's own asset may be paid, too, for recipients' new token accounts."""


class Facts(NamedTuple):
    """Everything a message says."""

    letterhead: Letterhead
    action: OwnerAction
    owner_address: str
    agent_id: AgentId
    network: Network
    payment: Payment | None
    policy_version: str
    audit_sequence: int
    audit_hash: str
    nonce: str
    issued_at: int
    expires_at: int


def owner_message(facts: Facts) -> str:
    """Return the text to be signed, lines ended by LF and none at the end.

    Raises:
        ValueError: a value does not fit into the grammar.
    """
    chain = wallet_chain(facts.owner_address)
    if chain is None:
        raise ValueError("the owner's address is of no chain we know")
    wallet_chain_id = _EIP155_MAINNET if chain is ChainType.ETHEREUM else facts.network.network
    path, statement = _purpose(facts)
    uri = f"http://{facts.letterhead.authority}/v1/{path}"
    resources = _resources(facts)
    _require(_AUTHORITY, facts.letterhead.authority)
    _require(_NONCE, facts.nonce)
    _require(_STATEMENT, statement)
    for each in (uri, *resources):
        _require(_URI, each)
    return "\n".join(
        (
            f"{facts.letterhead.authority}{_WANTS_YOU} {_WALLETS[chain]} account:",
            facts.owner_address,
            "",
            statement,
            "",
            f"URI: {uri}",
            "Version: 1",
            f"Chain ID: {wallet_chain_id}",
            f"Nonce: {facts.nonce}",
            f"Issued At: {_rfc3339(facts.issued_at)}",
            f"Expiration Time: {_rfc3339(facts.expires_at)}",
            "Resources:",
            *(f"- {resource}" for resource in resources),
        )
    )


def in_words(request: Request, *, chain: ChainType) -> str:
    """Say what *request* would do, with recipient, amount and base units."""
    if isinstance(request, Batch):
        parts = (f"({n}) {_part(each, chain)}" for n, each in enumerate(request.parts, start=1))
        return f"do {len(request.parts)} things together: {'; '.join(parts)}"
    return _part(request, chain)


def _part(part: Part, chain: ChainType) -> str:
    match part:
        case Transfer():
            return f"send {_native(part.base_units, chain)} to {part.to_address}"
        case TokenTransfer():
            return (
                f"send {part.base_units} base units of token {part.token_address}"
                f" to {part.to_address}"
            )
        case ContractCall():
            digest = hashlib.sha256(part.data).hexdigest()
            return (
                f"call contract {part.contract_address} with {len(part.data)} bytes of data"
                f" of SHA-256 {digest} and {_native(part.base_units, chain)}"
            )
        case Approve():
            return (
                f"let {part.spender_address} take up to {part.base_units} base units"
                f" of token {part.token_address}"
            )
        case _:
            assert_never(part)


def _native(base_units: int, chain: ChainType) -> str:
    """Write an amount as people do, exactly, and in base units beside it."""
    unit = NATIVE_UNITS[chain]
    coins = human_amount(base_units, decimals=unit.decimals)
    return f"{coins} {unit.symbol} ({base_units} {_BASE_UNITS[chain]})"


def _purpose(facts: Facts) -> tuple[str, str]:
    """Return the path at which the signature is used, and the statement."""
    agent, owner_path = f"agent {facts.agent_id}", f"agents/{facts.agent_id}/owner"
    if facts.payment is not None:
        if facts.action not in PAYMENT_ACTIONS:
            raise ValueError(f"{facts.action} is not about a payment")
        chain, network = facts.network
        what = in_words(facts.payment.request, chain=chain)
        verb = {OwnerAction.APPROVE: "approve", OwnerAction.REJECT: "reject"}[facts.action]
        if facts.payment.rent:
            what += f", and pay up to {_native(facts.payment.rent, chain)} for new token accounts"
        statement = f"{verb.capitalize()} a payment of {agent} on {chain} {network}: {what}."
        return f"transactions/{facts.payment.tx_id}/{verb}", statement
    if facts.action is OwnerAction.VERIFY:
        return (
            f"{owner_path}/verify",
            f"Be the owner of {agent}: from now on only you approve its payments.",
        )
    if facts.action is OwnerAction.REMOVE:
        return (
            f"{owner_path}/remove",
            f"Be the owner of {agent} no more: its operator then decides without you.",
        )
    raise ValueError(f"{facts.action} is about a payment")


def _resources(facts: Facts) -> list[str]:
    """Return what the signature is bound to, as URNs of our own."""
    payment = facts.payment
    named = [
        f"daemon:{facts.letterhead.daemon_id}",
        f"action:{facts.action.lower()}",
        f"agent:{facts.agent_id}",
        f"chain:{CHAIN_IDS[facts.network]}",
    ]
    if payment is not None:
        named += [f"transaction:{payment.tx_id}", f"request:sha256:{payment.request_sha256}"]
    named += [
        f"policies:sha256:{facts.policy_version}",
        f"audit:{facts.audit_sequence}:{facts.audit_hash}",
    ]
    return [f"urn:waiaas:{name}" for name in named]


def _rfc3339(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require(form: re.Pattern[str], text: str) -> None:
    if form.fullmatch(text) is None:
        raise ValueError(f"does not fit into the message: {text!a}")
