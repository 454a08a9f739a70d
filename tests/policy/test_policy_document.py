"""Reading rules: what is not honoured is refused by name, with the reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.policy.document import ENTRIES_MAX, Document, RuleAsset, RuleRefused, read_document

ALICE = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MAINNET = Network(ChainType.SOLANA, NetworkType.MAINNET)
DEVNET = Network(ChainType.SOLANA, NetworkType.DEVNET)
NATIVE_ID = f"{CHAIN_IDS[MAINNET]}/slip44:501"
TOKEN_ID = f"{CHAIN_IDS[MAINNET]}/token:{TOKEN}"

Read = Callable[[Document], object]


def document(*, is_global: bool = False, **members: Any) -> Document:
    return read_document(json.dumps(members), is_global=is_global)


def refused(read: Read, value: Any, *, is_global: bool = False) -> RuleRefused:
    with pytest.raises(RuleRefused) as refusal:
        read(document(x=value, is_global=is_global))
    assert str(refusal.value) == f"{refusal.value.field}: {refusal.value.reason}"
    return refusal.value


def integer(d: Document) -> int:
    return d.integer("x", least=2, most=5)


READ: dict[str, tuple[Read, list[tuple[Any, Any]], list[Any]]] = {
    "amount": (
        lambda d: d.amount("x"),
        [("0", 0), (str(2**256 - 1), 2**256 - 1)],
        [None, 5, True, 1.0, "", "05", "-5", "5.0", " 5", "1_0", "\u0665", "\u00b2", str(2**256)],
    ),
    "integer": (integer, [(2, 2), (5, 5)], [None, 1, 6, True, 2.0, "2", [2], 10**40]),
    "word": (lambda d: d.word("x", ("a", "b")), [("a", "a")], [None, "c", "A", "", 1, ["a"], "ab"]),
    "text": (lambda d: d.text("x"), [("", ""), ("a", "a")], [None, 1, ["a"], {}]),
    "flag": (
        lambda d: d.flag("x", default=True),
        [(False, False), (True, True)],
        [None, 0, 1, "true"],
    ),
    "entries": (
        lambda d: d.entries("x"),
        [([1], [1]), ([0] * ENTRIES_MAX, [0] * ENTRIES_MAX)],
        [None, [], [0] * (ENTRIES_MAX + 1), "ab", {"a": 1}],
    ),
    "texts": (lambda d: d.texts("x"), [(["b", "a"], ("b", "a"))], [["a", "a"], [1], [None], []]),
    "address": (
        lambda d: d.address("x"),
        [(ALICE, ALICE)],
        [None, "", "alice", ALICE[:-1] + "0", f" {ALICE}", f"1{ALICE}", NATIVE_ID],
    ),
    "addresses": (
        lambda d: d.addresses("x"),
        [([ALICE, TOKEN], {ALICE, TOKEN})],
        [[], [ALICE, ALICE], ["alice"], [ALICE, 1], ALICE, None],
    ),
    "asset": (
        lambda d: d.asset("x"),
        [
            ("native", RuleAsset(None, "native")),
            (TOKEN, RuleAsset(None, TOKEN)),
            (NATIVE_ID, RuleAsset(MAINNET, "native")),
            (TOKEN_ID, RuleAsset(MAINNET, TOKEN)),
        ],
        [None, "", "Native", "SOL", "USDC", ["native"], "solana/slip44:501", f"{TOKEN_ID}/1"],
    ),
    "tokens": (
        lambda d: d.tokens("x"),
        [([TOKEN, ALICE], (RuleAsset(None, TOKEN), RuleAsset(None, ALICE)))],
        [[], ["native"], [NATIVE_ID], [TOKEN, TOKEN], [TOKEN, TOKEN_ID], [TOKEN_ID, TOKEN], TOKEN],
    ),
    "token": (lambda d: d.token("x"), [(TOKEN, RuleAsset(None, TOKEN))], ["native", NATIVE_ID, 1]),
    "documents": (
        lambda d: [each.members for each in d.documents("x")],
        [([{"a": 1}, {}], [{"a": 1}, {}])],
        [[], [1], ["a"], [[]], {"a": 1}],
    ),
}


@pytest.mark.parametrize("form", READ)
def test_what_has_the_form_is_read(form: str) -> None:
    read, good, _ = READ[form]
    for value, expected in good:
        assert read(document(x=value)) == expected


@pytest.mark.parametrize("form", READ)
def test_what_has_not_is_refused_by_name(form: str) -> None:
    read, _, bad = READ[form]
    for value in bad:
        refusal = refused(read, value)
        assert refusal.field.startswith("rules.x")
        assert refusal.reason


def test_a_missing_member_is_refused_unless_it_has_a_default() -> None:
    empty = document()
    for form in ("amount", "word", "entries", "address", "asset", "documents", "integer"):
        with pytest.raises(RuleRefused):
            READ[form][0](empty)
    assert empty.amount_if_any("x") is None
    assert document(x="5").amount_if_any("x") == 5
    assert empty.flag("x", default=True) is True
    assert (empty.has("x"), document(x=None).has("x")) == (False, True)


def test_a_list_is_as_long_as_the_documentation_says() -> None:
    assert ENTRIES_MAX == 100


def test_the_entry_that_is_wrong_is_named() -> None:
    read = READ["addresses"][0]
    assert refused(read, [ALICE, "bob"]).field == "rules.x[1]"
    assert refused(read, [ALICE, ALICE]).field == "rules.x[1]"
    (entry,) = document(x=[{"y": 1}]).documents("x")
    with pytest.raises(RuleRefused, match=r"^rules\.x\[0\]\.y: "):
        entry.text("y")


def test_a_rule_for_every_agent_names_its_assets_in_full() -> None:
    for form in ("asset", "token"):
        read = READ[form][0]
        assert "CAIP-19" in refused(read, TOKEN, is_global=True).reason
        assert read(document(x=TOKEN_ID, is_global=True)) == RuleAsset(MAINNET, TOKEN)
    assert "CAIP-19" in refused(READ["asset"][0], "native", is_global=True).reason


def test_an_asset_without_a_network_is_on_every_network() -> None:
    assert RuleAsset(None, TOKEN).is_on(DEVNET)
    assert RuleAsset(MAINNET, TOKEN).is_on(MAINNET)
    assert not RuleAsset(MAINNET, TOKEN).is_on(DEVNET)


def test_the_same_token_on_two_networks_is_two_tokens() -> None:
    both = [TOKEN_ID, f"{CHAIN_IDS[DEVNET]}/token:{TOKEN}"]
    assert len(document(x=both).tokens("x")) == 2


def test_a_member_nobody_honours_is_refused() -> None:
    document(a=1, b=2).require_known(("a", "b", "c"))
    with pytest.raises(RuleRefused, match=r"^rules\.B: .*known: a, b"):
        document(a=1, B=2).require_known(("b", "a"))


@pytest.mark.parametrize("name", ["\\ud800", "x" * 5000, "\\u0000\\u001b[31m", "\\u202ereversed"])
def test_the_name_of_an_unknown_member_is_shown_short_and_in_printable_ascii(name: str) -> None:
    with pytest.raises(RuleRefused) as refusal:
        read_document(f'{{"{name}": 1}}', is_global=False).require_known(())
    assert refusal.value.field.isascii()
    assert refusal.value.field.isprintable()
    assert len(refusal.value.field) < 500


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ('{"a": "1", "a": "9"}', "rules.a"),
        ('{"asset": "1", "\\u0061sset": "1"}', "rules.asset"),
        ('{"a": {"b": 1, "b": 2}}', "rules.b"),
    ],
)
def test_a_member_that_is_given_twice_is_refused(rules: str, field: str) -> None:
    """JSON readers keep one of two equal names, and do not agree which."""
    with pytest.raises(RuleRefused) as refusal:
        read_document(rules, is_global=False)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "rules",
    [
        "",
        " ",
        "native",
        "{",
        "{asset: 1}",
        "{'asset': 'native'}",
        '{"asset": "native"} {}',
        '{"asset": "native",}',
        '\ufeff{"asset": "native"}',
        '{"asset": "native\n"}',  # a control character, unescaped
        "9" * 5000,  # more digits than int() converts
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "[]",
        '["asset", "native"]',
        '"native"',
        "1",
        "null",
        "NaN",
    ],
    ids=lambda text: ascii(f"{text[:20]}{text[-5:]} ({len(text)})"),
)
def test_what_is_not_a_json_object_is_refused(rules: str) -> None:
    with pytest.raises(RuleRefused) as refusal:
        read_document(rules, is_global=False)
    assert refusal.value.field == "rules"
