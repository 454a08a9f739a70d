"""The daemon itself: what everybody may know, what the operator may, and how it is stopped."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiaas.database import transactions
from waiaas.domain.assets import Network
from waiaas.domain.backup import ScheduleCondition
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType, TransactionStatus
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.pipeline.recover import Found

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


def agent_named(agent_id: str) -> AgentRecord:
    return AgentRecord(
        *(AgentId(agent_id), "a", ChainType.SOLANA, NetworkType.LOCALNET, "address"),
        *(AgentStatus.ACTIVE, NOW_S, None, None),
    )


def test_the_operator_may_know_what_it_is_doing(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    about = replace(desk.services.about, localnet_url="http://127.0.0.1:8899")
    desk.rebuild(
        about=about,
        chains={**desk.services.chains, Network(ChainType.SOLANA, NetworkType.DEVNET): None},
        count_blocked=lambda: 7,
        count_unreadable=lambda: 3,
        count_shut=lambda: 3,
        agents_without_key=lambda: [agent_named("an agent")],
        found_at_start={**dict.fromkeys(Found, 0), Found.UNSIGNED: 2, Found.SIGNED: 1},
        backup_condition=lambda: ScheduleCondition(NOW_S - 5, "The disk is full."),
    )
    body = {"to": RECIPIENT, "amount": "1"}
    desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    for token in (operator, COOKIE):
        assert desk.ask("GET", "/v1/admin/status", token=token).json == {
            "status": "ok",
            "locked": False,
            "version": "1.2.3",
            "uptime": 0,
            "timestamp": NOW_S,
            "daemonId": about.daemon_id,
            "killSwitch": "NORMAL",
            "agentCount": 1,
            "unfinishedTransactionCount": 1,
            "waitingTransactionCount": 0,
            "blockedTransactionCount": 7,
            "unreadableTransactionCount": 3,
            "foundAtStart": {"waiting": 0, "unsigned": 2, "signed": 1, "sent": 0, "unclear": 0},
            "waitingAgentCount": 3,
            "agentsWithoutKey": ["an agent"],
            "networks": ["devnet", "localnet"],
            "localnetUrl": "http://127.0.0.1:8899",
            "restoredAt": None,
            "ledgerProblem": None,
            "swappableSecretCount": 0,
            "clockDifference": None,
            "walPages": desk.ledger.condition().wal_pages,
            "lastScheduledBackupAt": NOW_S - 5,
            "scheduledBackupProblem": "The disk is full.",
            "workers": [
                {
                    "name": "payments",
                    "state": "running",
                    "begunAt": NOW_S,
                    "nextAt": None,
                    "failures": 0,
                    "failedAt": None,
                    "problem": None,
                },
                {
                    "name": "clock",
                    "state": "failing",
                    "begunAt": NOW_S - 5,
                    "nextAt": NOW_S + 5,
                    "failures": 2,
                    "failedAt": NOW_S - 4,
                    "problem": "no disk",
                },
            ],
        }


def test_whoever_asks_is_told_that_nothing_can_be_written_and_the_operator_why(
    desk: "Desk", operator: str
) -> None:
    desk.ledger.stop_writing(["page 7 is torn"])

    assert desk.ask("GET", "/health").json["status"] == "read_only"
    answer = desk.ask("GET", "/v1/admin/status", token=operator)
    assert answer.json["status"] == "read_only"
    assert "page 7 is torn" in answer.json["ledgerProblem"]
    assert "waiaas backup restore" in answer.json["ledgerProblem"]
    refused = desk.ask("POST", "/v1/agents", {"name": "n", "network": "localnet"}, token=operator)
    assert (refused.status, refused.code) == (503, "LEDGER_DAMAGED")
    assert refused.json["retryable"] is False
    assert "page 7" not in str(refused.json)


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


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "password"},
        {"mode": "keystore", "password": "a long enough password"},
        {"mode": "password", "password": "short"},
        {"mode": "other"},
    ],
)
def test_a_backup_says_what_opens_it_or_is_not_made(
    desk: "Desk", operator: str, body: dict[str, str]
) -> None:
    answer = desk.ask("POST", "/v1/admin/backups", body, token=operator)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert not (Path(desk.ledger.path).parent / "backups").exists()


def test_a_backup_is_answered_once_it_is_there_and_the_cookie_makes_none(
    desk: "Desk", operator: str
) -> None:
    refused = desk.ask("POST", "/v1/admin/backups", {"mode": "keystore"}, token=COOKIE)
    assert refused.code == "INVALID_TOKEN"
    made = desk.ask("POST", "/v1/admin/backups", {"mode": "keystore"}, token=operator)
    assert made.status == 201
    file = Path(desk.ledger.path).parent / "backups" / made.json["name"]
    assert made.json["size"] == file.stat().st_size
    assert desk.rows("audit_log")[-1].event_type == "BACKUP_CREATED"


def test_why_no_backup_was_made_is_for_the_operator_to_read(desk: "Desk", operator: str) -> None:
    (Path(desk.ledger.path).parent / "backups").mkdir(mode=0o755)
    (Path(desk.ledger.path).parent / "backups").chmod(0o755)
    answer = desk.ask("POST", "/v1/admin/backups", {"mode": "keystore"}, token=operator)
    assert (answer.status, answer.code) == (500, "BACKUP_FAILED")
    assert "chmod 700" in answer.json["message"]
