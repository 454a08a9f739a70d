"""A localnet outlives whoever started it, and is not mistaken for a stranger."""

import http.server
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from waiaas.chains.localnet import state
from waiaas.chains.localnet.process import LocalnetError, LocalnetProcess, find_or_start, stop
from waiaas.chains.localnet.state import Recorded

STRANGER_PROGRAM = "import sys; sys.stdin.read()"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "localnet"
    stop(tmp_path / "localnet")


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us, and must still run when the test is over."""
    with subprocess.Popen([sys.executable, "-c", STRANGER_PROGRAM], stdin=subprocess.PIPE) as child:
        yield child
        assert child.poll() is None
        assert child.stdin is not None
        child.stdin.close()


def is_gone(process: LocalnetProcess) -> bool:
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_live_one_is_found_again_with_its_chain(directory: Path, ask: Callable[..., Any]) -> None:
    address = str(Pubkey.new_unique())
    first = find_or_start(directory, slot_ms=None)
    ask(first.url, "requestAirdrop", address, 10**9)
    assert find_or_start(directory) == first
    balance = ask(first.url, "getBalance", address, {"commitment": "processed"})
    assert balance["result"]["value"] == 10**9


def test_its_file_names_it_and_is_for_the_owner_only(
    directory: Path, ask: Callable[..., Any]
) -> None:
    process = find_or_start(directory)
    file = directory / "localnet.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {
        "url": process.url,
        "pid": process.pid,
        "instance": process.instance,
    }
    identity = ask(process.url, "localnet_identity")["result"]
    assert (identity["instance"], identity["pid"]) == (process.instance, process.pid)


def test_its_blocks_come_by_themselves(directory: Path, ask: Callable[..., Any]) -> None:
    process = find_or_start(directory, slot_ms=5)

    def height() -> int:
        return int(ask(process.url, "getBlockHeight")["result"])

    first = height()
    while height() == first:
        pass  # The test's own time limit ends this if they do not.


def test_it_survives_the_kill_of_who_started_it(directory: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from waiaas.chains.localnet.process import find_or_start;"
        "print(find_or_start(Path(sys.argv[1])).instance, flush=True);"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        instance = parent.stdout.readline().decode().strip()
        assert instance
        parent.kill()
    assert find_or_start(directory).instance == instance


def test_a_dead_one_is_replaced(directory: Path) -> None:
    dead = find_or_start(directory)
    os.kill(dead.pid, signal.SIGKILL)
    os.waitpid(dead.pid, 0)
    assert (directory / "localnet.json").exists()
    fresh = find_or_start(directory)
    assert fresh.instance != dead.instance
    assert fresh.pid != dead.pid


def test_one_that_comes_after_another_says_so(directory: Path) -> None:
    first = find_or_start(directory)
    again = find_or_start(directory)
    assert stop(directory)
    second = find_or_start(directory)
    assert [each.is_new for each in (first, again, second)] == [True, False, True]
    assert [each.is_replacement for each in (first, again, second)] == [False, False, True]


def test_nobody_can_make_it_misbehave_who_did_not_ask_for_that_at_its_start(
    directory: Path, tmp_path: Path, ask: Callable[..., Any]
) -> None:
    url = find_or_start(directory).url
    assert ask(url, "localnet_setFaults", [])["error"]["code"] == -32601
    assert ask(url, "localnet_advanceBlocks", 1)["error"]["code"] == -32601
    try:
        control = find_or_start(tmp_path / "control", faults_enabled=True)
        assert "error" not in ask(control.url, "localnet_setFaults", [])
    finally:
        stop(tmp_path / "control")


def test_callers_at_once_get_one_process(directory: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(find_or_start, [directory] * 4))
    assert len(found) == 1


def test_stopping_leaves_no_process_and_no_file(directory: Path) -> None:
    process = find_or_start(directory)
    assert stop(directory)
    assert is_gone(process)
    assert not (directory / "localnet.json").exists()
    assert not stop(directory)


def test_there_is_nothing_to_stop_where_nothing_was(tmp_path: Path) -> None:
    assert not stop(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_process_number_that_is_now_anothers_is_never_killed(
    directory: Path, stranger: subprocess.Popen[bytes]
) -> None:
    directory.mkdir()
    file = directory / "localnet.json"
    # Port 9 of this machine: nobody answers there.
    state.write(file, Recorded(url="http://127.0.0.1:9", pid=stranger.pid, instance="0" * 32))
    assert not stop(directory)
    assert not file.exists()
    state.write(file, Recorded(url="http://127.0.0.1:9", pid=stranger.pid, instance="0" * 32))
    assert find_or_start(directory).pid != stranger.pid


def test_a_localnet_of_another_directory_at_the_recorded_address_is_not_ours(
    directory: Path, tmp_path: Path
) -> None:
    other = find_or_start(tmp_path / "other")
    try:
        directory.mkdir()
        stale = Recorded(url=other.url, pid=other.pid, instance="0" * 32)
        state.write(directory / "localnet.json", stale)
        assert not stop(directory)
        assert not is_gone(other)
        assert find_or_start(directory).instance != other.instance
    finally:
        assert stop(tmp_path / "other")


def test_a_stranger_at_the_recorded_address_is_not_believed(
    directory: Path, stranger: subprocess.Popen[bytes]
) -> None:
    class Flatterer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"jsonrpc": "2.0", "id": 1, "result": "whoever you want"}')

        def log_message(self, *_words: Any) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Flatterer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            directory.mkdir()
            url = f"http://127.0.0.1:{server.server_port}"
            stale = Recorded(url=url, pid=stranger.pid, instance="0" * 32)
            state.write(directory / "localnet.json", stale)
            assert not stop(directory)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', "\x00\xff"])
def test_a_file_that_makes_no_sense_is_replaced(directory: Path, content: str) -> None:
    directory.mkdir()
    (directory / "localnet.json").write_text(content)
    assert state.read(directory / "localnet.json") is None
    assert not stop(directory)


def test_one_that_lives_but_does_not_answer_is_left_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waiaas.chains.localnet.process.ANSWER_S_MAX", 0.1)
    monkeypatch.setattr("waiaas.chains.localnet.process.END_S_MAX", 0.1)
    process = find_or_start(directory)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LocalnetError, match="does not answer"):
            stop(directory)
        with pytest.raises(LocalnetError, match="does not answer"):
            find_or_start(directory)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert not is_gone(process)


def test_a_start_that_fails_says_why_and_leaves_no_process(directory: Path) -> None:
    with pytest.raises(LocalnetError, match="--slot-ms"):
        find_or_start(directory, slot_ms="soon")  # type: ignore[arg-type]  # -- the wrong type is the point


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0(directory: Path, number: signal.Signals) -> None:
    directory.mkdir()
    file = directory / "localnet.json"
    with subprocess.Popen(
        [sys.executable, "-m", "waiaas.chains.localnet", "--state", str(file)],
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["pid"] == child.pid
        child.send_signal(number)
        assert child.wait(10) == 0
    assert not file.exists()


def test_a_second_one_under_the_same_file_refuses_to_start(directory: Path) -> None:
    process = find_or_start(directory)
    file = str(directory / "localnet.json")
    second = subprocess.run(
        [sys.executable, "-m", "waiaas.chains.localnet", "--state", file],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 1
    assert b"alive already" in second.stderr
    assert find_or_start(directory) == process


def test_an_address_others_can_reach_is_refused() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "waiaas.chains.localnet", "--host", "0.0.0.0"],  # noqa: S104 -- the point
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert refused.returncode == 1
    assert b"loopback" in refused.stderr
