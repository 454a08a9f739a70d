"""How the daemon's life ends: asked for by a signal or a client, or because a part of it failed."""

import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Final

import structlog

from waiaas.api.server import Server, server_config

log = structlog.get_logger()


class Life:
    """Who asked for the end, or what went wrong; the server is how it is ended."""

    def __init__(self) -> None:
        self.server: Final = Server(server_config())
        self.has_new_localnet = False
        self._was_ready = False
        self._was_ended_by_client = False
        self.failure: Exception | None = None

    @property
    def ends_localnet(self) -> bool:
        """Whether the local network ends too: on request, or if it was for a start that failed.

        It outlives signals as it outlives a crash: the next start finds the chain where it was.
        """
        return self._was_ended_by_client or (self.has_new_localnet and not self._was_ready)

    def begin(self) -> None:
        self._was_ready = True

    def end_by_client(self) -> None:
        self._was_ended_by_client = True
        self.server.should_exit = True

    async def last(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do *work*; if it fails the daemon ends, cleanly and saying so, and does not hang."""
        try:
            await work()
        except Exception as error:
            log.critical("the daemon cannot go on", exc_info=error)
            self.end_by_failure(error)

    def end_by_failure(self, error: Exception) -> None:
        self.failure = error
        self.server.should_exit = True

    @contextlib.contextmanager
    def ended_by_signals(self) -> Iterator[None]:
        """Let signals do no more than ask for the end, from the first stage to the last.

        So none of them cuts a stage in two; the second one waits for no connection any more.
        """
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As `nohup` sets it.
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._end_by_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_by_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.server.force_exit = self.server.should_exit
        self.server.should_exit = True
