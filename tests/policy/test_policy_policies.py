"""Rules: parsed strictly, and refused with the field that says why."""

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from waiaas.domain.enums import PolicyType
from waiaas.domain.records import PolicyRecord
from waiaas.policy.policies import (
    WINDOW_S_MAX,
    WINDOWS_S,
    RuleRefused,
    SpendingLimit,
    parse_policy,
    parse_rules,
)

BOUNDS = ("instant_max", "per_transaction_max", *WINDOWS_S)
HUGE = 2**256 - 1


def test_a_rule_says_what_was_written() -> None:
    rules = {"asset": "native", "instant_max": "0"}
    assert parse_rules(PolicyType.SPENDING_LIMIT, json.dumps(rules)) == SpendingLimit(
        asset="native", instant_max=0, per_transaction_max=None, window_max={}
    )
    rules |= {"per_transaction_max": "7", "monthly_max": str(HUGE), "hourly_max": "9"}
    limit = parse_rules(PolicyType.SPENDING_LIMIT, json.dumps(rules))
    assert limit.per_transaction_max == 7
    assert limit.window_max == {"hourly_max": 9, "monthly_max": HUGE}


@given(st.dictionaries(st.sampled_from(BOUNDS), st.integers(0, HUGE)))
def test_every_set_of_bounds_is_read_back_exactly(bounds: dict[str, int]) -> None:
    bounds.setdefault("instant_max", HUGE)
    rules = {"asset": "native"} | {name: str(bound) for name, bound in bounds.items()}
    limit = parse_rules(PolicyType.SPENDING_LIMIT, json.dumps(rules))
    read = {"instant_max": limit.instant_max, **limit.window_max}
    if limit.per_transaction_max is not None:
        read["per_transaction_max"] = limit.per_transaction_max
    assert read == bounds


def test_the_windows_are_an_hour_a_day_a_week_and_thirty_days() -> None:
    assert WINDOWS_S == {
        "hourly_max": 3_600,
        "daily_max": 86_400,
        "weekly_max": 604_800,
        "monthly_max": 2_592_000,
    }
    assert WINDOW_S_MAX == 2_592_000


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    "value",
    [
        "1",  # a number
        "1.0",
        "1e3",
        "-1",
        "NaN",
        "Infinity",
        "null",
        "true",
        "[]",
        '["1"]',
        "{}",
        '""',
        '"-1"',
        '"+1"',
        '"1.0"',
        '"1e3"',
        '" 1"',
        '"1 "',
        '"1\\n"',
        '"1\\u0000"',
        '"1_000"',
        '"01"',
        '"00"',
        '"0x10"',
        '"NaN"',
        '"\\u0661\\u0662"',  # Arabic digits, which int() would read
        '"\\u00b2"',  # a superscript two, which str.isdigit() takes
        '"\\ud800"',
        f'"{2**256}"',
        f'"{"9" * 5000}"',
    ],
)
def test_a_bound_that_is_not_canonical_digits_is_refused_by_name(bound: str, value: str) -> None:
    members = {"asset": '"native"', "instant_max": '"1"', bound: value}
    rules = "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"
    with pytest.raises(RuleRefused) as refused:
        parse_rules(PolicyType.SPENDING_LIMIT, rules)
    assert refused.value.field == f"rules.{bound}"


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ('{"asset": "native"}', "rules.instant_max"),
        ('{"instant_max": "1"}', "rules.asset"),
        ("{}", "rules.asset"),
        ('{"asset": "Native", "instant_max": "1"}', "rules.asset"),
        ('{"asset": "native ", "instant_max": "1"}', "rules.asset"),
        ('{"asset": null, "instant_max": "1"}', "rules.asset"),
        ('{"asset": ["native"], "instant_max": "1"}', "rules.asset"),
        ('{"asset": "USDC", "instant_max": "1"}', "rules.asset"),
        # A limit that nobody keeps must not be believed in.
        ('{"asset": "native", "instant_max": "1", "daily_maximum": "5"}', "rules.daily_maximum"),
        ('{"asset": "native", "instant_max": "1", "notify_max": "5"}', "rules.notify_max"),
        ('{"asset": "native", "instant_max": "1", "delay_max": "5"}', "rules.delay_max"),
        ('{"asset": "native", "instant_max": "1", "on_exceed": "deny"}', "rules.on_exceed"),
        ('{"asset": "native", "instant_max": "1", "Daily_Max": "5"}', "rules.Daily_Max"),
        ('{"asset": "native", "instant_max": "1", "": "5"}', "rules."),
        # JSON readers keep one of two equal names, and do not agree which.
        ('{"asset": "native", "instant_max": "1", "instant_max": "9"}', "rules.instant_max"),
        ('{"asset": "native", "asset": "native", "instant_max": "1"}', "rules.asset"),
        ('{"instant_max":"1","asset":"native","\\u0061sset":"native"}', "rules.asset"),
        ('{"asset": "native", "instant_max": {"a": 1, "a": 2}}', "rules.a"),
    ],
)
def test_a_wrong_field_is_named(rules: str, field: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(PolicyType.SPENDING_LIMIT, rules)
    assert refused.value.field == field
    assert refused.value.reason
    assert str(refused.value) == f"{field}: {refused.value.reason}"


@pytest.mark.parametrize(
    "rules",
    [
        "",
        " ",
        "native",
        "{",
        "{asset: 1}",
        "{'asset': 'native'}",
        '{"asset": "native", "instant_max": "1"} {}',
        '{"asset": "native", "instant_max": "1",}',
        '\ufeff{"asset": "native", "instant_max": "1"}',
        '{"asset": "native", "instant_max": "1\n"}',  # a control character, unescaped
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
    with pytest.raises(RuleRefused) as refused:
        parse_rules(PolicyType.SPENDING_LIMIT, rules)
    assert refused.value.field == "rules"


@pytest.mark.parametrize("kind", [kind for kind in PolicyType if kind != "SPENDING_LIMIT"])
def test_a_type_that_is_not_evaluated_yet_is_refused(
    kind: PolicyType, record: Callable[[PolicyType, str], PolicyRecord]
) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_policy(record(kind, '{"asset": "native", "instant_max": "1"}'))
    assert refused.value.field == "type"


@pytest.mark.parametrize("name", ["\\ud800", "x" * 5000, "\\u0000\\u001b[31m", "\\u202ereversed"])
def test_the_name_of_an_unknown_field_is_shown_short_and_in_printable_ascii(name: str) -> None:
    with pytest.raises(RuleRefused) as refused:
        parse_rules(PolicyType.SPENDING_LIMIT, f'{{"asset":"native","instant_max":"1","{name}":1}}')
    assert refused.value.field.isascii()
    assert refused.value.field.isprintable()
    assert len(refused.value.field) < 500


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
@example('{"asset": "native"}')
def test_any_text_is_a_rule_or_refused_and_nothing_else(rules: str) -> None:
    try:
        parsed = parse_rules(PolicyType.SPENDING_LIMIT, rules)
    except RuleRefused:
        return
    assert parsed.asset == "native"


def test_a_parsed_rule_cannot_be_altered() -> None:
    limit = parse_rules(
        PolicyType.SPENDING_LIMIT, '{"asset": "native", "instant_max": "1", "daily_max": "5"}'
    )
    with pytest.raises(TypeError):
        limit.window_max["daily_max"] = 9  # type: ignore[index]  # -- altering it is the point
