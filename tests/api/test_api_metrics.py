"""Figures over HTTP: for whoever may look, and every answer is counted under a name of ours."""

from typing import TYPE_CHECKING

from waiaas.api.app import ROUTES

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

COOKIE = "wai_op_" + "C" * 43


def test_the_cookie_opens_them_and_they_are_text(desk: "Desk") -> None:
    answer = desk.ask("GET", "/metrics", token=COOKIE)
    assert (answer.status, answer.content) == (200, b"unready 0\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_every_answer_is_counted_and_no_path_of_a_caller_becomes_a_name(
    desk: "Desk", hired: "Hired"
) -> None:
    desk.observed.clear()
    desk.ask("GET", "/health")
    desk.ask("GET", f"/v1/agents/{hired.id}/balance", token=hired.token)
    desk.ask("GET", "/no/such/path")
    desk.ask("PATCH", "/health")
    assert [observed[:2] for observed in desk.observed] == [
        ("GET /health", 200),
        ("GET /v1/agents/{id}/balance", 401),
        ("none", 404),
        ("none", 405),
    ]
    names = {f"{route.method} {route.path}" for route in ROUTES} | {"none"}
    assert {name for name, _, _ in desk.observed} <= names
