"""From an error to an answer: what is expected has a code; the rest is reported, and not told."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from tests.canaries import MARKER
from tests.fakes.chain import LOCALNET

from waiaas.api import app
from waiaas.chains.solana.chain import WrongNetwork
from waiaas.chains.solana.rpc import RpcError
from waiaas.database.errors import (
    Closed,
    CommitUnknown,
    DatabaseError,
    LedgerDamaged,
    LedgerFull,
    NotADatabase,
    RolledBack,
)
from waiaas.domain.enums import NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.keystore.errors import KeystoreLocked
from waiaas.keystore.signer import open_keystore
from waiaas.logs import log_to_stderr
from waiaas.pipeline.record import LostRace
from waiaas.ports import ChainUnavailable, LedgerCondition

if TYPE_CHECKING:
    from tests.api.conftest import Answer, Desk, Hired

RECIPIENT = "So11111111111111111111111111111111111111112"
SEND = "/v1/transactions/send"

# fmt: off
EXPECTED = [
    (ChainUnavailable("the node at http://n gave no answer"),               "CHAIN_UNAVAILABLE"),
    (RpcError("http://n", code=-1, message="\x1b[31m\u202e", data=None),    "CHAIN_UNAVAILABLE"),
    (WrongNetwork("http://n", expected=NetworkType.DEVNET, genesis_hash="x"), "CHAIN_UNAVAILABLE"),
    (LedgerFull(),                                                          "LEDGER_FULL"),
    (LedgerDamaged(["page 3"]),                                             "LEDGER_DAMAGED"),
    (NotADatabase("/secret/path", reason="malformed"),                      "LEDGER_DAMAGED"),
    (Closed(),                                                              "SHUTTING_DOWN"),
    (KeystoreLocked(),                                                      "KEYSTORE_LOCKED"),
    (Refusal(ErrorCode.NETWORK_NOT_CONFIGURED, "no node"),                "NETWORK_NOT_CONFIGURED"),
]
UNEXPECTED = [
    ValueError("canary"), KeyError("canary"), AssertionError("canary"), RecursionError("canary"),
    MemoryError("canary"), OSError(28, "canary"), UnicodeEncodeError("utf-8", "canary", 0, 1, "x"),
    DatabaseError("canary"), RolledBack("canary"), CommitUnknown("canary"), LostRace("canary"),
    TimeoutError("canary"), asyncio.InvalidStateError("canary"), StopAsyncIteration("canary"),
    ExceptionGroup("canary", [ValueError("canary")]),
]
# fmt: on


class FailingChain:
    """A chain that fails at everything, in one way."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def balance(self, _address: str) -> int:
        raise self._error


def balance(desk: "Desk", hired: "Hired", error: BaseException) -> "Answer":
    """Let a handler meet *error*."""
    desk.rebuild(chains={LOCALNET: FailingChain(error)})
    return desk.ask("GET", "/v1/wallet/balance", token=hired.token)


@pytest.mark.parametrize(("error", "code"), EXPECTED, ids=lambda value: type(value).__name__)
def test_what_is_expected_is_told_and_not_reported(
    desk: "Desk", hired: "Hired", error: Exception, code: str
) -> None:
    answer = balance(desk, hired, error)
    assert answer.code == code
    assert answer.json["hint" if "hint" in answer.json else "message"]
    assert desk.defects == []
    answer.content.decode("ascii")


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
def test_what_nobody_expected_is_reported_and_not_told(
    desk: "Desk", hired: "Hired", error: Exception
) -> None:
    answer = balance(desk, hired, error)
    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert "canary" not in answer.content.decode()
    assert "its log has the reason under requestId" in answer.json["message"]
    assert len(desk.defects) == 1
    desk.defects.clear()


def test_the_report_has_the_id_that_the_caller_was_told(desk: "Desk", hired: "Hired") -> None:
    reported = []
    desk.rebuild(chains={LOCALNET: FailingChain(ValueError())})
    desk.api = app.Api(
        desk.services,
        port=desk.port,
        error_codes={},
        report=lambda request_id, error: reported.append((request_id, type(error))),
        observe=lambda *_: None,
    )
    answer = desk.ask("GET", "/v1/wallet/balance", token=hired.token)
    assert reported == [(answer.json["requestId"], ValueError)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()])
def test_the_end_of_the_process_is_no_answer(
    desk: "Desk", hired: "Hired", error: BaseException
) -> None:
    with pytest.raises(type(error)):
        balance(desk, hired, error)
    assert desk.defects == []


# ── real causes ────────────────────────────────────────────────────────────────────────────────


def test_a_ledger_that_was_closed_is_a_daemon_that_is_shutting_down(
    desk: "Desk", operator: str, hired: "Hired"
) -> None:
    desk.ledger.close()
    # Locking last: it ends logins, whatever the ledger says.
    for route in sorted(app.ROUTES, key=lambda route: route.path == "/v1/admin/lock"):
        token = desk.token_for(route.credential, hired, operator)
        answer = desk.call(route, hired.id, token=token)
        if answer.code not in {"", "FAUCET_UNAVAILABLE"}:
            assert (answer.status, answer.code) == (503, "SHUTTING_DOWN")
            assert answer.json["retryable"] is True
            assert answer.json["hint"]
    assert desk.ask("GET", "/health").status == 200
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).code == "SHUTTING_DOWN"


def test_without_keys_no_agent_is_made(
    desk: "Desk", operator: str, keystore_directory: Path
) -> None:
    locked = open_keystore(keystore_directory, f"{MARKER}-pa55word-é".encode())
    locked.lock()
    desk.rebuild(keystore=locked)
    answer = desk.ask("POST", "/v1/agents", {"name": "a", "network": "localnet"}, token=operator)
    assert (answer.status, answer.code) == (503, "KEYSTORE_LOCKED")
    assert answer.json["retryable"] is True
    assert desk.rows("agents") == []


def test_a_full_ledger_is_told_and_nothing_is_half_written(desk: "Desk", operator: str) -> None:
    def leave_room(pages: int) -> None:
        """Let SQLite itself find that there is no more room than this."""
        sqlite = desk.ledger._writer._sqlite

        def unit(_tx: object) -> None:
            (count,) = next(iter(sqlite.execute("PRAGMA page_count")))
            list(sqlite.execute(f"PRAGMA max_page_count={count + pages}"))

        desk.ledger.write(unit)

    hired = desk.create_agent(token=operator)
    leave_room(0)
    body = {"to": RECIPIENT, "amount": "1", "allowDuplicate": True}
    before, answer = desk.content(), desk.ask("POST", SEND, body, token=hired.token)
    while answer.status == 201:
        before, answer = desk.content(), desk.ask("POST", SEND, body, token=hired.token)
    assert (answer.status, answer.code) == (507, "LEDGER_FULL")
    assert answer.json["retryable"] is True
    assert answer.json["hint"] == "The operator has to free space on the disk of the daemon."
    assert desk.content() == before
    assert desk.ask("GET", "/v1/wallet/address", token=hired.token).status == 200
    leave_room(1000)
    assert desk.ask("POST", SEND, body, token=hired.token).status == 201


# ── bodies ─────────────────────────────────────────────────────────────────────────────────────

LOGIN = "/v1/admin/login"
MAX = 64 * 1024


def padded(length: int) -> bytes:
    body = b'{"password": "wr0ng"}'
    return body + b" " * (length - len(body))


@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_a_body_may_be_as_large_as_it_may_be_and_no_larger(desk: "Desk", pieces: int) -> None:
    def split(body: bytes) -> list[bytes]:
        step = -(-len(body) // pieces)
        return [body[start : start + step] for start in range(0, len(body), step)]

    assert desk.ask("POST", LOGIN, raw=split(padded(MAX))).code == "INVALID_MASTER_PASSWORD"
    answer = desk.ask("POST", LOGIN, raw=split(padded(MAX + 1)))
    assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")


def test_a_body_is_not_read_beyond_the_bound(desk: "Desk") -> None:
    answer = desk.ask("POST", LOGIN, raw=[b" " * 1024] * 65, ends=False)
    assert answer.code == "BODY_TOO_LARGE"


def test_a_body_that_is_wrong_in_two_ways_is_told_the_first_in_the_order_of_codes(
    desk: "Desk",
) -> None:
    headers = [("host", "127.0.0.1:3100"), ("content-type", "text/plain")]
    answer = desk.ask("POST", LOGIN, raw=b"[" * (MAX + 1), bare=True, headers=headers)
    assert answer.code == "BODY_TOO_LARGE"
    answer = desk.ask("POST", LOGIN, raw=b"[" * MAX, bare=True, headers=headers)
    assert answer.code == "CONTENT_TYPE_REFUSED"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json5",
        "application/problem+json",
        "application/json, text/plain",
        "text/plain; application/json",
        "application /json",
        "json",
        b"application/json\xff",
        "text/plain;application/json",
    ],
)
def test_what_a_form_could_send_is_refused(desk: "Desk", value: str | bytes) -> None:
    headers = [("host", "127.0.0.1:3100"), ("content-type", value)]
    answer = desk.ask("POST", LOGIN, raw=padded(30), bare=True, headers=headers)
    assert (answer.status, answer.code) == (415, "CONTENT_TYPE_REFUSED")
    assert desk.keystore.derivations == 0


def test_a_body_without_a_type_is_refused(desk: "Desk") -> None:
    headers = [("host", "127.0.0.1:3100")]
    answer = desk.ask("POST", LOGIN, raw=padded(30), bare=True, headers=headers)
    assert answer.code == "CONTENT_TYPE_REFUSED"


@pytest.mark.parametrize("value", ["Application/JSON", "application/json ; charset=utf-8"])
def test_the_type_may_be_written_as_others_write_it(desk: "Desk", value: str) -> None:
    headers = [("host", "127.0.0.1:3100"), ("content-type", value)]
    answer = desk.ask("POST", LOGIN, raw=padded(30), bare=True, headers=headers)
    assert answer.code == "INVALID_MASTER_PASSWORD"


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br", ""])
def test_a_compressed_body_is_refused(desk: "Desk", encoding: str) -> None:
    headers = [("content-encoding", encoding)]
    answer = desk.ask("POST", LOGIN, raw=padded(30), headers=headers)
    assert (answer.status, answer.code) == (415, "CONTENT_TYPE_REFUSED")


def test_a_body_that_never_comes_is_given_up(desk: "Desk", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_S_MAX", 0.01)
    answer = desk.ask("POST", LOGIN, raw=padded(30), ends=False)
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert "did not arrive" in answer.json["message"]


def test_whoever_hangs_up_is_not_answered(desk: "Desk") -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:3100"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "raw_path": LOGIN.encode(), "query_string": b""}
    scope["headers"] = headers
    asyncio.run(desk.api(scope, receive, send))
    assert sent == []
    assert desk.defects == []


def test_what_a_request_causes_is_logged_with_its_id(
    desk: "Desk", capfd: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    look = desk.services.ledger_condition

    def tell() -> LedgerCondition:
        structlog.get_logger().warning("somebody looks")
        return look()

    desk.rebuild(ledger_condition=tell)
    ids = [desk.ask("GET", "/health").headers["x-request-id"] for _ in range(2)]
    told = [json.loads(line)["request_id"] for line in capfd.readouterr().err.splitlines()]
    assert told == ids
