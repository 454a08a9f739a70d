"""Messages: camelCase, frozen, exactly their members, and silent about secrets."""

import importlib
import pkgutil
import re
from typing import Any

import msgspec
import pytest

import waiaas.wire
from waiaas.api.app import ROUTES
from waiaas.domain.enums import ENUMS
from waiaas.domain.owner import OwnerAction
from waiaas.domain.workers import WorkerName, WorkerState
from waiaas.wire.admin import (
    CreateBackup,
    FoundAtStart,
    FoundMovement,
    Login,
    OperatorToken,
    UnreadHistory,
    WorkerStatus,
)
from waiaas.wire.approvals import Approval, Approvals, Approve
from waiaas.wire.clock import AcceptClock
from waiaas.wire.kill_switch import RecoverKillSwitch
from waiaas.wire.locking import Unlock
from waiaas.wire.message import Message
from waiaas.wire.notifications import Notification, Notifications
from waiaas.wire.problems import Problem
from waiaas.wire.requests import (
    CallAccount,
    SendApprove,
    SendBatch,
    SendContractCall,
    SendTokenTransfer,
    SendTransfer,
    Token,
)
from waiaas.wire.sessions import IssuedSession
from waiaas.wire.verdicts import Denial, Reason

MESSAGES = sorted(
    {
        value
        for module in pkgutil.iter_modules(waiaas.wire.__path__)
        for value in vars(importlib.import_module(f"waiaas.wire.{module.name}")).values()
        if isinstance(value, type) and issubclass(value, Message) and value is not Message
    },
    key=lambda message: message.__name__,
)
SENT = {
    message for route in ROUTES for message in (route.body, *route.other_bodies, route.query)
} - {None}
PARTS = {
    Approval,
    CallAccount,
    Denial,
    FoundAtStart,
    FoundMovement,
    Notification,
    Reason,
    SendApprove,
    SendBatch,
    SendContractCall,
    SendTokenTransfer,
    SendTransfer,
    Token,
    UnreadHistory,
    WorkerStatus,
}
"""Spoken inside of others."""
ANSWERED = {route.reply for route in ROUTES}
CAMEL = re.compile(r"[a-z]+([A-Z][a-z]+)*")


def fields(message: type) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(message)


def test_every_message_is_spoken_by_a_route_and_every_route_speaks_one_of_them() -> None:
    assert set(MESSAGES) - PARTS == SENT | ANSWERED
    assert {Approvals, Notifications} <= ANSWERED  # in which parts are spoken
    assert not SENT & ANSWERED


@pytest.mark.parametrize("message", [*MESSAGES, Problem], ids=lambda message: message.__name__)
def test_every_member_is_in_camel_case(message: type) -> None:
    assert all(CAMEL.fullmatch(field.encode_name) for field in fields(message))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_a_message_has_no_other_members_and_does_not_change(message: type[Message]) -> None:
    config = message.__struct_config__
    assert (config.forbid_unknown_fields, config.frozen) == (True, True)


@pytest.mark.parametrize("message", sorted(SENT, key=str), ids=lambda message: message.__name__)
def test_every_text_that_is_taken_in_has_a_bound(message: type[Message]) -> None:
    def unbounded(kind: Any) -> bool:
        return isinstance(kind, msgspec.inspect.StrType) and kind.max_length is None

    info = msgspec.inspect.type_info(message)
    assert isinstance(info, msgspec.inspect.StructType)
    assert [field.name for field in info.fields if unbounded(field.type)] == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_a_closed_vocabulary_is_one_of_the_domain(message: type[Message]) -> None:
    info = msgspec.inspect.type_info(message)
    assert isinstance(info, msgspec.inspect.StructType)
    kinds = [field.type for field in info.fields]
    of_domain = {*ENUMS, OwnerAction, WorkerName, WorkerState}
    assert all(
        kind.cls in of_domain for kind in kinds if isinstance(kind, msgspec.inspect.EnumType)
    )


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_no_member_is_a_float(message: type[Message]) -> None:
    info = msgspec.inspect.type_info(message)
    assert isinstance(info, msgspec.inspect.StructType)
    assert not [f for f in info.fields if isinstance(f.type, msgspec.inspect.FloatType)]


@pytest.mark.parametrize(
    "message",
    [
        Login("canary"),
        OperatorToken("canary", 1),
        IssuedSession("id", "canary", 1, "agent"),
        CreateBackup("password", "canary"),
        Approve("canary"),
        RecoverKillSwitch("canary"),
        AcceptClock("canary", 5),
        Unlock("canary"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_secret_is_not_shown_by_the_message_that_carries_it(message: Message) -> None:
    assert "canary" not in repr(message)
    assert "canary" not in f"{message}"
    assert b"canary" in msgspec.json.encode(message)


def test_no_other_message_carries_a_secret() -> None:
    named = {
        message.__name__
        for message in MESSAGES
        if {"token", "password", "secret", "key"}
        & {field.name for field in fields(message) if field.type is not Token}
    }
    assert named == {
        "Login",
        "OperatorToken",
        "IssuedSession",
        "CreateBackup",
        "Approve",
        "RecoverKillSwitch",
        "AcceptClock",
        "Unlock",
    }
