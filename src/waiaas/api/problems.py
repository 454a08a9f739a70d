"""From an error to the answer a caller sees: the one place that knows HTTP status codes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.responses import Response

from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.wire.problems import Problem

STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.HOST_REFUSED: 421,
    ErrorCode.ORIGIN_REFUSED: 403,
    ErrorCode.ROUTE_NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.INVALID_TOKEN: 401,
    ErrorCode.SESSION_REVOKED: 401,
    ErrorCode.SESSION_EXPIRED: 401,
    ErrorCode.INVALID_MASTER_PASSWORD: 401,
    ErrorCode.MASTER_PASSWORD_LOCKED: 429,
    ErrorCode.INVALID_NONCE: 401,
    ErrorCode.INVALID_SIGNATURE: 401,
    ErrorCode.TOO_MANY_REFUSALS: 429,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.CONTENT_TYPE_REFUSED: 415,
    ErrorCode.VALIDATION_FAILED: 400,
    ErrorCode.INVALID_ADDRESS: 400,
    ErrorCode.INVALID_AMOUNT: 400,
    ErrorCode.NOT_SUPPORTED_YET: 400,
    ErrorCode.NETWORK_NOT_CONFIGURED: 400,
    ErrorCode.FAUCET_UNAVAILABLE: 400,
    ErrorCode.AGENT_NOT_FOUND: 404,
    ErrorCode.AGENT_NOT_ACTIVE: 409,
    ErrorCode.AGENT_HAS_MONEY: 409,
    ErrorCode.POLICY_NOT_FOUND: 404,
    ErrorCode.SESSION_NOT_FOUND: 404,
    ErrorCode.TX_NOT_FOUND: 404,
    ErrorCode.TX_ALREADY_PROCESSED: 409,
    ErrorCode.TX_CANCELLED: 409,
    ErrorCode.APPROVAL_NOT_FOUND: 404,
    ErrorCode.APPROVAL_TIMEOUT: 410,
    ErrorCode.OWNER_NOT_CONNECTED: 404,
    ErrorCode.OWNER_ALREADY_CONNECTED: 409,
    ErrorCode.OWNER_REQUIRED: 403,
    ErrorCode.CHALLENGE_EXPIRED: 410,
    ErrorCode.CHALLENGE_STALE: 409,
    ErrorCode.SESSION_LIMIT_EXCEEDED: 403,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.REFERENCE_REUSED: 409,
    ErrorCode.DUPLICATE_REQUEST: 409,
    ErrorCode.TOO_MANY_PENDING: 429,
    ErrorCode.CONSTRAINT_VIOLATED: 403,
    ErrorCode.POLICY_DENIED: 403,
    ErrorCode.SPENDING_LIMIT_EXCEEDED: 403,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.POLICY_TIGHTENED: 403,
    ErrorCode.RENT_NOT_GRANTED: 403,
    ErrorCode.KILL_SWITCH_ACTIVE: 409,
    ErrorCode.KILL_SWITCH_NOT_ACTIVE: 409,
    ErrorCode.RECOVERY_WAIT_REQUIRED: 409,
    ErrorCode.LEDGER_RESTORED: 503,
    ErrorCode.CLOCK_IN_DOUBT: 503,
    ErrorCode.KEYSTORE_LOCKED: 503,
    ErrorCode.BACKUP_UNDER_WAY: 409,
    ErrorCode.BACKUP_FAILED: 500,
    ErrorCode.SIMULATION_FAILED: 422,
    ErrorCode.TRANSACTION_FAILED_ON_CHAIN: 502,
    ErrorCode.TRANSACTION_EXPIRED: 410,
    ErrorCode.CHAIN_UNAVAILABLE: 502,
    ErrorCode.NOT_READY: 503,
    ErrorCode.LEDGER_FULL: 507,
    ErrorCode.LEDGER_DAMAGED: 503,
    ErrorCode.SHUTTING_DOWN: 503,
    ErrorCode.INTERNAL_ERROR: 500,
}
"""Every code has one; a test holds this to the enum."""


def problem_response(refusal: Refusal, *, request_id: str) -> Response:
    """Render *refusal* as RFC 9457 problem details."""
    status = STATUS[refusal.code]
    problem = msgspec.convert(
        {
            "type": "about:blank",
            "title": refusal.code.replace("_", " ").capitalize(),
            "status": status,
            "detail": refusal.message,
            "code": refusal.code,
            "message": refusal.message,
            "requestId": request_id,
            "retryable": refusal.is_transient,
            "hint": refusal.hint,
        }
        | dict(refusal.details),
        Problem,
    )
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )
