"""Write docs/states.md from the table of transitions: what may follow what, and what it writes.

A test compares the page with the table, so that neither changes alone:
`python tools/make_states_page.py` in the project's environment writes it anew.
"""

from pathlib import Path
from typing import Final

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import AUDIT_ACTIONS, TRANSITIONS, is_terminal

PAGE: Final = Path(__file__).resolve().parents[1] / "docs/states.md"

MEANING: Final = {
    TransactionStatus.PENDING: "Admitted: its money is set aside, and it is about to be prepared.",
    TransactionStatus.QUEUED: "Waits, for its time (DELAY) or for a person (APPROVAL).",
    TransactionStatus.EXECUTING: "Its exact payload is recorded; it is signed, and then sent.",
    TransactionStatus.SUBMITTED: "The signed bytes may be anywhere; only the chain can tell.",
    TransactionStatus.CONFIRMED: "The money moved.",
    TransactionStatus.FAILED: "It provably did not move, and never will.",
    TransactionStatus.CANCELLED: "Denied, called off or forbidden before anything was signed.",
    TransactionStatus.EXPIRED: "Nobody approved it in time, or it provably can land no more.",
    TransactionStatus.PARTIAL_FAILURE: "Some parts of a batch moved, and some did not.",
}
"""What a transaction in each state is, in one sentence."""

HEAD: Final = """\
# States of a transaction

Written by `tools/make_states_page.py` from `TRANSITIONS` in
[domain/transaction.py](../src/waiaas/domain/transaction.py): change the table, not this page.

A status changes through `waiaas.pipeline.record.move` and nowhere else: it compares the old status
and sets the new one in one transaction of the ledger, with the audit row. What is not in the table
is refused; whoever comes second finds another status and changes nothing.
"""


def states_page() -> str:
    """Return the page as it has to be."""
    lines = [HEAD, "| State | What it is | May be followed by | Entering it writes |"]
    lines.append("|---|---|---|---|")
    for status in TransactionStatus:
        following = ", ".join(new for new in TransactionStatus if new in TRANSITIONS[status])
        end = "nothing: it is an end" if is_terminal(status) else following
        written = f"`{AUDIT_ACTIONS[status]}`" if status in AUDIT_ACTIONS else "`TX_REQUESTED`"
        lines.append(f"| {status} | {MEANING[status]} | {end} | {written} |")
    moves = [
        f"    {old} --> {new}"
        for old in TransactionStatus
        for new in TransactionStatus
        if new in TRANSITIONS[old]
    ]
    return "\n".join([*lines, "", "```mermaid", "stateDiagram-v2", *moves, "```", ""])


def main() -> None:
    """Write the page."""
    PAGE.write_text(states_page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
