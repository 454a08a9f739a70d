"""The last look before the daemon is found: is every route there, and guarded as its row says?

Each is asked over ASGI, in this process, in a way that reaches no handler: without a credential, or
where none is needed with a body and a query that no message takes. So nothing happens, nothing is
written, and whatever routing, guard, credentials and decoding have to say was said.
"""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message

from waiaas.api.app import ROUTES
from waiaas.api.problems import STATUS
from waiaas.api.routes import Route
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode

_UNGUARDED: Final = frozenset({Credential.PUBLIC, Credential.OWNER})
_ANY_ID: Final = "self-check"
_HEALTH: Final = "/health"


class RoutesUnfit(Exception):  # noqa: N818 -- says what was found
    """Some routes do not answer as they must; a defect of this waiaas, nothing to put right."""


async def require_fit(app: ASGIApp, *, port: int, routes: tuple[Route, ...] = ROUTES) -> None:
    """Return if each of *routes* refuses who may not ask it, and the daemon's health is told.

    Raises:
        RoutesUnfit: names those that do not, with the status that each answered.
    """
    unfit = []
    for route in routes:
        found = await _ask(app, route.method, route.path.replace("{id}", _ANY_ID), port=port)
        if found not in expected(route.credential):
            unfit.append(f"{route.method} {route.path} ({found})")
    found = await _ask(app, "GET", _HEALTH, port=port, query=b"")
    if found != HTTPStatus.OK:
        unfit.append(f"GET {_HEALTH} ({found})")
    if unfit:
        raise RoutesUnfit(
            f"these routes do not answer as they must: {', '.join(unfit)}."
            " Report this, and start the version that you had before."
        )


def expected(credential: Credential) -> frozenset[int]:
    """Return the statuses of which one must come back from a route that admits *credential*."""
    codes = (
        (ErrorCode.CONTENT_TYPE_REFUSED, ErrorCode.VALIDATION_FAILED)
        if credential in _UNGUARDED
        else (ErrorCode.INVALID_TOKEN,)
    )
    return frozenset(STATUS[code] for code in codes)


async def _ask(
    app: ASGIApp, method: str, path: str, *, port: int, query: bytes = b"self-check=1"
) -> int:
    """Return the status that comes back."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", f"127.0.0.1:{port}".encode("ascii"))],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", port),
    }
    await app(scope, receive, send)
    [status] = statuses
    return status
