"""A unit of work on its way through the writer: what it is, who waits for it, what came of it."""

from collections.abc import Callable
from enum import Enum, auto
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, Protocol

from waiaas.database.errors import DatabaseError


class Unit:
    """A function waiting to run in a transaction, and what came of it."""

    __slots__ = ("error", "from_reserve", "function", "value")

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        from_reserve: tuple[Callable[[Any], Any], ...] = (),
    ) -> None:
        self.function: Final = function
        self.from_reserve: Final = from_reserve
        """What is done instead on a full disk, in the reserve: the first of these that has room."""
        self.value: Any = None
        self.error: BaseException | None = None

    def outcome(self) -> Any:  # noqa: ANN401 -- what the function returned
        """Return the function's value once the unit is answered, or raise its error."""
        if self.error is not None:
            raise self.error
        return self.value


def refuse_unrun(value: object) -> None:
    """Return if *value* came from a plain function.

    Raises:
        DatabaseError: it is a coroutine or generator, of whose function nothing was run.
    """
    if isinstance(value, CoroutineType | GeneratorType):
        value.close()
    elif not isinstance(value, AsyncGeneratorType):
        return
    raise DatabaseError("what runs in a transaction is a plain function, not async, no generator")


class Outcome(Enum):
    """What came of a group as a whole."""

    DONE = auto()
    UNDONE = auto()
    FULL = auto()
    """Undone, because there is no space."""
    UNKNOWN = auto()


class Answer(Protocol):
    """Tells a group's callers that their units' outcomes are final."""

    def __call__(self, group: list[Unit], /) -> None: ...
