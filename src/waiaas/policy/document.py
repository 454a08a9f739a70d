"""Reading the rules of a policy: strictly, and what is refused is named with the reason.

A member that is not honoured is refused, never ignored: an owner must not believe in a limit that
nobody keeps.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from waiaas.domain.addresses import is_solana_address
from waiaas.domain.assets import Network, parse_asset_id
from waiaas.domain.money import NATIVE, parse_base_units

ENTRIES_MAX: Final = 100
"""How long a list in a rule may be."""

_CHARACTERS_SHOWN_MAX: Final = 40
"""How much of an unknown member's name is repeated; and only in ASCII, for it may be anything."""


class RuleRefused(Exception):  # noqa: N818 -- says what was done with the rule
    """A rule does not say anything we can keep."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True, slots=True)
class RuleAsset:
    """An asset as a rule names it."""

    network: Network | None
    """None: whichever network the rule's agent is on."""
    name: str
    """`native`, or the token's address."""

    def is_on(self, network: Network) -> bool:
        """Tell whether the asset exists on *network*."""
        return self.network is None or self.network == network

    def may_be(self, other: "RuleAsset") -> bool:
        """Tell whether there is a network on which the two are the same."""
        networks = (self.network, other.network)
        return self.name == other.name and (None in networks or networks[0] == networks[1])


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object in a rule, whose members are read by name and form."""

    members: dict[str, object]
    is_global: bool
    """Whether the rule is for every agent, whatever its network."""
    path: str = "rules"
    is_new: bool = False
    """Whether it is being set: then what could never matter is refused, too. What was stored before
    is read as it is, for refusing it would deny everything."""

    def require_known(self, names: Iterable[str]) -> None:
        """Return if the object has no member besides *names*."""
        for name in self.members:
            if name not in names:
                known = ", ".join(sorted(names))
                raise RuleRefused(
                    self.field(name), f"is not a member of this rule (known: {known})"
                )

    def has(self, name: str) -> bool:
        """Tell whether the member was written."""
        return name in self.members

    def field(self, name: str) -> str:
        """Return how the member *name* is called in a refusal."""
        return f"{self.path}.{_printable(name)}"

    def refuse(self, name: str, reason: str) -> RuleRefused:
        """Return the refusal of the member *name*."""
        return RuleRefused(self.field(name), reason)

    def amount(self, name: str) -> int:
        """Return a required amount in base units."""
        text = self.members.get(name)
        if not isinstance(text, str):
            raise self.refuse(name, "must be base units as digits in a string")
        try:
            return parse_base_units(text)
        except ValueError as error:
            raise self.refuse(name, str(error)) from error

    def amount_if_any(self, name: str) -> int | None:
        """Return an amount in base units, or None if the member was not written."""
        return self.amount(name) if self.has(name) else None

    def integer(self, name: str, *, least: int, most: int) -> int:
        """Return a required whole number."""
        number = self.members.get(name)
        if type(number) is not int or not least <= number <= most:
            raise self.refuse(name, f"must be a whole number from {least} to {most}")
        return number

    def word(self, name: str, words: Iterable[str]) -> str:
        """Return a required word out of *words*."""
        text = self.members.get(name)
        if not isinstance(text, str) or text not in words:
            raise self.refuse(name, f"must be one of {', '.join(words)}")
        return text

    def text(self, name: str) -> str:
        """Return a required text."""
        text = self.members.get(name)
        if not isinstance(text, str):
            raise self.refuse(name, "must be a text")
        return text

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a truth value, or *default* if the member was not written."""
        value = self.members.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "must be true or false")
        return value

    def entries(self, name: str, *, most: int = ENTRIES_MAX) -> list[object]:
        """Return a required list that says something."""
        entries = self.members.get(name)
        if not isinstance(entries, list) or not 1 <= len(entries) <= most:
            raise self.refuse(name, f"must be a list of 1 to {most} entries")
        return entries

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a required list of different texts."""
        texts: list[str] = []
        for index, entry in enumerate(self.entries(name)):
            if not isinstance(entry, str):
                raise self.refuse(f"{name}[{index}]", "must be a text")
            if entry in texts:
                raise self.refuse(f"{name}[{index}]", "is listed twice")
            texts.append(entry)
        return tuple(texts)

    def documents(self, name: str, *, most: int = ENTRIES_MAX) -> tuple["Document", ...]:
        """Return a required list of objects."""
        documents = []
        for index, entry in enumerate(self.entries(name, most=most)):
            if not isinstance(entry, dict):
                raise self.refuse(f"{name}[{index}]", "must be an object")
            documents.append(Document(entry, self.is_global, self.field(f"{name}[{index}]")))
        return tuple(documents)

    def address(self, name: str) -> str:
        """Return a required address."""
        return self._address(name, self.text(name))

    def addresses(self, name: str) -> frozenset[str]:
        """Return a required list of different addresses."""
        texts = self.texts(name)
        return frozenset(self._address(f"{name}[{i}]", text) for i, text in enumerate(texts))

    def asset(self, name: str) -> RuleAsset:
        """Return a required asset: `native`, a token's address, or a CAIP-19 id."""
        return self._asset(name, self.text(name))

    def token(self, name: str) -> RuleAsset:
        """Return a required token: its address, or a CAIP-19 id."""
        return self._token(name, self.text(name))

    def tokens(self, name: str) -> tuple[RuleAsset, ...]:
        """Return a required list of different tokens."""
        tokens: list[RuleAsset] = []
        for index, text in enumerate(self.texts(name)):
            token = self._token(f"{name}[{index}]", text)
            if any(token.may_be(other) for other in tokens):
                raise self.refuse(f"{name}[{index}]", "is listed twice")
            tokens.append(token)
        return tuple(tokens)

    def _address(self, name: str, text: str) -> str:
        if not is_solana_address(text):
            raise self.refuse(name, "is not a Solana address: the base58 text of 32 bytes")
        return text

    def _token(self, name: str, text: str) -> RuleAsset:
        asset = self._asset(name, text)
        if asset.name == NATIVE:
            raise self.refuse(name, "is not a token but the asset of the network itself")
        return asset

    def _asset(self, name: str, text: str) -> RuleAsset:
        if "/" in text:
            try:
                return RuleAsset(*parse_asset_id(text))
            except ValueError as error:
                raise self.refuse(name, str(error)) from error
        if text != NATIVE and not is_solana_address(text):
            raise self.refuse(name, f"must be {NATIVE!r}, the address of a token, or a CAIP-19 id")
        if self.is_global:
            raise self.refuse(name, "must be a CAIP-19 id in a rule for every agent")
        return RuleAsset(None, text)


def read_document(
    rules: str, *, is_global: bool, path: str = "rules", is_new: bool = False
) -> Document:
    """Return the JSON object that *rules* is; *path* is how refusals call it.

    Raises:
        RuleRefused: it is something else, or names a member twice.
    """
    try:
        members = json.loads(rules, object_pairs_hook=partial(_object, path))
    except (ValueError, RecursionError) as error:
        raise RuleRefused(path, "not JSON") from error
    if not isinstance(members, dict):
        raise RuleRefused(path, "not an object")
    return Document(members, is_global, path, is_new)


def _object(path: str, members: list[tuple[str, object]]) -> dict[str, object]:
    """Make a JSON object of *members*; json by itself keeps the last of two equal names."""
    document: dict[str, object] = {}
    for name, value in members:
        if name in document:
            raise RuleRefused(f"{path}.{_printable(name)}", "given twice")
        document[name] = value
    return document


def _printable(name: str) -> str:
    return ascii(name[:_CHARACTERS_SHOWN_MAX])[1:-1]
