"""The kinds of policy, as values parsed from the rules an owner wrote.

Rules are parsed when they are written *and* each time they are read; what does not parse denies.
Grants and limits are different things: a SPENDING_LIMIT grants transfers of its asset up to its
bounds, and a second one on the same asset can only restrict, because every rule must let a request
through.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waiaas.domain.enums import PolicyType
from waiaas.domain.money import NATIVE, parse_base_units
from waiaas.domain.records import PolicyRecord

_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S

WINDOWS_S: Final[Mapping[str, int]] = MappingProxyType(
    {
        "hourly_max": _HOUR_S,
        "daily_max": _DAY_S,
        "weekly_max": 7 * _DAY_S,
        "monthly_max": 30 * _DAY_S,
    }
)
"""Bounds over rolling windows, with the length of each; a month is 30 days."""

WINDOW_S_MAX: Final = max(WINDOWS_S.values())

_OPTIONAL_BOUNDS: Final = ("per_transaction_max", *WINDOWS_S)
_FIELDS: Final = frozenset({"asset", "instant_max", *_OPTIONAL_BOUNDS})

_FIELD_CHARACTERS_SHOWN_MAX: Final = 40
"""How much of an unknown field's name is repeated; and only in ASCII, for it may be anything."""


class RuleRefused(Exception):  # noqa: N818 -- says what was done with the rule
    """A rule does not say anything we can keep."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True, slots=True)
class SpendingLimit:
    """Grants transfers of one asset; every bound is inclusive, in base units."""

    asset: str
    """`native`: the asset of the agent's network."""
    instant_max: int
    """Up to here, counting what is in flight, a payment goes out at once."""
    per_transaction_max: int | None
    """Above it a single payment is denied."""
    window_max: Mapping[str, int]
    """By name of the bound in `WINDOWS_S`: above it a payment is denied for now."""


def parse_policy(record: PolicyRecord) -> SpendingLimit:
    """Return what a stored policy means.

    Raises:
        RuleRefused: its type is not evaluated yet, or its rules do not parse.
    """
    return parse_rules(record.type, record.rules)


def parse_rules(kind: PolicyType, rules: str) -> SpendingLimit:
    """Return what the JSON text *rules* means for a policy of type *kind*.

    Raises:
        RuleRefused: names the field, and why. A field that is not honoured is refused, never
            ignored: an owner must not believe in a limit that nobody keeps.
    """
    if kind is not PolicyType.SPENDING_LIMIT:
        raise RuleRefused("type", f"{kind} is not evaluated by this release")
    try:
        document = json.loads(rules, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise RuleRefused("rules", "not JSON") from error
    if not isinstance(document, dict):
        raise RuleRefused("rules", "not an object")
    for field in document:
        if field not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise RuleRefused(_shown(field), f"not honoured by this release (known: {known})")
    if document.get("asset") != NATIVE:
        raise RuleRefused("rules.asset", f"must be {NATIVE!r} in this release")
    bounds = {name: _bound(name, document[name]) for name in _OPTIONAL_BOUNDS if name in document}
    return SpendingLimit(
        asset=NATIVE,
        instant_max=_bound("instant_max", document.get("instant_max")),
        per_transaction_max=bounds.pop("per_transaction_max", None),
        window_max=MappingProxyType(bounds),
    )


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    """Make a JSON object of *members*; json by itself keeps the last of two equal names."""
    document: dict[str, object] = {}
    for name, value in members:
        if name in document:
            raise RuleRefused(_shown(name), "given twice")
        document[name] = value
    return document


def _shown(field: str) -> str:
    return f"rules.{ascii(field[:_FIELD_CHARACTERS_SHOWN_MAX])[1:-1]}"


def _bound(name: str, value: object) -> int:
    if not isinstance(value, str):
        raise RuleRefused(f"rules.{name}", "must be base units as digits in a string")
    try:
        return parse_base_units(value)
    except ValueError as error:
        raise RuleRefused(f"rules.{name}", str(error)) from error
