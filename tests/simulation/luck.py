"""The luck of a world: how often what goes wrong, and how fast time passes.

Most worlds have any luck; some have a kind of it in which one danger comes up again and again. The
controls are run in the kind that suits them, the real thing in all of them.
"""

import random  # noqa: TID251 -- reproducible cases, not secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, auto
from types import MappingProxyType
from typing import Any, Final

from tests.simulation.start import AMOUNTS, AMOUNTS_SMALL, POLICIES

from waiaas.domain.enums import OwnerState

WAITS_S: Final = ((1, 3, 10), (1, 3, 10, 60, 61), (1, 3, 60, 61, 299, 301, 3599, 3600, 86_400))
"""What passes between two steps: a world is slow or fast."""

JUMPS_S: Final = (-86_400, -3600, -60, -1, 1, 60, 3600, 86_400)
"""By how much wall clocks are set."""

DELAYS_BLOCKS: Final = (0, 0, 1, 20, 140, 160)
"""How much later something lands where a node disappoints."""

ACCENTS: Final = (0.2, 1, 1, 4)
"""What the likelihood of an act is multiplied with, so that worlds differ."""


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
    delays_blocks: Sequence[int]
    waits_s: Sequence[int]
    likelihood: float
    """Of being held wherever that is possible."""
    amounts: Sequence[int]
    """That are asked for, but for parts of batches."""
    in_tokens: bool
    """Whether single payments are of tokens only; to recipients who have no account for them."""
    policies: Sequence[int]
    """Which sets of limits the agents may have."""
    owner: OwnerState
    """How far the agents' owners have got when the world begins."""
    jumps_s: Sequence[int]
    constrained: float
    """How many of the sessions that are issued have constraints."""
    lives: int
    """How often agents live on behind a restore that was reconciled."""
    accents: Mapping[str, float]
    """What the likelihood of each act is multiplied with."""


QUIET: Final = {"stop_everything": 0, "suspend": 0, "revoke": 0, "terminate": 0, "restore": 0}
"""Nobody stops anything."""
CALM: Final = {"jump": 0.2, "kill": 0.2}
UNCHANGED: Final = {"change_policies": 0, "overtake": 0, "set_back": 0}
"""Nobody changes a rule between payments."""

KINDS: Final[Mapping[str, tuple[Mapping[str, Any], Mapping[str, float]]]] = MappingProxyType(
    {
        "any": ({}, {}),
        "silent": (
            {"trouble": 0.5, "troubles": [Trouble.SILENT], "latency_blocks": 0},
            {"ask": 2, **QUIET},
        ),
        "late": (
            {
                "trouble": 0.4,
                "troubles": [Trouble.LAGGING, Trouble.DENYING],
                "latency_blocks": 130,
                "waits_s": (4, 11),
                "amounts": AMOUNTS_SMALL,
                "policies": [2, 4],
                "likelihood": 0.2,
            },
            {"ask": 2, "pass_time": 4, **CALM, **QUIET},
        ),
        "lagging": (
            {
                "trouble": 0.8,
                "troubles": [Trouble.LAGGING, Trouble.DENYING],
                "latency_blocks": 147,
                "delays_blocks": (147,),
                "waits_s": (10, 30, 60),
                "likelihood": 0.2,
            },
            {"ask": 2, "pass_time": 3, "kill": 0.2, **QUIET},
        ),
        "crowded": ({"likelihood": 0.9}, {"ask": 6, "pass_time": 0.5, "kill": 0.2, **QUIET}),
        "restored": (
            {
                "trouble": 0.0,
                "latency_blocks": 0,
                "likelihood": 0.2,
                "amounts": AMOUNTS_SMALL,
                "policies": [2, 4],
            },
            {"ask": 4, "copy": 0.5, "pass_time": 2, "reconcile": 4, **QUIET, "restore": 20},
        ),
        "restored again": (
            {"latency_blocks": 100, "waits_s": (3, 10, 40), "likelihood": 0.2, "policies": [2, 4]},
            {"ask": 3, "copy": 6, "pass_time": 2, "reconcile": 0.5, **QUIET, "restore": 12},
        ),
        "stopped": (
            {"trouble": 0.2, "likelihood": 0.6, "amounts": AMOUNTS_SMALL, "policies": [2, 4]},
            {"ask": 4, "go_on": 2, "kill": 0.2, **QUIET, "stop_everything": 10, "recover": 0.2},
        ),
        "decided": (
            {
                "trouble": 0.9,
                "troubles": [Trouble.AWAY],
                "likelihood": 0.2,
                "waits_s": (1, 3),
                "amounts": (101, 250),
                "policies": [3],
                "owner": OwnerState.GRACE,
            },
            {"ask": 3, "decide": 8, "sign": 4, "change_policies": 0, **CALM, **QUIET},
        ),
        "tightened": (
            {
                "trouble": 0.9,
                "troubles": [Trouble.AWAY],
                "latency_blocks": 0,
                "likelihood": 0.2,
                "waits_s": (1, 3, 10, 60),
                "amounts": (40, 41, 60, 61, 99, 100),
                "policies": [0, 1],
                "constrained": 0.0,
            },
            {"ask": 4, "pass_time": 0.5, "change_policies": 12, **CALM, **QUIET},
        ),
        "overtaken": (
            {
                "trouble": 0.0,
                "latency_blocks": 0,
                "likelihood": 0.1,
                "waits_s": (3, 10),
                "amounts": (40, 100),
                "policies": [3],
                "owner": OwnerState.NONE,
                "constrained": 0.0,
            },
            {
                "go_on": 4,
                "ask": 5,
                "overtake": 60,
                "decide": 2,
                "sign": 0,
                "fill_disk": 0,
                "interrupt": 0,
                "change_policies": 0,
                **CALM,
                **QUIET,
            },
        ),
        "interrupted": (
            {
                "trouble": 0.0,
                "latency_blocks": 0,
                "likelihood": 0.6,
                "waits_s": (1, 3),
                "amounts": AMOUNTS_SMALL,
                "policies": [4],
                "constrained": 0.0,
            },
            {"ask": 4, "interrupt": 60, "change_policies": 0, "overtake": 0, **CALM, **QUIET},
        ),
        "constrained": (
            {
                "trouble": 0.9,
                "troubles": [Trouble.AWAY],
                "latency_blocks": 0,
                "likelihood": 0.2,
                "amounts": (40, 60, 100),
                "policies": [4],
                "constrained": 1.0,
            },
            {
                "ask": 4,
                "pass_time": 0.5,
                "narrow": 20,
                "jump": 0.2,
                "kill": 0.2,
                "change_policies": 0,
                **QUIET,
            },
        ),
        "jumping": (
            {
                "trouble": 0.0,
                "latency_blocks": 0,
                "likelihood": 0.1,
                "waits_s": (3, 10),
                "amounts": (61, 99, 100),
                "jumps_s": (3600, 7200, 86_400, -60),
                "policies": [5],
                "constrained": 0.0,
            },
            {
                "ask": 6,
                "pass_time": 3,
                "jump": 12,
                "kill": 0.2,
                "interrupt": 0,
                **UNCHANGED,
                **QUIET,
            },
        ),
        "nested": (
            {
                "latency_blocks": 1,
                "likelihood": 0.2,
                "amounts": AMOUNTS_SMALL,
                "policies": [2, 4],
                "lives": 3,
            },
            {"ask": 3, "copy": 6, "pass_time": 2, "reconcile": 4, **QUIET, "restore": 12},
        ),
        "renting": (
            {"trouble": 0.2, "latency_blocks": 1, "amounts": AMOUNTS_SMALL, "policies": [6]},
            {"ask": 4, "pass_time": 2, "close_account": 2, "kill": 0.2, **QUIET},
        ),
        "renting, interrupted": (
            {
                "trouble": 0.0,
                "latency_blocks": 0,
                "likelihood": 0.6,
                "amounts": AMOUNTS_SMALL,
                "in_tokens": True,
                "policies": [6],
                "constrained": 0.0,
            },
            {"ask": 4, "interrupt": 200, **UNCHANGED, **CALM, **QUIET},
        ),
        "set back": (
            {
                "trouble": 0.0,
                "latency_blocks": 0,
                "likelihood": 0.1,
                "waits_s": (1, 3),
                "amounts": (100,),
                "policies": [7],
                "owner": OwnerState.NONE,
                "constrained": 0.0,
            },
            {"ask": 6, "go_on": 4, "pass_time": 1, **UNCHANGED, "set_back": 150, **CALM, **QUIET},
        ),
        "lapsed": (
            {
                "likelihood": 0.2,
                "waits_s": (300, 600),
                "amounts": (101, 250),
                "policies": [3],
                "owner": OwnerState.NONE,
                "constrained": 0.0,
            },
            {"ask": 3, "pass_time": 2, "decide": 4, **UNCHANGED, **CALM, **QUIET},
        ),
        "full": (
            {"trouble": 0.0, "likelihood": 0.2},
            {"ask": 4, "fill_disk": 30, "empty_disk": 0.5, **CALM, **QUIET},
        ),
        "woken": (
            {"trouble": 0.0, "latency_blocks": 0, "likelihood": 0.4, "amounts": AMOUNTS_SMALL},
            {
                "ask": 3,
                "pass_time": 0.2,
                "pause": 80,
                "wake": 1,
                "kill": 1,
                "fill_disk": 0,
                **UNCHANGED,
                **QUIET,
            },
        ),
        "killed": ({"likelihood": 0.6}, {**QUIET, "kill": 6}),
    }
)
"""For each kind, what is not left to chance: of its luck, and of its accents."""


def draw_luck(source: random.Random, acts: Sequence[str], kind: str | None = None) -> Luck:
    """Draw a world's luck, of one of `KINDS` if it is named."""
    fixed, accents = KINDS[kind or source.choice(["any"] * len(KINDS) + [*KINDS])]
    luck = Luck(
        trouble=source.choice([0.0, 0.2, 0.5]),
        troubles=source.choices(list(Trouble), k=source.randint(1, 6)),
        latency_blocks=source.choice([0, 0, 1, 30, 120, 147]),
        delays_blocks=DELAYS_BLOCKS,
        waits_s=source.choice(WAITS_S),
        likelihood=source.choice([0.2, 0.6, 0.9]),
        amounts=source.choice([AMOUNTS, AMOUNTS_SMALL, [*AMOUNTS, *AMOUNTS_SMALL]]),
        in_tokens=False,
        policies=range(len(POLICIES)),
        owner=source.choice([OwnerState.NONE, *OwnerState]),
        jumps_s=JUMPS_S,
        constrained=source.choice([0.0, 0.0, 0.5, 1.0]),
        lives=1,
        accents={**{act: source.choice(ACCENTS) for act in acts}, **accents},
    )
    return replace(luck, **fixed)
