"""METHOD_WHITELIST: of the contracts it names, no other methods."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from waiaas.domain.enums import PolicyType
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.records import PolicyRecord
from waiaas.domain.request import ContractCall, Transfer
from waiaas.policy.document import RuleRefused, read_document
from waiaas.policy.method_whitelist import parse
from waiaas.policy.verdict import Deny, Verdict

PROGRAM = "So11111111111111111111111111111111111111112"
OTHER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
KIND = PolicyType.METHOD_WHITELIST
METHODS = ["0x02000000", "0xa9", "0x0102030405060708"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (ContractCall(PROGRAM, bytes.fromhex("02000000ff")), False),
        (ContractCall(PROGRAM, bytes.fromhex("02000000")), False),
        (ContractCall(PROGRAM, bytes.fromhex("02000001")), True),
        (ContractCall(PROGRAM, bytes.fromhex("020000")), True),
        (ContractCall(PROGRAM, bytes.fromhex("a9059cbb")), False),
        (ContractCall(PROGRAM, bytes.fromhex("0102030405060708")), False),
        (ContractCall(PROGRAM, bytes.fromhex("01020304050607")), True),
        (ContractCall(PROGRAM, b""), True),  # no method is not a listed one
        (ContractCall(OTHER, b"\x99"), False),  # the rule says nothing about it
        (Transfer(PROGRAM, 1), False),
    ],
)
def test_methods_that_are_not_listed_are_denied(
    asked: Any,
    expected: bool,  # noqa: FBT001
    rule: Callable[..., PolicyRecord],
    judge: Callable[..., Verdict],
) -> None:
    verdict = judge(asked, [rule(KIND, contracts=[{"address": PROGRAM, "methods": METHODS}])])
    assert isinstance(verdict, Deny)  # nothing grants it
    assert (KIND in {each.rule for each in verdict.violations}) is expected


def entry(**members: Any) -> dict[str, Any]:
    return {"address": PROGRAM, "methods": ["0x01"], **members}


@pytest.mark.parametrize(
    ("contracts", "field"),
    [
        ([], "rules.contracts"),
        ([PROGRAM], "rules.contracts[0]"),
        ([{}], "rules.contracts[0].address"),
        ([entry(name="x")], "rules.contracts[0].name"),
        ([entry(address="x")], "rules.contracts[0].address"),
        ([entry(), entry()], "rules.contracts[1].address"),
        ([entry(methods=[])], "rules.contracts[0].methods"),
        ([entry(methods=["0x01", "0x01"])], "rules.contracts[0].methods[1]"),
        *(
            ([entry(methods=[text])], "rules.contracts[0].methods[0]")
            for text in ("", "0x", "01", "0x1", "0xA9", "0X01", "0x01 ", "0x" + "00" * 9, "swap()")
        ),
    ],
    ids=str,
)
def test_a_list_that_says_nothing_clear_is_refused(contracts: Any, field: str) -> None:
    document = read_document("{}", is_global=False)
    document.members["contracts"] = contracts
    with pytest.raises(RuleRefused) as refused:
        parse(document)
    assert refused.value.field == field


@pytest.mark.parametrize("program", COVERED_PROGRAMS)
def test_a_program_that_no_request_can_call_is_refused_when_it_is_set_and_read_where_it_stands(
    program: str,
) -> None:
    rules = json.dumps({"contracts": [entry(), entry(address=program)]})
    assert program in parse(read_document(rules, is_global=False)).methods
    with pytest.raises(RuleRefused, match="no request can call it: ") as told:
        parse(read_document(rules, is_global=False, is_new=True))
    assert told.value.field == "rules.contracts[1].address"


@pytest.mark.parametrize(
    ("methods", "refused"),
    [
        (["0x01", "0x0102"], (1, "0x01")),
        (["0x0102030405060708", "0x02", "0x0102"], (0, "0x0102")),
        (["0x01", "0x0201", "0x0202"], None),
    ],
)
def test_a_method_that_opens_with_another_is_refused_when_it_is_set_and_read_where_it_stands(
    methods: list[str],
    refused: tuple[int, str] | None,
    rule: Callable[..., PolicyRecord],
    judge: Callable[..., Verdict],
) -> None:
    rules = json.dumps({"contracts": [entry(methods=methods)]})
    assert len(parse(read_document(rules, is_global=False)).methods[PROGRAM]) == len(methods)
    if refused is None:
        parse(read_document(rules, is_global=False, is_new=True))
        return
    index, shorter = refused
    with pytest.raises(RuleRefused, match=f"means nothing beside {shorter}, ") as told:
        parse(read_document(rules, is_global=False, is_new=True))
    assert told.value.field == f"rules.contracts[0].methods[{index}]"
    call = ContractCall(PROGRAM, bytes.fromhex(methods[index][2:]))
    others = [entry(methods=[each for each in methods if each != methods[index]])]
    verdict = judge(call, [rule(KIND, contracts=others)])
    assert isinstance(verdict, Deny)  # nothing grants it
    assert KIND not in {each.rule for each in verdict.violations}, "nor does it matter"
