"""The operator's login: slowed down by wrong passwords, whatever the interleaving or restart."""

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import MARKER

from waiaas.api.operator import DELAY_S_MAX, FREE_FAILURES, TOKEN_TTL_S, WAITING_MAX, OperatorAccess
from waiaas.domain.access import Credential
from waiaas.keystore.signer import FileKeystore
from waiaas.system import generate_secret
from waiaas.wire.admin import Login, OperatorToken
from waiaas.wire.sessions import IssuedSession

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

NOW_S = 1_700_000_000
PASSWORD = f"{MARKER}-pa55word-é"
COOKIE = "wai_op_" + "C" * 43
LOGIN = "/v1/admin/login"
PATIENCE_S = 20


def log_in(desk: "Desk", password: str = PASSWORD, **how: Any) -> "Answer":
    return desk.ask("POST", LOGIN, {"password": password}, **how)


def fresh_access(desk: "Desk") -> OperatorAccess:
    """Return what a new process has; and nothing is waiting there yet."""
    return OperatorAccess(
        cookie=COOKIE,
        ledger=desk.ledger,
        keystore=desk.keystore,
        clock=desk.clock,
        generate_secret=generate_secret,
    )


def fail_times(desk: "Desk", times: int) -> None:
    """Try a wrong password, each time as soon as that is possible."""
    for _ in range(times):
        answer = log_in(desk, "wrong")
        if answer.code == "MASTER_PASSWORD_LOCKED":
            desk.clock.wall_s = answer.json["retryAt"]
            answer = log_in(desk, "wrong")
        assert answer.code == "INVALID_MASTER_PASSWORD"
        assert "waiaas init" in answer.json["hint"]


def actors(desk: "Desk") -> list[tuple[str, str]]:
    rows = desk.rows("audit_log")
    return [(row.actor, json.loads(row.details)["caller"]) for row in rows]


def audit(desk: "Desk") -> list[tuple[str, str, str | None]]:
    return [(row.event_type, row.severity, row.ip_address) for row in desk.rows("audit_log")]


# ── right and wrong ────────────────────────────────────────────────────────────────────────────


def test_the_right_password_gives_a_token_for_a_quarter_of_an_hour(desk: "Desk") -> None:
    answer = log_in(desk)
    assert answer.status == 200
    assert answer.json["expiresAt"] == NOW_S + TOKEN_TTL_S == NOW_S + 900
    assert answer.json["token"].startswith("wai_op_")
    assert len(answer.json["token"]) == len("wai_op_") + 43
    assert audit(desk) == [("OPERATOR_LOGGED_IN", "info", "127.0.0.1")]
    assert desk.rows("audit_log")[0].actor == "operator"


# fmt: off
WRONG = ["wr0ng", PASSWORD.upper(), PASSWORD + " ", " " + PASSWORD, PASSWORD[:-1],
         PASSWORD + "x", PASSWORD[:-1] + "e\u0301", "é" * 1024, "a" * 1024, "☃", "💰", COOKIE,
         "[" * 64]
# fmt: on


@pytest.mark.parametrize("password", WRONG, ids=lambda password: ascii(password[:32]))
def test_a_wrong_password_is_refused_and_written_down(desk: "Desk", password: str) -> None:
    answer = log_in(desk, password)
    assert (answer.status, answer.code) == (401, "INVALID_MASTER_PASSWORD")
    assert audit(desk) == [("AUTH_FAILED", "warning", "127.0.0.1")]
    assert password not in answer.content.decode()


@pytest.mark.parametrize("password", ["", "a" * 1025, "a\0b", "a\n", None, 1, [], {}, True])
def test_what_is_no_password_costs_no_derivation_and_counts_for_nothing(
    desk: "Desk", password: Any
) -> None:
    assert log_in(desk, password).code == "VALIDATION_FAILED"
    assert desk.keystore.derivations == 0
    assert desk.rows("key_value_store") == []


def test_the_real_keystore_says_the_same(desk: "Desk", keystore: FileKeystore) -> None:
    desk.rebuild(
        operator=OperatorAccess(
            cookie=COOKIE,
            ledger=desk.ledger,
            keystore=keystore,
            clock=desk.clock,
            generate_secret=generate_secret,
        )
    )
    # Past the keystore's own bounds, too short and too long, it is wrong like any other.
    for password in ("x", "é" * 1024, PASSWORD + "\N{SNOWMAN}"):
        desk.clock.wall_s += DELAY_S_MAX
        assert log_in(desk, password).code == "INVALID_MASTER_PASSWORD"
    desk.clock.wall_s += DELAY_S_MAX
    assert log_in(desk).status == 200


def test_where_the_caller_is_is_taken_from_the_socket_only(desk: "Desk") -> None:
    headers = [("x-forwarded-for", "6.6.6.6"), ("x-real-ip", "6.6.6.6"), ("forwarded", "for=6")]
    log_in(desk, "wrong", headers=headers)
    log_in(desk, "wrong", client=None)
    assert [ip for _, _, ip in audit(desk)] == ["127.0.0.1", None]


# ── delay ──────────────────────────────────────────────────────────────────────────────────────


def test_the_delay_doubles_from_the_third_failure_on_up_to_a_bound(desk: "Desk") -> None:
    delays = []
    for _ in range(14):
        answer = log_in(desk, "wrong")
        assert answer.code == "INVALID_MASTER_PASSWORD"
        locked = log_in(desk, "wrong")
        if locked.code == "MASTER_PASSWORD_LOCKED":
            assert locked.status == 429
            delays.append(locked.json["retryAt"] - desk.clock.wall_s)
            desk.clock.wall_s = locked.json["retryAt"]
        elif not delays:
            delays.append(0)  # That was a failure too, and a free one.
    assert FREE_FAILURES == 3
    assert delays == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]


def test_while_locked_even_the_right_password_is_refused_and_none_is_looked_at(
    desk: "Desk",
) -> None:
    fail_times(desk, 6)
    before, derivations = desk.content(), desk.keystore.derivations
    answer = log_in(desk)
    assert (answer.status, answer.code) == (429, "MASTER_PASSWORD_LOCKED")
    assert answer.json["retryAt"] == desk.clock.wall_s + 8
    assert answer.json["hint"]
    assert answer.json["retryable"] is True
    assert desk.keystore.derivations == derivations
    assert desk.content() == before
    desk.clock.wall_s += 7
    assert log_in(desk).code == "MASTER_PASSWORD_LOCKED"
    desk.clock.wall_s += 1
    assert log_in(desk).status == 200


def test_a_success_forgets_the_failures(desk: "Desk") -> None:
    fail_times(desk, 5)
    desk.clock.wall_s += DELAY_S_MAX
    assert log_in(desk).status == 200
    for _ in range(FREE_FAILURES):
        assert log_in(desk, "wrong").code == "INVALID_MASTER_PASSWORD"
    assert log_in(desk).json["retryAt"] == desk.clock.wall_s + 1


def test_a_restart_forgets_no_failure(desk: "Desk") -> None:
    fail_times(desk, 7)
    desk.rebuild(operator=fresh_access(desk))
    answer = log_in(desk)
    assert answer.code == "MASTER_PASSWORD_LOCKED"
    assert answer.json["retryAt"] == desk.clock.wall_s + 16
    fail_times(desk, 1)
    assert log_in(desk).json["retryAt"] == desk.clock.wall_s + 32


def test_a_clock_that_was_wrong_locks_nobody_out_for_years(desk: "Desk") -> None:
    ten_years_s = 10 * 365 * 86_400
    desk.clock.wall_s += ten_years_s
    fail_times(desk, 12)
    desk.clock.wall_s -= ten_years_s
    assert log_in(desk, "wrong").code == "INVALID_MASTER_PASSWORD"
    # What was counted still counts.
    assert log_in(desk).json["retryAt"] == desk.clock.wall_s + DELAY_S_MAX


def test_a_locked_login_does_not_lock_what_is_open_already(desk: "Desk") -> None:
    token = desk.log_in()
    fail_times(desk, 6)
    assert log_in(desk).code == "MASTER_PASSWORD_LOCKED"
    assert desk.ask("GET", "/v1/admin/status", token=token).status == 200
    assert desk.ask("GET", "/v1/admin/status", token=COOKIE).status == 200


# ── anybody, and the local user ────────────────────────────────────────────────────────────────


def test_strangers_with_wrong_passwords_do_not_keep_the_local_user_out(desk: "Desk") -> None:
    fail_times(desk, 12)
    desk.rebuild(operator=fresh_access(desk))
    assert log_in(desk).code == "MASTER_PASSWORD_LOCKED"  # The control: without proof, one waits.
    answer = log_in(desk, token=COOKIE)
    assert answer.status == 200
    assert log_in(desk, token=answer.json["token"]).status == 200
    # It was not their success: they wait as before.
    assert log_in(desk).code == "MASTER_PASSWORD_LOCKED"


@pytest.mark.parametrize("token", ["", "x", "wai_op_" + "D" * 43, COOKIE + "x", "wai_sess_x"])
def test_a_credential_that_proves_nothing_is_as_good_as_none(desk: "Desk", token: str) -> None:
    fail_times(desk, 4)
    assert log_in(desk, token=token).code == "MASTER_PASSWORD_LOCKED"
    headers = [("authorization", f"Bearer {COOKIE}"), ("authorization", "Bearer x")]
    assert log_in(desk, headers=headers).code == "MASTER_PASSWORD_LOCKED"


def test_an_agents_session_is_no_proof(desk: "Desk", hired: "Hired") -> None:
    fail_times(desk, 4)
    assert log_in(desk, token=hired.token).code == "MASTER_PASSWORD_LOCKED"


def test_the_local_user_is_slowed_down_by_himself_and_a_restart_forgets_it_not(
    desk: "Desk",
) -> None:
    for _ in range(FREE_FAILURES):
        assert log_in(desk, "wrong", token=COOKIE).code == "INVALID_MASTER_PASSWORD"
    desk.rebuild(operator=fresh_access(desk))
    locked = log_in(desk, token=COOKIE)
    assert (locked.code, locked.json["retryAt"]) == ("MASTER_PASSWORD_LOCKED", NOW_S + 1)
    assert log_in(desk).status == 200
    assert log_in(desk, token=COOKIE).code == "MASTER_PASSWORD_LOCKED"


def test_strangers_who_wait_take_no_place_of_the_local_user(desk: "Desk") -> None:
    gate = threading.Event()
    desk.keystore.on_derivation = lambda: assert_passed(gate)

    async def act() -> tuple[list[str], str]:
        async with asyncio.timeout(PATIENCE_S):
            body = {"password": "wrong"}
            strangers = [asyncio.ensure_future(desk.asked("POST", LOGIN, body)) for _ in range(4)]
            await asyncio.wait(strangers, return_when=asyncio.FIRST_COMPLETED)
            local = desk.asked("POST", LOGIN, {"password": PASSWORD}, token=COOKIE)
            entering = asyncio.ensure_future(local)
            gate.set()
            answers = await asyncio.gather(*strangers)
            return [answer.code for answer in answers], (await entering).code

    turned_away, local = asyncio.run(act())
    assert turned_away.count("MASTER_PASSWORD_LOCKED") == 1
    assert local == ""


def test_a_failure_is_not_laid_at_the_operators_door(desk: "Desk") -> None:
    log_in(desk, "wrong")
    log_in(desk, "wrong", token=COOKIE)
    log_in(desk)
    log_in(desk, token=COOKIE)
    assert actors(desk) == [
        ("unauthenticated", "ANYBODY"),
        ("unauthenticated", "LOCAL_USER"),
        ("operator", "ANYBODY"),
        ("operator", "LOCAL_USER"),
    ]


# ── many at once ───────────────────────────────────────────────────────────────────────────────


async def crowd(desk: "Desk", passwords: list[str]) -> list["Answer"]:
    """Log in with all of them at the same time."""
    asked = (desk.asked("POST", LOGIN, {"password": password}) for password in passwords)
    return await asyncio.gather(*asked)


def test_at_most_two_logins_wait_while_one_derives(desk: "Desk") -> None:
    gate = threading.Event()
    desk.keystore.on_derivation = lambda: assert_passed(gate)

    async def act() -> tuple[list["Answer"], list["Answer"]]:
        async with asyncio.timeout(PATIENCE_S):
            body = {"password": PASSWORD}
            tasks = [asyncio.ensure_future(desk.asked("POST", LOGIN, body)) for _ in range(10)]
            turned_away: set[asyncio.Future[Answer]] = set()
            while len(turned_away) < 10 - 1 - WAITING_MAX:
                turned_away, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert desk.keystore.derivations <= 1
            gate.set()
            answers = await asyncio.gather(*tasks)
            return [task.result() for task in turned_away], answers

    turned_away, answers = asyncio.run(act())
    assert WAITING_MAX == 2
    assert [answer.status for answer in turned_away] == [429] * 7
    assert {answer.json["hint"] for answer in turned_away} == {"Try again in a few seconds."}
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 7
    assert desk.keystore.derivations == 3


def assert_passed(gate: threading.Event) -> None:
    assert gate.wait(PATIENCE_S)


def test_nobody_who_was_turned_away_takes_a_place_from_the_next(desk: "Desk") -> None:
    for _ in range(3):
        desk.rebuild(operator=fresh_access(desk))
        asyncio.run(crowd(desk, [PASSWORD] * 10))
        assert log_in(desk).status == 200


def test_wrong_passwords_at_once_are_all_counted(desk: "Desk") -> None:
    looked_at = 0
    for _ in range(4):
        answers = asyncio.run(crowd(desk, ["wrong"] * 10))
        looked_at += sum(answer.code == "INVALID_MASTER_PASSWORD" for answer in answers)
        desk.rebuild(operator=fresh_access(desk))
    # Three are free; then one second has to pass, and none does.
    assert looked_at == desk.keystore.derivations == FREE_FAILURES
    assert len(audit(desk)) == FREE_FAILURES
    assert log_in(desk).json["retryAt"] == NOW_S + 1


def test_a_right_password_among_wrong_ones_does_not_undo_the_delay_of_later_ones(
    desk: "Desk",
) -> None:
    fail_times(desk, 4)
    desk.clock.wall_s += DELAY_S_MAX
    answers = asyncio.run(crowd(desk, ["wrong", PASSWORD, "wrong"]))
    # The first brought a delay, and the others came too early for it.
    assert [answer.code for answer in answers] == [
        "INVALID_MASTER_PASSWORD",
        "MASTER_PASSWORD_LOCKED",
        "MASTER_PASSWORD_LOCKED",
    ]


def test_a_failing_derivation_opens_nothing_and_blocks_nobody(desk: "Desk") -> None:
    def no_memory() -> None:
        raise MemoryError

    desk.keystore.on_derivation = no_memory
    for _ in range(5):
        assert log_in(desk).code == "INTERNAL_ERROR"
    assert len(desk.defects) == 5
    desk.defects.clear()
    desk.keystore.on_derivation = lambda: None
    assert log_in(desk).status == 200


# ── tokens ─────────────────────────────────────────────────────────────────────────────────────


def test_a_token_ends_by_the_clock_that_nobody_sets(desk: "Desk") -> None:
    token = desk.log_in()
    desk.clock.wall_s -= 10**6
    desk.clock.elapsed_s += TOKEN_TTL_S - 1
    assert desk.ask("GET", "/v1/admin/status", token=token).status == 200
    desk.clock.elapsed_s += 1
    assert desk.ask("GET", "/v1/admin/status", token=token).code == "INVALID_TOKEN"


def test_every_login_has_a_token_of_its_own_and_none_ends_another(desk: "Desk") -> None:
    first = desk.log_in()
    desk.clock.advance(TOKEN_TTL_S - 1)
    second = desk.log_in()
    assert first != second
    assert desk.ask("GET", "/v1/admin/status", token=first).status == 200
    desk.clock.advance(1)
    assert desk.ask("GET", "/v1/admin/status", token=first).status == 401
    assert desk.ask("GET", "/v1/admin/status", token=second).status == 200


def test_expired_tokens_are_forgotten(desk: "Desk") -> None:
    access = desk.services.operator
    for _ in range(5):
        desk.log_in()
    assert len(access._expiry_by_token_hash) == 5
    desk.clock.advance(TOKEN_TTL_S)
    desk.log_in()
    assert len(access._expiry_by_token_hash) == 1


def test_a_restart_ends_every_login(desk: "Desk") -> None:
    token = desk.log_in()
    assert not fresh_access(desk).allows(token, Credential.OPERATOR_LOOK)


@pytest.mark.parametrize("credential", [Credential.OPERATOR, Credential.OPERATOR_LOOK])
@pytest.mark.parametrize("token", ["", "é", "\ud800", "\0", "wai_op_", COOKIE.lower(), COOKIE * 99])
def test_no_text_upsets_the_comparison(desk: "Desk", token: str, credential: Credential) -> None:
    assert not desk.services.operator.allows(token, credential)


def test_the_cookie_looks_and_does_no_more(desk: "Desk") -> None:
    access = desk.services.operator
    assert access.allows(COOKIE, Credential.OPERATOR_LOOK)
    assert not access.allows(COOKIE, Credential.OPERATOR)


# ── secrets stay where they are ────────────────────────────────────────────────────────────────


def test_no_secret_is_in_the_ledger_or_in_a_repr(desk: "Desk", tmp_path: Path) -> None:
    log_in(desk, "canary-wrong-password")
    token = desk.log_in()
    hired = desk.create_agent(token=token)
    desk.ask("GET", "/v1/admin/status", token=COOKIE)
    desk.ask("GET", "/v1/admin/status", token="wai_op_canary-unknown")
    secrets = [token, hired.token, COOKIE, PASSWORD, "canary-"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "ledger.db-wal" for path in files)
    shown = [path.read_bytes() for path in files]
    things = [desk.services, desk.services.operator, Login(PASSWORD), OperatorToken(token, 1)]
    things += [IssuedSession("id", hired.token, 1, hired.id)]
    shown += [repr(thing).encode() for thing in things]
    for secret in secrets:
        assert not [text for text in shown if secret.encode() in text], secret[:10]
    # Control: what may be known is found there.
    assert any(hired.address.encode() in text for text in shown)
