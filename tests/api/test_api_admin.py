"""The daemon itself: what everybody may know, what the operator may, and how it is stopped."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from waiaas.database import transactions
from waiaas.domain.enums import NetworkType, TransactionStatus

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

NOW_S = 1_700_000_000
COOKIE = "wai_op_" + "C" * 43
RECIPIENT = "So11111111111111111111111111111111111111112"


def test_anybody_may_know_that_it_is_well_and_no_more(desk: "Desk", hired: "Hired") -> None:
    desk.clock.advance(12.75)
    answer = desk.ask("GET", "/health")
    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "version": "1.2.3",
        "uptime": 12,
        "timestamp": NOW_S + 12,
    }
    assert desk.ask("GET", "/health", token=hired.token).json == answer.json


def test_the_operator_may_know_what_it_is_doing(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    about = replace(desk.services.about, localnet_url="http://127.0.0.1:8899")
    desk.rebuild(
        about=about,
        chains={**desk.services.chains, NetworkType.DEVNET: None},
        count_blocked=lambda: 7,
    )
    body = {"to": RECIPIENT, "amount": "1"}
    desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    for token in (operator, COOKIE):
        assert desk.ask("GET", "/v1/admin/status", token=token).json == {
            "status": "ok",
            "version": "1.2.3",
            "uptime": 0,
            "timestamp": NOW_S,
            "daemonId": about.daemon_id,
            "agentCount": 1,
            "unfinishedTransactionCount": 1,
            "blockedTransactionCount": 7,
            "networks": ["devnet", "localnet"],
            "localnetUrl": "http://127.0.0.1:8899",
        }


@pytest.mark.parametrize("status", TransactionStatus)
def test_what_has_ended_is_not_counted_as_unfinished(
    desk: "Desk", operator: str, hired: "Hired", status: TransactionStatus
) -> None:
    body = {"to": RECIPIENT, "amount": "1"}
    desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    desk.execute(transactions.update().values(status=status))
    answer = desk.ask("GET", "/v1/admin/status", token=operator)
    lives = status in {"PENDING", "EXECUTING", "SUBMITTED"}
    assert answer.json["unfinishedTransactionCount"] == int(lives)


def test_whoever_can_read_the_cookie_may_stop_it_once_asked_once(desk: "Desk") -> None:
    answer = desk.ask("POST", "/v1/admin/shutdown", token=COOKIE)
    assert (answer.status, answer.json) == (200, {"message": "the daemon is stopping"})
    assert len(desk.stops) == 1


def test_a_login_may_stop_it_too(desk: "Desk", operator: str) -> None:
    assert desk.ask("POST", "/v1/admin/shutdown", token=operator).status == 200
    assert len(desk.stops) == 1
