"""The vocabularies: exactly the values of the design, in its order."""

from enum import StrEnum

import pytest

from waiaas.domain.enums import ENUMS, AuditAction, NotificationEventType

# fmt: off
VALUES = {
    "ChainType":         "solana ethereum",
    "NetworkType":       "mainnet devnet testnet localnet",
    "AgentStatus":       "CREATING ACTIVE SUSPENDED TERMINATING TERMINATED",
    "TransactionStatus": "PENDING QUEUED EXECUTING SUBMITTED CONFIRMED FAILED CANCELLED EXPIRED"
                         " PARTIAL_FAILURE",
    "TransactionType":   "TRANSFER TOKEN_TRANSFER CONTRACT_CALL APPROVE BATCH",
    "PolicyType":        "SPENDING_LIMIT WHITELIST TIME_RESTRICTION RATE_LIMIT ALLOWED_TOKENS"
                         " CONTRACT_WHITELIST METHOD_WHITELIST APPROVED_SPENDERS"
                         " APPROVE_AMOUNT_LIMIT APPROVE_TIER_OVERRIDE",
    "PolicyTier":        "INSTANT NOTIFY DELAY APPROVAL",
    "SessionStatus":     "ACTIVE EXPIRED REVOKED",
    "OwnerState":        "NONE GRACE LOCKED",
    "KillSwitchState":   "NORMAL ACTIVATED RECOVERING",
    "AuditSeverity":     "info warning critical",
}

FIRST_AUDIT_ACTIONS = """
    AGENT_CREATED AGENT_ACTIVATED AGENT_SUSPENDED AGENT_TERMINATED
    SESSION_ISSUED SESSION_REVOKED SESSION_EXPIRED
    TX_REQUESTED TX_QUEUED TX_SUBMITTED TX_CONFIRMED TX_FAILED TX_CANCELLED
    POLICY_VIOLATION POLICY_UPDATED
    KEYSTORE_UNLOCKED KEYSTORE_LOCKED KEY_ROTATED
    KILL_SWITCH_ACTIVATED DAEMON_STARTED DAEMON_STOPPED
    AUTH_FAILED RATE_LIMIT_EXCEEDED
"""

FIRST_NOTIFICATIONS = """
    TX_REQUESTED TX_QUEUED TX_SUBMITTED TX_CONFIRMED TX_FAILED TX_CANCELLED TX_DOWNGRADED_DELAY
    POLICY_VIOLATION AGENT_SUSPENDED KILL_SWITCH_ACTIVATED KILL_SWITCH_RECOVERED
    SESSION_EXPIRING_SOON SESSION_EXPIRED OWNER_SET OWNER_REMOVED OWNER_VERIFIED
"""
# fmt: on


def test_there_are_thirteen_vocabularies() -> None:
    names = [enum.__name__ for enum in ENUMS]
    assert names == [*VALUES, "AuditAction", "NotificationEventType"]
    assert len(names) == 13


@pytest.mark.parametrize("enum", ENUMS[:11])
def test_a_closed_vocabulary_has_exactly_its_values(enum: type[StrEnum]) -> None:
    assert [*enum] == VALUES[enum.__name__].split()


def test_a_growing_vocabulary_keeps_its_first_values_in_place() -> None:
    assert [*AuditAction][:23] == FIRST_AUDIT_ACTIONS.split()
    assert [*NotificationEventType][:16] == FIRST_NOTIFICATIONS.split()


@pytest.mark.parametrize("enum", ENUMS)
def test_a_name_is_its_value_in_capitals(enum: type[StrEnum]) -> None:
    assert [member.name for member in enum] == [member.value.upper() for member in enum]


@pytest.mark.parametrize("enum", ENUMS)
def test_no_name_is_an_alias_of_another(enum: type[StrEnum]) -> None:
    assert len(enum.__members__) == len(enum)
