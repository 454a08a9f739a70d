"""How often one credential may be refused and still leave rows for it.

Refusals and denials cost the ledger rows, and the owner attention, and nothing limits them: whoever
holds a token could fill the disk with them. So they are counted by credential. The counts live in
memory: a start needs the master password, so no agent can force one to be forgotten.
"""

import math
from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Final

from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.ports import Clock

REFUSALS_PER_MINUTE_MAX: Final = 20
REFUSALS_PER_HOUR_MAX: Final = 200
"""A denied batch of ten parts takes 18 kB: so 3.6 MB an hour is the most that one token adds."""
REMINDER_S: Final = 60
"""So often one audit row says that a credential is being held back."""

_BOUNDS: Final = ((60, REFUSALS_PER_MINUTE_MAX), (3600, REFUSALS_PER_HOUR_MAX))


class HeldBack(Refusal):
    """The credential was refused too often: nothing more is written down for it by now."""

    def __init__(self, *, wait_s: int, now_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(
            ErrorCode.TOO_MANY_REFUSALS,
            "too much of what this credential asked for was refused lately",
            hint="Wait until retryAt, and ask for what is allowed; that is never held back.",
            details={"retryAt": now_s + wait_s},
        )


class Allowance:
    """Counts refusals by credential; asked from the writer's thread, too."""

    def __init__(self, clock: Clock, *, bounds: Sequence[tuple[int, int]] = _BOUNDS) -> None:
        """Begin with nothing counted.

        Args:
            clock: by which times are told.
            bounds: rolling windows in seconds, the longest last, and how many each has room for.
        """
        self._clock = clock
        self._bounds = bounds
        self._lock = Lock()
        self._refused_at_s: dict[str, deque[float]] = {}
        self._reminded_at_s: dict[str, float] = {}

    def take(self, credential: str) -> HeldBack | None:
        """Count one more refusal of *credential*, or return what is answered in its place."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._forget(now_s)
            times = self._refused_at_s.setdefault(credential, deque())
            wait_s = max(
                (
                    times[-most] + window_s - now_s
                    for window_s, most in self._bounds
                    if len(times) >= most
                ),
                default=0.0,
            )
            if wait_s <= 0:
                times.append(now_s)
                return None
        return HeldBack(wait_s=math.ceil(wait_s), now_s=self._clock.now_s())

    def reminds(self, credential: str) -> bool:
        """Tell whether it is time to write down that *credential* is held back; then it is done."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            reminded_s = self._reminded_at_s.get(credential, -math.inf)
            if now_s - reminded_s < REMINDER_S:
                return False
            self._reminded_at_s[credential] = now_s
            return True

    def _forget(self, now_s: float) -> None:
        """Drop what is older than every window, so that memory is bounded, too."""
        longest_s = self._bounds[-1][0]
        for credential, times in list(self._refused_at_s.items()):
            while times and times[0] <= now_s - longest_s:
                times.popleft()
            if not times:
                del self._refused_at_s[credential]
                self._reminded_at_s.pop(credential, None)
