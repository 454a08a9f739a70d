"""How a daemon's life ends: asked for, or because a part of it failed; never by hanging."""

import asyncio
import json
import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

from waiaas.daemon import _report_step
from waiaas.database.errors import LedgerFull
from waiaas.domain.ids import TransactionId
from waiaas.keystore.errors import DamagedKeystore
from waiaas.life import Life
from waiaas.logs import log_to_stderr
from waiaas.pipeline.advance import Step


def test_a_part_that_fails_ends_the_daemon_and_is_told_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    life = Life()

    async def fail() -> None:
        raise RuntimeError("the worker stumbled")

    asyncio.run(life.last(fail))

    assert isinstance(life.failure, RuntimeError)
    assert life.server.should_exit
    logged = json.loads(capfd.readouterr().err)
    assert logged["level"] == "critical"
    assert "the worker stumbled" in logged["exception"]


def test_a_changed_key_file_and_a_full_disk_are_told_in_one_line_with_their_remedy(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr()
    tx_id = TransactionId("0198c0de-0000-7000-8000-00000000000a")
    damaged = DamagedKeystore(Path("/k/a.json"), problem="it was changed")
    for error in (damaged, LedgerFull(), KeyError("x")):
        future: Future[None] = Future()
        future.set_exception(error)
        with pytest.raises(type(error)) as raised:
            future.result()  # So that it has a traceback, as the worker's have.
        _report_step(tx_id, Step.SIGN, raised.value)
    told, full, unexpected = map(json.loads, capfd.readouterr().err.splitlines())
    assert told["reason"] == (
        "/k/a.json is damaged: it was changed."
        " Restore this file from a backup (docs/backups.md: One file); never edit it."
    )
    assert (told["level"], told["tx_id"], told["step"]) == ("error", tx_id, Step.SIGN)
    assert "free some space" in full["reason"]
    assert "exception" not in told | full
    assert "Traceback" in unexpected["exception"]  # The control: of what nobody expected, all.


def test_a_part_that_is_cancelled_has_not_failed() -> None:
    life = Life()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(life.last(asyncio.Event().wait))
            group.create_task(asyncio.to_thread(lambda: None))
            working.cancel()

    asyncio.run(main())
    assert life.failure is None
    assert not life.server.should_exit


def test_the_network_ends_on_request_or_with_the_start_that_began_it() -> None:
    life = Life()
    seen = [life.ends_localnet]  # It was there before.
    life.has_new_localnet = True
    seen.append(life.ends_localnet)  # Nobody was told of it.
    life.begin()
    seen.append(life.ends_localnet)
    life.end_by_client()
    seen.append(life.ends_localnet)
    assert seen == [False, True, False, True]


def test_signals_ask_for_the_end_and_their_handlers_go_with_it() -> None:
    life = Life()
    before = signal.getsignal(signal.SIGTERM)
    with life.ended_by_signals():
        seen = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
            seen.append((life.server.should_exit, life.server.force_exit))
    # The second one waits for no connection.
    assert seen == [(True, False), (True, True)]
    assert signal.getsignal(signal.SIGTERM) is before
