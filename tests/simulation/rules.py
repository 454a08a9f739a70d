"""What each kind of rule says of a payment, computed naively: the oracle of `permitted`.

Written a second time, from the documents' sentences, with nothing of the policy's own code.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

CARE: Final = ("INSTANT", "NOTIFY", "DELAY", "APPROVAL")
"""Tiers, the least careful first; nobody has to wait for the first two."""

TIER_BOUNDS: Final = {"instant_max": "INSTANT", "notify_max": "NOTIFY", "delay_max": "DELAY"}

Rules = Mapping[str, Any]


@lru_cache(maxsize=1000)
def read_rules(text: str) -> Rules:
    """Return what a rule or constraints say; they are read after every step."""
    rules: Rules = json.loads(text)
    return rules


class Policy(NamedTuple):
    """A rule that is in force."""

    agent_id: str | None
    """Whose it is; None: every agent's."""
    kind: str
    rules: Rules
    version: int
    """The audit row that told of it; 0: the world began with it."""

    @property
    def is_limit_of_coins(self) -> bool:
        return self.kind == "SPENDING_LIMIT" and bool(self.rules["asset"] == "native")


class Deed(NamedTuple):
    """One thing that a payment does, as the ledger's rows say."""

    kind: str
    to_address: str | None
    asset: str
    amount: str | None
    contract_address: str | None
    method: str | None
    spender_address: str | None
    approved_amount: str | None


@dataclass
class Payment:
    """One that was admitted."""

    agent_id: str
    session_id: str
    tier: str
    deeds: Sequence[Deed]
    second: int
    """Of its admission."""
    leaving: Counter[str] = field(init=False)
    """How much of each asset."""
    rent: int = 0
    """Of recipients' accounts, among what leaves; known once its payload is recorded."""
    going_out: Counter[str] = field(default_factory=Counter)
    """By asset, what else was going out at once when it was admitted."""
    is_signed: bool = False
    has_moved: bool = False
    is_freed: bool = False
    """Whether it ended without having moved anything."""

    def __post_init__(self) -> None:
        self.leaving = Counter()
        for deed in self.deeds:
            if deed.kind != "APPROVE" and int(deed.amount or 0):
                self.leaving[deed.asset] += int(deed.amount or 0)

    def take_rent(self, rent: int) -> None:
        """Let it be exactly so much that leaves besides."""
        if rent:
            self.leaving["native"] += rent
            self.rent = rent

    @property
    def is_held(self) -> bool:
        return not (self.has_moved or self.is_freed)


def refusals(
    payment: Payment, policies: Sequence[Policy], earlier: Sequence[Payment]
) -> Iterator[str]:
    """Yield what rules have against a payment, whatever money others take.

    Args:
        payment: what is admitted or signed.
        policies: those that apply to its agent.
        earlier: what that agent was admitted before it.
    """
    for deed in payment.deeds:
        if not all(_granted(need, deed, policies) for need in _needs(deed)):
            yield f"nothing grants {deed}"
    if payment.rent and not any(_is_limit_of(policy, "native") for policy in policies):
        yield "nothing grants the rent"
    for policy in policies:
        for each in _against(payment, policy, earlier):
            yield f"{policy.kind} {dict(policy.rules)}: {each}"


def _needs(deed: Deed) -> Sequence[str]:
    match deed.kind:
        case "APPROVE":
            return ["APPROVED_SPENDERS"]
        case "CONTRACT_CALL":
            needs_money = ["SPENDING_LIMIT"] if int(deed.amount or 0) else []
            return ["CONTRACT_WHITELIST", *needs_money]
        case _:
            return ["SPENDING_LIMIT"]


def _granted(need: str, deed: Deed, policies: Sequence[Policy]) -> bool:
    return any(policy.kind == need and _names(policy, deed) for policy in policies)


def _names(policy: Policy, deed: Deed) -> bool:
    match policy.kind:
        case "SPENDING_LIMIT":
            return _is_limit_of(policy, deed.asset)
        case "APPROVED_SPENDERS":
            return deed.spender_address in policy.rules["spenders"]
        case _:
            return deed.contract_address in policy.rules["contracts"]


def _is_limit_of(policy: Policy, asset: str) -> bool:
    return policy.kind == "SPENDING_LIMIT" and bool(policy.rules["asset"] == asset)


def _against(payment: Payment, policy: Policy, earlier: Sequence[Payment]) -> Iterator[str]:
    rules = policy.rules
    match policy.kind:
        case "SPENDING_LIMIT":
            yield from _against_amount(payment, rules)
        case "TIME_RESTRICTION":
            if not _is_open(rules, payment.second):
                yield "outside of the hours"
        case "RATE_LIMIT":
            since_s = payment.second - rules["window_seconds"]
            if sum(each.second > since_s for each in earlier) >= rules["max_requests"]:
                yield "one too many"
        case _:
            for deed in payment.deeds:
                if not _allows(policy, deed):
                    yield f"not {deed}"
                care = _care(policy, deed)
                if CARE.index(payment.tier) < CARE.index(care):
                    yield f"{payment.tier}, not {care}"


def _against_amount(payment: Payment, rules: Rules) -> Iterator[str]:
    amount = payment.leaving[rules["asset"]]
    if not amount:
        return
    care, observed = "INSTANT", payment.going_out[rules["asset"]] + amount
    present = [name for name in TIER_BOUNDS if name in rules]
    for name, above in zip(present, [*present[1:], None], strict=True):
        if observed > int(rules[name]):
            care = "APPROVAL" if above is None else TIER_BOUNDS[above]
    if CARE.index(payment.tier) < CARE.index(care):
        yield f"{observed} as {payment.tier}, not {care}"
    if amount > int(rules.get("per_transaction_max", amount)) and not is_excused(payment, rules):
        yield f"{amount} is over per_transaction_max"


def is_excused(payment: Payment, rules: Rules) -> bool:
    """Tell whether a person has seen what is above a window, where a rule asks for that."""
    return rules.get("on_exceed") == "approval" and payment.tier == "APPROVAL"


def _allows(policy: Policy, deed: Deed) -> bool:
    rules = policy.rules
    match policy.kind:
        case "WHITELIST":
            return deed.to_address is None or deed.to_address in rules["addresses"]
        case "ALLOWED_TOKENS":
            return deed.asset == "native" or deed.asset in rules["tokens"]
        case "APPROVE_AMOUNT_LIMIT":
            most = min(int(rules.get("amount_max", 2**63)), 2**63 - 1)
            return int(deed.approved_amount or 0) <= most
        case "METHOD_WHITELIST":
            methods = [
                method
                for each in rules["contracts"]
                for method in each["methods"]
                if each["address"] == deed.contract_address
            ]
            is_named = any(deed.contract_address == each["address"] for each in rules["contracts"])
            return not is_named or any((deed.method or "").startswith(each) for each in methods)
        case _:
            return True


def _care(policy: Policy, deed: Deed) -> str:
    """Return the tier that a rule asks for, whatever the amount."""
    match policy.kind:
        case "APPROVED_SPENDERS" | "CONTRACT_WHITELIST" if _names(policy, deed):
            return str(policy.rules.get("tier", "APPROVAL"))
        case "APPROVE_TIER_OVERRIDE" if deed.kind == "APPROVE":
            return str(policy.rules["tier"])
        case _:
            return "INSTANT"


def _is_open(rules: Rules, second: int) -> bool:
    """Tell whether hours, here always of UTC and of one day, are open."""
    at = datetime.fromtimestamp(second, UTC)
    day, time = at.strftime("%a").lower(), at.strftime("%H:%M")
    windows = rules["windows"]
    return any(day in each["days"] and each["start"] <= time < each["end"] for each in windows)


def against_session(payment: Payment, constraints: Rules | None) -> Iterator[str]:
    """Yield what a session's constraints have against a payment, looked at alone."""
    if constraints is None:
        return
    has_bound = {"maxAmountPerTx", "maxTotalAmount"} & constraints.keys()
    tokens = constraints.get("allowedTokens", [] if has_bound else None)
    places = constraints.get("allowedDestinations")
    for deed in payment.deeds:
        if deed.kind not in constraints.get("allowedOperations", [deed.kind]):
            yield f"{deed.kind} is no operation of it"
        if tokens is not None and deed.asset != "native" and deed.asset not in tokens:
            yield f"{deed.asset} is no token of it"
        for name, address in (
            (None, deed.to_address),
            ("allowedContracts", deed.contract_address),
            ("allowedSpenders", deed.spender_address),
        ):
            listed = places if name is None else constraints.get(name, places)
            if address is not None and listed is not None and address not in listed:
                yield f"{address} is not on its list"
    amount = payment.leaving["native"]
    if amount > int(constraints.get("maxAmountPerTx", amount)):
        yield f"{amount} is over maxAmountPerTx"
