"""Starting, stopping, being stopped, and whatever a crash leaves lying about."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.fakes.chain import LOCALNET

from waiaas.database import generate_id, open_ledger
from waiaas.domain.enums import AgentStatus
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.stages import Stage

pytestmark = pytest.mark.e2e


def health(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def refuses_faults(url: str) -> bool:
    """Tell whether a network knows no method by which it could be made to misbehave."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    body = {"jsonrpc": "2.0", "id": 1, "method": "localnet_setFaults", "params": [[]]}
    try:
        connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return bool(answer.get("error", {}).get("code") == -32601)
    finally:
        connection.close()


@contextlib.contextmanager
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with us, and must live when the block ends."""
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        yield process
        assert process.poll() is None
        process.kill()


@contextlib.contextmanager
def hanging_up(disposition: signal.Handlers) -> Iterator[None]:
    """Let processes that are started here inherit this, whatever we inherited ourselves."""
    before = signal.signal(signal.SIGHUP, disposition)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_cleanly_and_leaves_the_network(
    waiaas: Any, number: signal.Signals, recipient: str
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    agent.ended(agent.pay(recipient, 10**6, key="k")["id"])
    assert waiaas.wal_bytes() > 0

    daemon.process.send_signal(number)
    daemon.process.send_signal(number)  # The impatient.

    assert daemon.ended() == 0
    assert waiaas.wal_bytes() == 0
    assert not (waiaas.data / "daemon.json").exists()
    assert not (waiaas.data / "operator.cookie").exists()
    assert not (waiaas.data / "daemon.sock").exists()
    assert list(waiaas.processes()) == [waiaas.localnet()["pid"]]
    assert waiaas.json("stop") == {"stopped": False, "localnetStopped": True}
    assert waiaas.processes() == {}
    assert not waiaas.json("stop")["stopped"]


def test_a_signal_during_the_start_ends_it_and_what_it_began(
    waiaas: Any, wait: Callable[..., Any]
) -> None:
    starting = waiaas.spawn(
        *("start", "--localnet", "--port", "0", "--password-file", str(waiaas.password_file)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait("the network's directory", (waiaas.data / "localnet").exists)
    starting.send_signal(signal.SIGTERM)

    out, _ = starting.communicate(timeout=20)

    assert (starting.returncode, out) == (0, "")
    assert waiaas.processes() == {}
    assert waiaas.wal_bytes() == 0


def test_a_terminal_that_closes_ends_it_unless_nohup_said_otherwise(waiaas: Any) -> None:
    with hanging_up(signal.SIG_DFL):
        daemon = waiaas.start(localnet=False)
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.ended() == 0
    with hanging_up(signal.SIG_IGN):
        daemon = waiaas.start(localnet=False)
    daemon.process.send_signal(signal.SIGHUP)
    assert health(daemon.url)


def test_status_and_stop_where_nothing_runs_say_so(fresh: Any) -> None:
    done = fresh.run("status", code=3)
    assert "no daemon runs" in done.stderr
    assert fresh.told("start") in done.stderr
    assert not fresh.json("stop")["stopped"]
    assert not fresh.data.exists()


def test_what_a_crash_left_is_not_taken_for_a_daemon(waiaas: Any) -> None:
    """Neither a reused process id nor a reused port gets a signal or a secret."""
    daemon = waiaas.start(localnet=False)
    daemon.kill()
    left = waiaas.data / "daemon.json"
    assert (waiaas.data / "daemon.sock").is_socket()
    with stranger() as other, socket.socket() as trap:
        trap.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trap.bind(("127.0.0.1", urlsplit(daemon.url).port))
        trap.listen()
        left.write_text(json.dumps({"url": daemon.url, "pid": other.pid}), encoding="ascii")

        assert "no daemon runs" in waiaas.run("status", code=3).stderr
        assert not waiaas.json("stop")["stopped"]
        create = ("agent", "create", "--name", "n", "--network", "localnet")
        assert "no daemon runs" in waiaas.run(*create, password=True, code=3).stderr

        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert health(waiaas.start(localnet=False).url)
    assert waiaas.json("status")["status"] == "ok"  # At a new socket.


def test_ready_it_answers_and_a_second_daemon_refuses_at_once_and_disturbs_nothing(
    waiaas: Any,
) -> None:
    begun = time.monotonic()
    daemon = waiaas.start()
    assert health(daemon.url)  # At once, and at the first try.
    lines = map(json.loads, daemon.log.read_text(encoding="utf-8").splitlines())
    assert [line["stage"] for line in lines if line["event"] == "stage done"] == list(Stage)
    print(f"ready after {time.monotonic() - begun:.2f} s")  # noqa: T201 -- a figure
    assert json.loads((waiaas.data / "daemon.json").read_bytes())["pid"] == daemon.process.pid

    begun = time.monotonic()
    arguments = ("start", "--localnet", "--port", "0")
    refused = waiaas.run(*arguments, password=True, code=1)
    print(f"a second daemon refused after {time.monotonic() - begun:.2f} s")  # noqa: T201 -- a figure
    holder = f"process {daemon.process.pid}, at {daemon.url}. Stop it with `{waiaas.told('stop')}`"
    assert f"{waiaas.data} is in use by another waiaas: {holder}" in refused.stderr
    assert health(daemon.url)
    assert waiaas.json("status")["status"] == "ok"
    assert not waiaas.json("init")["made"]

    # One that is held up keeps the directory too.
    daemon.process.send_signal(signal.SIGSTOP)
    waiaas.run("start", "--port", "0", password=True, code=1)
    daemon.process.send_signal(signal.SIGCONT)
    assert waiaas.json("stop") == {"stopped": True, "localnetStopped": True}
    assert daemon.ended() == 0


def test_status_may_be_asked_while_a_daemon_starts(waiaas: Any) -> None:
    """Looking must not get in the way of the start, by a lock held for a moment."""
    asking = [waiaas.spawn("status", stderr=subprocess.DEVNULL) for _ in range(3)]
    daemon = waiaas.start(localnet=False)
    assert all(process.wait(timeout=20) in (0, 3) for process in asking)
    assert health(daemon.url)


def test_a_start_that_fails_ends_the_network_it_began_and_no_other(waiaas: Any) -> None:
    start = ("start", "--localnet", "--port", "0")
    key_file = an_agent_half_made(waiaas.data)
    key_file.mkdir(mode=0o700)

    failed = waiaas.run(*start, password=True, code=1)

    assert f"cannot start, at unfinished: {key_file} is" in failed.stderr
    assert waiaas.processes() == {}
    assert waiaas.wal_bytes() == 0
    key_file.rmdir()
    waiaas.start().process.send_signal(signal.SIGTERM)
    pid = waiaas.localnet()["pid"]
    waiaas._started[-1].wait(timeout=20)
    an_agent_half_made(waiaas.data).mkdir(mode=0o700)
    waiaas.run(*start, password=True, code=1)
    assert list(waiaas.processes()) == [pid]


def an_agent_half_made(directory: Path) -> Path:
    """Write down an agent as a crash at its creation leaves it; return where its key would be."""
    agent_id = AgentId(generate_id())
    agent = AgentRecord(
        agent_id,
        "half made",
        *LOCALNET,
        f"address of {agent_id}",
        AgentStatus.CREATING,
        1,
        suspended_at=None,
        suspension_reason=None,
    )
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.agents.insert(agent))
    return directory / "keystore" / f"{agent_id}.json"


def test_a_network_that_cannot_start_is_a_clear_error(waiaas: Any) -> None:
    log = waiaas.data / "localnet" / "localnet.log"
    log.mkdir(parents=True, mode=0o700)
    failed = waiaas.run("start", "--localnet", "--port", "0", password=True, code=1)
    told = f"waiaas: cannot start, at localnet: {log}: Is a directory"
    assert failed.stderr.splitlines()[-1] == told
    assert waiaas.processes() == {}


def test_a_daemon_whose_directory_is_removed_answers_nothing_more_and_ends(
    waiaas: Any,
) -> None:
    node = {"WAIAAS_RPC_SOLANA_LOCALNET": "http://127.0.0.1:9"}
    daemon = waiaas.start(localnet=False, env=node)
    operator = daemon.operator()
    waiaas.data.rename(waiaas.folder / "moved")
    with pytest.raises((OSError, http.client.HTTPException)):
        operator.ask("POST", "/v1/agents", {"name": "a", "network": "localnet"})
    assert daemon.ended() == 70
    assert "was moved, removed or replaced while it was open" in daemon.log.read_text("utf-8")


def test_a_network_that_dies_takes_neither_the_daemon_nor_its_reads_along(
    waiaas: Any, recipient: str, wait: Callable[..., Any]
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    os.kill(waiaas.localnet()["pid"], signal.SIGKILL)

    payment = agent.pay(recipient, 10**6, key="k")

    assert agent.get(f"/v1/transactions/{payment['id']}")["status"] == "PENDING"
    assert agent.get("/v1/wallet/address")
    assert waiaas.json("status")["unfinishedTransactionCount"] == 1
    blocked = "blockedTransactionCount"
    wait("a step that failed", lambda: daemon.operator().get("/v1/admin/status")[blocked] == 1)
    with pytest.raises(Exception, match="waiaas start --localnet"):
        agent.get("/v1/wallet/balance")
    assert waiaas.json("stop")["stopped"]
    assert daemon.ended() == 0

    assert "the local network is new" not in daemon.log.read_text(encoding="utf-8")
    restarted = waiaas.start()  # On a chain that is new, and says so.
    assert "the local network is new" in daemon.log.read_text(encoding="utf-8")
    again = type(agent)(restarted.url, agent.token)
    assert again.get("/v1/wallet/balance")["balance"] == "0"
    assert again.get(f"/v1/transactions/{payment['id']}")["status"] != "CONFIRMED"


def test_stop_ends_a_network_that_an_earlier_daemon_brought(waiaas: Any) -> None:
    first = waiaas.start()
    first.process.send_signal(signal.SIGTERM)
    first.ended()
    second = waiaas.start(localnet=False)
    assert waiaas.json("stop") == {"stopped": True, "localnetStopped": True}
    assert second.ended() == 0
    assert waiaas.processes() == {}


def test_a_network_that_does_not_end_is_told_by_stop_and_left_alone(waiaas: Any) -> None:
    daemon = waiaas.start()
    os.kill(waiaas.localnet()["pid"], signal.SIGSTOP)
    assert "alive but does not answer" in waiaas.run("stop", code=1).stderr
    assert daemon.ended() == 1
    assert waiaas.wal_bytes() == 0
    assert list(waiaas.processes()) == [waiaas.localnet()["pid"]]


def test_the_network_by_itself_says_where_it_is_and_ends_with_its_terminal(
    waiaas: Any, chain_of: Callable[[Any], Any]
) -> None:
    (waiaas.data / "localnet").mkdir(mode=0o700)
    state = str(waiaas.data / "localnet" / "localnet.json")
    process = waiaas.spawn("localnet", "--state", state, stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = process.stdout.readline().removeprefix("local network at ").strip()
    assert url == waiaas.localnet()["url"]
    assert chain_of(waiaas).genesis()
    assert refuses_faults(url)
    assert "alive already" in waiaas.run("localnet", "--state", state, code=1).stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0


def test_a_reader_that_goes_away_stops_nothing(waiaas: Any, wait: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        daemon = waiaas.spawn(
            *("start", "--port", "0", "--password-file", str(waiaas.password_file)),
            stdout=writing,
            stderr=writing,
        )
    finally:
        os.close(writing)
    wait("the address file", (waiaas.data / "daemon.json").exists)
    assert waiaas.json("status")["status"] == "ok"
    assert waiaas.json("stop")["stopped"]
    assert daemon.wait(timeout=20) == 0


def test_a_reader_that_stalls_stops_nothing_and_who_started_it_is_told_when_it_is_ready(
    waiaas: Any,
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{waiaas.folder}")
        manager.settimeout(20)
        daemon = waiaas.spawn(
            *("start", "--port", "0", "--password-file", str(waiaas.password_file)),
            stdout=writing,
            stderr=writing,
            env={"NOTIFY_SOCKET": f"@{waiaas.folder}"},
        )
        assert manager.recv(64) == b"READY=1"
    assert waiaas.json("kill-switch", "on")["state"] == "ACTIVATED"
    daemon.terminate()
    assert daemon.wait(timeout=20) == 0
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_closed_standard_streams_do_not_become_the_ledgers_files(
    waiaas: Any, wait: Callable[..., Any]
) -> None:
    command = waiaas.command("start", "--port", "0", "--password-file", str(waiaas.password_file))
    with subprocess.Popen(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]) as daemon:
        try:
            wait("the address file", (waiaas.data / "daemon.json").exists)
            streams = Path(f"/proc/{daemon.pid}/fd")
            opened = [(streams / str(number)).readlink().name for number in range(3)]
            assert opened == ["null", "full", "null"]
            assert waiaas.json("stop")["stopped"]
            assert daemon.wait(timeout=20) == 0
        finally:
            daemon.kill()


def test_optimised_python_is_refused(waiaas: Any) -> None:
    command = waiaas.command("start", "--password-file", str(waiaas.password_file))[1:]
    done = subprocess.run(
        [sys.executable, "-O", *command],
        cwd=waiaas.folder, capture_output=True, encoding="utf-8", timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "start Python without -O" in done.stderr
