"""The demo compares the ledger with the chain, and a chain that disagrees fails it."""

import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from waiaas.cli import demo
from waiaas.offline import LedgerContents

FEE = 5001
HASHES = ["A" * 88, "B" * 88]
PAID = demo.SMALL + demo.LARGE
RIGHT = (PAID, demo.FUNDING - PAID - FEE, FEE)


class Table(NamedTuple):
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


TRANSACTIONS = Table(
    ("status", "tx_hash", "amount"),
    [
        ("CONFIRMED", HASHES[0], str(demo.SMALL)),
        ("CANCELLED", None, str(demo.MEDIUM)),
        ("CONFIRMED", HASHES[1], str(demo.LARGE)),
        ("CANCELLED", None, str(demo.TOO_MUCH)),
    ],
)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The demo sets them for the process it expects to be."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: tuple[int, int, int]) -> None:
    """Run the demo's last act on a chain that gives this answer."""

    async def ask_chain(*_: str) -> tuple[int, int, int]:
        return answer

    def last_act(_: Path) -> None:
        contents: LedgerContents = {"transactions": TRANSACTIONS}  # type: ignore[dict-item]  # -- shaped like one
        demo._compare(contents, "url", "agent", "recipient", HASHES)

    monkeypatch.setattr(demo, "_ask_chain", ask_chain)
    monkeypatch.setattr(demo, "_tell", last_act)
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: str(tmp_path / "demo"))
    demo.first_payment()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (RIGHT, ""),
        ((PAID - 1, *RIGHT[1:]), "the recipient's balance is 509999999, not 510000000"),
        ((0, *RIGHT[1:]), "the recipient's balance is 0"),
        ((RIGHT[0], RIGHT[1] + 1, FEE), "the agent's balance is"),
        ((RIGHT[0], demo.FUNDING - PAID, 0), "the fees were 0 lamports"),
        (
            (RIGHT[0], demo.FUNDING - PAID - demo.FEES_MAX - 1, demo.FEES_MAX + 1),
            "the fees were 20001 lamports",
        ),
    ],
)
def test_a_balance_that_is_not_as_said_fails_the_demo(
    answer: tuple[int, int, int],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) if told else nullcontext() as ended:
        run(monkeypatch, tmp_path, answer)
    if told:
        assert ended is not None
        assert ended.value.exit_code == 1
    assert told in capsys.readouterr().err


def test_its_last_words_work_whether_or_not_the_shell_finds_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    program = folder / "waiaas"
    program.touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    first, *commands = demo._first_commands(folder)
    assert first == f". '{folder}/activate'"
    monkeypatch.setenv("PATH", str(folder))
    assert list(demo._first_commands(folder)) == commands
    assert commands[0] == "waiaas init"
