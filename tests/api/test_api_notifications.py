"""The route of the notifications: in order, from a number on, and what is refused."""

from typing import TYPE_CHECKING

import pytest
from tests.fakes.events import unchecked

from waiaas.domain.enums import NotificationEventType
from waiaas.domain.notification import Notification

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk

COOKIE = "wai_op_" + "C" * 43
NOW_S = 1_700_000_000


def asked(desk: "Desk", query: str) -> "Answer":
    path = "/v1/admin/notifications"
    return desk.ask("GET", path, token=COOKIE, query=query.encode())


def test_they_are_read_in_order_from_where_the_last_reading_ended(desk: "Desk") -> None:
    for n in range(5):
        # As one of an earlier version: what is read is not checked.
        told = unchecked(Notification, event=NotificationEventType.TX_FAILED, details={"n": n})
        desk.ledger.write(lambda tx, told=told: tx.outbox.append(told, now_s=NOW_S))  # type: ignore[misc]  # -- a default
    first = asked(desk, "limit=2").json["items"]
    assert first[0] == {
        "number": 1,
        "event": "TX_FAILED",
        "agentId": None,
        "transactionId": None,
        "details": {"n": 0},
        "createdAt": NOW_S,
    }
    rest = asked(desk, f"after={first[-1]['number']}").json["items"]
    assert [each["details"]["n"] for each in [*first, *rest]] == [0, 1, 2, 3, 4]
    assert asked(desk, f"after={rest[-1]['number']}").json["items"] == []


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=", "limit=0", "limit=101", "limit=1.5", f"after={2**70}"],
)
def test_numbers_that_are_none_are_refused(desk: "Desk", query: str) -> None:
    assert asked(desk, query).code == "VALIDATION_FAILED"
