"""Write docs/events.md from the table of events: what each means, and which details it has.

A test compares the page with the table, so that neither changes alone:
`python tools/make_events_page.py` in the project's environment writes it anew.
"""

from pathlib import Path
from typing import Final

from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction, NotificationEventType, PolicyTier
from waiaas.domain.event_values import KINDS
from waiaas.domain.events import EVENTS, Form
from waiaas.domain.notification import notification_of

PAGE: Final = Path(__file__).resolve().parents[1] / "docs/events.md"

NOT_MADE: Final = frozenset(
    {
        AuditAction.SESSION_EXPIRED,
        NotificationEventType.TX_DOWNGRADED_DELAY,
        NotificationEventType.SESSION_EXPIRING_SOON,
    }
)
"""Names that are kept for what is still to come; they get their details with it."""

HEAD: Final = """\
# Events

Written by `tools/make_events_page.py` from `EVENTS` in
[domain/events.py](../src/waiaas/domain/events.py): change the table, not this page.

An act is one row of the audit log, with the columns that the log has for all of them (who, when,
about which agent, session and transaction) and, in `details`, exactly the fields of one of its
forms. What an owner is told of it has the same name and the same fields. Rows of an earlier version
stay as they were written.
"""

KINDS_HEAD: Final = """\
## Kinds of values

A kind that is not in this table is one of the words that are shown, or one of a vocabulary of
[domain/enums.py](../src/waiaas/domain/enums.py), [backup.py](../src/waiaas/domain/backup.py) or
[profile.py](../src/waiaas/domain/profile.py).
"""


def events_page() -> str:
    """Return the page as it has to be."""
    lines = [HEAD]
    for event, what in EVENTS.items():
        lines += [f"## {event}", "", what.meaning, "", *_facts(event), ""]
        lines += [*map(_fields, what.forms), ""] if any(what.forms) else []
    lines += [KINDS_HEAD, "| Kind | What it is |", "|---|---|"]
    lines += [f"| {kind.name} | {words} |" for kind, words in KINDS.items()]
    return "\n".join([*lines, ""])


def _facts(event: AuditAction | NotificationEventType) -> list[str]:
    if event in NOT_MADE:
        return ["Nothing makes it yet."]
    assert isinstance(event, AuditAction), "what an owner is told of is an act"
    details = {name: kind.example for name, kind in EVENTS[event].forms[0].items()}
    act = AuditEvent(event, SYSTEM, details=details)
    told = {tier for tier in (None, *PolicyTier) if notification_of(act, tier) is not None}
    return [f"Severity: {act.severity}. {_told(told)}"]


def _told(tiers: set[PolicyTier | None]) -> str:
    if not tiers:
        return "An owner is not told."
    if None in tiers:
        return "An owner is told."
    return f"An owner is told if the tier is {' or '.join(t for t in PolicyTier if t in tiers)}."


def _fields(form: Form) -> str:
    return "- " + (", ".join(f"`{name}` ({kind.name})" for name, kind in form.items()) or "nothing")


def main() -> None:
    """Write the page."""
    PAGE.write_text(events_page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
