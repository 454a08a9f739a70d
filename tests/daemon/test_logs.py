"""The log: JSON or a readable line, no secret in either, and the request in all that it caused."""

import asyncio
import contextlib
import json
import logging
import os
import pty
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from waiaas.logs import LogLevel, Stream, for_people, log_to_stderr, logged, withhold

SESSION = "wai_sess_" + "aB3-_" * 8 + "xyz"
COOKIE = "wai_op_" + "C" * 43
PASSWORD = "canary horse battery"
KEYPAIR = [*range(64)]

CANARIES = {
    "a token as a value": {"token": SESSION},
    "a cookie in a sentence": {"reason": f"the header `Bearer {COOKIE}` was refused"},
    "two tokens in a traceback": {"exception": f"Traceback\n  x = '{SESSION}'\n{COOKIE}"},
    "a member": {"password": PASSWORD},
    "a member of a member": {"body": {"mode": "password", "new_password": PASSWORD}},
    "a member in a list": {"bodies": [{"Passphrase": PASSWORD}]},
    "JSON in a sentence": {"reason": f'it was {{"password": "{PASSWORD}", "x": 1}}'},
    "the repr of a message": {"reason": f"Login(password='{PASSWORD}')"},
    "the repr of an object": {"message": type("M", (), {"__repr__": lambda _: SESSION})()},
    "a key in a sentence": {"reason": f"the file holds {KEYPAIR}"},
    "a key": {"content": KEYPAIR},
    "a key as bytes": {"content": SESSION.encode()},
    "an unquoted one": {"reason": "mnemonic=canary"},
}


def lines(captured: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.splitlines()]


def leaks(text: str) -> bool:
    parts = [SESSION[9:], COOKIE[7:], "canary", str(KEYPAIR)[1:-1]]
    return any(part in text for part in parts)


@pytest.mark.parametrize("facts", CANARIES.values(), ids=CANARIES)
def test_what_looks_like_a_secret_is_withheld_from_programs_and_people(
    facts: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    structlog.get_logger().error("it happened", **facts)
    told = capfd.readouterr().err
    assert "[withheld]" in told
    assert not leaks(told)
    event = {"event": "it happened", "level": "error", "timestamp": "2026-01-01T00:00:00Z"}
    assert not leaks(for_people(None, "", withhold(None, "", {**event, **facts})))


@pytest.mark.parametrize("facts", CANARIES.values(), ids=CANARIES)
def test_control_without_the_net_each_would_be_in_the_log(facts: dict[str, Any]) -> None:
    assert leaks(json.dumps({"event": "it happened", **facts}, default=repr))


def test_what_is_no_secret_is_told_as_it_is() -> None:
    facts = {
        "event": "the password is wrong",
        "tx_hash": "5" * 88,
        "reason": "port 3100 of 127.0.0.1 cannot be used",
        "count": 7,
        "nothing": None,
        "networks": ["devnet"],
        "token_mint": "So11111111111111111111111111111111111111112",
    }
    assert withhold(None, "", facts) == facts


def test_nothing_below_the_level_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    for level in LogLevel:
        log_to_stderr(level)
        log = structlog.get_logger()
        for write in (log.debug, log.info, log.warning, log.error, log.critical):
            write("x")
    counts = [5, 4, 3, 2]
    assert len(capfd.readouterr().err.splitlines()) == sum(counts)
    log_to_stderr()


def test_what_ends_the_daemon_is_in_a_log_for_programs_too(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr(LogLevel.ERROR)
    assert logged("cannot start, at keystore: no") == "cannot start, at keystore: no"
    line = json.loads(capfd.readouterr().err)
    assert (line["level"], line["reason"]) == ("critical", "cannot start, at keystore: no")
    log_to_stderr()


def test_a_terminal_shows_lines_that_cannot_steer_it() -> None:
    ours, theirs = pty.openpty()
    before = os.dup(2)
    try:
        os.dup2(theirs, 2)
        log_to_stderr()
        structlog.get_logger().info("stage done", stage="ledger", ms=12)
        structlog.get_logger().error("node", reason="\x1b[2J\rgone")
        shown = ""
        while shown.count("\n") < 2:
            shown += os.read(ours, 4096).decode()
    finally:
        os.dup2(before, 2)
        for descriptor in (ours, theirs, before):
            os.close(descriptor)
        log_to_stderr()
    first, second = shown.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d stage done stage=ledger ms=12", first)
    assert second.endswith(r"ERROR: node reason=\x1b[2J\rgone")


def test_what_is_done_for_a_request_bears_its_id_and_nothing_after_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    log = structlog.get_logger()

    async def main() -> None:
        with bound_contextvars(request_id="r"):
            await asyncio.to_thread(log.info, "in a thread")
        log.info("after")

    asyncio.run(main())
    assert [line.get("request_id") for line in lines(capfd.readouterr().err)] == ["r", None]


@pytest.fixture(params=["a full pipe", "a terminal that Ctrl-S stopped"])
def stalled(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Yield a reading end and a writing end that takes nothing until `let_go`."""
    if request.param == "a full pipe":
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(theirs, b"x" * 4096)
        os.set_blocking(theirs, True)
    else:
        ours, theirs = pty.openpty()
        os.write(ours, b"\x13")
    yield ours, theirs
    for descriptor in (ours, theirs):
        os.close(descriptor)


def let_go(ours: int) -> None:
    """Have the reader read again."""
    if os.isatty(ours):
        os.write(ours, b"\x11")
    else:
        os.read(ours, 2**20)


def test_a_reader_that_stalls_stops_nobody_and_is_told_what_it_missed(
    stalled: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = stalled
    log_to_stderr()
    stream = Stream(theirs)
    for number in range(3):
        stream.msg(f"lost {number}")
    let_go(ours)
    stream.msg("seen")
    assert os.read(ours, 2**20).replace(b"\r\n", b"\n") == b"seen\n"
    (told,) = lines(capfd.readouterr().err)
    assert (told["event"], told["lines"]) == ("log lines were lost: nobody read them", 3)


def test_control_a_plain_write_waits_for_a_reader_that_stalls(stalled: tuple[int, int]) -> None:
    ours, theirs = stalled
    writing = threading.Thread(target=os.write, args=(theirs, b"seen\n"))
    writing.start()
    writing.join(0.1)
    assert writing.is_alive()
    let_go(ours)
    writing.join()


def test_a_line_that_was_cut_ends_before_the_next_begins() -> None:
    ours, theirs = os.pipe()
    stream = Stream(theirs)
    stream.msg("x" * 2**20)
    cut = os.read(ours, 2**20)
    stream.msg("whole")
    assert set(cut) == {ord("x")}
    assert os.read(ours, 2**20) == b"\nwhole\n"
    for descriptor in (ours, theirs):
        os.close(descriptor)


def test_what_libraries_log_is_in_the_same_form(capfd: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()
    logging.getLogger("asyncio").error("a task %s", "failed")
    logging.getLogger("asyncio").info("of no interest")
    (told,) = lines(capfd.readouterr().err)
    assert (told["event"], told["level"], told["logger"]) == ("a task failed", "error", "asyncio")
