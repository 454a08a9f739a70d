"""The HTTP application: guard, route, identify, decode, handle, render; every error a problem.

The order is the order of precedence of the codes: whether the request is meant for us is decided
before who asks, and that before anything of the body is read.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from waiaas.api import (
    admin,
    agents,
    approvals,
    clock,
    locking,
    metrics,
    notifications,
    owners,
    policies,
    probes,
    stopping,
    transactions,
    verdicts,
    wallet,
)
from waiaas.api.access import identify
from waiaas.api.allowance import HeldBack
from waiaas.api.guard import Guard
from waiaas.api.overwriting import overwrite
from waiaas.api.problems import problem_response
from waiaas.api.refusals import services_for, write_down
from waiaas.api.routes import Call, Route
from waiaas.api.services import Services
from waiaas.api.strict_json import BODY_BYTES_MAX, decode, decode_query
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.wire.metrics import Exposition

ROUTES: Final[tuple[Route, ...]] = (
    *admin.ROUTES,
    *probes.ROUTES,
    *metrics.ROUTES,
    *agents.ROUTES,
    *verdicts.ROUTES,
    *policies.ROUTES,
    *wallet.ROUTES,
    *transactions.ROUTES,
    *approvals.ROUTES,
    *notifications.ROUTES,
    *stopping.ROUTES,
    *clock.ROUTES,
    *locking.ROUTES,
    *owners.ROUTES,
)
"""Every route there is."""

BODY_S_MAX: Final = 10
"""For a whole body, from the first byte to the last: a slow drip does not extend it."""

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
_NOWHERE: Final = "none"
"""Of the figures of what there is no route for: paths come from anybody, in any number."""
_ID: Final = "{id}"
_OVERWRITTEN: Final = "password"
"""The member of a message that does not outlive its answer."""
_POLICY_VIOLATION: Final = 1008
"""The websocket close code; before the handshake a server turns it into status 403."""

_SENTENCES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.CHAIN_UNAVAILABLE: "the chain's node gave no usable answer",
    ErrorCode.KEYSTORE_LOCKED: "the keystore is locked: nothing is signed",
    ErrorCode.LEDGER_FULL: "the disk is full: nothing was written",
    ErrorCode.LEDGER_DAMAGED: "the ledger is damaged: nothing is written any more",
    ErrorCode.SHUTTING_DOWN: "the daemon is stopping",
}
"""What a caller hears of the states of the world: an agent learns no address and no path."""


log = structlog.get_logger()


class _WithId(NamedTuple):
    """A path with an id in it, as what stands before and behind the id."""

    before: str
    behind: str
    methods: dict[str, Route]


class _MethodNotAllowed(Refusal):
    """The path is there, for other methods."""

    def __init__(self, methods: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(methods))
        super().__init__(ErrorCode.METHOD_NOT_ALLOWED, f"this path takes {self.allow}")


class ReportDefect(Protocol):
    """Tells the operator's log of an error that nobody expected."""

    def __call__(self, request_id: str, error: Exception, /) -> None: ...


class Observe(Protocol):
    """Counts an answer: to which route, with which status, after how many seconds."""

    def __call__(self, route: str, status: int, seconds: float, /) -> None: ...


class Api:
    """The ASGI application."""

    def __init__(
        self,
        services: Services,
        *,
        port: int,
        error_codes: Mapping[type[Exception], ErrorCode],
        report: ReportDefect,
        observe: Observe,
    ) -> None:
        """Build the routes.

        Args:
            services: what the handlers use.
            port: the port it is served on; requests that name another are refused.
            error_codes: what the adapters' exceptions mean to a caller; only the composition root
                knows their classes.
            report: gets every error that is nobody's answer.
            observe: gets every answer.
        """
        self._services = services
        self._guard = Guard(port)
        self._error_codes = error_codes
        self._report = report
        self._observe = observe
        self._by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            self._by_path.setdefault(route.path, {})[route.method] = route
        self._with_id: list[_WithId] = []
        for path in [path for path in self._by_path if _ID in path]:
            before, _, behind = path.partition(_ID)
            self._with_id.append(_WithId(before, behind, self._by_path.pop(path)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # There are none; unanswered, it would hang.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        assert scope["type"] == "http", "the server has no other business with us"
        request = Request(scope, receive)
        request_id = self._services.generate_id()
        begun_s = self._services.clock.monotonic_s()
        with bound_contextvars(request_id=request_id):
            try:
                response = await self._answer_or_refuse(request, request_id)
            except ClientDisconnect:
                return
            response.headers.update({**_HEADERS, "X-Request-Id": request_id})
            await response(scope, receive, send)
            taken_s = self._services.clock.monotonic_s() - begun_s
            route = self._route_of(request)
            named = _NOWHERE if route is None else f"{route.method} {route.path}"
            self._observe(named, response.status_code, taken_s)
            log.debug("answered", route=named, status=response.status_code, ms=1000 * taken_s)

    async def _answer_or_refuse(self, request: Request, request_id: str) -> Response:
        try:
            return await self._answer(request)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 -- the one place where every error gets an answer
            refusal = await self._told(error, request, request_id)
            response = problem_response(refusal, request_id=request_id)
            if isinstance(refusal, _MethodNotAllowed):
                response.headers["Allow"] = refusal.allow
            if isinstance(refusal, HeldBack):
                response.headers["Retry-After"] = str(refusal.wait_s)
            return response

    async def _answer(self, request: Request) -> Response:
        self._guard.check(request)
        route, path_id = self._match(request)
        principal = identify(request, route.credential, self._services)
        _refuse_unhonoured(request, route)
        async with _message(request, route) as body:
            query = route.query and decode_query(request.scope["query_string"], route.query)
            services = services_for(principal, self._services)
            reply = await route.handler(Call(request, principal, services, body, path_id, query))
        if isinstance(reply, Exposition):
            return Response(reply.text, media_type=_EXPOSITION)
        return Response(
            msgspec.json.encode(reply), status_code=route.status, media_type="application/json"
        )

    def _match(self, request: Request) -> tuple[Route, str]:
        """Return the route, and the id in the path (empty where the path has none)."""
        # As it was sent: %2F and its like have no meaning here, so every path has one spelling.
        path = request.scope["raw_path"].decode("latin-1")
        methods, path_id = self._by_path.get(path), ""
        for before, behind, methods_with_id in self._with_id:
            if methods is None and path.startswith(before) and path.endswith(behind):
                path_id = path[len(before) : len(path) - len(behind)]
                methods = methods_with_id if path_id and "/" not in path_id else None
        if methods is None:
            raise Refusal(ErrorCode.ROUTE_NOT_FOUND, "there is nothing at this path")
        route = methods.get(request.method)
        if route is None:
            raise _MethodNotAllowed(methods)
        return route, path_id

    async def _told(self, error: Exception, request: Request, request_id: str) -> Refusal:
        """Return what the caller is told; a refusal only once it is written down."""
        if isinstance(error, Refusal):
            try:
                return await write_down(error, request, self._route_of(request), self._services)
            except Exception as failure:  # noqa: BLE001 -- as for any other work of the daemon's
                return self._meaning(failure, request_id)
        return self._meaning(error, request_id)

    def _route_of(self, request: Request) -> Route | None:
        """Return the route that was asked for, if there is such a one."""
        with suppress(Refusal):
            return self._match(request)[0]
        return None

    def _meaning(self, error: Exception, request_id: str) -> Refusal:
        """Say what an error means to the caller; one that means nothing is reported."""
        for kind, code in self._error_codes.items():
            if isinstance(error, kind):
                return Refusal(code, _SENTENCES[code])
        self._report(request_id, error)
        return Refusal(
            ErrorCode.INTERNAL_ERROR,
            "the daemon failed to answer; its log has the reason under requestId",
        )


def _refuse_unhonoured(request: Request, route: Route) -> None:
    """Refuse what nobody would look at: a `?dryRun=true` that is ignored moves real money.

    Raises:
        Refusal: VALIDATION_FAILED.
    """
    if request.scope["query_string"] and route.query is None:
        raise Refusal(ErrorCode.VALIDATION_FAILED, "this path takes no query")
    headers = request.headers
    if route.body is None and (
        headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    ):
        raise Refusal(ErrorCode.VALIDATION_FAILED, "this path takes no body")


@asynccontextmanager
async def _message(request: Request, route: Route) -> AsyncIterator[object]:
    """Lend what came in, if *route* takes anything, and overwrite it and its password afterwards.

    Raises:
        Refusal: BODY_TOO_LARGE, CONTENT_TYPE_REFUSED, VALIDATION_FAILED.
    """
    if route.body is None:
        yield None
        return
    chunks: list[bytes] = []
    body, message = b"", None
    try:
        await _read(request, chunks)
        body = b"".join(chunks)
        message = decode(body, route.body, *route.other_bodies)
        yield message
    finally:
        for copy in (*chunks, body, getattr(message, _OVERWRITTEN, None)):
            overwrite(copy or "")


async def _read(request: Request, chunks: list[bytes]) -> None:
    """Read a bounded JSON body, in bounded time, to the end of *chunks*.

    Raises:
        Refusal: BODY_TOO_LARGE, CONTENT_TYPE_REFUSED, or VALIDATION_FAILED if it does not come.
    """
    size_bytes = 0
    try:
        async with asyncio.timeout(BODY_S_MAX):
            async for chunk in request.stream():
                chunks.append(chunk)
                size_bytes += len(chunk)
                if size_bytes > BODY_BYTES_MAX:
                    raise Refusal(
                        ErrorCode.BODY_TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX} bytes"
                    )
    except TimeoutError as error:
        raise Refusal(
            ErrorCode.VALIDATION_FAILED, f"the body did not arrive within {BODY_S_MAX} s"
        ) from error
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" or "content-encoding" in request.headers:
        raise Refusal(
            ErrorCode.CONTENT_TYPE_REFUSED,
            "the body must be application/json, and not compressed",
        )
