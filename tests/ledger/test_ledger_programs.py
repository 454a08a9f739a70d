"""Random programs against a plain model: exactly the acknowledged units are in the file."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waiaas.database import Ledger, open_ledger
from waiaas.database.errors import ConstraintViolated, DatabaseError, RolledBack, ValueRefused
from waiaas.ports import LedgerTransaction

InOneGroup = Callable[..., list[Any]]

BOMB = """CREATE TEMP TRIGGER bomb BEFORE INSERT ON key_value_store WHEN NEW.key = 'bomb'
BEGIN SELECT RAISE(ROLLBACK, 'the bomb went off'); END"""

KEYS = ("a", "b", "c", "d")


class Refused(Exception):  # noqa: N818 -- says what happened
    """What a unit of these programs raises when it changes its mind."""


@dataclass(frozen=True)
class Put:
    """Write a key."""

    key: str
    value: str


@dataclass(frozen=True)
class PutRefused:
    """Write what the ledger refuses, and swallow the refusal or not."""

    swallowed: bool


@dataclass(frozen=True)
class Bomb:
    """Make SQLite end the transaction, and swallow the error or not."""

    swallowed: bool


@dataclass(frozen=True)
class Raise:
    """Give up."""


Act = Put | PutRefused | Bomb | Raise
Unit = tuple[Act, ...]

acts = st.one_of(
    st.builds(Put, st.sampled_from(KEYS), st.text("xyz", max_size=3)),
    st.builds(Put, st.sampled_from(KEYS), st.text("xyz", max_size=3)),
    st.builds(PutRefused, st.booleans()),
    st.builds(Raise),
)
units = st.lists(acts, max_size=4).map(tuple)
bombs = st.booleans().map(lambda swallowed: (Put("a", "before the bomb"), Bomb(swallowed)))
followed_bombs = st.tuples(bombs, units).map(lambda pair: pair[0] + pair[1])
peaceful = st.lists(st.lists(units, max_size=5), max_size=4)
explosive = st.lists(st.lists(st.one_of(units, units, followed_bombs), max_size=5), max_size=4)


def perform(act: Act, tx: LedgerTransaction) -> None:
    match act:
        case Put(key, value):
            tx.key_values.put(key, value, now_s=1)
        case PutRefused(swallowed):
            with suppress(*([ValueRefused] if swallowed else [])):
                tx.key_values.put("never", 5, now_s=1)  # type: ignore[arg-type]  # -- refused, that is the point
        case Bomb(swallowed):
            with suppress(*([ConstraintViolated] if swallowed else [])):
                tx.key_values.put("bomb", "", now_s=1)
        case Raise():
            raise Refused


def function(unit: Unit) -> Callable[[LedgerTransaction], Unit]:
    def run(tx: LedgerTransaction) -> Unit:
        for act in unit:
            perform(act, tx)
        return unit

    return run


def swallow_everything(unit: Unit) -> Callable[[LedgerTransaction], Unit]:
    def run(tx: LedgerTransaction) -> Unit:
        for act in unit:
            with suppress(DatabaseError, Refused):
                perform(act, tx)
        return unit

    return run


def applied(stored: dict[str, str], unit: Unit) -> dict[str, str]:
    return stored | {act.key: act.value for act in unit if isinstance(act, Put)}


def is_refused(unit: Unit) -> bool:
    """Tell what the model expects of a unit without a bomb."""
    return any(act == Raise() or act == PutRefused(swallowed=False) for act in unit)


def contents(directory: Path) -> dict[str, str]:
    with open_ledger(directory) as ledger:
        found = ledger.read(lambda tx: {key: tx.key_values.get(key) for key in (*KEYS, "never")})
        assert ledger.read(lambda tx: tx.key_values.get("bomb")) is None
    return {key: value for key, value in found.items() if value is not None}


def run(
    program: list[list[Unit]],
    in_one_group: InOneGroup,
    wrap: Callable[[Unit], Callable[[LedgerTransaction], Unit]],
) -> tuple[list[tuple[Unit, object]], dict[str, str]]:
    """Run a program; return what came of each unit, and what a later ledger finds."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with open_ledger(directory) as ledger:
            ledger._writer._sqlite.execute(BOMB)
            outcomes = _outcomes(program, in_one_group, ledger, wrap)
        return outcomes, contents(directory)


def _outcomes(
    program: list[list[Unit]],
    in_one_group: InOneGroup,
    ledger: Ledger,
    wrap: Callable[[Unit], Callable[[LedgerTransaction], Unit]],
) -> list[tuple[Unit, object]]:
    found: list[tuple[Unit, object]] = []
    for group in program:
        outcomes = in_one_group(ledger, *map(wrap, group))
        found += zip(group, outcomes, strict=True)
    return found


programs = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@programs
@given(program=peaceful)
def test_exactly_the_units_that_refused_nothing_are_acknowledged_and_stored(
    in_one_group: InOneGroup, program: list[list[Unit]]
) -> None:
    outcomes, stored = run(program, in_one_group, function)
    expected: dict[str, str] = {}
    for unit, outcome in outcomes:
        if is_refused(unit):
            assert isinstance(outcome, Refused | ValueRefused)
        else:
            assert outcome == unit
            expected = applied(expected, unit)
    assert stored == expected


@programs
@given(program=explosive)
def test_whatever_sqlite_rolls_back_exactly_the_acknowledged_units_are_stored(
    in_one_group: InOneGroup, program: list[list[Unit]]
) -> None:
    outcomes, stored = run(program, in_one_group, function)
    expected: dict[str, str] = {}
    for unit, outcome in outcomes:
        if outcome == unit:
            assert not any(isinstance(act, Bomb) for act in unit)
            expected = applied(expected, unit)
        else:
            assert isinstance(outcome, Refused | ValueRefused | ConstraintViolated | RolledBack)
    assert stored == expected


@programs
@given(program=explosive)
def test_a_unit_that_swallows_every_error_is_acknowledged_only_if_it_is_stored(
    in_one_group: InOneGroup, program: list[list[Unit]]
) -> None:
    outcomes, stored = run(program, in_one_group, swallow_everything)
    expected: dict[str, str] = {}
    for unit, outcome in outcomes:
        if isinstance(outcome, RolledBack):
            continue
        assert outcome == unit
        assert not any(isinstance(act, Bomb) for act in unit)
        expected = applied(expected, unit)
    assert stored == expected
