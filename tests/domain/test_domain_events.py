"""Every event has exactly its details, to the field and to the kind; anything else is a slip."""

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import pytest
from tests.fakes.events import unchecked

from waiaas.domain.audit import SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction, NotificationEventType
from waiaas.domain.event_values import KINDS, TEXT_CHARACTERS_MAX, Value
from waiaas.domain.events import EVENTS, Form, IllegalEvent, check_details
from waiaas.domain.notification import Notification

NAMED: Final = {*AuditAction} | {*NotificationEventType}

FORMS: Final = [
    pytest.param(event, form, id=f"{event}-{number}")
    for event, what in EVENTS.items()
    for number, form in enumerate(what.forms)
]
FIELDS: Final = [
    pytest.param(event, form, name, id=f"{event}-{number}-{name}")
    for event, what in EVENTS.items()
    for number, form in enumerate(what.forms)
    for name in form
]

WRONG: Final[tuple[object, ...]] = (True, 1.5, b"x", ["x"], {}, "", -1, 2**63, "x" * (2**20 + 1))
"""Of no kind, whichever is meant."""

SECRET: Final = re.compile(
    r"(pass(word|phrase)?|secret|token|credential|cookie|seed|mnemonic|private|key)s?$",
    re.IGNORECASE,
)


def example(form: Form) -> dict[str, Value]:
    return {name: kind.example for name, kind in form.items()}


def made(event: str, details: Mapping[str, Any]) -> Iterator[object]:
    """Make every event of this name: the act, and what the owner is told of it."""
    if event in AuditAction.__members__:
        yield AuditEvent(AuditAction(event), SYSTEM, details=details)
    if event in NotificationEventType.__members__:
        yield Notification(NotificationEventType(event), None, None, details)


def refuses(event: str, details: Mapping[str, Any]) -> bool:
    makers = made(event, details)
    with pytest.raises(IllegalEvent):
        next(makers)
    return True


def test_every_event_has_its_entry_and_every_entry_its_event() -> None:
    assert set(EVENTS) == NAMED


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_means_something_and_its_forms_are_told_apart_by_their_fields(
    event: AuditAction,
) -> None:
    what = EVENTS[event]
    assert re.fullmatch(r"[A-Z].{10,}\.", what.meaning)
    assert len({frozenset(form) for form in what.forms}) == len(what.forms) > 0


@pytest.mark.parametrize(("event", "form"), FORMS)
def test_an_event_is_made_with_exactly_its_fields(event: str, form: Form) -> None:
    for each in made(event, example(form)):
        assert each.details == example(form)  # type: ignore[attr-defined]  # -- both have them
    refuses(event, example(form) | {"surplus": "text"})


@pytest.mark.parametrize(("event", "form", "name"), FIELDS)
def test_no_field_can_be_left_out_and_none_be_of_another_kind(
    event: AuditAction, form: Form, name: str
) -> None:
    without = {other: value for other, value in example(form).items() if other != name}
    if not any(without.keys() == other.keys() for other in EVENTS[event].forms):
        refuses(event, without)
    for value in WRONG:
        refuses(event, example(form) | {name: value})
    admits_null = form[name].name.endswith(" or null")
    assert admits_null or refuses(event, example(form) | {name: None})


@pytest.mark.parametrize("event", [each for each in EVENTS if len(EVENTS[each].forms) > 1])
def test_the_forms_of_an_event_cannot_be_mixed(event: AuditAction) -> None:
    forms = EVENTS[event].forms
    for one, other in combinations(forms, 2):
        mixed = example({**one, **other})
        if not any(mixed.keys() == form.keys() for form in forms):
            refuses(event, mixed)


def test_a_refusal_names_event_and_field_and_never_the_value() -> None:
    with pytest.raises(IllegalEvent, match="AGENT_SUSPENDED: `reason` is not of the kind") as slip:
        AuditEvent(AuditAction.AGENT_SUSPENDED, SYSTEM, details={"reason": ["hunter2"]})  # type: ignore[dict-item]  # -- the slip
    assert "hunter2" not in str(slip.value)


@pytest.mark.parametrize(
    "name", sorted({name for what in EVENTS.values() for f in what.forms for name in f})
)
def test_a_field_is_named_like_its_like_and_never_like_a_secret(name: str) -> None:
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*(256)?", name)
    assert not SECRET.search(name)


@pytest.mark.parametrize(
    "name", ["password", "masterPassword", "sessionToken", "privateKey", "cookies"]
)
def test_control_a_name_like_a_secrets_is_noticed(name: str) -> None:
    assert SECRET.search(name)


def test_no_text_of_an_event_is_without_an_end() -> None:
    """A million characters are of no kind, so nothing from outside swells the log."""
    kinds = {kind for what in EVENTS.values() for form in what.forms for kind in form.values()}
    assert not any(kind.admits("1" * (2**20 + 1)) for kind in kinds | set(KINDS))


def test_control_a_free_mapping_takes_anything() -> None:
    """What an event was before: its columns with no check. Old rows are such, and are only read."""
    for details in ({"surplus": 1}, {"reason": ["x"]}, {"reason": "x" * (TEXT_CHARACTERS_MAX + 1)}):
        free = unchecked(AuditEvent, action=AuditAction.AGENT_SUSPENDED, details=details)
        assert free.details == details
        with pytest.raises(IllegalEvent):
            check_details(free.action, free.details)
