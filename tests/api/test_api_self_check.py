"""The self-check: it finds a route that is gone or unguarded, and changes nothing."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from waiaas.api.app import ROUTES
from waiaas.api.self_check import RoutesUnfit, require_fit
from waiaas.domain.access import Credential


def test_every_route_of_the_real_application_is_fit_and_nothing_is_written(
    desk: Any,
) -> None:
    before = desk.content()
    asyncio.run(require_fit(desk.api, port=desk.port))
    assert desk.content() == before
    assert not desk.defects
    assert not desk.woken
    assert not desk.stops


def test_control_a_route_without_a_row_is_unfit(desk: Any) -> None:
    missing = replace(ROUTES[0], path="/v1/nowhere")
    with pytest.raises(RoutesUnfit, match=r"/v1/nowhere \(404\)"):
        asyncio.run(require_fit(desk.api, port=desk.port, routes=(*ROUTES, missing)))


def test_control_a_route_that_admits_anybody_is_unfit(desk: Any) -> None:
    """It says that it needs the operator, and answers whoever comes."""
    open_one = next(route for route in ROUTES if route.path == "/health")
    guarded = replace(open_one, credential=Credential.OPERATOR)
    with pytest.raises(RoutesUnfit, match=r"GET /health \(400\)"):
        asyncio.run(require_fit(desk.api, port=desk.port, routes=(guarded,)))


def test_control_a_daemon_whose_health_is_not_told_is_unfit(desk: Any) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    desk.rebuild(ledger_condition=stumble)
    with pytest.raises(RoutesUnfit, match=r"GET /health \(500\)"):
        asyncio.run(require_fit(desk.api, port=desk.port))
    desk.defects.clear()
