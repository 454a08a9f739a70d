"""METHOD_WHITELIST: of some contracts, the only methods that may be called.

A method is known by its selector, the bytes that a call's data opens with: four on EVM chains,
eight for a Solana program made with Anchor, one to four for most others.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waiaas.domain.enums import PolicyType
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.request import ContractCall, Part
from waiaas.policy.document import Document
from waiaas.policy.rule import Case, Rule, deny
from waiaas.policy.verdict import Violation

FIELDS: Final = ("contracts",)
ENTRY_FIELDS: Final = ("address", "methods")

_SELECTOR: Final = re.compile(r"0x(?:[0-9a-f]{2}){1,8}")


@dataclass(frozen=True, slots=True)
class MethodWhitelist(Rule):
    """Denies other methods of the contracts it names; it says nothing about other contracts."""

    methods: Mapping[str, tuple[bytes, ...]]
    """Selectors by address of the contract."""

    def judge_part(self, part: Part, case: Case) -> Iterator[Violation]:
        del case
        if not isinstance(part, ContractCall):
            return
        methods = self.methods.get(part.contract_address)
        if methods is not None and not part.data.startswith(methods):
            message = f"this method of {part.contract_address} is not on the list"
            yield deny(PolicyType.METHOD_WHITELIST, message, bound="methods")


def parse(document: Document) -> MethodWhitelist:
    """Return the list that *document* is.

    Raises:
        RuleRefused: a member is unknown, missing or wrong, or a contract is listed twice.
    """
    document.require_known(FIELDS)
    methods: dict[str, tuple[bytes, ...]] = {}
    for entry in document.documents("contracts"):
        entry.require_known(ENTRY_FIELDS)
        address = entry.address("address")
        if address in methods:
            raise entry.refuse("address", "is listed twice")
        if document.is_new and address in COVERED_PROGRAMS:
            raise entry.refuse("address", f"no request can call it: {COVERED_PROGRAMS[address]}")
        methods[address] = selectors = _selectors(entry)
        if document.is_new:
            _require_each_to_matter(entry, selectors)
    return MethodWhitelist(MappingProxyType(methods))


def _selectors(entry: Document) -> tuple[bytes, ...]:
    texts = entry.texts("methods")
    for index, text in enumerate(texts):
        if not _SELECTOR.fullmatch(text):
            reason = "must be 0x and 1 to 8 bytes in lower-case hexadecimal digits"
            raise entry.refuse(f"methods[{index}]", reason)
    return tuple(bytes.fromhex(text[2:]) for text in texts)


def _require_each_to_matter(entry: Document, selectors: tuple[bytes, ...]) -> None:
    """Return if no selector opens with another: the shorter one lets all of its calls through."""
    for index, selector in enumerate(selectors):
        for other in selectors:
            if selector != other and selector.startswith(other):
                reason = f"means nothing beside 0x{other.hex()}, which is what it opens with"
                raise entry.refuse(f"methods[{index}]", reason)
