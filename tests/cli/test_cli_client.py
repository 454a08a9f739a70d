"""The client: what answers, refuses, is silent or is no daemon, and what a person is told."""

import http.client
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer
from typer.testing import CliRunner

from waiaas.api.problems import problem_response
from waiaas.cli.app import app
from waiaas.cli.client import Client, NoAnswer, NotReachable, Refused, explained, segment, wait_for
from waiaas.directory import DaemonError, write_locked
from waiaas.domain.errors import REMEDIES, ErrorCode, Refusal


class Stranger(HTTPServer):
    """A server that answers everything with one thing, and remembers what it was asked."""

    status = 200
    body = b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        server = self.server
        assert isinstance(server, Stranger)
        server.asked.append((self.command, self.path, self.headers["Authorization"]))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)
        self.close_connection = True  # Without a word, as a daemon does that tires of waiting.

    do_GET = do_POST = do_PUT = answer  # noqa: N815 -- the names http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def directory(tmp_path: Path, stranger: Stranger) -> Iterator[Path]:
    """A data directory whose living daemon is the stranger."""
    private = tmp_path / "data"
    private.mkdir(mode=0o700)
    address = f'{{"url": "{stranger.url}", "pid": 1}}'
    descriptor = write_locked(private / "daemon.json", address.encode())
    yield private
    os.close(descriptor)


def test_an_answer_is_returned_and_the_token_sent(stranger: Stranger, directory: Path) -> None:
    stranger.body = b'{"a": 1}'
    with Client.to_daemon(directory, "t") as client:
        assert client.get("/x") == {"a": 1}
        assert client.put("/x", {}) == {"a": 1}
        assert client.post("/x", key="k") == {"a": 1}
    assert {asked[2] for asked in stranger.asked} == {"Bearer t"}


def test_a_connection_that_was_closed_meanwhile_is_in_nobodys_way(directory: Path) -> None:
    with Client.to_daemon(directory) as client:
        assert [client.get("/x") for _ in range(3)] == [{}, {}, {}]


def test_control_a_connection_that_is_kept_is_found_closed(stranger: Stranger) -> None:
    kept = http.client.HTTPConnection(urlsplit(stranger.url).netloc)

    def ask() -> bytes:
        kept.request("GET", "/x")
        return kept.getresponse().read()

    assert ask() == b"{}"
    with pytest.raises(ConnectionError):
        ask()
    kept.close()


def test_a_daemon_that_is_gone_was_not_asked(stranger: Stranger, directory: Path) -> None:
    with Client.to_daemon(directory) as client:
        stranger.shutdown()
        stranger.server_close()
        with pytest.raises(NotReachable):
            client.post("/x")
    assert stranger.asked == []


@pytest.mark.parametrize("form", ["--quiet", "--json"])
def test_a_lock_that_has_no_row_yet_says_so_however_little_is_printed(
    stranger: Stranger, directory: Path, form: str
) -> None:
    (directory / "operator.cookie").touch(mode=0o600)
    (directory / "operator.cookie").write_text("wai_op_" + "C" * 43, encoding="ascii")
    for problem, said in (
        (None, ""),
        ("the disk is full", "has no row of it yet: the disk is full"),
    ):
        stranger.body = json.dumps({"locked": True, "auditProblem": problem}).encode()
        done = CliRunner().invoke(app, ["--data-dir", str(directory), "lock", form])
        assert done.exit_code == 0
        assert said in done.stderr
        assert bool(done.stderr) is bool(said)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'"x"', b"\xff\xfe\xfd"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_answer_that_is_no_message_of_ours_is_none(
    stranger: Stranger, directory: Path, status: int, body: bytes
) -> None:
    stranger.status, stranger.body = status, body
    with Client.to_daemon(directory) as client, pytest.raises(NoAnswer):
        client.get("/x")


def test_redirections_and_proxies_are_not_followed(
    stranger: Stranger, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    stranger.status, stranger.body = 302, b'{"code": "X"}'
    with Client.to_daemon(directory) as client:
        client.get("/x")
    assert [path for _, path, _ in stranger.asked] == ["/x"]


def test_a_password_is_asked_for_only_when_there_is_somebody_to_give_it_to(tmp_path: Path) -> None:
    def never() -> bytes:
        raise AssertionError("asked")

    with pytest.raises(NotReachable):
        Client.logged_in(tmp_path, never)


def test_a_login_proves_the_local_user_so_that_strangers_do_not_make_him_wait(
    stranger: Stranger, directory: Path
) -> None:
    (directory / "operator.cookie").write_text("wai_op_cookie", encoding="ascii")
    stranger.body = b'{"token": "wai_op_login"}'
    with Client.logged_in(directory, lambda: b"the password") as client:
        client.get("/x")
    assert stranger.asked == [
        ("POST", "/v1/admin/login", "Bearer wai_op_cookie"),
        ("GET", "/x", "Bearer wai_op_login"),
    ]


def raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (Refused({"status": 401, "code": "A", "message": "m", "hint": "h"}), 4, "A: m\n        h"),
        (Refused({"status": 403, "code": "A", "message": "\x1b"}), 4, "A: \\x1b"),
        (Refused({"status": 400, "code": "A", "message": "m"}), 1, "A: m"),
        (Refused({}), 1, "None: None"),
        (NotReachable("none"), 3, "waiaas start"),
        (NoAnswer("silent"), 5, "silent"),
        (DaemonError("bad"), 1, "bad"),
    ],
)
def test_every_way_to_fail_has_its_exit_code_and_sentence(
    error: Exception, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        explained(raising(error))
    assert ended.value.exit_code == code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("code", ErrorCode)
def test_every_refusal_is_shown_with_its_remedy(
    code: ErrorCode, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = json.loads(bytes(problem_response(Refusal(code, "no"), request_id="r").body))
    with pytest.raises(typer.Exit):
        explained(raising(Refused(problem)))
    assert f"{code}: no\n        {REMEDIES[code]}" in capsys.readouterr().err


def test_waiting_ends_with_what_was_seen_or_in_time() -> None:
    looks = iter([None, None, "seen"])
    assert wait_for(lambda: next(looks), seconds=5) == "seen"
    assert wait_for(lambda: None, seconds=0) is None
    assert wait_for(lambda: None, seconds=float("nan")) is None


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a-1", "a-1"), ("../x", "..%2Fx"), ("?#%", "%3F%23%25"), ("\N{SNOWMAN}\n", "%E2%98%83%0A")],
)
def test_a_segment_of_a_path_stays_one(text: str, quoted: str) -> None:
    assert segment(text) == quoted


@pytest.mark.parametrize("text", ["", ".", ".."])
@pytest.mark.parametrize(
    "command",
    ["tx cancel", "agent suspend", "session revoke", "approval reject"],
)
def test_what_would_be_another_path_is_no_id_and_nothing_is_asked(
    stranger: Stranger, directory: Path, command: str, text: str
) -> None:
    (directory / "operator.cookie").write_text("wai_op_cookie", encoding="ascii")
    done = CliRunner().invoke(app, ["--data-dir", str(directory), *command.split(), text])
    assert done.exit_code == 2
    assert f"{text!r} is no id" in done.output
    assert stranger.asked == []


@pytest.mark.parametrize("key", ["", "a b", "line\nbreak", "\N{SNOWMAN}", "k" * 256])
def test_an_idempotency_key_that_no_header_holds_is_refused_before_asking(
    stranger: Stranger, directory: Path, tmp_path: Path, key: str
) -> None:
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_bytes(b"wai_sess_x")
    send = ["tx", "send", "--to", "x", "--amount", "1", "--token-file", str(token_file)]
    arguments = ["--data-dir", str(directory), *send, "--idempotency-key", key]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert stranger.asked == []


def test_rules_that_are_no_json_are_refused_before_asking(
    stranger: Stranger, directory: Path
) -> None:
    set_policy = ["policy", "set", "--agent", "x", "--rules", "{"]
    done = CliRunner().invoke(app, ["--data-dir", str(directory), *set_policy])
    assert done.exit_code == 2
    assert "--rules is not JSON" in done.output
    assert stranger.asked == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--to x", "give --to and --amount"),
        ("--amount 1", "give --to and --amount"),
        ("--token x", "give --to and --amount"),
        ("--request object --to x", "stands in place of"),
        ("--request cut", "is not JSON"),
        ("--request list", "holds no JSON object"),
        ("--request missing", "No such file"),
    ],
)
def test_what_is_no_request_at_the_command_line_is_refused_before_asking(
    stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("token", "wai_sess_x"), ("object", "{}"), ("cut", "{"), ("list", "[]")):
        Path(name).touch(mode=0o600)
        Path(name).write_text(content, encoding="utf-8")
    send = ["tx", "send", "--token-file", "token", *arguments.split()]
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path), *send])
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert stranger.asked == []
