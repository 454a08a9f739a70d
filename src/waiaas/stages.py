"""A start in stages: each has a name, a deadline and one line in the log.

A stage that fails is named with what went wrong. One that takes too long ends the process: most of
them wait in C, for a disk or a key derivation, where no exception gets in. So a timer's thread says
which stage it was and ends everything at once, which is no worse than `kill -9`; the next start
finds what that leaves.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from waiaas.ports import Clock

log = structlog.get_logger()


class Stage(StrEnum):
    """In the order in which a start passes them."""

    DIRECTORY = "directory"
    LEDGER = "ledger"
    CLOCK = "clock"
    KEYSTORE = "keystore"
    LISTENER = "listener"
    LOCALNET = "localnet"
    CHAINS = "chains"
    RECORD = "record"
    UNFINISHED = "unfinished"
    ROUTES = "routes"
    SERVING = "serving"


class Plan(NamedTuple):
    """What is expected of a stage."""

    deadline_s: int
    """On a machine that is a hundred times slower than one with nothing else to do."""
    does: str
    remedy: str
    """For whoever is told that it takes too long."""


_DISK: Final = "See whether the disk of the data directory answers, and start again."
_LOAD: Final = "See what else this machine is doing, and start again."

STAGES: Final[Mapping[Stage, Plan]] = {
    Stage.DIRECTORY: Plan(60, "lock the data directory, and end a restore that was cut off", _DISK),
    Stage.LEDGER: Plan(60, "check, open and upgrade the ledger", _DISK),
    Stage.CLOCK: Plan(20, "compare the clock with what the ledger knows of time", _DISK),
    Stage.KEYSTORE: Plan(60, "derive the key from the password and open the keystore", _LOAD),
    Stage.LISTENER: Plan(5, "take the port and the Unix socket", _LOAD),
    Stage.LOCALNET: Plan(60, "find or start the local network", _LOAD),
    Stage.CHAINS: Plan(20, "prepare the chains' clients, and ask for their time", _LOAD),
    Stage.RECORD: Plan(20, "record the start", _DISK),
    Stage.UNFINISHED: Plan(120, "classify what is unfinished", _DISK),
    Stage.ROUTES: Plan(20, "ask every route whether it is there and guarded", _LOAD),
    Stage.SERVING: Plan(20, "begin to answer", _LOAD),
}

LEDGER_BYTES_PER_S: Final = 5_000_000
"""What checking and upgrading a ledger manages at the least; its deadline grows with its size."""


class Start:
    """One start; `stage` is entered for each of its stages, in their order."""

    def __init__(
        self,
        clock: Clock,
        *,
        end: Callable[[str], object],
        plans: Mapping[Stage, Plan] = STAGES,
    ) -> None:
        """Begin.

        Args:
            clock: measures how long each stage takes.
            end: ends the process at once, saying why; called on another thread.
            plans: the deadlines.
        """
        self._clock = clock
        self._end = end
        self._plans = plans
        self._begun_s = clock.monotonic_s()
        self._last: Stage | None = None
        self.failed: Stage | None = None
        """The stage that an exception left, if one did."""

    @contextmanager
    def stage(self, stage: Stage, *, more_s: int = 0) -> Iterator[None]:
        """Do what belongs to *stage* in the block.

        Args:
            stage: one that comes later than those before; a localnet need not be wanted.
            more_s: what is added to its deadline, for work that grows.
        """
        order = list(Stage)
        assert self._last is None or order.index(stage) > order.index(self._last), "in their order"
        self._last = stage
        begun_s = self._clock.monotonic_s()
        deadline_s = self._plans[stage].deadline_s + more_s
        timer = threading.Timer(deadline_s, lambda: self._end(self._overdue(stage, deadline_s)))
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException:
            self.failed = stage
            raise
        finally:
            timer.cancel()
        log.info("stage done", stage=stage, ms=round(1000 * (self._clock.monotonic_s() - begun_s)))

    def since_s(self) -> float:
        """Return how long the start has taken up to now."""
        return self._clock.monotonic_s() - self._begun_s

    def told(self, problem: str) -> str:
        """Return *problem* with the stage that it kept from being done, if it was one."""
        return problem if self.failed is None else f"cannot start, at {self.failed}: {problem}"

    def _overdue(self, stage: Stage, deadline_s: float) -> str:
        plan = self._plans[stage]
        return (
            f"cannot start, at {stage}: to {plan.does} took longer than {deadline_s:g} s."
            f" {plan.remedy}"
        )
