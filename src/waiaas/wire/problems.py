"""How every error is told: RFC 9457 problem details."""

import msgspec

from waiaas.domain.errors import ErrorCode


class Problem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`application/problem+json`. The members after `hint` are there for denials."""

    type: str
    title: str
    status: int
    detail: str
    code: ErrorCode
    message: str
    request_id: str
    retryable: bool
    hint: str | None = None
    transaction_id: str | None = None
    rule: str | None = None
    asset: str | None = None
    bound: str | None = None
    limit: str | None = None
    observed: str | None = None
    max_allowed: str | None = None
    retry_at: int | None = None
    field: str | None = None
