"""Bodies as a hostile caller may send them: one clear refusal each, never a failure."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiaas.api.app import ROUTES
from waiaas.api.strict_json import BODY_BYTES_MAX, NESTING_MAX, decode
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.wire.admin import Login
from waiaas.wire.agents import CreateAgent
from waiaas.wire.policies import SetPolicy
from waiaas.wire.requests import SendTransfer
from waiaas.wire.sessions import CreateSession

ID = "01a20bbd-c049-75b6-9ff3-bbf9a1b56a4d"


def refusal(body: bytes, kind: type = CreateAgent) -> Refusal:
    with pytest.raises(Refusal) as refused:
        decode(body, kind)
    assert refused.value.code is ErrorCode.VALIDATION_FAILED
    return refused.value


def policy(rules: str) -> bytes:
    return f'{{"agentId": "{ID}", "type": "SPENDING_LIMIT", "rules": {rules}}}'.encode()


# ── text that is not the JSON of one object ────────────────────────────────────────────────────

# fmt: off
NOT_JSON = {
    "empty":               b"",
    "blank":               b" \r\n\t ",
    "word":                b"name",
    "open":                b'{"name": "a"',
    "open string":         b'{"name": "a',
    "open escape":         b'{"name": "a\\',
    "half an escape":      b'{"name": "\\u12"}',
    "unknown escape":      b'{"name": "\\x41"}',
    "single quotes":       b"{'name': 'a'}",
    "no quotes":           b"{name: 1}",
    "trailing comma":      b'{"name": "a",}',
    "two commas":          b'{"name": "a",,"network": "localnet"}',
    "comment":             b'{"name": "a" /* b */}',
    "trailing word":       b'{"name": "a"} x',
    "trailing object":     b'{"name": "a"}{"name": "b"}',
    "trailing NUL":        b'{"name": "a"}\0',
    "two lines":           b'{"name": "a"}\n{"name": "a"}',
    "NUL":                 b"\0",
    "form":                b"name=a&network=localnet",
    "BOM":                 b'\xef\xbb\xbf{"name": "a"}',
    "UTF-16":              '{"name": "a"}'.encode("utf-16"),
    "UTF-16 without BOM":  '{"name": "a"}'.encode("utf-16-le"),
    "UTF-32":              '{"name": "a"}'.encode("utf-32"),
    "UTF-7":               b"+AHs-+ACI-name+ACI-: 1+AH0-",
    "latin-1":             '{"name": "é"}'.encode("latin-1"),
    "overlong":            b'{"name": "\xc0\xaf"}',
    "raw surrogate":       b'{"name": "\xed\xa0\x80"}',
    "cut off UTF-8":       b'{"name": "\xf0\x9f\x92"}',
    "past Unicode":        b'{"name": "\xf4\x90\x80\x80"}',
    "raw control":         b'{"name": "a\x01"}',
    "raw newline":         b'{"name": "a\n"}',
    "gzip":                b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "leading zero":        b'{"name": 01}',
    "hexadecimal":         b'{"name": 0x1}',
    "plus":                b'{"name": +1}',
    "point":               b'{"name": .5}',
    "infinite digits":     b'{"name": ' + b"9" * 5_000 + b"}",
    "60,000 digits":       b'{"name": ' + b"9" * 60_000 + b"}",
    "True":                b'{"name": True}',
    "undefined":           b'{"name": undefined}',
    "space of Unicode":    '{"name":\u00a0"a"}'.encode(),
}

# fmt: on

REFUSED = {
    "an array": (b'[{"name": "a"}]', "Expected `object`, got `array`"),
    "a string": (b'"name"', "Expected `object`, got `str`"),
    "a number": (b"1", "Expected `object`, got `int`"),
    "null": (b"null", "Expected `object`, got `null`"),
    "true": (b"true", "Expected `object`, got `bool`"),
    "nothing in it": (b"{}", "Object missing required field `name`"),
    "twice": (b'{"name": "a", "name": "b"}', "an object names a member twice"),
    "twice, escaped": (b'{"name": "a", "n\\u0061me": "b"}', "an object names a member twice"),
    "twice the same": (b'{"name": "a", "name": "a"}', "an object names a member twice"),
    "NaN": (b'{"name": NaN}', "NaN and Infinity are not JSON"),
    "Infinity": (b'{"name": Infinity}', "NaN and Infinity are not JSON"),
    "-Infinity": (b'{"name": -Infinity}', "NaN and Infinity are not JSON"),
    "number for string": (b'{"name": 1}', "name: Expected `str`, got `int`"),
    "null for string": (b'{"name": null}', "name: Expected `str`, got `null`"),
    "object for string": (b'{"name": {}}', "name: Expected `str`, got `object`"),
    "empty string": (b'{"name": ""}', "name: Expected `str` of length >= 1"),
    "long string": (b'{"name": "' + b"a" * 101 + b'"}', "name: Expected `str` of length <= 100"),
    "huge string": (b'{"name": "' + b"a" * 65_000 + b'"}', "name: Expected `str` of length <= 100"),
    "unknown value": (
        b'{"name": "a", "network": "moon"}',
        "network: not one of the allowed values",
    ),
    "value in other case": (
        b'{"name": "a", "network": "LOCALNET"}',
        "network: not one of the allowed values",
    ),
    "unknown field": (b'{"name": "a", "status": "ACTIVE"}', "there is no such field `status`"),
    "field in other case": (b'{"Name": "a"}', "there is no such field `Name`"),
    "field in snake case": (b'{"name": "a", "agent_id": "b"}', "there is no such field `agent_id`"),
    "field of a class": (b'{"name": "a", "__class__": "b"}', "there is no such field `__class__`"),
    "a field of markup": (b'{"name": "a", "<script>": 1}', "there is no such field"),
    "a field of terminal": (b'{"name": "a", "` - at `$.x": 1}', "there is no such field"),
    "an empty field": (b'{"name": "a", "": 1}', "there is no such field"),
    "a long field": (b'{"name": "a", "' + b"b" * 60_000 + b'": 1}', "there is no such field"),
    "deep arrays": (b"[" * 60_000, "the body is nested deeper than 16 levels"),
    "deep objects": (b'{"a":' * 10_000, "the body is nested deeper than 16 levels"),
    "deep and closed": (b"[" * 30_000 + b"]" * 30_000, "the body is nested deeper than 16 levels"),
    "deep behind closers": (
        b'{"name": "' + b"]" * 30_000 + b'", "b": ' + b"[" * 30_000,
        "the body is nested deeper than 16 levels",
    ),
}

# fmt: off
INVISIBLE = {
    "NUL": "\0", "bell": "\a", "escape": "\x1b", "tab": "\t", "newline": "\n", "return": "\r",
    "DEL": "\x7f", "C1": "\x85", "CSI": "\x9b", "last of C1": "\x9f",
    "soft hyphen": "\u00ad", "arabic mark": "\u061c", "zero width": "\u200b", "joiner": "\u200d",
    "left to right": "\u200e", "right to left": "\u200f", "line": "\u2028", "paragraph": "\u2029",
    "embedding": "\u202a", "override": "\u202e", "word joiner": "\u2060", "times": "\u2062",
    "isolate": "\u2066", "pop": "\u2069", "deprecated": "\u206f", "BOM": "\ufeff",
    "annotation": "\ufff9", "tag": "\U000e0041", "first half": "\ud800", "second half": "\udfff",
}
# fmt: on


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused_and_not_repeated(body: bytes) -> None:
    assert refusal(body).message == "the body is not valid JSON"


@pytest.mark.parametrize(("body", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_the_message_is_refused_with_the_reason(body: bytes, message: str) -> None:
    refused = refusal(body)
    assert refused.message == message
    field, colon, _ = message.partition(": ")
    assert refused.details == ({"field": field} if colon else {})


@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE)
@pytest.mark.parametrize("place", ["{}", "a{}", "{}a", "a{}b"])
def test_what_nobody_sees_is_in_no_string(character: str, place: str) -> None:
    text = place.format(character)
    # Escaped, as plain ASCII; and as it is, where UTF-8 can write it.
    bodies = [json.dumps({"name": text}).encode(), json.dumps({text: "a"}).encode()]
    if not "\ud800" <= character <= "\udfff" and character >= " ":
        bodies.append(json.dumps({"name": text}, ensure_ascii=False).encode())
    bodies.append(policy(json.dumps({"asset": [{text: text}]})))
    for body in bodies:
        kind = SetPolicy if b"rules" in body else CreateAgent
        assert refusal(body, kind).message.startswith("a string holds a control")


@pytest.mark.parametrize(
    "name", ["é", "e\u0301", "日本", "🐍", "\U0001d11e", "a b", "<b>", "'; --"]
)
def test_what_people_can_see_is_let_in(name: str) -> None:
    for ascii_only in (True, False):
        body = json.dumps({"name": name}, ensure_ascii=ascii_only).encode()
        assert decode(body, CreateAgent).name == name


# ── numbers ────────────────────────────────────────────────────────────────────────────────────

# fmt: off
NO_INTEGERS = ["true", "false", "null", '"300"', "300.0", "300.5", "3e2", "1e400", "-1e400",
               "299", "604801", "-300", "0", "-0", "0.0", "9223372036854775807",
               "9223372036854775808", "18446744073709551616", "1" * 4_300, "[300]", "{}"]
NO_DIGITS = ["1000", "1e3", "1000.0", "true", "null", "[]", "{}", '["1"]', "-0", "1e400",
             "99999999999999999999999999"]
# fmt: on


@pytest.mark.parametrize("ttl", NO_INTEGERS, ids=lambda ttl: ttl[:20])
def test_a_number_of_seconds_is_an_integer_in_its_bounds(ttl: str) -> None:
    body = f'{{"agentId": "{ID}", "ttl": {ttl}}}'.encode()
    assert refusal(body, CreateSession).details == {"field": "ttl"}


@pytest.mark.parametrize("ttl", [300, 86_400, 604_800])
def test_a_number_of_seconds_in_its_bounds_is_let_in(ttl: int) -> None:
    assert decode(f'{{"agentId": "{ID}", "ttl": {ttl}}}'.encode(), CreateSession).ttl == ttl


@pytest.mark.parametrize("amount", NO_DIGITS)
def test_an_amount_is_text(amount: str) -> None:
    body = f'{{"to": "a", "amount": {amount}}}'.encode()
    assert refusal(body, SendTransfer).details == {"field": "amount"}


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 4_301, "NaN"])
def test_a_number_that_cannot_be_kept_is_refused_where_anything_may_stand(number: str) -> None:
    refusal(policy(f'{{"instant_max": {number}}}'), SetPolicy)


@pytest.mark.parametrize(
    "mass",
    ["status", "tier", "agentId", "sessionId", "approved", "txHash", "dryRun"],
)
def test_nobody_may_set_what_is_not_asked_for(mass: str) -> None:
    body = f'{{"to": "a", "amount": "1", "{mass}": "x"}}'.encode()
    assert refusal(body, SendTransfer).message == f"there is no such field `{mass}`"


def test_a_duplicate_is_found_at_any_depth() -> None:
    body = policy('{"asset": [{"a": 1, "b": {"c": 1, "c": 1}}]}')
    assert refusal(body, SetPolicy).message == "an object names a member twice"


# ── depth ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("opener", "closer"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded_exactly(opener: str, closer: str) -> None:
    def nested(levels: int) -> bytes:
        inner = opener * levels + '""' + closer * levels
        return policy(f'{{"a": {inner}}}')

    decode(nested(NESTING_MAX - 2), SetPolicy)
    message = refusal(nested(NESTING_MAX - 1), SetPolicy).message
    assert message == "the body is nested deeper than 16 levels"


@pytest.mark.parametrize("password", ["[" * 100, "{" * 1000, "]}" * 500, '"[{' * 30])
def test_brackets_in_a_string_are_text(password: str) -> None:
    assert decode(json.dumps({"password": password}).encode(), Login).password == password


# ── fuzz ───────────────────────────────────────────────────────────────────────────────────────

KINDS = sorted(
    {kind for route in ROUTES for kind in (route.body, *route.other_bodies) if kind is not None},
    key=lambda k: k.__name__,
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
)
NAMES = st.sampled_from(
    [field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind)]
) | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20
)


assert settings.default is not None
more = settings(max_examples=4 * settings.default.max_examples)
"""Making a document takes much longer than reading it: each is read as every kind of message."""


@more
@given(body=st.binary(max_size=200) | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_make_the_decoder_fail_otherwise(body: bytes) -> None:
    for kind in KINDS:
        try:
            decode(body, kind)
        except Refusal as refused:
            assert refused.code is ErrorCode.VALIDATION_FAILED, kind  # noqa: PT017 -- either is right


@more
@given(document=ANYTHING, ascii_only=st.booleans())
def test_no_document_makes_the_decoder_fail_otherwise(document: Any, *, ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    for kind in KINDS:
        try:
            message: msgspec.Struct = decode(body, kind)
        except Refusal as refused:
            assert refused.code is ErrorCode.VALIDATION_FAILED, kind  # noqa: PT017 -- either is right
            refused.message.encode("ascii")
        else:
            assert msgspec.to_builtins(message).items() >= document.items(), kind


def test_a_body_as_large_as_it_may_be_is_looked_at_in_no_time() -> None:
    for unit in (b"[", b'{"a":', b'"', b'\\"', b'"\\', b'{"a":1},', b"1", b"\xe2\x80\xae"):
        refusal((unit * BODY_BYTES_MAX)[:BODY_BYTES_MAX])
        refusal((b'{"name":"' + unit * BODY_BYTES_MAX)[:BODY_BYTES_MAX])
