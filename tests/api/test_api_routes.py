"""Methods and paths: one spelling each; whatever else is asked for is not there."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from waiaas.api.app import ROUTES
from waiaas.api.routes import COMMON_CODES, Route
from waiaas.database import generate_id
from waiaas.domain.errors import ErrorCode

if TYPE_CHECKING:
    from starlette.types import Message, Scope
    from tests.api.conftest import Desk, Hired

PATHS = sorted({route.path for route in ROUTES})
WITH_ID_AT_THE_END = tuple(
    route.path.removesuffix("{id}") for route in ROUTES if route.path.endswith("{id}")
)
ID = "01a20bbd-c049-75b6-9ff3-bbf9a1b56a4d"

# fmt: off
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
           "PROPFIND", "get", "Post", "", "GET ", "X" * 10_000]
# fmt: on


def bent(path: str) -> list[str]:
    """Return spellings of *path* that somebody might take for the same."""
    head, _, tail = path.rpartition("/")
    return [
        f"{path}/",
        f"/{path}",
        f"{path}//",
        f"{path}/.",
        f"{path}.",
        f"{path} ",
        f" {path}",
        f"{path}\0",
        f"{path};a=b",
        f"{path}?",
        f"{path}%2f",
        f"{path}.json",
        f"/.{path}",
        f"/x/..{path}",
        f"{head}//{tail}",
        f"{head}/./{tail}",
        f"{head}/%2e/{tail}",
        path.upper(),
        path.title(),
        path[1:],
        path[:-1],
        path.replace("/", "\\"),
    ]


NOWHERE = [
    "",
    "/",
    "*",
    "//",
    "/v1",
    "/v1/",
    "/v1/agents//fund",
    "/v1/agents/",
    f"/v1/agents/{ID}/fund/{ID}",
    f"/v1/agents/{ID}/{ID}/fund",
    "/v1/transactions",
    "/v1/transactions/",
    f"/v1/transactions/{ID}/cancel/{ID}",
    "/v1/transactions/cancel/",
    f"/v1/{ID}/send",
    f"/{ID}",
    "/{id}",
    "/docs",
    "/openapi.json",
    "/metrics/",
    "/favicon.ico",
    "/../../etc/passwd",
    "http://evil.example/health",
    "/\udcff",
    "/é",
    "/" * 500_000,
    "/a" * 500_000,
    "/v1/transactions/" + "a/" * 500_000,
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_spelling_of_a_path_is_another_path(
    shared_desk: "Desk", path: str, method: str
) -> None:
    for other in bent(path.replace("{id}", ID)):
        answer = shared_desk.ask(method, other)
        before, _, last = other.rpartition("/")
        if f"{before}/" in WITH_ID_AT_THE_END and last:
            assert answer.status in (401, 405), other  # It stands where an id may stand.
        else:
            assert (answer.status, answer.code) == (404, "ROUTE_NOT_FOUND"), other


@pytest.mark.parametrize("path", NOWHERE, ids=lambda path: ascii(path[:100]))
def test_there_is_nothing_anywhere_else(shared_desk: "Desk", path: str) -> None:
    answer = shared_desk.ask("GET", path)
    assert (answer.status, answer.code) == (404, "ROUTE_NOT_FOUND")
    assert len(answer.content) < 500


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: ascii(method[:10]))
def test_another_method_is_refused_with_those_that_are_taken(
    shared_desk: "Desk", path: str, method: str
) -> None:
    taken = sorted(route.method for route in ROUTES if route.path == path)
    if method in taken:
        return
    answer = shared_desk.ask(method, path.replace("{id}", ID))
    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == ", ".join(taken)


def test_a_method_in_a_header_or_a_query_changes_nothing(shared_desk: "Desk") -> None:
    for name in ("x-http-method-override", "x-http-method", "x-method-override"):
        assert shared_desk.ask("GET", "/health", headers=[(name, "POST")]).status == 200
    assert shared_desk.ask("GET", "/health", query=b"_method=POST").code == "VALIDATION_FAILED"


def test_the_name_of_a_place_in_a_path_is_no_id(shared_desk: "Desk", shared_operator: str) -> None:
    answer = shared_desk.ask("GET", "/v1/transactions/{id}")
    assert answer.code == "INVALID_TOKEN"
    answer = shared_desk.ask("POST", "/v1/agents/{id}/fund", {"amount": "1"}, token=shared_operator)
    assert answer.code == "FAUCET_UNAVAILABLE"


# ── what would be ignored is refused ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("query", [b"dryRun=true", b"a", b"=", b"\xff", b"x" * 60_000])
def test_a_query_that_nobody_would_look_at_is_refused_and_nothing_is_done(
    desk: "Desk", operator: str, hired: "Hired", route: Route, query: bytes
) -> None:
    before = desk.content()
    token = desk.token_for(route.credential, hired, operator)
    answer = desk.call(route, hired.id, token=token, query=query)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert desk.refusals_since(before) == ["VALIDATION_FAILED"] * (token is not None)
    assert desk.stops == []


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.body is None],
    ids=lambda route: f"{route.method} {route.path}",
)
@pytest.mark.parametrize("name", ["content-length", "transfer-encoding"])
def test_a_body_that_nobody_would_read_is_refused_and_nothing_is_done(
    desk: "Desk", operator: str, hired: "Hired", route: Route, name: str
) -> None:
    before, token = desk.content(), desk.token_for(route.credential, hired, operator)
    headers = [(name, "17" if name == "content-length" else "chunked")]
    answer = desk.call(route, hired.id, token=token, headers=headers)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert desk.refusals_since(before) == ["VALIDATION_FAILED"] * (token is not None)
    assert desk.stops == []


def test_an_empty_body_is_none(shared_desk: "Desk") -> None:
    headers = [("content-length", "0")]
    assert shared_desk.ask("GET", "/health", headers=headers).status == 200


# ── the table ──────────────────────────────────────────────────────────────────────────────────


def test_no_two_routes_are_the_same() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_names_what_it_may_refuse_with_once(route: Route) -> None:
    assert len(set(route.codes)) == len(route.codes)
    assert not set(route.codes) & set(COMMON_CODES)


def test_every_code_is_refused_with_somewhere() -> None:
    of_routes = {code for route in ROUTES for code in route.codes}
    of_the_table = {ErrorCode.ROUTE_NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED}
    of_transactions = {
        ErrorCode.TX_CANCELLED,
        ErrorCode.POLICY_TIGHTENED,
        ErrorCode.RENT_NOT_GRANTED,
        ErrorCode.SIMULATION_FAILED,
        ErrorCode.TRANSACTION_FAILED_ON_CHAIN,
        ErrorCode.TRANSACTION_EXPIRED,
    }
    """Said of a transaction's end, in its `error`, and never in answer to a request."""
    assert of_routes | of_the_table | of_transactions | set(COMMON_CODES) == set(ErrorCode)


# ── other protocols ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/health", "/v1/transactions/send", "/"])
def test_a_websocket_is_closed_and_does_not_hang(shared_desk: "Desk", path: str) -> None:
    sent: list[Message] = []

    async def receive() -> "Message":
        return {"type": "websocket.connect"}

    async def send(message: "Message") -> None:
        sent.append(message)

    scope: Scope = {"type": "websocket", "path": path, "headers": [], "query_string": b""}
    asyncio.run(shared_desk.api(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_every_answer_has_an_id_of_its_own(shared_desk: "Desk") -> None:
    ids = [shared_desk.ask("GET", "/health").headers["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3
    given = generate_id()
    answer = shared_desk.ask("GET", "/health", headers=[("x-request-id", given)])
    assert answer.headers["x-request-id"] != given
