"""Is this request meant for us, and from here? Decided before path, credential and body."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Desk

Headers = list[tuple[str, str | bytes]]

HOSTS_REFUSED: list[list[str | bytes]] = [
    [],
    [""],
    [" "],
    ["evil.example"],
    ["evil.example:3100"],
    ["127.0.0.1"],
    ["localhost"],
    ["127.0.0.1:3101"],
    ["127.0.0.1:80"],
    ["127.0.0.1:03100"],
    ["127.0.0.1:3100 "],
    [" 127.0.0.1:3100"],
    ["127.0.0.1:3100\t"],
    ["127.0.0.1:3100."],
    ["127.0.0.1.:3100"],
    ["localhost.:3100"],
    ["LOCALHOST:3100"],
    ["Localhost:3100"],
    ["127.0.0.1:3100.evil.example"],
    ["127.0.0.1:3100@evil.example"],
    ["evil.example@127.0.0.1:3100"],
    ["127.0.0.1:3100,evil.example"],
    ["127.0.0.1:3100, 127.0.0.1:3100"],
    ["127.0.0.1:3100/"],
    ["http://127.0.0.1:3100"],
    ["0.0.0.0:3100"],
    ["127.1:3100"],
    ["127.0.0.2:3100"],
    ["2130706433:3100"],
    ["0x7f000001:3100"],
    ["[::1]:3100"],
    ["[::ffff:127.0.0.1]:3100"],
    ["localhost\0:3100"],
    ["127.0.0.1:3100\0"],
    [b"\xff:3100"],
    ["\uff4cocalhost:3100".encode()],
    ["127.0.0.1:3100", "127.0.0.1:3100"],
    ["127.0.0.1:3100", "evil.example"],
    ["evil.example", "127.0.0.1:3100"],
    ["127.0.0.1:3100", ""],
]

ORIGINS_REFUSED: list[list[str | bytes]] = [
    [""],
    ["null"],
    ["http://evil.example"],
    ["http://localhost"],
    ["http://localhost:3101"],
    ["https://localhost:3100"],
    ["http://localhost:3100/"],
    ["http://LOCALHOST:3100"],
    ["HTTP://localhost:3100"],
    ["http://localhost:3100 "],
    ["http://localhost:3100.evil.example"],
    ["http://localhost:3100@evil.example"],
    ["http://localhost:3100 http://evil.example"],
    ["http://0.0.0.0:3100"],
    ["http://[::1]:3100"],
    ["file://"],
    ["chrome-extension://abcdef"],
    [b"\xff"],
    ["http://localhost:3100", "http://evil.example"],
    ["http://evil.example", "http://localhost:3100"],
]

SITES_REFUSED: list[list[str]] = [
    ["cross-site"],
    ["same-site"],
    [""],
    ["None"],
    ["same-origin "],
    ["none, cross-site"],
    ["none", "cross-site"],
    ["cross-site", "none"],
]

REQUESTS = [
    ("GET", "/health", {}),
    ("GET", "/nothing", {}),
    ("DELETE", "/health", {}),
    ("OPTIONS", "/v1/transactions/send", {}),
    ("POST", "/v1/admin/login", {"raw": b"not JSON"}),
    ("POST", "/v1/agents", {"raw": b"x" * 100_000, "ends": False}),
]
"""Each wrong in its own way, but for the first."""


def with_host(*values: str | bytes) -> dict[str, Any]:
    return {"bare": True, "headers": [("host", value) for value in values]}


@pytest.mark.parametrize("hosts", HOSTS_REFUSED, ids=repr)
@pytest.mark.parametrize(("method", "path", "how"), REQUESTS[:2])
def test_a_host_that_is_not_exactly_ours_is_refused(
    shared_desk: "Desk", hosts: list[str | bytes], method: str, path: str, how: dict[str, Any]
) -> None:
    answer = shared_desk.ask(method, path, **how, **with_host(*hosts))
    assert (answer.status, answer.code) == (421, "HOST_REFUSED")
    assert "evil" not in answer.content.decode()


@pytest.mark.parametrize("host", ["127.0.0.1:3100", "localhost:3100"])
def test_our_two_names_are_let_in(shared_desk: "Desk", host: str) -> None:
    assert shared_desk.ask("GET", "/health", **with_host(host)).status == 200


@pytest.mark.parametrize("origins", ORIGINS_REFUSED, ids=repr)
def test_a_page_of_another_origin_is_refused(
    shared_desk: "Desk", origins: list[str | bytes]
) -> None:
    headers = [("origin", origin) for origin in origins]
    answer = shared_desk.ask("GET", "/health", headers=headers)
    assert (answer.status, answer.code) == (403, "ORIGIN_REFUSED")
    assert "evil" not in answer.content.decode()


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3100", "http://localhost:3100"])
def test_our_own_origin_is_let_in(shared_desk: "Desk", origin: str) -> None:
    assert shared_desk.ask("GET", "/health", headers=[("origin", origin)]).status == 200


@pytest.mark.parametrize("sites", SITES_REFUSED, ids=repr)
def test_a_page_of_another_site_is_refused(shared_desk: "Desk", sites: list[str]) -> None:
    headers = [("sec-fetch-site", site) for site in sites]
    answer = shared_desk.ask("GET", "/health", headers=headers)
    assert (answer.status, answer.code) == (403, "ORIGIN_REFUSED")


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_a_request_from_no_other_site_is_let_in(shared_desk: "Desk", site: str) -> None:
    assert shared_desk.ask("GET", "/health", headers=[("sec-fetch-site", site)]).status == 200


@pytest.mark.parametrize(("method", "path", "how"), REQUESTS)
def test_host_and_origin_are_judged_before_everything_else_and_host_first(
    shared_desk: "Desk", method: str, path: str, how: dict[str, Any]
) -> None:
    foreign: Headers = [("origin", "null"), ("authorization", b"\xff"), ("content-type", "x")]
    answer = shared_desk.ask(method, path, **how, headers=foreign)
    assert answer.code == "ORIGIN_REFUSED"
    headers: Headers = [("host", "evil.example"), *foreign]
    answer = shared_desk.ask(method, path, **how, bare=True, headers=headers)
    assert answer.code == "HOST_REFUSED"


@pytest.mark.parametrize("private_network", [False, True])
def test_a_preflight_is_refused_and_allows_nothing(
    shared_desk: "Desk", *, private_network: bool
) -> None:
    headers: Headers = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, content-type"),
    ]
    if private_network:
        headers.append(("access-control-request-private-network", "true"))
    answer = shared_desk.ask("OPTIONS", "/v1/transactions/send", headers=headers)
    assert (answer.status, answer.code) == (403, "ORIGIN_REFUSED")


def test_names_that_others_put_into_headers_do_not_count(shared_desk: "Desk") -> None:
    forwarded: Headers = [
        ("x-forwarded-host", "127.0.0.1:3100"),
        ("forwarded", "host=127.0.0.1:3100"),
    ]
    answer = shared_desk.ask(
        "GET", "/health", bare=True, headers=[("host", "evil.example"), *forwarded]
    )
    assert answer.code == "HOST_REFUSED"
