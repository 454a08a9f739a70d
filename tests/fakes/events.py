"""Events for tests: with the details that they have, or with any, as a ledger may hold them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from waiaas.domain.audit import AuditEvent
from waiaas.domain.enums import AuditAction, NotificationEventType
from waiaas.domain.event_values import Value
from waiaas.domain.events import EVENTS
from waiaas.domain.notification import Notification

_Made = TypeVar("_Made", AuditEvent, Notification)

BACKUP: Final[Mapping[str, Value]] = {
    "id": "0192d3c4-0000-7000-8000-000000000009",
    "createdAt": 1_600_000_000,
}
"""The details of BACKUP_RESTORED."""


def details_of(event: AuditAction | NotificationEventType) -> dict[str, Value]:
    """Return details that *event* may have: those of its first form."""
    return {name: kind.example for name, kind in EVENTS[event].forms[0].items()}


def unchecked(made: type[_Made], **columns: Any) -> _Made:
    """Return an event that nobody checked: older programs may have recorded any details."""
    event = object.__new__(made)
    for field in fields(made):
        nothing: dict[str, Value] | None = {} if field.name == "details" else None
        object.__setattr__(event, field.name, columns.get(field.name, nothing))
    return event
