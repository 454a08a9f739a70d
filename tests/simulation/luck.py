"""The luck of a world: how often what goes wrong, and how fast time passes.

Most worlds have any luck; some have a kind of it in which one danger comes up again and again. The
controls are run in the kind that suits them, the real thing in all of them.
"""

import random  # noqa: TID251 -- reproducible cases, not secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, auto
from typing import Final

WAITS_S: Final = ((1, 3, 10), (1, 3, 10, 60, 61), (1, 3, 60, 61, 299, 301, 3599, 3600, 86_400))
"""What passes between two steps: a world is slow or fast."""
WEIGHTS: Final[Mapping[str, float]] = {
    "go_on": 60,
    "ask": 20,
    "decide": 8,
    "pass_time": 20,
    "jump": 4,
    "abandon_blocks": 3,
    "kill": 1.5,
    "fill_disk": 0.8,
    "empty_disk": 3,
    "open_twice": 0.5,
    "pause": 1.5,
    "wake": 3,
    "copy": 2,
    "restore": 0.7,
    "stop_everything": 0.5,
}
"""What may happen next, and how likely it is."""

ACCENTS: Final = (0.2, 1, 1, 4)
"""What these are multiplied with, but for the first, so that worlds differ."""


class Trouble(IntEnum):
    """Ways in which a node disappoints."""

    AWAY = auto()
    SILENT = auto()
    """It does what it is asked, and does not answer."""
    DOUBTFUL = auto()
    """It takes what it is sent, and says that it does not."""
    FORGETFUL = auto()
    LAGGING = auto()
    DENYING = auto()


@dataclass(frozen=True)
class Luck:
    """What a world draws from."""

    trouble: float
    """How often a node disappoints."""
    troubles: Sequence[Trouble]
    latency_blocks: int
    """How long it takes until something lands, even where all goes well."""
    waits_s: Sequence[int]
    likelihood: float
    """Of being held wherever that is possible."""
    weights: Sequence[float]
    """Of what may happen next, in the order of `WEIGHTS`."""


def draw_luck(source: random.Random, kind: str | None = None) -> Luck:
    """Draw a world's luck, of one of `KINDS` if it is named."""
    kind = kind or source.choice(["any", "any", "any", *KINDS])
    accents = {act: source.choice(ACCENTS) if number else 1 for number, act in enumerate(WEIGHTS)}
    luck = Luck(
        trouble=source.choice([0.0, 0.2, 0.5]),
        troubles=source.choices(list(Trouble), k=source.randint(1, 6)),
        latency_blocks=source.choice([0, 0, 1, 30, 120, 147]),
        waits_s=source.choice(WAITS_S),
        likelihood=source.choice([0.2, 0.6, 0.9]),
        weights=[],
    )
    match kind:
        case "silent":
            luck = replace(luck, trouble=0.5, troubles=[Trouble.SILENT], latency_blocks=0)
        case "late":
            latency_blocks = source.choice([100, 120, 145])
            troubles = [Trouble.LAGGING, Trouble.DENYING]
            luck = replace(luck, trouble=0.4, troubles=troubles, latency_blocks=latency_blocks)
            waits_s = source.choice([(1, 3, 10), (10, 20, 60)])
            luck = replace(luck, waits_s=waits_s, likelihood=0.2)
            accents |= {"pass_time": 2, "jump": 4}
        case "restored":
            luck = replace(luck, latency_blocks=0, likelihood=0.2, trouble=0.0)
            accents |= {"restore": 6}
        case _:
            pass
    weights = [weight * accents[act] for act, weight in WEIGHTS.items()]
    return replace(luck, weights=weights)


KINDS: Final = ("silent", "late", "restored")
