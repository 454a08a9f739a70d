"""The one route table: method, path, credential, messages, error codes, handler.

The routes, the documentation and the authorisation tests all come from it. A route without a
credential cannot be registered, and neither can one that names a credential nobody checks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from waiaas.api.access import Principal
from waiaas.api.services import Services
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode
from waiaas.wire.message import Message


@dataclass(frozen=True, slots=True)
class Call:
    """One request, after everything that could be refused without the handler was."""

    request: Request
    principal: Principal
    services: Services
    body: Any
    """The decoded message of the route's `body` type, or None for a route without one."""
    path_id: str
    """The id in the path, as sent; empty where the path has none."""
    query: Any
    """The decoded message of the route's `query` type, or None for a route without one."""

    @property
    def ip_address(self) -> str | None:
        """The caller's address, by the kernel's word; None for one at the Unix socket."""
        return None if self.request.client is None else self.request.client.host


Handler = Callable[[Call], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    method: str
    path: str
    credential: Credential
    handler: Handler
    reply: type[Message]
    body: type[Message] | None = None
    other_bodies: tuple[type[Message], ...] = ()
    """More messages that it takes, each told by the tag in its member `type`."""
    query: type[Message] | None = None
    status: int = 200
    codes: tuple[ErrorCode, ...] = ()
    """What the handler may refuse with, beside what every route may."""

    def __post_init__(self) -> None:
        if not isinstance(self.credential, Credential):
            raise TypeError(f"{self.method} {self.path} does not say whom it admits")


COMMON_CODES: Final = (
    ErrorCode.HOST_REFUSED,
    ErrorCode.ORIGIN_REFUSED,
    ErrorCode.INVALID_TOKEN,
    ErrorCode.SESSION_REVOKED,
    ErrorCode.SESSION_EXPIRED,
    ErrorCode.TOO_MANY_REFUSALS,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.CONTENT_TYPE_REFUSED,
    ErrorCode.VALIDATION_FAILED,
    ErrorCode.KEYSTORE_LOCKED,
    ErrorCode.LEDGER_FULL,
    ErrorCode.LEDGER_DAMAGED,
    ErrorCode.SHUTTING_DOWN,
    ErrorCode.INTERNAL_ERROR,
)
"""What any route may refuse with."""
