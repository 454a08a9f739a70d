"""The audit chain: what each link's hash is taken over, and how a chain is verified. Pure.

`docs/audit-chain.md` describes the format so that a verifier can be written from that page alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import zip_longest
from typing import Annotated, Final

import msgspec

GENESIS: Final = "0" * 64
"""The previous hash of the first link."""

Link = tuple[int, int, str, str]
"""A row of `audit_chain`: sequence, audit_id, previous_hash, hash."""

Row = tuple[int, bytes]
"""A row of `audit_log`: its id, and all ten columns in canonical form."""

_TAG: Final = b"waiaas-audit-v1"

canonical: Final = msgspec.json.Encoder().encode
"""Give the RFC 8785 form of a sequence of integers, text and NULLs, in UTF-8.

For these three kinds it is what msgspec writes: no white space, the two-character escapes and
otherwise lower-case `\\u00xx` for control characters, every other character as it is. Integers past
2**53, of which RFC 8785 says nothing, are written in full.
"""


def link_hash(previous_hash: str, row: bytes) -> str:
    """Return the hash of the link after *previous_hash* for a row in canonical form."""
    return sha256(
        b"%b\n%b\n%d\n%b" % (_TAG, previous_hash.encode(), len(row), row)
    ).hexdigest()  # fmt: skip


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The head of a chain as it once was, kept where the ledger's machine cannot change it."""

    daemon_id: str | None
    sequence: Annotated[int, msgspec.Meta(ge=1)]
    hash: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    timestamp: int
    """When the anchored row was written, in Unix epoch seconds."""


def anchor_line(anchor: Anchor) -> str:
    """Return the line of an anchor file that holds *anchor*, without its end."""
    return msgspec.json.encode(anchor).decode()


def parse_anchors(content: bytes) -> list[Anchor]:
    """Read an anchor file: one JSON object a line, empty lines apart.

    Raises:
        ValueError: a line is not an anchor, or there is none; the message says which line.
    """
    anchors = []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                anchors.append(msgspec.json.decode(line, type=Anchor))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise ValueError(f"line {number} is not an anchor: {error}") from error
    if not anchors:
        raise ValueError("it holds no anchor")
    return anchors


class FaultKind(StrEnum):
    """What is wrong where a chain first fails."""

    MISSING_LINK = "missing-link"
    """A sequence is left out."""
    BROKEN_LINK = "broken-link"
    """The previous hash is not the hash of the link before."""
    EXTRA_ROW = "extra-row"
    """An audit row has no link at its place."""
    MISSING_ROW = "missing-row"
    """A link's audit row is gone, or holds what the ledger never wrote."""
    EDITED = "edited"
    """The hash is not that of the row."""
    CUT = "cut"
    """The chain ends before an anchor."""
    REWRITTEN = "rewritten"
    """The hash at an anchor's sequence is another one."""
    OTHER_DAEMON = "other-daemon"
    """An anchor names another daemon."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where a chain fails."""

    kind: FaultKind
    sequence: int
    audit_id: int | None
    explanation: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found."""

    rows: int
    """Rows whose links hold, counted from the first."""
    hash: str
    """The hash of the last of them: the head of the chain, if there is no fault."""
    anchors: int
    """Anchors that the chain agrees with."""
    fault: Fault | None


def verify_chain(
    links: Iterable[Link],
    rows: Iterable[Row],
    *,
    anchors: Sequence[Anchor] = (),
    daemon_id: str | None = None,
) -> Verification:
    """Compare every link, in order, with the one that its row must have; then every anchor.

    Args:
        links: all of `audit_chain`, by sequence.
        rows: all of `audit_log`, by id.
        anchors: heads that the chain must pass through.
        daemon_id: whose chain it is; not compared if it, or the anchor's, is None.
    """
    anchored = dict.fromkeys((anchor.sequence for anchor in anchors), "")
    last: Link = (0, 0, GENESIS, GENESIS)
    # This loop is the cost of a verification: see benchmarks/audit.py before adding to it.
    for sequence, (link, row) in enumerate(zip_longest(links, rows), start=1):
        previous_hash = last[3]
        if link is None or row is None:
            return _failed(sequence, last, link, row)
        expected = (sequence, row[0], previous_hash, link_hash(previous_hash, row[1]))
        if link != expected:
            return _failed(sequence, last, link, row)
        if sequence in anchored:
            anchored[sequence] = link[3]
        last = link
    agreed, fault = _compare(anchors, anchored, daemon_id=daemon_id, length=last[0])
    return Verification(last[0], last[3], agreed, fault)


def _failed(sequence: int, last: Link, link: Link | None, row: Row | None) -> Verification:
    return Verification(sequence - 1, last[3], 0, _explain(sequence, last, link, row))


def _explain(sequence: int, last: Link, link: Link | None, row: Row | None) -> Fault:
    """Say why *link* and *row*, of which one may be missing, are not the pair at *sequence*."""
    row_id = None if row is None else row[0]
    if link is None:
        return Fault(
            FaultKind.EXTRA_ROW, sequence, row_id, f"audit row {row_id} has no link in the chain"
        )
    found, audit_id, previous_hash, _ = link
    if found != sequence:
        return Fault(
            FaultKind.MISSING_LINK,
            sequence,
            None,
            f"link {sequence} is missing: the next one is {found}",
        )
    if previous_hash != last[3]:
        return Fault(
            FaultKind.BROKEN_LINK,
            sequence,
            audit_id,
            f"link {sequence} does not continue from the hash of the one before it",
        )
    if row_id is None or row_id > audit_id:
        return Fault(
            FaultKind.MISSING_ROW,
            sequence,
            audit_id,
            f"audit row {audit_id} of link {sequence} is missing, or holds a value of a type that "
            "the ledger never writes",
        )
    if row_id < audit_id:
        return Fault(
            FaultKind.EXTRA_ROW, sequence, row_id, f"audit row {row_id} has no link in the chain"
        )
    return Fault(
        FaultKind.EDITED,
        sequence,
        audit_id,
        f"audit row {audit_id}, or the hash of its link {sequence}, was changed",
    )


def _compare(
    anchors: Sequence[Anchor], hashes: dict[int, str], *, daemon_id: str | None, length: int
) -> tuple[int, Fault | None]:
    """Hold the anchors against the hashes at their sequences; count those before a fault."""
    for agreed, anchor in enumerate(anchors):
        sequence = anchor.sequence
        if None not in (daemon_id, anchor.daemon_id) and daemon_id != anchor.daemon_id:
            return agreed, Fault(
                FaultKind.OTHER_DAEMON,
                sequence,
                None,
                f"the anchor of sequence {sequence} is of daemon {anchor.daemon_id}, this ledger "
                f"is of {daemon_id}: it is the wrong anchor file, or the ledger was exchanged",
            )
        if sequence > length:
            return agreed, Fault(
                FaultKind.CUT,
                sequence,
                None,
                f"the chain ends at {length}, but an anchor says that it reached {sequence}: its "
                "end was cut off, or an older copy was put in its place",
            )
        if hashes[sequence] != anchor.hash:
            return agreed, Fault(
                FaultKind.REWRITTEN,
                sequence,
                None,
                f"the hash at sequence {sequence} is not the anchor's: something up to there was "
                "changed and the chain was made anew, or it is the chain of another ledger",
            )
    return len(anchors), None
