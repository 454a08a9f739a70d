"""The HTTP application: guard, route, identify, decode, handle, render; every error a problem.

The order is the order of precedence of the codes: whether the request is meant for us is decided
before who asks, and that before anything of the body is read.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from waiaas.api import admin, agents, transactions, wallet
from waiaas.api.access import identify
from waiaas.api.guard import Guard
from waiaas.api.problems import problem_response
from waiaas.api.routes import Call, Route
from waiaas.api.services import Services
from waiaas.api.strict_json import BODY_BYTES_MAX, decode
from waiaas.domain.errors import ErrorCode, Refusal

ROUTES: Final[tuple[Route, ...]] = (
    *admin.ROUTES,
    *agents.ROUTES,
    *wallet.ROUTES,
    *transactions.ROUTES,
)
"""Every route there is."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class ReportDefect(Protocol):
    """Tells the operator's log of an error that nobody expected."""

    def __call__(self, request_id: str, error: Exception, /) -> None: ...


class Api:
    """The ASGI application."""

    def __init__(
        self,
        services: Services,
        *,
        port: int,
        error_codes: Mapping[type[Exception], ErrorCode],
        report: ReportDefect,
    ) -> None:
        """Build the routes.

        Args:
            services: what the handlers use.
            port: the port it is served on; requests that name another are refused.
            error_codes: what the adapters' exceptions mean to a caller; only the composition root
                knows their classes.
            report: gets every error that is nobody's answer.
        """
        self._services = services
        self._guard = Guard(port)
        self._error_codes = error_codes
        self._report = report
        self._routes: dict[tuple[str, ...], dict[str, Route]] = defaultdict(dict)
        for route in ROUTES:
            self._routes[_segments(route.path)][route.method] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # A websocket: there are none, and none is accepted.
            return
        request = Request(scope, receive)
        request_id = self._services.generate_id()
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 -- the one place where every error gets an answer
            response = problem_response(self._refusal(error, request_id), request_id=request_id)
        response.headers.update({**_HEADERS, "X-Request-Id": request_id})
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        self._guard.check(request)
        route, path_id = self._match(request)
        principal = identify(request, route.credential, self._services)
        body = None if route.body is None else decode(await _read(request), route.body)
        reply = await route.handler(Call(request, principal, self._services, body, path_id))
        return Response(
            msgspec.json.encode(reply), status_code=route.status, media_type="application/json"
        )

    def _match(self, request: Request) -> tuple[Route, str]:
        """Return the route, and the id in the path (empty where the path has none)."""
        segments = tuple(request.scope["path"].split("/"))
        methods, path_id = self._routes.get(segments), ""
        for place, segment in enumerate(segments):
            if methods is None and segment:
                pattern = (*segments[:place], "{id}", *segments[place + 1 :])
                methods, path_id = self._routes.get(pattern), segment
        if methods is None:
            raise Refusal(ErrorCode.ROUTE_NOT_FOUND, "there is nothing at this path")
        route = methods.get(request.method)
        if route is None:
            raise Refusal(
                ErrorCode.METHOD_NOT_ALLOWED, f"this path takes {', '.join(sorted(methods))}"
            )
        return route, path_id

    def _refusal(self, error: Exception, request_id: str) -> Refusal:
        """Say what an error means to the caller; one that means nothing is reported."""
        if isinstance(error, Refusal):
            return error
        for kind, code in self._error_codes.items():
            if isinstance(error, kind):
                return Refusal(code, str(error))
        self._report(request_id, error)
        return Refusal(
            ErrorCode.INTERNAL_ERROR,
            "the daemon failed to answer; its log has the reason under requestId",
        )


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.split("/"))


async def _read(request: Request) -> bytes:
    """Read a bounded JSON body.

    Raises:
        Refusal: CONTENT_TYPE_REFUSED, BODY_TOO_LARGE.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" or "content-encoding" in request.headers:
        raise Refusal(
            ErrorCode.CONTENT_TYPE_REFUSED,
            "the body must be application/json, and not compressed",
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refusal(
                ErrorCode.BODY_TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX} bytes"
            )
    return bytes(body)
