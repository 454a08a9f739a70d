"""A person is told for what a payment waits, and what may be done about that."""

from typing import Any

import pytest

from waiaas.cli.waiting import next_steps

AT = 1_795_829_591
WHEN = "2026-11-28 01:33:11 UTC"


@pytest.mark.parametrize(
    ("status", "tier", "waits_until", "told"),
    [
        ("QUEUED", "DELAY", AT, [WHEN, "waiaas tx cancel 7"]),
        (
            "QUEUED",
            "APPROVAL",
            AT,
            [WHEN, "waiaas approval approve 7", "waiaas approval message 7"],
        ),
        ("PENDING", "INSTANT", None, ["waiaas tx show 7"]),
        ("SUBMITTED", None, None, ["waiaas tx show 7"]),
        ("CONFIRMED", "DELAY", AT, []),
        ("CANCELLED", "APPROVAL", AT, []),
    ],
)
def test_each_wait_is_told_with_its_end_and_a_command_that_ends_it(
    status: str, tier: str | None, waits_until: int | None, told: list[str]
) -> None:
    payment: dict[str, Any] = {"id": "7", "status": status, "tier": tier, "waitsUntil": waits_until}
    lines = list(next_steps(payment))
    assert len(lines) == len(told)
    for line, part in zip(lines, told, strict=True):
        assert part in line
