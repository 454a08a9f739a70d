"""Profiles are read before one is chosen: without a daemon, and as `policy set` takes them."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.cli.context import Form
from waiaas.cli.policies import show_profiles
from waiaas.domain.enums import PolicyType
from waiaas.domain.profile import ProfileName
from waiaas.policy.policies import parse_rules
from waiaas.profiles import read_profiles

TO = "So11111111111111111111111111111111111111112"


def run(*arguments: object, code: int = 0) -> Any:
    done = CliRunner().invoke(
        app, ["--data-dir", "/nonexistent", "policy", "profiles", *map(str, arguments)]
    )
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout if code == 0 else done.stderr


def test_every_profile_is_listed_with_whom_it_is_for() -> None:
    listed = json.loads(run("--json"))
    assert [each["name"] for each in listed] == [*ProfileName]
    assert all(each["purpose"].endswith(".") for each in listed)


@pytest.mark.parametrize("name", ProfileName)
def test_what_is_shown_is_what_an_agent_gets_and_could_be_set(name: ProfileName) -> None:
    shown = json.loads(run(name))
    texts = [(each["type"], json.dumps(each["rules"], sort_keys=True)) for each in shown]
    assert texts == [*read_profiles()[name].rules()]
    for kind, text in texts:
        parse_rules(PolicyType(kind), text, is_global=False)


def test_one_rule_is_shown_as_it_can_be_set_again() -> None:
    shown = json.loads(run("cautious", "--type", "SPENDING_LIMIT"))
    assert shown == dict(read_profiles()[ProfileName.CAUTIOUS].documents)[PolicyType.SPENDING_LIMIT]


def test_a_table_of_expected_verdicts_takes_what_is_shown(tmp_path: Path) -> None:
    row = {"request": {"to": TO, "amount": "10000000"}, "expect": {"tier": "INSTANT"}}
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"policies": json.loads(run("cautious")), "rows": [row]}))
    assert CliRunner().invoke(app, ["policy", "test", str(table)]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reckless"], "reckless"),
        (["open", "--type", "WHITELIST"], "the profile open has no WHITELIST"),
        (["--type", "SPENDING_LIMIT"], "name it"),
    ],
)
def test_what_there_is_not_is_said(arguments: list[str], said: str) -> None:
    assert said in run(*arguments, code=2)


def test_a_person_reads_the_amounts_in_sol_and_how_to_change_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_profiles(name=ProfileName.CAUTIOUS)
    out = capsys.readouterr().out
    assert out.startswith(f"cautious: {read_profiles()[ProfileName.CAUTIOUS].purpose}\n")
    assert "instant_max          10000000 (0.01 SOL)\n" in out
    assert "max_requests         20\n" in out
    commands = [line.split(">")[0] for line in out.splitlines() if "profiles cautious" in line]
    [arguments] = [shlex.split(line)[3:] for line in commands]
    assert "asset" in json.loads(run(*arguments))


def test_a_person_who_sees_the_list_is_told_how_to_see_each_ones_rules(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show_profiles(form=Form.PEOPLE)
    told = capsys.readouterr().err
    assert [f"waiaas policy profiles {name} " in told for name in ProfileName] == [True] * 3
