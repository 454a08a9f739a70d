"""Brings up victims and kills them: one order a line on stdin, one account a line on stdout.

It has one thread, has imported everything and opens no database, so that a victim can be forked
from it in milliseconds without inheriting a lock. It reads what the victim reports, kills it
where the order says, and goes on reading: what was reported before the end counts, read or not.
"""

import json
import os
import select
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from tests.crash.victims import RECORD_BYTES, VICTIMS, Report, reported

from waiaas.database.statements import DEFINED

HANG_S: Final = 50
"""Seconds after which a victim that neither ends nor is killed is ended by an alarm."""

_READ_BYTES: Final = 65_536


class Kill(NamedTuple):
    """Where to kill: so many looks at the pipe behind the *nth* report of *event*.

    Looking again and again is a delay that needs no clock; `limit` is the event at which the
    victim is killed however few the looks were.
    """

    event: str
    nth: int = 1
    looks: int = 0
    limit: str | None = None


def warm_up() -> None:
    for statement in DEFINED:
        _ = statement.compiled


def bring_up(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a victim, watch it to its end, and tell: its reports, looks at it, and how it ended."""
    assert threading.active_count() == 1
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_victim(order, Report(writing))
    os.close(writing)
    watch = _Watch(reading, pid, None if order["kill"] is None else Kill(*order["kill"]))
    watch.go_on_to_the_end()
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    ended = os.waitstatus_to_exitcode(status)
    return {"reports": watch.reports, "looks": watch.looks, "status": ended}


def _be_victim(order: dict[str, Any], report: Report) -> NoReturn:
    status = 1
    try:
        signal.alarm(HANG_S)
        threading.excepthook = _end_with_the_thread
        VICTIMS[order["victim"]](Path(order["directory"]), report, **order["options"])
        status = 0
    except BaseException:  # noqa: BLE001 -- the nursery's code must not go on in its child
        traceback.print_exc()
    finally:
        os._exit(status)


def _end_with_the_thread(args: threading.ExceptHookArgs) -> NoReturn:
    """End the victim whose caller failed; its other threads would hide it."""
    traceback.print_exception(args.exc_value)
    os._exit(1)


class _Watch:
    """Reads what one victim reports, and kills it."""

    def __init__(self, descriptor: int, pid: int, kill: Kill | None) -> None:
        self._descriptor = descriptor
        self._pid = pid
        self._kill = kill
        self._count = 0
        self._rest = b""
        self.reports: list[tuple[str, str]] = []
        self.looks = 0
        """How often it was looked whether there is more, behind the event of the kill."""

    def go_on_to_the_end(self) -> None:
        """Return when the victim is gone and all that it reported is read."""
        while True:
            kill = self._kill
            if kill is not None and self._count >= kill.nth:
                if self.looks == kill.looks:
                    self._kill_now()
                else:
                    self.looks += 1
                    if not select.select([self._descriptor], [], [], 0)[0]:
                        continue
            chunk = os.read(self._descriptor, _READ_BYTES)
            if not chunk:
                return
            self._take(self._rest + chunk)

    def _take(self, data: bytes) -> None:
        whole = len(data) - len(data) % RECORD_BYTES
        self._rest = data[whole:]
        for start in range(0, whole, RECORD_BYTES):
            event, unit_id = reported(data[start : start + RECORD_BYTES])
            self.reports.append((event, unit_id))
            if self._kill is not None:
                self._count += event == self._kill.event
                if event == self._kill.limit:
                    self._kill_now()

    def _kill_now(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._kill = None


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(bring_up(json.loads(line))) + "\n")
        sys.stdout.flush()
