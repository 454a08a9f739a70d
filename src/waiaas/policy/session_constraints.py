"""What a session may do: limits that its token carries, beside the policies of its agent.

They only restrict. A session without constraints is bounded by the policies alone.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from waiaas.domain.assets import Network
from waiaas.domain.enums import TransactionType
from waiaas.domain.errors import ErrorCode
from waiaas.domain.money import NATIVE
from waiaas.domain.records import UNUSED_SESSION, SessionUse
from waiaas.domain.request import Approve, ContractCall, Part, TokenTransfer
from waiaas.policy.document import Document, RuleRefused, read_document
from waiaas.policy.rule import Case, Rule, exceeded, outflow
from waiaas.policy.verdict import SESSION, Violation

PATH: Final = "constraints"
"""How refusals name the document."""

TRANSACTIONS_MAX: Final = 10**9

_OPERATIONS: Final = tuple(kind for kind in TransactionType if kind is not TransactionType.BATCH)

_TOKENS: Final = "allowedTokens"

FIELDS: Final = (
    "maxAmountPerTx",
    "maxTotalAmount",
    "maxTransactions",
    "allowedOperations",
    "allowedDestinations",
    _TOKENS,
    "allowedContracts",
    "allowedSpenders",
)


@dataclass(frozen=True, slots=True)
class SessionConstraints(Rule):
    """Denies what goes beyond them. Amounts are of the network's own asset, in base units.

    Where an amount is bounded, tokens pass only if they are listed: no bound is kept on them. Where
    destinations are listed, so must be the contracts and spenders, there or in lists of their own.
    """

    amount_per_transaction_max: int | None = None
    total_amount_max: int | None = None
    transactions_max: int | None = None
    operations: frozenset[str] | None = None
    destinations: frozenset[str] | None = None
    tokens: frozenset[str] | None = None
    contracts: frozenset[str] | None = None
    spenders: frozenset[str] | None = None

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        del case
        yield from self._judge_alone(part)

    def judge_again(self, parts: Sequence[Part], *, rent: int) -> Iterator[Violation]:
        """Judge what was admitted before; it is among the totals by now, so they are left out."""
        for part in parts:
            yield from self._judge_alone(part)
        amount = rent + sum(outflow(part, NATIVE) for part in parts)
        most = self.amount_per_transaction_max
        if most is not None and amount > most:
            message = f"maxAmountPerTx of {NATIVE} is {most}, and this payment is {amount}"
            yield _deny(message, "maxAmountPerTx")

    def _judge_alone(self, part: Part) -> Iterator[Violation]:
        if self.operations is not None and part.type not in self.operations:
            yield _deny(f"{part.type} is not an operation of this session", "allowedOperations")
        yield from self._judge_token(part)
        yield from self._judge_counterparty(part)

    def judge_whole(self, case: Case) -> Iterator[Violation]:
        amount = sum(outflow(part, NATIVE) for part in case.parts)
        yield from self.judge_native(amount, case)
        used = self._used(case)
        if self.transactions_max is not None and used.transactions >= self.transactions_max:
            yield Violation(
                ErrorCode.CONSTRAINT_VIOLATED,
                SESSION,
                f"this session may make {self.transactions_max} transactions, and has made them",
                bound="maxTransactions",
                limit=self.transactions_max,
                observed=used.transactions + 1,
            )

    def judge_native(self, amount: int, case: Case) -> Iterator[Violation]:
        for bound, most, already in (
            ("maxAmountPerTx", self.amount_per_transaction_max, 0),
            ("maxTotalAmount", self.total_amount_max, self._used(case).base_units),
        ):
            if most is not None and amount and already + amount > most:
                yield Violation(
                    ErrorCode.CONSTRAINT_VIOLATED,
                    SESSION,
                    exceeded(bound, NATIVE, most, already + amount),
                    asset=NATIVE,
                    bound=bound,
                    limit=most,
                    observed=already + amount,
                    max_allowed=max(most - already, 0) or None,
                )

    def _used(self, case: Case) -> SessionUse:
        if self.total_amount_max is None and self.transactions_max is None:
            return UNUSED_SESSION
        return case.usage.session()

    def _judge_token(self, part: Part) -> Iterator[Violation]:
        if not isinstance(part, TokenTransfer | Approve):
            return
        tokens = self.tokens
        if tokens is None and (self.amount_per_transaction_max, self.total_amount_max) != (
            None,
            None,
        ):
            tokens = frozenset()
        if tokens is not None and part.token_address not in tokens:
            yield _deny(f"{part.token_address} is not a token of this session", _TOKENS)

    def _judge_counterparty(self, part: Part) -> Iterator[Violation]:
        if isinstance(part, ContractCall):
            address, own, bound = part.contract_address, self.contracts, "allowedContracts"
        elif isinstance(part, Approve):
            address, own, bound = part.spender_address, self.spenders, "allowedSpenders"
        else:
            address, own, bound = part.to_address, None, "allowedDestinations"
        listed = self.destinations if own is None else own
        if listed is not None and address not in listed:
            yield _deny(f"{address} is not on this session's list", bound)


class Written(NamedTuple):
    """Constraints as they are stored: tokens by their addresses on the agent's network."""

    text: str
    networks: frozenset[Network]
    """Those that were named with a token."""

    def require_on(self, network: Network) -> None:
        """Refuse a token that an agent on *network* cannot have.

        Raises:
            RuleRefused: one of another network was named.
        """
        if self.networks - {network}:
            reason = f"names a token of another network than the agent's, {network.network}"
            raise RuleRefused(f"{PATH}.{_TOKENS}", reason)


def write_constraints(text: str) -> Written:
    """Return how constraints are stored that are given as *text*, with tokens in either spelling.

    Raises:
        RuleRefused: names the member that is unknown or wrong, and why.
    """
    document = read_document(text, is_global=False, path=PATH)
    tokens = document.tokens(_TOKENS) if document.has(_TOKENS) else ()
    networks = frozenset(each.network for each in tokens if each.network is not None)
    if networks:
        names = [each.name for each in tokens]
        text = json.dumps({**document.members, _TOKENS: names}, sort_keys=True)
    parse_constraints(text)
    return Written(text, networks)


def parse_constraints(text: str) -> SessionConstraints:
    """Return the constraints that the JSON object *text* is.

    Raises:
        RuleRefused: names the member that is unknown or wrong, and why.
    """
    document = read_document(text, is_global=False, path=PATH)
    document.require_known(FIELDS)
    return SessionConstraints(
        amount_per_transaction_max=document.amount_if_any("maxAmountPerTx"),
        total_amount_max=document.amount_if_any("maxTotalAmount"),
        transactions_max=_transactions_max(document),
        operations=_operations(document),
        destinations=_addresses(document, "allowedDestinations"),
        tokens=_addresses(document, _TOKENS),
        contracts=_addresses(document, "allowedContracts"),
        spenders=_addresses(document, "allowedSpenders"),
    )


def _transactions_max(document: Document) -> int | None:
    if not document.has("maxTransactions"):
        return None
    return document.integer("maxTransactions", least=1, most=TRANSACTIONS_MAX)


def _operations(document: Document) -> frozenset[str] | None:
    if not document.has("allowedOperations"):
        return None
    names = document.texts("allowedOperations")
    for index, name in enumerate(names):
        if name not in _OPERATIONS:
            raise document.refuse(
                f"allowedOperations[{index}]", f"must be one of {', '.join(_OPERATIONS)}"
            )
    return frozenset(names)


def _addresses(document: Document, name: str) -> frozenset[str] | None:
    return document.addresses(name) if document.has(name) else None


def _deny(message: str, bound: str) -> Violation:
    return Violation(ErrorCode.CONSTRAINT_VIOLATED, SESSION, message, bound=bound)
