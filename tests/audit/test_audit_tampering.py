"""Whatever is done to the log past its triggers is found, or is on the page as not to be found.

Each case writes a random log as the daemon does, takes the triggers away, does one thing to it with
a SQLite shell's means, and asks both verifiers. The controls are hashers as people first write
them: columns joined by a separator, rows hashed each by itself, a chain without anchors.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import pytest

from waiaas.database.chain import Anchor, canonical, link_hash

pytestmark = pytest.mark.proof

CASES: Final = 1000
BUDGET_S: Final = 30.0
COLUMNS: Final = (
    "timestamp",
    "event_type",
    "actor",
    "agent_id",
    "session_id",
    "tx_id",
    "details",
    "severity",
    "ip_address",
)
LINK_COLUMNS: Final = ("sequence", "audit_id", "previous_hash", "hash")


def naive_hash(previous: str, row: tuple[Any, ...]) -> str:
    """Hash a row without framing: joined by a separator, NULL as nothing."""
    joined = "|".join("" if value is None else str(value) for value in row)
    return hashlib.sha256(f"{previous}{joined}".encode()).hexdigest()


def naive_chain(rows: list[tuple[Any, ...]]) -> list[str]:
    hashes = [""]
    for row in rows:
        hashes.append(naive_hash(hashes[-1], row))
    return hashes


@pytest.fixture
def is_found(log: Any, second_opinion: Callable[..., Any]) -> Callable[..., bool]:
    """Return a function that tells whether the verifiers, who must agree, find a fault."""

    def ask(*anchors: Anchor) -> bool:
        ours, theirs = log.verify(*anchors), second_opinion(log.export(), *anchors)
        assert (theirs.rows, theirs.head, theirs.fault is None) == (
            ours.rows,
            ours.hash,
            ours.fault is None,
        )
        return ours.fault is not None

    return ask


def edit_row(log: Any, rng: Any, other_value: Callable[..., Any]) -> None:
    """Change one value, or move text from the end of one column to the beginning of the next."""
    row = rng.choice(log.rows())
    at = rng.randrange(1, 10)
    new = {at: other_value(rng, COLUMNS[at - 1], row[at])}
    neighbours = [at for at in (2, 3, 4, 5) if row[at] and "|" in row[at]]
    if neighbours and rng.random() < 0.8:
        at = rng.choice(neighbours)
        kept, _, moved = row[at].partition("|")
        if row[at + 1] is not None:
            new = {at: kept, at + 1: f"{moved}|{row[at + 1]}"}
    for place, value in new.items():
        log.sqlite.execute(
            f"UPDATE audit_log SET {COLUMNS[place - 1]} = ? WHERE id = ?",  # noqa: S608 -- names of ours
            (value, row[0]),
        )


def edit_id(log: Any, rng: Any) -> None:
    number = rng.choice(log.rows())[0]
    taken = {row[0] for row in log.rows()}
    new = rng.choice([n for n in (-3, 0, number + 100, 2**62) if n not in taken])
    log.sqlite.execute("UPDATE audit_log SET id = ? WHERE id = ?", (new, number))


def edit_link(log: Any, rng: Any) -> None:
    link = rng.choice(log.links())
    column = rng.choice(LINK_COLUMNS)
    new: Any = rng.choice([0, -1, 99, 2**62])
    if column in ("previous_hash", "hash"):
        new = rng.choice(["0" * 63 + "1", "f" * 64, *(other[3] for other in log.links())])
        if new == link[LINK_COLUMNS.index(column)]:
            new = "e" * 64
    log.sqlite.execute(
        f"UPDATE audit_chain SET {column} = ? WHERE sequence = ?",  # noqa: S608 -- names of ours
        (new, link[0]),
    )


def test_an_edit_is_found(log: Any, proof: Any, is_found: Any, other_value: Any) -> None:
    missed_by_naive = rows_edited = 0
    for rng in proof.cases(full=CASES, unit="edited logs", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(1, 9))
            assert not is_found()
            log.without_triggers()
            before = naive_chain(log.rows())
            kind = rng.randrange(8)
            if kind == 0:
                edit_link(log, rng)
            elif kind == 1:
                edit_id(log, rng)
            else:
                edit_row(log, rng, other_value)
                rows_edited += 1
                missed_by_naive += naive_chain(log.rows()) == before
            if not is_found():
                proof.lose()
                pytest.fail(f"not found: {log.export()}")
    proof.control(f"joined by | missed {missed_by_naive} of {rows_edited}")
    assert missed_by_naive


def test_a_removal_is_found(log: Any, proof: Any, is_found: Any) -> None:
    missed_by_naive = 0
    for rng in proof.cases(full=CASES, unit="logs with rows removed", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(2, 9))
            log.without_triggers()
            # Never the end together with its links: that is a cut, which has a test of its own.
            links = log.links()
            first = rng.randrange(len(links) - 1)
            last = rng.randrange(first, len(links) - 1)
            span = (links[first][0], links[last][0])
            what = rng.randrange(3)
            if what != 1:
                log.sqlite.execute("DELETE FROM audit_log WHERE id BETWEEN ? AND ?", span)
            if what != 0:
                log.sqlite.execute("DELETE FROM audit_chain WHERE sequence BETWEEN ? AND ?", span)
            if what == 2 and rng.random() < 0.5:  # And close the gap.
                for sequence, (old, *_) in enumerate(log.links(), start=1):
                    log.sqlite.execute(
                        "UPDATE audit_chain SET sequence = ? WHERE sequence = ?", (sequence, old)
                    )
            if not is_found():
                proof.lose()
                pytest.fail(f"not found: {log.export()}")
            # If each row just had a hash of its own, one that goes with its hash leaves no trace.
            missed_by_naive += len(log.links()) == len(log.rows())
    proof.control(f"hashes without a chain missed {missed_by_naive}")
    assert missed_by_naive


def test_an_insertion_is_found(log: Any, proof: Any, is_found: Any) -> None:
    forged_ends = missed_by_naive = 0
    for rng in proof.cases(full=CASES, unit="logs with rows inserted", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(2, 9))
            log.without_triggers()
            rows, links = log.rows(), log.links()
            place = rng.randrange(len(rows) + 1)
            for (number,) in log.sqlite.execute(
                "SELECT id FROM audit_log WHERE id > ? ORDER BY id DESC", (place,)
            ).fetchall():
                log.sqlite.execute("UPDATE audit_log SET id = id + 1 WHERE id = ?", (number,))
            forged = (place + 1, *rng.choice(rows)[1:])
            log.sqlite.execute("INSERT INTO audit_log VALUES (?,?,?,?,?,?,?,?,?,?)", forged)
            with_link = rng.random() < 0.7
            if with_link:
                for (number,) in log.sqlite.execute(
                    "SELECT sequence FROM audit_chain WHERE sequence > ? ORDER BY 1 DESC", (place,)
                ).fetchall():
                    log.sqlite.execute(
                        "UPDATE audit_chain SET sequence = sequence + 1, audit_id = audit_id + 1"
                        " WHERE sequence = ?",
                        (number,),
                    )
                previous = links[place - 1][3] if place else "0" * 64
                link = (place + 1, place + 1, previous, link_hash(previous, canonical(forged)))
                log.sqlite.execute("INSERT INTO audit_chain VALUES (?,?,?,?)", link)
            # If each row just had a hash of its own, a row that brings its hash would be welcome.
            missed_by_naive += with_link
            if with_link and place == len(rows):
                # On the page: a well-made row at the end is not found. Nothing here has a secret.
                assert not is_found()
                assert not is_found(
                    Anchor(
                        daemon_id=None,
                        sequence=links[-1][0],
                        hash=links[-1][3],
                        timestamp=0,
                    )
                )
                forged_ends += 1
            elif not is_found():
                proof.lose()
                pytest.fail(f"not found: {log.export()}")
    proof.control(f"hashes without a chain missed {missed_by_naive}")
    proof.control(f"as the page says, no row well made at the end was found: {forged_ends}")
    assert forged_ends
    assert missed_by_naive > forged_ends


def test_another_order_is_found(log: Any, proof: Any, is_found: Any) -> None:
    missed_by_naive = 0
    for rng in proof.cases(full=CASES, unit="reordered logs", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(2, 9))
            log.without_triggers()
            one, other = rng.sample(range(1, len(log.rows()) + 1), 2)
            rows, links = log.rows(), log.links()
            whole = sorted(canonical(row[1:]) for row in rows)
            if rows[one - 1][1:] == rows[other - 1][1:]:
                continue
            kind = rng.randrange(3)
            if kind == 0:
                for number, old in ((one, other), (other, one)):
                    columns = ", ".join(f"{column} = ?" for column in COLUMNS)
                    log.sqlite.execute(
                        f"UPDATE audit_log SET {columns} WHERE id = ?",  # noqa: S608 -- names of ours
                        (*rows[old - 1][1:], number),
                    )
            elif kind == 1:
                for number, new in ((one, -7), (other, one), (-7, other)):
                    log.sqlite.execute("UPDATE audit_log SET id = ? WHERE id = ?", (new, number))
            else:
                for number, old in ((one, other), (other, one)):
                    log.sqlite.execute(
                        "UPDATE audit_chain SET audit_id = ?, previous_hash = ?, hash = ?"
                        " WHERE sequence = ?",
                        (*links[old - 1][1:], number),
                    )
            if not is_found():
                proof.lose()
                pytest.fail(f"not found: {log.export()}")
            # A checksum over the rows without their order.
            missed_by_naive += sorted(canonical(row[1:]) for row in log.rows()) == whole
    proof.control(f"a sum without order missed {missed_by_naive}")
    assert missed_by_naive


def test_a_cut_end_is_found_by_an_anchor_and_only_by_it(
    log: Any, proof: Any, is_found: Any
) -> None:
    missed = half_cuts = 0
    for rng in proof.cases(full=CASES, unit="cut logs", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(1, 9))
            early = log.head()
            log.write(rng, rng.randrange(1, 9))
            anchor = log.head()
            assert not is_found(early, anchor)
            log.without_triggers()
            left = rng.randrange(early.sequence, anchor.sequence)
            cut_rows, cut_links = rng.choice([(True, True), (True, True), (True, False), (0, 1)])
            if cut_rows:
                log.sqlite.execute("DELETE FROM audit_log WHERE id > ?", (left,))
            if cut_links:
                log.sqlite.execute("DELETE FROM audit_chain WHERE sequence > ?", (left,))
            if not (cut_rows and cut_links):
                half_cuts += 1
                assert is_found()
                continue
            # On the page: not found by the chain, nor by an anchor from before the cut.
            missed += not is_found() and not is_found(early)
            if not is_found(anchor) or not is_found(early, anchor):
                proof.lose()
                pytest.fail(f"not found: {log.export()}")
    proof.control(f"without the last anchor missed {missed}; half cuts found {half_cuts}")
    assert missed
    assert half_cuts


def test_a_history_made_anew_is_found_by_an_anchor_and_only_by_it(
    log: Any, proof: Any, is_found: Any, other_value: Any
) -> None:
    missed = 0
    for rng in proof.cases(full=CASES, unit="logs made anew", budget_s=BUDGET_S):
        with log.trial():
            log.write(rng, rng.randrange(1, 6))
            early = log.head()
            log.write(rng, rng.randrange(1, 6))
            anchor = log.head()
            log.write(rng, rng.randrange(3))
            log.without_triggers()
            rows = log.rows()
            changed = rng.randrange(early.sequence + 1, anchor.sequence + 1)
            what = rng.randrange(3)
            if what == 0:
                log.sqlite.execute("DELETE FROM audit_log WHERE id = ?", (changed,))
            elif what == 1:
                row = [*rng.choice(rows)]
                row[0], row[7] = changed, '"never so"'
                log.sqlite.execute("UPDATE audit_log SET id = id + 1000 WHERE id >= ?", (changed,))
                log.sqlite.execute("INSERT INTO audit_log VALUES (?,?,?,?,?,?,?,?,?,?)", row)
            else:
                at = rng.randrange(1, 10)
                log.sqlite.execute(
                    f"UPDATE audit_log SET {COLUMNS[at - 1]} = ? WHERE id = ?",  # noqa: S608 -- names of ours
                    (other_value(rng, COLUMNS[at - 1], rows[changed - 1][at]), changed),
                )
            log.rechain()
            # On the page: not found without an anchor at or after the place.
            missed += not is_found() and not is_found(early)
            if not is_found(anchor) or not is_found(early, anchor):
                proof.lose()
                pytest.fail(f"not found: {log.export()}")
    proof.control(f"without an anchor after the change missed {missed}")
    assert missed == proof.wanted(CASES)


def test_an_exchanged_file_is_found_by_an_anchor_and_only_by_it(
    log: Any, proof: Any, is_found: Any
) -> None:
    missed = 0
    for rng in proof.cases(full=CASES, unit="pairs of files exchanged", budget_s=BUDGET_S):
        anchors, copies = [], []
        for _ in range(2):
            with log.trial():
                log.write(rng, rng.randrange(1, 9))
                anchors.append(log.head())
                copies.append((log.rows(), log.links()))
        if copies[0] == copies[1]:
            continue
        for (rows, links), own, others in zip(copies, anchors, anchors[::-1], strict=True):
            with log.trial():
                for row in rows:
                    log.sqlite.execute("INSERT INTO audit_log VALUES (?,?,?,?,?,?,?,?,?,?)", row)
                for link in links:
                    log.sqlite.execute("INSERT INTO audit_chain VALUES (?,?,?,?)", link)
                assert not is_found(own)
                missed += not is_found()
                if not is_found(others):
                    proof.lose()
                    pytest.fail(f"not found: {log.export()}")
    proof.control(f"without an anchor missed {missed}")
    assert missed
