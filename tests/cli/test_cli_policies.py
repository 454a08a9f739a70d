"""Rules are tried before they are set: on a table of verdicts, and on what was decided before."""

import asyncio
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from tests.canaries import MARKER
from tests.fakes.agents import ask, insert_agent
from tests.fakes.clock import NOW_S, FakeClock
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.daemon import initialise
from waiaas.database import create_database, generate_id, open_ledger
from waiaas.domain.ids import AgentId
from waiaas.domain.request import Transfer
from waiaas.inputs import JSON_BYTES_MAX
from waiaas.pipeline.admit import Caller
from waiaas.ports import LedgerTransaction
from waiaas.rehearsal import NOT_KNOWN, read_time

Run = Callable[..., Any]

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "docs" / "examples" / "policy-test.json"
TO: Final = "So11111111111111111111111111111111111111112"
TWICE: Final = b'{"policies":[],"rows":[],"rows":[]}'
AGENT: Final = AgentId("01990000-0000-7000-8000-000000000001")
TOKEN: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
NOBODY: Final = AgentId("01990000-0000-7000-8000-000000000003")
OTHER: Final = AgentId("01990000-0000-7000-8000-000000000002")
MAINNET: Final = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501"
DEVNET: Final = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1/slip44:501"
OLD: Final = {"asset": "native", "instant_max": "100", "daily_max": "1000"}
DEVNET_TOKEN: Final = f"{DEVNET.partition('/')[0]}/token:{TOKEN}"
OTHER_NETWORKS: Final = {"type": "SPENDING_LIMIT", "rules": {**OLD, "asset": DEVNET}}
MEANINGLESS: Final = {
    "type": "SPENDING_LIMIT",
    "rules": {"asset": "native", "instant_max": "1", "on_exceed": "deny"},
}
RATE: Final = {"type": "RATE_LIMIT", "rules": {"max_requests": 9, "window_seconds": 60}}
SENT: Final = {"to": TO, "amount": "5", "reference": "invoice-7", "allowDuplicate": True}
TOKENS: Final = {"type": "TOKEN_TRANSFER", "to": TO, "token": {"address": TOKEN}, "amount": "5"}
FOR_BOTH: Final = [
    {"type": "SPENDING_LIMIT", "rules": {"asset": asset, "instant_max": "3000000"}}
    for asset in (TOKEN, "native")
]


def run(*arguments: object, code: int = 0, directory: Path | None = None) -> Any:
    data = () if directory is None else ("--data-dir", str(directory))
    done = CliRunner().invoke(app, [*data, "policy", *map(str, arguments)])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout) if done.stdout else done.stderr


# ── a table of expected verdicts ───────────────────────────────────────────────────────────────


def table(folder: Path, **members: Any) -> Path:
    policy = {"type": "SPENDING_LIMIT", "rules": OLD}
    row = {"request": {"to": TO, "amount": "5"}, "expect": {"tier": "INSTANT"}}
    written = {"policies": [policy], "rows": [row | members.pop("row", {})]} | members
    path = folder / "table.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    return path


def test_every_verdict_of_the_example_in_the_documentation_is_as_expected() -> None:
    rows = run("test", EXAMPLE)
    assert len(rows) >= 6
    assert all(row["ok"] and row["found"] == row["expected"] for row in rows)


def test_the_same_table_may_be_written_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text(
        f"""
        [[policies]]
        type = "SPENDING_LIMIT"
        rules = {{asset = "native", instant_max = "100"}}
        [[rows]]
        request = {{to = "{TO}", amount = "100"}}
        expect = {{tier = "INSTANT"}}
        [[rows]]
        request = {{to = "{TO}", amount = "101"}}
        expect = {{tier = "APPROVAL", waitSeconds = 3600}}
        """,
        encoding="utf-8",
    )
    assert [row["ok"] for row in run("test", path)] == [True, True]


@pytest.mark.parametrize(
    ("row", "members", "ok"),
    [
        ({"expect": {"tier": None}}, {}, False),
        ({"request": SENT, "expect": {"tier": "INSTANT"}}, {}, True),
        ({"expect": {"tier": "INSTANT", "rent": None}}, {}, True),
        ({"request": TOKENS, "expect": {"rent": "set_aside"}}, {"policies": FOR_BOTH}, True),
        ({"request": TOKENS, "expect": {"rent": "none"}}, {"policies": FOR_BOTH[:1]}, True),
        ({"request": TOKENS, "expect": {"rent": None, "tier": None}}, {}, True),
        ({"request": TOKENS, "expect": {"rent": "none"}}, {"policies": FOR_BOTH}, False),
        ({"expect": {"tier": "INSTANT", "code": "POLICY_DENIED"}}, {}, False),
        ({"expect": {"tier": "INSTANT", "code": None}}, {}, True),
        ({"request": {"to": TO, "amount": "1001"}, "expect": {"bound": "daily_max"}}, {}, True),
        ({"request": {"to": TO, "amount": "1001"}, "expect": {"maxAllowed": "999"}}, {}, False),
        ({"usage": {"native": {"goingOut": "96"}}, "expect": {"tier": "APPROVAL"}}, {}, True),
        ({"usage": {MAINNET: {"goingOut": "96"}}, "expect": {"tier": "APPROVAL"}}, {}, True),
        (
            {"session": {"transactions": 3}, "expect": {"rule": "SESSION"}},
            {"constraints": {"maxTransactions": 3}},
            True,
        ),
        (
            {"session": {"amount": "96"}, "expect": {"bound": "maxTotalAmount"}},
            {"constraints": {"maxTotalAmount": "100"}},
            True,
        ),
        (
            {"expect": {"rule": "DEFAULT_DENY"}},
            {"policies": [{"type": "SPENDING_LIMIT", "rules": OLD, "enabled": False}]},
            True,
        ),
        (
            {"expect": {"tier": "DELAY", "waitSeconds": 9}},
            {
                "defaultDelaySeconds": 9,
                "network": "localnet",
                "policies": [
                    {
                        "type": "SPENDING_LIMIT",
                        "rules": {"asset": "native", "instant_max": "1", "delay_max": "9"},
                    }
                ],
            },
            True,
        ),
    ],
)
def test_a_row_is_as_expected_or_ends_with_a_code_of_its_own(
    tmp_path: Path, row: Any, members: dict[str, Any], ok: object
) -> None:
    [found] = run("test", table(tmp_path, row=row, **members), code=0 if ok else 7)
    assert found["ok"] is ok
    assert found["found"].items() >= (found["expected"] if ok else {}).items()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"rows": []}, "rows: there are none"),
        ({"more": 1}, "more"),
        ({"row": {"expect": {}}}, "rows[0]: expect says nothing"),
        ({"row": {"expect": {"teir": "INSTANT"}}}, "teir"),
        ({"row": {"at": "yesterday"}}, "rows[0]: a time is written"),
        ({"row": {"at": -1}}, "rows[0]: a time is written"),
        ({"row": {"admitted": [-1]}}, "rows[0]: what happened before"),
        ({"row": {"usage": {"native": {"waiting": "01"}}}}, "rows[0]: INVALID_AMOUNT"),
        ({"row": {"usage": {"Native": {}}}}, "rows[0]: usage.Native: must be 'native'"),
        ({"row": {"usage": {DEVNET: {}}}}, "is an asset of another network than mainnet"),
        ({"row": {"usage": {"native": {}, MAINNET: {}}}}, "is named twice"),
        ({"row": {"request": {"to": TO, "amount": "1.5"}}}, "rows[0]: INVALID_AMOUNT"),
        ({"row": {"request": {"to": TO}}}, "rows[0]: VALIDATION_FAILED"),
        ({"row": {"request": {"to": TO, "amount": 5}}}, "rows[0]: Expected `str"),
        ({"row": {"request": {"to": TO, "amount": "5", "reference": ""}}}, "regex"),
        ({"policies": [{"type": "WHITELIST", "rules": {}}]}, "policies[0]"),
        ({"policies": [OTHER_NETWORKS]}, "policies[0]: rules: names an asset of another network"),
        ({"policies": [MEANINGLESS]}, "policies[0]: rules.on_exceed: means nothing"),
        ({"policies": [RATE] * 101}, "policies: there are 101, and 100 is the most"),
        ({"policies": [RATE | {"priority": 1001}]}, "1000"),
        ({"defaultDelaySeconds": -5}, "defaultDelaySeconds"),
        ({"defaultApprovalSeconds": 604_801}, "defaultApprovalSeconds"),
        ({"policies": [{"type": "BLACKLIST", "rules": {}}]}, "BLACKLIST"),
        ({"constraints": {"maxAmount": "1"}}, "constraints"),
        ({"constraints": {"allowedTokens": [DEVNET_TOKEN]}}, "a token of another network"),
    ],
)
def test_a_table_that_cannot_be_used_says_why_and_judges_nothing(
    tmp_path: Path, members: dict[str, Any], said: str
) -> None:
    assert said in run("test", table(tmp_path, **members), code=2)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", TWICE, b"[" * 9999])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content)
    run("test", path, code=2)
    run("test", tmp_path / "none.json", code=2)


def test_a_table_that_is_too_long_is_refused_and_not_judged_in_part(tmp_path: Path) -> None:
    head = f"""
        [[policies]]
        type = "SPENDING_LIMIT"
        rules = {{asset = "native", instant_max = "100"}}
        [[rows]]
        request = {{to = "{TO}", amount = "100"}}
        expect = {{tier = "INSTANT"}}
        #"""
    rest = f"""
        [[rows]]
        request = {{to = "{TO}", amount = "100"}}
        expect = {{tier = "DELAY"}}
        """
    path = tmp_path / "table.toml"
    path.write_text(head + "x" * (JSON_BYTES_MAX - len(head)), encoding="utf-8")
    assert run("test", path)[0]["ok"]
    with path.open("a", encoding="utf-8") as file:
        file.write(rest)
    assert f"longer than {JSON_BYTES_MAX} bytes" in run("test", path, code=2)


@pytest.mark.parametrize(
    ("written", "second"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T01:00:00", 3600),
        ("1970-01-01T01:00:00Z", 3600),
        ("1970-01-01T01:00:00+01:00", 0),
        ("17", 17),
        (18, 18),
    ],
)
def test_a_time_is_a_date_or_a_moment_or_seconds(written: str | int, second: int) -> None:
    assert read_time(written) == second


@pytest.mark.parametrize("written", ["", "x", "-1", "1969-12-31", "²", "1" * 13, -2, 10**30])
def test_what_is_no_time_is_refused(written: str | int) -> None:
    with pytest.raises(ValueError, match="a time is written"):
        read_time(written)


# ── a back-test ────────────────────────────────────────────────────────────────────────────────


def hire(agent_id: AgentId, tx: LedgerTransaction) -> Caller:
    return insert_agent(tx, agent_id, address=agent_id, limits=[OLD], generate_id=generate_id)


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory: one agent was let through, had to wait, was denied; so one other."""
    data = tmp_path_factory.mktemp("decided") / "data"
    initialise(data, f"{MARKER} correct horse".encode())
    clock = FakeClock()
    with open_ledger(data) as ledger:
        for agent_id, amounts in ((AGENT, (50, 60, 2000)), (OTHER, (7,))):
            caller = ledger.write(partial(hire, agent_id))
            for number, amount in enumerate(amounts):
                asking = ask(
                    Transfer(TO, amount),
                    caller=caller,
                    key=f"key-{number}",
                    ledger=ledger,
                    clock=clock,
                    generate_id=generate_id,
                )
                asyncio.run(asking)
                clock.jump(86_400)
    return data


def rules(folder: Path, *listed: dict[str, Any]) -> Path:
    path = folder / "new.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    return path


def test_what_was_decided_comes_out_the_same_when_it_is_replayed(decided: Path) -> None:
    found = run("backtest", "--since", "0", directory=decided)
    assert (found["decisions"], found["different"], found["unknown"]) == (4, [], [])
    assert found["newlyAllowed"] == found["newlyDenied"] == []
    assert found["tiers"] == [
        {"before": "APPROVAL", "after": "APPROVAL", "decisions": 1},
        {"before": "DENIED", "after": "DENIED", "decisions": 1},
        {"before": "INSTANT", "after": "INSTANT", "decisions": 2},
    ]


def test_what_would_become_allowed_comes_first_with_the_rest_of_what_changes(
    decided: Path, tmp_path: Path
) -> None:
    new = rules(
        tmp_path,
        {"type": "SPENDING_LIMIT", "rules": {"asset": "native", "instant_max": "5000"}},
        {"type": "WHITELIST", "rules": {"addresses": [TO]}, "priority": 3},
        {"type": "WHITELIST", "rules": {"addresses": [TOKEN]}, "enabled": False},
        {"type": "RATE_LIMIT", "rules": {"max_requests": 9, "window_seconds": 60}},
    )
    found = run("backtest", new, "--since", "0", "--agent", AGENT, directory=decided)
    assert next(iter(found)) == "newlyAllowed"
    [change] = found["newlyAllowed"]
    assert (change["agentId"], change["before"], change["after"]) == (AGENT, "DENIED", "INSTANT")
    assert change["codes"] == ["SPENDING_LIMIT_EXCEEDED"]
    assert change["request"]["amount"] == "2000"
    assert found["decisions"] == 3
    assert found["letThrough"] == [{"asset": "native", "before": "110", "after": "2110"}]
    [day] = found["approvalsByDay"]
    assert (day["before"], day["after"]) == (1, 0)
    assert found["notKnown"] == list(NOT_KNOWN)
    assert found["replaced"] == f"the own rules of {AGENT}"


def test_windows_that_nobody_asked_for_are_known_from_the_ledger(
    decided: Path, tmp_path: Path
) -> None:
    limit = {"asset": "native", "instant_max": "99", "weekly_max": "100"}
    new = rules(tmp_path, {"type": "SPENDING_LIMIT", "rules": limit})
    found = run("backtest", new, "--since", "0", "--agent", AGENT, directory=decided)
    [change] = found["newlyDenied"]
    assert (change["request"]["amount"], change["before"]) == ("60", "APPROVAL"), "50 are in flight"
    assert found["unknown"] == []


def test_a_global_rule_is_tried_beside_every_agents_own(decided: Path, tmp_path: Path) -> None:
    rate = {"max_requests": 1, "window_seconds": 90_000}
    new = rules(tmp_path, {"type": "RATE_LIMIT", "rules": rate})
    found = run("backtest", new, "--since", "0", directory=decided)
    assert [each["request"]["amount"] for each in found["newlyDenied"]] == ["60"]
    later = run("backtest", new, "--since", NOW_S + 1, directory=decided)
    assert later["decisions"] == 3
    assert [each["request"]["amount"] for each in later["newlyDenied"]] == ["60"]
    assert found["replaced"] == "the global rules"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "soon"), "--since"),
        (("--since", "0", "--agent", "nobody"), "--agent"),
        (("--since", "0", "--agent", NOBODY), "--agent: there is no agent with this id"),
        (("none.json", "--since", "0"), "No such file"),
    ],
)
def test_a_back_test_that_cannot_be_made_says_why(
    decided: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in run("backtest", *arguments, code=2, directory=decided)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"type": "RATE_LIMIT"}', "Expected `array`"),
        ("[", "it is not JSON: Expecting value"),
        (None, "No such file"),
        (json.dumps([RATE, {"type": "WHITELIST", "rules": {}}]), "policies[1]"),
    ],
)
def test_a_file_that_cannot_be_tried_is_named_once(
    decided: Path, tmp_path: Path, written: str | None, said: str
) -> None:
    file = tmp_path / "new.json"
    if written is not None:
        file.write_text(written, encoding="utf-8")
    told = run("backtest", file, "--since", "0", code=2, directory=decided)
    assert f"{file}: {said}" in told
    assert told.count("new.json") == 1


def test_a_rule_that_could_not_be_set_is_not_tried(decided: Path, tmp_path: Path) -> None:
    """The agents are on the local network."""
    of_one, of_all = ("--since", "0", "--agent", AGENT), ("--since", "0")
    elsewhere = rules(tmp_path, {"type": "SPENDING_LIMIT", "rules": {**OLD, "asset": MAINNET}})
    assert "another network" in run("backtest", elsewhere, *of_one, code=2, directory=decided)
    run("backtest", elsewhere, *of_all, directory=decided)
    many = rules(tmp_path, *[RATE] * 101)
    assert "100 is the most" in run("backtest", many, *of_all, code=2, directory=decided)


def test_without_a_ledger_there_is_nothing_to_test(tmp_path: Path) -> None:
    run("backtest", "--since", "0", code=1, directory=tmp_path / "none")
    initialise(tmp_path / "data", f"{MARKER} correct horse".encode())
    (tmp_path / "data" / "ledger.db").write_bytes(b"no ledger")
    run("backtest", "--since", "0", code=1, directory=tmp_path / "data")


def test_a_decision_whose_facts_were_changed_ends_with_a_code_of_its_own(
    decided: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(decided, tmp_path / "data")
    with create_database(copy / "ledger.db") as connection:
        connection.sqlite.execute(
            """UPDATE decisions SET usage = replace(usage, '"50"', '"0"') WHERE number = 2"""
        )
    done = CliRunner().invoke(app, ["--data-dir", str(copy), "policy", "backtest", "--since", "0"])
    assert done.exit_code == 7, done.output
    assert len(json.loads(done.stdout)["different"]) == 1
