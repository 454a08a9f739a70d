"""Trying rules before they are set: on a table of expected verdicts, or on what was decided.

Both are offline: the first needs no ledger at all, the second reads one snapshot of it, whether or
not a daemon runs.
"""

import asyncio
import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from waiaas.api.requests import amount_of, read_message, request_of
from waiaas.api.verdicts import rendered
from waiaas.database import DatabaseConnection
from waiaas.database.agent import Agents
from waiaas.database.audit_verify import audit_snapshot
from waiaas.database.decision import Decisions
from waiaas.database.decision_history import read_admissions, read_decisions, read_totals
from waiaas.database.errors import DatabaseError
from waiaas.database.ledger import LEDGER_NAME
from waiaas.directory import DaemonError, require_initialised, sentence
from waiaas.domain.assets import Network
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType, PolicyType
from waiaas.domain.errors import Refusal
from waiaas.domain.ids import AgentId, PolicyId, is_id
from waiaas.domain.records import PRIORITY_MAX, PRIORITY_MIN, AgentRecord, PolicyRecord, SessionUse
from waiaas.domain.rent import leaving_assets
from waiaas.domain.request import Request
from waiaas.domain.waiting import (
    APPROVAL_S_DEFAULT,
    APPROVAL_S_MAX,
    DELAY_S_DEFAULT,
    DELAY_S_MAX,
)
from waiaas.inputs import JSON_BYTES_MAX, read_json, read_text
from waiaas.pipeline.backtest import Change, NewRules, RentChange, Report, backtest
from waiaas.pipeline.decisions import Terms, judge_again
from waiaas.pipeline.denial import refusal_of
from waiaas.pipeline.explain import Explained
from waiaas.pipeline.policies import POLICIES_MAX
from waiaas.policy.document import Document, RuleRefused
from waiaas.policy.facts import EVER_S, Answers, History, RecordedUsage, Spent
from waiaas.policy.policies import parse_rules, require_own_network
from waiaas.policy.session_constraints import write_constraints
from waiaas.policy.spending_limit import WINDOW_S_MAX
from waiaas.policy.usage import InFlight
from waiaas.policy.verdict import Allow, Verdict

NOON: Final = "2026-01-01T12:00:00Z"
"""When a row is judged that does not say when: a Thursday."""

NOT_KNOWN: Final = (
    "what would have followed: a payment that the new rules deny was made and counts in windows",
    "the other way round: a payment that they allow was not made and counts in none",
    "what agents would have asked for instead, and what a person would have answered",
    "what would have moved: letThrough is what was not denied, with or without a wait",
    "how much of the rent that was set aside was paid: letThrough has all of it",
    "requests that were refused before any rule was asked: they are not among the decisions",
)
"""What a back-test cannot know, as it says itself."""

_DIGITS: Final = re.compile(r"[0-9]{1,12}")

_ADDRESS: Final = "11111111111111111111111111111111"
"""In place of the agent's own."""


class Unusable(Exception):  # noqa: N818 -- says what it is
    """A file or an option cannot be used; the message says what is wrong with it."""


class _Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A JSON object with exactly these members."""


class _Rule(_Strict, frozen=True):
    """A rule as it would be set."""

    type: PolicyType
    rules: dict[str, Any]
    priority: Annotated[int, msgspec.Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)] = 0
    enabled: bool = True


class _Moved(_Strict, frozen=True):
    """Money that moved before."""

    amount: str
    seconds_ago: int


class _Spending(_Strict, frozen=True):
    """What was done with one asset."""

    going_out: str = "0"
    waiting: str = "0"
    moved: list[_Moved] = []


class _SessionUse(_Strict, frozen=True):
    """What the session has used."""

    transactions: int = 0
    amount: str = "0"


class _Expected(_Strict, frozen=True, omit_defaults=True):
    """What a row says of its verdict; what it does not say is not looked at."""

    tier: str | msgspec.UnsetType | None = msgspec.UNSET
    code: str | msgspec.UnsetType | None = msgspec.UNSET
    rule: str | msgspec.UnsetType | None = msgspec.UNSET
    bound: str | msgspec.UnsetType | None = msgspec.UNSET
    max_allowed: str | msgspec.UnsetType | None = msgspec.UNSET
    retry_at: int | msgspec.UnsetType | None = msgspec.UNSET
    wait_seconds: int | msgspec.UnsetType | None = msgspec.UNSET
    rent: Literal["set_aside", "none"] | msgspec.UnsetType | None = msgspec.UNSET


class _Row(_Strict, frozen=True):
    """One request, after what, when, and what it is to get."""

    request: dict[str, Any]
    expect: _Expected
    name: str = ""
    at: str | int = NOON
    usage: dict[str, _Spending] = {}
    admitted: list[int] = []
    """How many seconds ago earlier requests were admitted."""
    session: _SessionUse = _SessionUse()


class _Table(_Strict, frozen=True):
    """Rules, and what they are to say."""

    policies: list[_Rule]
    rows: list[_Row]
    network: NetworkType = NetworkType.MAINNET
    constraints: dict[str, Any] | None = None
    """Of the session that asks."""
    default_delay_seconds: Annotated[int, Meta(ge=1, le=DELAY_S_MAX)] = DELAY_S_DEFAULT
    default_approval_seconds: Annotated[int, Meta(ge=1, le=APPROVAL_S_MAX)] = APPROVAL_S_DEFAULT


# ── a table of expected verdicts ───────────────────────────────────────────────────────────────


def judge_table(file: Path) -> list[dict[str, Any]]:
    """Judge every row of a table; return of each its name, what was expected, and what it got.

    Raises:
        Unusable: the file is no such table; names the row.
    """
    table = _read(file, _Table)
    agent = AgentRecord(
        AgentId(""),
        "",
        ChainType.SOLANA,
        table.network,
        _ADDRESS,
        AgentStatus.ACTIVE,
        0,
        suspended_at=None,
        suspension_reason=None,
    )
    network = agent.lives_on
    terms = Terms(
        *network,
        tuple(_records(table.policies, agent.id, network)),
        None if table.constraints is None else _constraints(table.constraints, network),
        table.default_delay_seconds,
        table.default_approval_seconds,
    )
    if not table.rows:
        raise Unusable("rows: there are none")
    return [_judge_row(number, row, terms, agent) for number, row in enumerate(table.rows)]


def _constraints(members: dict[str, Any], network: Network) -> str:
    try:
        written = write_constraints(json.dumps(members))
        written.require_on(network)
    except RuleRefused as refused:
        raise Unusable(str(refused)) from refused
    return written.text


def _judge_row(number: int, row: _Row, terms: Terms, agent: AgentRecord) -> dict[str, Any]:
    expected = msgspec.to_builtins(row.expect)
    if not expected:
        raise Unusable(f"rows[{number}]: expect says nothing")
    try:
        now_s = read_time(row.at)
        request = asyncio.run(request_of(read_message(row.request), agent=agent, chain=None))
        usage = _usage(row, request, agent.lives_on, now_s)
    except (Refusal, RuleRefused, ValueError) as error:
        raise Unusable(f"rows[{number}]: {error}") from error
    verdict = judge_again(request, terms, usage, now_s=now_s)
    found = _found(Explained(verdict, refusal_of(verdict, None), now_s))
    seen = {name: found[name] for name in expected}
    return {
        "row": number,
        "name": row.name,
        "expected": expected,
        "found": seen if seen == expected else found,
        "ok": seen == expected,
    }


def _found(explained: Explained) -> dict[str, Any]:
    """Return what a row can expect, of a verdict as it is shown to everybody."""
    shown = rendered(explained)
    details = {} if shown.denial is None else shown.denial.details
    return {
        "tier": shown.tier,
        "waitSeconds": shown.wait_seconds,
        "code": None if shown.denial is None else shown.denial.code,
        "rent": _rent(explained.verdict),
        **{name: details.get(name) for name in ("rule", "bound", "maxAllowed", "retryAt")},
    }


def _rent(verdict: Verdict | None) -> str | None:
    """Return whether rent is set aside; None: it is denied, or pays to nobody who might need it."""
    if not isinstance(verdict, Allow) or verdict.rent is None:
        return None
    return "set_aside" if verdict.rent.base_units else "none"


def _usage(row: _Row, request: Request, network: Network, now_s: int) -> RecordedUsage:
    spent: dict[str, Spent] = {}
    answers = Answers(session=SessionUse(row.session.transactions, _amount(row.session.amount)))
    used = _by_asset(row.usage, network)
    for asset in dict.fromkeys([*used, *leaving_assets(request)]):
        spending = used.get(asset, _Spending())
        going_out, waiting = _amount(spending.going_out), _amount(spending.waiting)
        answers.in_flight[asset] = InFlight(going_out, waiting)
        moved = sorted(
            (now_s - _ago(each.seconds_ago), _amount(each.amount)) for each in spending.moved
        )
        sums = [*accumulate(amount for _, amount in moved)]
        spent[asset] = Spent([(at, total) for (at, _), total in zip(moved, sums, strict=True)])
        answers.spent_after[asset] = {EVER_S: sums[-1] if sums else 0}
    admissions = sorted(now_s - _ago(each) for each in row.admitted)
    return RecordedUsage(answers, now_s=now_s, history=History(spent, admissions))


def _by_asset(usage: dict[str, _Spending], network: Network) -> dict[str, _Spending]:
    """Return *usage* by the assets' own names; each is written as in a rule of an agent."""
    used: dict[str, _Spending] = {}
    written = Document({text: text for text in usage}, is_global=False, path="usage")
    for text, spending in usage.items():
        asset = written.asset(text)
        if not asset.is_on(network):
            raise written.refuse(text, f"is an asset of another network than {network.network}")
        if asset.name in used:
            raise written.refuse(text, "is named twice")
        used[asset.name] = spending
    return used


def _amount(text: str) -> int:
    return 0 if text == "0" else amount_of(text)


def _ago(seconds: int) -> int:
    if seconds < 0:
        raise ValueError("what happened before is so many seconds ago, not in the future")
    return seconds


# ── what was decided before ────────────────────────────────────────────────────────────────────


def backtest_rules(
    directory: Path, *, new: Path | None, since: str, agent_id: str | None
) -> dict[str, Any]:
    """Judge the decisions since then by the rules in a file, or again as they were decided.

    Returns:
        What is shown: every denial that becomes allowed first.

    Raises:
        Unusable: the file or an option is wrong.
        DaemonError: the ledger cannot be read.
    """
    try:
        since_s = read_time(since)
    except ValueError as error:
        raise Unusable(f"--since: {error}") from error
    if agent_id is not None and not is_id(agent_id):
        raise Unusable("--agent is no id")
    owner = None if agent_id is None else AgentId(agent_id)
    written = None
    if new is not None:
        with _named(new):
            written = _read(new, list[_Rule])
    require_initialised(directory)
    try:
        with audit_snapshot(directory / LEDGER_NAME) as connection:
            network = None if owner is None else _network_of(connection, owner)
            rules = None
            if new is not None and written is not None:
                with _named(new):
                    rules = NewRules(tuple(_records(written, owner, network)), owner)
            report = run_backtest(connection, new=rules, since_s=since_s, agent_id=owner)
    except DatabaseError as error:
        raise DaemonError(str(error)) from error
    return _shown(report, rules)


def _network_of(connection: DatabaseConnection, agent_id: AgentId) -> Network:
    agent = Agents(connection.db.execute).get(agent_id)
    if agent is None:
        raise Unusable("--agent: there is no agent with this id")
    return agent.lives_on


def run_backtest(
    connection: DatabaseConnection, *, new: NewRules | None, since_s: int, agent_id: AgentId | None
) -> Report:
    """Judge again what was decided at or after *since_s*, for one agent or for all, on a snapshot.

    Raises:
        DatabaseError: the file cannot be read.
    """
    spent: dict[AgentId, dict[str, Spent]] = {}
    admissions: dict[AgentId, list[int]] = {}
    if new is not None:
        back_s = since_s - WINDOW_S_MAX
        for (agent, asset), totals in read_totals(connection, since_s=back_s).items():
            found = Spent(totals.by_second, before=totals.before)
            spent.setdefault(AgentId(agent), {})[asset] = found
        for agent, seconds in read_admissions(connection, since_s=back_s, until_s=since_s).items():
            admissions[AgentId(agent)] = seconds
    return backtest(
        (
            (decision, text)
            for decision, text in read_decisions(connection, since_s=since_s)
            if agent_id in {None, decision.agent_id}
        ),
        document_of=Decisions(connection.db.execute).terms,
        spent=spent,
        admissions=admissions,
        new=new,
    )


def _shown(report: Report, new: NewRules | None) -> dict[str, Any]:
    return {
        "newlyAllowed": [_change(each) for each in report.newly_allowed],
        "newlyDenied": [_change(each) for each in report.newly_denied],
        "rentNewlyGranted": [_rent_change(each) for each in report.rent_newly_granted],
        "rentNoLongerGranted": [_rent_change(each) for each in report.rent_no_longer_granted],
        "decisions": report.decisions,
        "replaced": _replaced(new),
        "tiers": [
            {"before": before, "after": after, "decisions": count}
            for (before, after), count in sorted(report.tiers.items())
        ],
        "approvalsByDay": [
            {"day": day, "before": pair.before, "after": pair.after}
            for day, pair in sorted(report.approvals_by_day.items())
        ],
        "letThrough": [
            {"asset": asset, "before": str(pair.before), "after": str(pair.after)}
            for asset, pair in sorted(report.let_through.items())
        ],
        "unknown": [
            {"transactionId": tx_id, "notRecorded": what} for tx_id, what in report.unknown.items()
        ],
        "different": list(report.different),
        "notKnown": list(NOT_KNOWN),
    }


def _replaced(new: NewRules | None) -> str:
    if new is None:
        return "nothing: replayed as decided"
    return "the global rules" if new.agent_id is None else f"the own rules of {new.agent_id}"


def _change(change: Change) -> dict[str, Any]:
    return {
        "transactionId": change.tx_id,
        "agentId": change.agent_id,
        "at": change.decided_at,
        "before": change.before,
        "after": change.after,
        "codes": list(change.codes),
        "request": json.loads(change.request),
    }


def _rent_change(change: RentChange) -> dict[str, Any]:
    return {
        "transactionId": change.tx_id,
        "agentId": change.agent_id,
        "at": change.decided_at,
        "before": str(change.before),
        "after": str(change.after),
        "objection": change.objection,
        "request": json.loads(change.request),
    }


# ── files and options ──────────────────────────────────────────────────────────────────────────


def read_time(written: str | int) -> int:
    """Return the second that is written in Unix seconds, or as a date or time of ISO 8601 (UTC).

    Raises:
        ValueError: it is neither, or before 1970.
    """
    try:
        if isinstance(written, int) or _DIGITS.fullmatch(written):
            second = int(written)
        else:
            moment = datetime.fromisoformat(written)
            second = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        datetime.fromtimestamp(second, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(
            "a time is written as 2026-01-31, 2026-01-31T12:00:00Z or Unix seconds"
        ) from error
    if second < 0:
        raise ValueError("a time is written in seconds since 1970, not before")
    return second


def _read(file: Path, kind: Any) -> Any:  # noqa: ANN401 -- whatever is asked for
    """Read a file of JSON or TOML as *kind*; unknown and repeated members are refused."""
    try:
        if file.suffix == ".toml":
            written = tomllib.loads(read_text(file, bytes_max=JSON_BYTES_MAX))
        else:
            written = read_json(file)
        return msgspec.convert(written, kind)
    except OSError as error:
        raise Unusable(error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise Unusable(sentence(error)) from error


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say of which file it is that something cannot be used."""
    try:
        yield
    except Unusable as error:
        raise Unusable(f"{file}: {error}") from error


def _records(
    rules: list[_Rule], agent_id: AgentId | None, network: Network | None
) -> list[PolicyRecord]:
    """Return the enabled rules as they would be stored, of an agent on *network* or of everyone.

    Raises:
        Unusable: one could not be set; says which and why.
    """
    if len(rules) > POLICIES_MAX:
        raise Unusable(f"policies: there are {len(rules)}, and {POLICIES_MAX} is the most")
    records = []
    for number, rule in enumerate(rules):
        text = json.dumps(rule.rules, sort_keys=True)
        try:
            parsed = parse_rules(rule.type, text, is_global=network is None, is_new=True)
            if network is not None:
                require_own_network(parsed, network)
        except RuleRefused as refused:
            raise Unusable(f"policies[{number}]: {refused}") from refused
        policy_id = PolicyId(f"new-{number:03}")
        records.append(
            PolicyRecord(
                policy_id, agent_id, rule.type, text, rule.priority, int(rule.enabled), 0, 0
            )
        )
    return [each for each in records if each.enabled]
