"""The ways in which a node may disappoint, as values that a test installs.

A fault has two halves that combine freely: what happens to the request, and what the caller hears.
*It was executed, but the answer was an error* is `Fault(reply=Reply.ERROR)`; *it was refused* is
the same with `executes=False`; *it was accepted and never seen again* is `Fault(drops=True)`.
"""

import threading
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import msgspec

from waiaas.chains.localnet.network import LAG_BLOCKS_MAX

SENDING_METHODS: Final = frozenset({"sendTransaction", "requestAirdrop"})

FAULTS_MAX: Final = 100

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Reply(StrEnum):
    """What the caller hears."""

    HONEST = "honest"
    ERROR = "error"
    """An error object with the fault's `code` and `message`, and no `data`."""
    WRONG_ID = "wrong_id"
    """The right answer, to a question that was not asked."""
    GARBAGE = "garbage"
    """HTTP status 200, and a body that is not JSON."""
    UNAVAILABLE = "unavailable"
    """HTTP status 503 and a web page, as from a proxy."""
    CUT_OFF = "cut_off"
    """The connection ends in the middle of the answer."""
    HANG = "hang"
    """Nothing, until the caller gives up."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One misbehaviour.

    Raises:
        ValueError: the parts contradict each other.
    """

    method: str | None = None
    """The method it concerns; None: every method."""
    times: _Count | None = None
    """How many requests meet it; None: every one, until faults are cleared."""
    executes: bool = True
    """Whether the request is executed at all. What is not cannot be answered honestly."""
    reply: Reply = Reply.HONEST
    drops: bool = False
    """What is sent is checked and accepted, and never lands."""
    delay_blocks: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """What is sent lands so many blocks later, if it still can."""
    lag_blocks: Annotated[int, msgspec.Meta(ge=0, le=LAG_BLOCKS_MAX)] = 0
    """The node answers from so many blocks ago."""
    code: int = -32603
    message: str = "Internal error"

    def __post_init__(self) -> None:
        if not self.executes and self.reply in {Reply.HONEST, Reply.WRONG_ID}:
            raise ValueError("what is not executed has no answer of its own")
        if (self.drops or self.delay_blocks) and self.method not in SENDING_METHODS:
            raise ValueError("only what is sent can be dropped or delayed")
        if self.drops and self.delay_blocks:
            raise ValueError("what is dropped does not land later")
        if not self.executes and (self.drops or self.delay_blocks or self.lag_blocks):
            raise ValueError("what is not executed is neither dropped, delayed nor answered late")


NO_FAULT: Final = Fault()


class Faults:
    """The faults in force. The first that concerns a request is the one it meets.

    Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int | None]] = []

    def install(self, *faults: Fault) -> None:
        """Add *faults* behind those in force."""
        with self._lock:
            if len(self._waiting) + len(faults) > FAULTS_MAX:
                raise ValueError(f"at most {FAULTS_MAX} faults are in force at once")
            self._waiting += [(fault, fault.times) for fault in faults]

    def replace(self, faults: Iterable[Fault]) -> None:
        """Let exactly *faults* be in force."""
        self.clear()
        self.install(*faults)

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._waiting = []

    def meet(self, method: str) -> Fault:
        """Return the fault that a request meets, and count it."""
        with self._lock:
            for index, (fault, left) in enumerate(self._waiting):
                if fault.method in {None, method}:
                    if left == 1:
                        del self._waiting[index]
                    elif left is not None:
                        self._waiting[index] = (fault, left - 1)
                    return fault
        return NO_FAULT
