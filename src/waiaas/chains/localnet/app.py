"""The node on HTTP: one address, POST, JSON in and out, bodies of bounded size.

Requests are answered on the event loop, one at a time: an execution takes microseconds, and a chain
has one order.
"""

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from waiaas.chains.localnet.errors import INVALID_REQUEST
from waiaas.chains.localnet.faults import Reply
from waiaas.chains.localnet.rpc import Answer, Node

BODY_BYTES_MAX: Final = 50 * 1024
"""As on a real node."""

_JSON: Final = "application/json"


def create_app(node: Node) -> Starlette:
    """Return the application that lets *node* be asked."""
    return Starlette(routes=[Route("/", _Endpoint(node), methods=["POST"])])


class _Endpoint:
    """Plain ASGI, because some faults are no responses."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != _JSON:  # Keeps out web pages as well: a browser asks before sending it.
            response = _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {_JSON}")
            return await response(scope, receive, send)
        try:
            body = await _bounded_body(request)
        except ClientDisconnect:
            return None
        if body is None:
            response = _refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body has at most {BODY_BYTES_MAX} bytes"
            )
            return await response(scope, receive, send)
        answer = self._node.answer(body)
        match answer.reply:
            case Reply.HANG:
                while (await receive())["type"] != "http.disconnect":
                    pass
                return None
            case Reply.CUT_OFF:
                return await _cut_off(answer, send=send)
            case _:
                return await _response(answer)(scope, receive, send)


async def _bounded_body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _response(answer: Answer) -> Response:
    if answer.reply is Reply.UNAVAILABLE:
        status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Response("<h1>503</h1>", status_code=status_code, media_type="text/html")
    if answer.reply is Reply.GARBAGE:
        return Response('{"jsonrpc": "2.0", "resu', media_type=_JSON)
    if answer.body is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return Response(answer.body, media_type=_JSON)


async def _cut_off(answer: Answer, *, send: Send) -> None:
    """Announce the whole answer, send half, and return: the server closes the connection."""
    body = answer.body or b"{}"
    headers = Response(body, media_type=_JSON).raw_headers
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
    half = body[: len(body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})


def _refusal(status: HTTPStatus, message: str) -> Response:
    error = {"code": INVALID_REQUEST, "message": message}
    content = msgspec.json.encode({"jsonrpc": "2.0", "error": error, "id": None})
    return Response(content, status_code=status, media_type=_JSON)
