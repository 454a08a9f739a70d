"""The authorisation matrix: every route with every wrong credential, and with the right one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import MARKER

from waiaas.api.app import ROUTES
from waiaas.api.routes import Route
from waiaas.database import agents, generate_id, policies, sessions
from waiaas.domain.access import SESSION_TTL_S_MIN, Credential
from waiaas.domain.enums import AgentStatus
from waiaas.domain.ids import AgentId, SessionId
from waiaas.pipeline.sessions import hash_token

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

NOW_S = 1_700_000_000
COOKIE = "wai_op_" + "C" * 43
TOKENLESS = (Credential.PUBLIC, Credential.OWNER)
PUBLIC = [route for route in ROUTES if route.credential is Credential.PUBLIC]
GUARDED = [route for route in ROUTES if route.credential not in TOKENLESS]

TABLE = [
    ("GET", "/health", "public", 200),
    ("POST", "/v1/admin/login", "public", 200),
    ("GET", "/v1/admin/status", "operator-look", 200),
    ("POST", "/v1/admin/backups", "operator", 201),
    ("POST", "/v1/admin/reconcile", "operator", 200),
    ("POST", "/v1/admin/shutdown", "operator-look", 200),
    ("GET", "/livez", "public", 200),
    ("GET", "/readyz", "public", 200),
    ("GET", "/metrics", "operator-look", 200),
    ("POST", "/v1/agents", "operator", 201),
    ("GET", "/v1/agents", "operator-look", 200),
    ("GET", "/v1/agents/{id}", "operator-look", 200),
    ("POST", "/v1/agents/{id}/fund", "operator", 200),
    ("GET", "/v1/agents/{id}/balance", "operator-look", 200),
    ("POST", "/v1/sessions", "operator", 201),
    ("POST", "/v1/policies/explain", "operator-look", 200),
    ("POST", "/v1/transactions/simulate", "agent", 200),
    ("GET", "/v1/policies", "operator-look", 200),
    ("PUT", "/v1/policies", "operator", 200),
    ("POST", "/v1/policies", "operator", 201),
    ("PUT", "/v1/policies/{id}", "operator", 200),
    ("DELETE", "/v1/policies/{id}", "operator", 200),
    ("GET", "/v1/wallet/address", "agent", 200),
    ("GET", "/v1/wallet/balance", "agent", 200),
    ("POST", "/v1/transactions/send", "agent", 201),
    ("GET", "/v1/transactions/{id}", "agent", 200),
    ("POST", "/v1/transactions/{id}/cancel", "agent", 200),
    ("GET", "/v1/admin/transactions", "operator-look", 200),
    ("GET", "/v1/admin/transactions/{id}", "operator-look", 200),
    ("POST", "/v1/admin/transactions/{id}/cancel", "operator-look", 200),
    ("GET", "/v1/approvals", "operator-look", 200),
    ("POST", "/v1/approvals/{id}/approve", "operator", 200),
    ("POST", "/v1/approvals/{id}/reject", "operator-look", 200),
    ("GET", "/v1/admin/notifications", "operator-look", 200),
    ("GET", "/v1/admin/kill-switch", "operator-look", 200),
    ("POST", "/v1/admin/kill-switch", "operator-look", 200),
    ("POST", "/v1/admin/recover", "operator", 200),
    ("POST", "/v1/agents/{id}/suspend", "operator-look", 200),
    ("POST", "/v1/agents/{id}/resume", "operator", 200),
    ("POST", "/v1/agents/{id}/terminate", "operator", 200),
    ("GET", "/v1/sessions", "operator-look", 200),
    ("DELETE", "/v1/sessions/{id}", "operator-look", 200),
    ("GET", "/v1/admin/clock", "operator-look", 200),
    ("POST", "/v1/admin/clock", "operator", 200),
    ("POST", "/v1/admin/lock", "operator-look", 200),
    ("POST", "/v1/admin/unlock", "operator-look", 200),
    ("GET", "/v1/agents/{id}/owner", "operator-look", 200),
    ("PUT", "/v1/agents/{id}/owner", "operator", 200),
    ("POST", "/v1/agents/{id}/owner/remove", "operator", 200),
    ("POST", "/v1/agents/{id}/owner/message", "operator-look", 201),
    ("POST", "/v1/agents/{id}/owner/verify", "owner", 200),
    ("POST", "/v1/transactions/{id}/message", "operator-look", 201),
    ("POST", "/v1/transactions/{id}/approve", "owner", 200),
    ("POST", "/v1/transactions/{id}/reject", "owner", 200),
]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@dataclass(frozen=True)
class Keys:
    """Everything that opens something here, or did."""

    agent: str
    operator: str
    revoked: str
    expired: str
    expired_operator: str
    right: str = ""
    """What the route at hand wants."""

    def at(self, route: Route) -> "Keys":
        right = {
            Credential.AGENT: self.agent,
            Credential.OPERATOR_LOOK: COOKIE,
            Credential.OPERATOR: self.operator,
        }[route.credential]
        return replace(self, right=right)


@pytest.fixture(scope="module")
def keys(shared_desk: "Desk") -> Keys:
    expired_operator = shared_desk.log_in()
    shared_desk.clock.advance(15 * 60)
    operator = shared_desk.log_in()
    agent = shared_desk.create_agent(token=operator)
    spare = shared_desk.create_agent(token=operator)
    shared_desk.revoke(spare.session_id)
    expired = "wai_sess_" + "e" * 43
    session = shared_desk.ledger.read(lambda tx: tx.sessions.get(SessionId(agent.session_id)))
    assert session is not None
    gone = session._replace(
        id=SessionId(generate_id()), token_hash=hash_token(expired), expires_at=NOW_S
    )
    shared_desk.ledger.write(lambda tx: tx.sessions.insert(gone))
    return Keys(agent.token, operator, spare.token, expired, expired_operator)


def bearer(value: Callable[[Keys], str]) -> Callable[[Keys], dict[str, Any]]:
    return lambda keys: {"headers": [("authorization", f"Bearer {value(keys)}")]}


def header(*values: Callable[[Keys], str | bytes]) -> Callable[[Keys], dict[str, Any]]:
    return lambda keys: {"headers": [("authorization", value(keys)) for value in values]}


# fmt: off
FOR_NOBODY: dict[str, Callable[[Keys], dict[str, Any]]] = {
    "none":               lambda _: {},
    "empty":              header(lambda _: ""),
    "scheme only":        header(lambda _: "Bearer"),
    "scheme and space":   header(lambda _: "Bearer "),
    "no scheme":          header(lambda keys: keys.right),
    "Basic":              header(lambda keys: f"Basic {keys.right}"),
    "BearerX":            header(lambda keys: f"BearerX {keys.right}"),
    "unknown session":    bearer(lambda _: "wai_sess_" + "A" * 43),
    "unknown operator":   bearer(lambda _: "wai_op_" + "A" * 43),
    "one too short":      bearer(lambda keys: keys.right[:-1]),
    "one too long":       bearer(lambda keys: keys.right + "A"),
    "only the prefix":    bearer(lambda keys: keys.right[:9]),
    "other case":         bearer(lambda keys: keys.right.swapcase()),
    "trailing space":     bearer(lambda keys: keys.right + " "),
    "trailing NUL":       bearer(lambda keys: keys.right + "\0"),
    "trailing newline":   bearer(lambda keys: keys.right + "\n"),
    "leading space":      bearer(lambda keys: " " + keys.right),
    "tab":                header(lambda keys: f"Bearer\t{keys.right}"),
    "quoted":             bearer(lambda keys: f'"{keys.right}"'),
    "twice in one":       bearer(lambda keys: f"{keys.right}, Bearer {keys.right}"),
    "twice":              header(*[lambda keys: f"Bearer {keys.right}"] * 2),
    "right and empty":    header(lambda keys: f"Bearer {keys.right}", lambda _: ""),
    "latin-1":            header(lambda _: b"Bearer \xff\xfe\xe9"),
    "latin-1 scheme":     header(lambda keys: b"B\xe9arer " + keys.right.encode()),
    "UTF-8":              header(lambda keys: "Bearer é".encode() + keys.right.encode()),
    "very long":          bearer(lambda _: "A" * 60_000),
    "its hash":           bearer(lambda keys: hash_token(keys.right)),
    "hash with prefix":   bearer(lambda keys: keys.right[:9] + hash_token(keys.right)[:43]),
    "in the query":       lambda keys: {"query": f"token={keys.right}".encode()},
    "as a query bearer":  lambda keys: {"query": f"authorization=Bearer%20{keys.right}".encode()},
    "as a cookie":        lambda keys: {"headers": [("cookie", f"token={keys.right}")]},
    "as another header":  lambda keys: {"headers": [("x-authorization", f"Bearer {keys.right}"),
                                                    ("proxy-authorization", f"Bearer {keys.right}"),
                                                    ("x-agent-id", "1"),
                                                    ("x-master-password", f"{MARKER}-pa55word-e")]},
    "expired operator":   bearer(lambda keys: keys.expired_operator),
}
FOR_OTHERS: dict[Credential, dict[str, Callable[[Keys], dict[str, Any]]]] = {
    Credential.AGENT:         {"the cookie": bearer(lambda _: COOKIE),
                               "an operator": bearer(lambda keys: keys.operator)},
    Credential.OPERATOR_LOOK: {"an agent": bearer(lambda keys: keys.agent)},
    Credential.OPERATOR:      {"an agent": bearer(lambda keys: keys.agent),
                               "the cookie": bearer(lambda _: COOKIE)},
}
# fmt: on

MATRIX = [
    pytest.param(route, how, id=f"{named(route)} with {name}")
    for route in GUARDED
    for name, how in {**FOR_NOBODY, **FOR_OTHERS[route.credential]}.items()
]
DEAD_SESSIONS = [
    pytest.param(route, name, code, id=f"{named(route)} with {name}")
    for route in GUARDED
    if route.credential is Credential.AGENT
    for name, code in (("revoked", "SESSION_REVOKED"), ("expired", "SESSION_EXPIRED"))
]


def test_the_table_of_routes_is_the_one_that_was_reviewed() -> None:
    table = [(route.method, route.path, route.credential, route.status) for route in ROUTES]
    assert table == TABLE


@pytest.mark.parametrize(("route", "how"), MATRIX)
def test_a_wrong_credential_opens_nothing_and_changes_nothing(
    shared_desk: "Desk", keys: Keys, route: Route, how: Callable[[Keys], dict[str, Any]]
) -> None:
    before, derivations = shared_desk.content(), shared_desk.keystore.derivations
    answer = shared_desk.call(route, **how(keys.at(route)))
    assert (answer.status, answer.code) == (401, "INVALID_TOKEN")
    assert answer.json["hint"]
    refused = shared_desk.refusals_since(before)
    assert refused == ["INVALID_TOKEN"] * (how in FOR_OTHERS[route.credential].values())
    assert shared_desk.keystore.derivations == derivations
    assert (shared_desk.woken, shared_desk.stops) == ([], [])


@pytest.mark.parametrize(("route", "name", "code"), DEAD_SESSIONS)
def test_a_dead_session_opens_nothing_and_is_told_why(
    shared_desk: "Desk", keys: Keys, route: Route, name: str, code: str
) -> None:
    before = shared_desk.content()
    answer = shared_desk.call(route, token=getattr(keys, name))
    assert (answer.status, answer.code) == (401, code)
    assert answer.json["hint"] == "Ask the operator for a session token."
    assert shared_desk.content() == before


@pytest.mark.parametrize("route", GUARDED, ids=named)
@pytest.mark.parametrize(
    "body", [b"", b"not JSON", b"[" * 100_000, b"x" * (64 * 1024 + 1)], ids=lambda b: str(len(b))
)
def test_who_asks_is_decided_before_anything_of_the_body_is_read(
    shared_desk: "Desk", route: Route, body: bytes
) -> None:
    answer = shared_desk.call(route, raw=body, ends=False, headers=[("content-type", "text/html")])
    assert (answer.status, answer.code) == (401, "INVALID_TOKEN")


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_the_hint_of_a_refusal_names_the_credential_that_the_route_wants(
    shared_desk: "Desk", route: Route
) -> None:
    agents = route.credential is Credential.AGENT
    hint = shared_desk.call(route).json["hint"]
    assert ("session token" in hint, "Log in" in hint) == (agents, not agents)


@pytest.mark.parametrize("route", [*GUARDED, *PUBLIC], ids=named)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_right_credential_is_let_in_whatever_the_case_of_its_scheme(
    desk: "Desk", operator: str, hired: "Hired", route: Route, scheme: str
) -> None:
    token = desk.token_for(route.credential, hired, operator)
    headers = [] if token is None else [("authorization", f"{scheme} {token}")]
    if route.path.endswith("/balance"):
        desk.rebuild(chains={})  # A refusal by the handler: it was let in.
    answer = desk.call(route, hired.id, headers=headers)
    assert answer.status != 401
    assert answer.code in {
        "",
        "FAUCET_UNAVAILABLE",
        "KILL_SWITCH_NOT_ACTIVE",
        "NETWORK_NOT_CONFIGURED",
        "POLICY_NOT_FOUND",
        "SESSION_NOT_FOUND",
        "OWNER_NOT_CONNECTED",
        "TX_NOT_FOUND",
    }


def test_a_login_token_may_look_too(desk: "Desk", operator: str) -> None:
    assert desk.ask("GET", "/v1/admin/status", token=operator).status == 200


def test_public_routes_look_at_no_credential(desk: "Desk") -> None:
    headers = [("authorization", b"Bearer \xff"), ("authorization", b"twice")]
    assert desk.ask("GET", "/health", headers=headers).status == 200


# ── routes that cannot be ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("credential", [None, "", "public", "agent", 0, Credential])
def test_a_route_without_a_credential_cannot_be_made(credential: Any) -> None:
    known = ROUTES[0]
    with pytest.raises(TypeError, match="GET /health does not say whom it admits"):
        Route(known.method, known.path, credential, known.handler, known.reply)


def test_a_route_cannot_leave_its_credential_out() -> None:
    known = ROUTES[0]
    with pytest.raises(TypeError):
        Route("GET", "/x", handler=known.handler, reply=known.reply)  # type: ignore[call-arg]  # -- that is it


# ── a session in time ──────────────────────────────────────────────────────────────────────────


def short_session(desk: "Desk", operator: str, hired: "Hired") -> str:
    body = {"agentId": hired.id, "ttl": SESSION_TTL_S_MIN}
    return str(desk.ask("POST", "/v1/sessions", body, token=operator).json["token"])


def test_a_session_ends_in_the_second_it_expires_at(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    token = short_session(desk, operator, hired)
    desk.clock.wall_s += SESSION_TTL_S_MIN - 1
    assert desk.ask("GET", "/v1/wallet/address", token=token).status == 200
    desk.clock.wall_s += 1
    assert desk.ask("GET", "/v1/wallet/address", token=token).code == "SESSION_EXPIRED"


def test_a_clock_that_is_set_back_brings_no_expired_session_to_life(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    token = short_session(desk, operator, hired)
    desk.clock.wall_s += SESSION_TTL_S_MIN
    # Something is recorded in that second; the ledger's time never goes back behind it.
    assert desk.ask("POST", "/v1/sessions", {"agentId": hired.id}, token=operator).status == 201
    desk.clock.wall_s -= SESSION_TTL_S_MIN
    for path in ("/v1/wallet/address", f"/v1/transactions/{generate_id()}"):
        assert desk.ask("GET", path, token=token).code == "SESSION_EXPIRED"


def test_a_revoked_session_is_told_so_even_when_it_has_expired_too(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    token = short_session(desk, operator, hired)
    desk.execute(sessions.update().values(revoked_at=NOW_S))
    desk.clock.wall_s += SESSION_TTL_S_MIN
    assert desk.ask("GET", "/v1/wallet/address", token=token).code == "SESSION_REVOKED"


@pytest.mark.parametrize("status", [AgentStatus.SUSPENDED, AgentStatus.TERMINATED])
def test_an_agent_that_may_not_spend_may_still_look(
    desk: "Desk", hired: "Hired", status: AgentStatus
) -> None:
    desk.ledger.write(
        lambda tx: tx.agents.compare_and_set_status(
            AgentId(hired.id), old=AgentStatus.ACTIVE, new=status, now_s=NOW_S
        )
    )
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).status == 200
    body = {"to": "So11111111111111111111111111111111111111112", "amount": "1"}
    answer = desk.ask("POST", "/v1/transactions/send", body, token=hired.token)
    assert (answer.status, answer.code) == (409, "AGENT_NOT_ACTIVE")
    assert answer.json["hint"]


def test_a_session_dies_with_its_agent_and_asks_for_nothing_more(
    desk: "Desk", hired: "Hired"
) -> None:
    desk.execute(policies.delete())
    desk.execute(agents.delete())
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).code == "INVALID_TOKEN"
