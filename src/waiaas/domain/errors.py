"""The expected failures: one public, append-only list of codes, in order of precedence.

When several things are wrong with one request, the code that stands first here is the answer, so
two wrongs always report the same one. HTTP status and exit code are chosen at the edge (`api`,
`cli`); a code says only what happened and whether asking again, unchanged, may help.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ErrorCode(StrEnum):
    """What went wrong, most fundamental first. Public: append, never rename or reuse."""

    # The message itself.
    HOST_REFUSED = "HOST_REFUSED"
    ORIGIN_REFUSED = "ORIGIN_REFUSED"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    # Who asks.
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 -- a code, not a secret
    SESSION_REVOKED = "SESSION_REVOKED"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    INVALID_MASTER_PASSWORD = "INVALID_MASTER_PASSWORD"  # noqa: S105 -- a code, not a secret
    MASTER_PASSWORD_LOCKED = "MASTER_PASSWORD_LOCKED"  # noqa: S105 -- a code, not a secret
    INVALID_NONCE = "INVALID_NONCE"
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    TOO_MANY_REFUSALS = "TOO_MANY_REFUSALS"
    # What is asked.
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    CONTENT_TYPE_REFUSED = "CONTENT_TYPE_REFUSED"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    INVALID_ADDRESS = "INVALID_ADDRESS"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    NOT_SUPPORTED_YET = "NOT_SUPPORTED_YET"
    NETWORK_NOT_CONFIGURED = "NETWORK_NOT_CONFIGURED"
    FAUCET_UNAVAILABLE = "FAUCET_UNAVAILABLE"
    # What it is about.
    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    AGENT_NOT_ACTIVE = "AGENT_NOT_ACTIVE"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    TX_NOT_FOUND = "TX_NOT_FOUND"
    TX_ALREADY_PROCESSED = "TX_ALREADY_PROCESSED"
    TX_CANCELLED = "TX_CANCELLED"
    APPROVAL_NOT_FOUND = "APPROVAL_NOT_FOUND"
    APPROVAL_TIMEOUT = "APPROVAL_TIMEOUT"
    OWNER_NOT_CONNECTED = "OWNER_NOT_CONNECTED"
    OWNER_ALREADY_CONNECTED = "OWNER_ALREADY_CONNECTED"
    OWNER_REQUIRED = "OWNER_REQUIRED"
    CHALLENGE_EXPIRED = "CHALLENGE_EXPIRED"
    CHALLENGE_STALE = "CHALLENGE_STALE"
    SESSION_LIMIT_EXCEEDED = "SESSION_LIMIT_EXCEEDED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    REFERENCE_REUSED = "REFERENCE_REUSED"
    DUPLICATE_REQUEST = "DUPLICATE_REQUEST"
    TOO_MANY_PENDING = "TOO_MANY_PENDING"
    # What the owner allows.
    CONSTRAINT_VIOLATED = "CONSTRAINT_VIOLATED"
    POLICY_DENIED = "POLICY_DENIED"
    SPENDING_LIMIT_EXCEEDED = "SPENDING_LIMIT_EXCEEDED"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    POLICY_TIGHTENED = "POLICY_TIGHTENED"
    KILL_SWITCH_ACTIVE = "KILL_SWITCH_ACTIVE"
    KILL_SWITCH_NOT_ACTIVE = "KILL_SWITCH_NOT_ACTIVE"
    RECOVERY_WAIT_REQUIRED = "RECOVERY_WAIT_REQUIRED"
    # The world.
    LEDGER_RESTORED = "LEDGER_RESTORED"
    CLOCK_IN_DOUBT = "CLOCK_IN_DOUBT"
    BACKUP_UNDER_WAY = "BACKUP_UNDER_WAY"
    BACKUP_FAILED = "BACKUP_FAILED"
    SIMULATION_FAILED = "SIMULATION_FAILED"
    TRANSACTION_FAILED_ON_CHAIN = "TRANSACTION_FAILED_ON_CHAIN"
    TRANSACTION_EXPIRED = "TRANSACTION_EXPIRED"
    CHAIN_UNAVAILABLE = "CHAIN_UNAVAILABLE"
    LEDGER_FULL = "LEDGER_FULL"
    LEDGER_DAMAGED = "LEDGER_DAMAGED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL_ERROR = "INTERNAL_ERROR"

    @property
    def is_transient(self) -> bool:
        """Whether the same may succeed when it is asked for again later.

        A denial was recorded under its Idempotency-Key, and is repeated under it for ever: what
        was denied is asked for again under a new one.
        """
        return self in _TRANSIENT


_TRANSIENT: Final = frozenset(
    {
        ErrorCode.MASTER_PASSWORD_LOCKED,
        ErrorCode.TOO_MANY_REFUSALS,
        ErrorCode.TOO_MANY_PENDING,
        ErrorCode.SPENDING_LIMIT_EXCEEDED,
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.RECOVERY_WAIT_REQUIRED,
        ErrorCode.CLOCK_IN_DOUBT,
        ErrorCode.BACKUP_UNDER_WAY,
        ErrorCode.CHAIN_UNAVAILABLE,
        ErrorCode.LEDGER_FULL,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.INTERNAL_ERROR,
    }
)
"""All others stay as they are, however long one waits."""


class Refusal(Exception):  # noqa: N818 -- a refusal is an answer, not a malfunction
    """A request was understood and not done; nothing was changed.

    Attributes:
        code: what happened.
        message: one sentence for a person. Never holds a secret.
        hint: what to do next, and who must do it; or None.
        details: named facts beside the message, e.g. `{"maxAllowed": "100"}`.
        is_recorded: whether the ledger has it, in an audit row of its own.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        hint: str | None = None,
        details: Mapping[str, str | int | None] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.details: Mapping[str, str | int | None] = details or {}
        self.is_recorded = False
        super().__init__(f"{code}: {message}")

    @property
    def is_transient(self) -> bool:
        """Whether asking again later may help.

        A denial says so itself: from when on it would pass, or that it never does.
        """
        if "retryAt" in self.details:
            return self.details["retryAt"] is not None
        return self.code.is_transient
