"""Anything at all, sent with the right credential: an answer below 500.

A refusal leaves one audit row, which names route and code, and nothing else.
"""

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waiaas.api import stopping
from waiaas.api.app import ROUTES
from waiaas.api.routes import COMMON_CODES, Route

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

TAKING = [route for route in ROUTES if route.body is not None and route not in stopping.ROUTES]
STOPPING = [route for route in stopping.ROUTES if route.body is not None]
"""What they do to a desk is felt by everybody there, so each of them has one of its own."""
OURS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

TEXTS = st.text(st.characters(exclude_categories=[]), max_size=50) | st.sampled_from(
    (
        "",
        "0",
        "1",
        "01",
        "-1",
        "1e3",
        "\uff19",
        "native",
        "SPENDING_LIMIT",
        "localnet",
        "mainnet",
        "solana",
        "ethereum",
        "TRANSFER",
        "So11111111111111111111111111111111111111112",
        "1" * 78,
        "9" * 79,
        str(2**64),
        str(2**256),
        "'; DROP TABLE agents; --",
        "%00",
        "../x",
    )
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


def bodies(route: Route, agent_id: str) -> st.SearchStrategy[bytes]:
    """Return bytes, JSON, and JSON that almost is what the route wants."""
    assert route.body is not None
    fields = {
        field.encode_name: VALUES | st.just(agent_id)
        for kind in (route.body, *route.other_bodies)
        for field in msgspec.structs.fields(kind)
    }
    if route.other_bodies:
        tags = [kind.__struct_config__.tag for kind in (route.body, *route.other_bodies)]
        fields["type"] = st.sampled_from(tags)
    nearly = st.fixed_dictionaries({}, optional=fields)
    written = (VALUES | nearly).map(
        lambda document: json.dumps(document).encode("utf-8", "surrogatepass")
    )
    return st.binary(max_size=200) | written


@pytest.mark.parametrize("route", TAKING, ids=lambda route: f"{route.method} {route.path}")
@OURS
@given(data=st.data())
def test_whatever_is_sent_is_answered_and_a_refusal_leaves_one_row(
    shared_desk: "Desk",
    shared_operator: str,
    shared_agent: "Hired",
    route: Route,
    data: st.DataObject,
) -> None:
    send_anything(shared_desk, shared_operator, shared_agent, route, data)


@pytest.mark.parametrize("route", STOPPING, ids=lambda route: f"{route.method} {route.path}")
@OURS
@given(data=st.data())
def test_whatever_is_sent_to_stop_or_go_on_is_answered(
    desk: "Desk", operator: str, hired: "Hired", route: Route, data: st.DataObject
) -> None:
    desk.rebuild(chains={})  # Nobody says what an agent has.
    send_anything(desk, operator, hired, route, data)


def send_anything(
    desk: "Desk", operator: str, agent: "Hired", route: Route, data: st.DataObject
) -> None:
    body = data.draw(bodies(route, agent.id))
    before: dict[str, list[Any]] = desk.content()
    token = desk.token_for(route.credential, agent, operator)
    path = route.path.replace("{id}", agent.id)
    answer = desk.ask(route.method, path, token=token, raw=body)
    assert answer.status < 500, answer.content
    if not answer.code:
        return
    assert answer.code in {*route.codes, *COMMON_CODES}
    if "transactionId" not in answer.json and answer.code != "INVALID_MASTER_PASSWORD":
        assert desk.refusals_since(before) == [answer.code] * (token is not None)


HEADERS = ["idempotency-key", "authorization", "content-length", "content-type", "x-request-id"]
KEYS = st.text(st.characters(max_codepoint=0xFF), max_size=300) | st.text(max_size=3)


@OURS
@given(values=st.fixed_dictionaries(dict.fromkeys(HEADERS, KEYS)))
def test_whatever_is_in_the_headers_is_answered(
    shared_desk: "Desk", shared_agent: "Hired", values: dict[str, str]
) -> None:
    for name, value in values.items():
        headers = [(name, value.encode("utf-8", "replace"))]
        token = None if name == "authorization" else shared_agent.token
        body = {"to": shared_agent.address, "amount": "-1"}
        answer = shared_desk.ask(
            "POST", "/v1/transactions/send", body, token=token, headers=headers
        )
        assert 400 <= answer.status < 500


PROBES = ("/health", "/livez", "/readyz")
PATHS = st.lists(TEXTS | st.just("{id}"), max_size=6).map("/".join)


@OURS
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]) | st.text(max_size=9),
    path=PATHS.map(lambda path: f"/{path}")
    | PATHS.map(lambda path: f"/v1/transactions/{path}")
    | PATHS.map(lambda path: f"/v1/agents/{path}/fund"),
)
def test_whatever_path_is_asked_for_is_answered(
    shared_desk: "Desk", shared_agent: "Hired", shared_operator: str, method: str, path: str
) -> None:
    for token in (None, shared_agent.token, shared_operator):
        answer = shared_desk.ask(method, path, {"amount": "1"}, token=token)
        assert 400 <= answer.status < 500 or (method == "GET" and path in PROBES)
