"""The model of the disk, and the checks: what a power cut may leave of each kind of event."""

from collections.abc import Callable
from typing import Any

import pytest

AfterPowerLoss = Callable[..., dict[str, bytes]]

SYNCED: tuple[tuple[Any, ...], ...] = (
    ("Created", "a-wal", 0),
    ("Wrote", 0, 0, b"old" * 1000),
    ("Synced", 0),
)
OLD = b"old" * 1000
NEW = b"new" * 1000


def test_what_was_synced_is_there(after_power_loss: AfterPowerLoss) -> None:
    for survival in ("drop", "prefix", "sectors", "all"):
        assert after_power_loss(survival, *SYNCED) == {"a-wal": OLD}


def test_what_was_not_synced_is_dropped_or_kept_whole(after_power_loss: AfterPowerLoss) -> None:
    events = (*SYNCED, ("Wrote", 0, 0, NEW), ("Truncated", 0, 6))
    assert after_power_loss("drop", *events) == {"a-wal": OLD}
    assert after_power_loss("all", *events) == {"a-wal": b"newnew"}


def test_a_prefix_is_in_order(after_power_loss: AfterPowerLoss) -> None:
    events = (*SYNCED, ("Wrote", 0, 0, b"1"), ("Wrote", 0, 1, b"2"), ("Truncated", 0, 2))
    found = {after_power_loss("prefix", *events, seed=seed)["a-wal"] for seed in range(50)}
    assert found == {OLD, b"1" + OLD[1:], b"12" + OLD[2:], b"12"}


def test_sectors_survive_one_by_one_and_whole(after_power_loss: AfterPowerLoss) -> None:
    events = (*SYNCED, ("Wrote", 0, 100, NEW))
    seen = set()
    for seed in range(50):
        content = after_power_loss("sectors", *events, seed=seed)["a-wal"]
        old, new = OLD + bytes(100), OLD[:100] + NEW
        for start in range(0, 3100, 512):
            sector = content[start : start + 512]
            is_new = sector == new[start : start + 512]
            assert is_new or old[start : start + 512].startswith(sector)
            seen.add((start, is_new))
    assert len(seen) == 14


def test_a_file_may_have_grown_by_zeros(after_power_loss: AfterPowerLoss) -> None:
    events = (*SYNCED, ("Wrote", 0, 5000, b"new"))
    found = {after_power_loss("sectors", *events, seed=seed)["a-wal"] for seed in range(50)}
    assert found == {OLD, OLD + bytes(2003), OLD + bytes(2000) + b"new"}


def test_a_new_name_waits_for_a_sync_of_the_directory(after_power_loss: AfterPowerLoss) -> None:
    made = (("Created", "a", 0), ("Wrote", 0, 0, b"old"), ("Synced", 0))
    assert after_power_loss("drop", *made) == {}
    assert after_power_loss("all", *made) == {"a": b"old"}

    with_journal = (*made, ("Created", "a-journal", 1), ("Synced", 1))
    assert after_power_loss("drop", *with_journal) == {"a": b"old", "a-journal": b""}


def test_a_deleted_file_may_be_back(after_power_loss: AfterPowerLoss) -> None:
    assert after_power_loss("drop", *SYNCED, ("Deleted", "a-wal", False)) == {"a-wal": OLD}
    assert after_power_loss("drop", *SYNCED, ("Deleted", "a-wal", True)) == {}
    assert after_power_loss("all", *SYNCED, ("Deleted", "a-wal", False)) == {}


def test_a_name_used_again_is_another_file(after_power_loss: AfterPowerLoss) -> None:
    again = (
        *SYNCED,
        ("Deleted", "a-wal", False),
        ("Created", "a-wal", 1),
        ("Wrote", 1, 0, b"new"),
    )
    assert after_power_loss("drop", *again) == {"a-wal": OLD}
    assert after_power_loss("all", *again) == {"a-wal": b"new"}
    assert after_power_loss("drop", *again, ("Synced", 1)) == {"a-wal": b"new"}


@pytest.mark.parametrize(
    ("links", "problems"),
    [
        ([(1, 1, "", "a"), (2, 2, "a", "b"), (3, 3, "b", "c")], 0),
        ([(1, 1, "", "a"), (2, 2, "a", "b")], 1),
        ([(1, 1, "", "a"), (2, 2, "x", "b"), (3, 3, "b", "c")], 1),
        ([(1, 1, "", "a"), (2, 3, "a", "b"), (3, 4, "b", "c")], 1),
        ([(1, 1, "", "a"), (3, 2, "a", "b"), (2, 3, "b", "c")], 1),
    ],
    ids=["sound", "a link missing", "another hash", "a gap", "another order"],
)
def test_a_broken_audit_chain_is_noticed(
    chain_problems: Callable[..., list[str]], links: list[Any], problems: int
) -> None:
    assert len(chain_problems([1, 2, 3], links)) == problems
