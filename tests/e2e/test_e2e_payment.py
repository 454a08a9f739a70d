"""The README's path, as commands: from nothing to a payment that the chain confirms."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

RULES = '{"asset": "native", "instant_max": "100000000", "daily_max": "1000000000"}'


def test_from_init_to_a_confirmed_payment_and_nothing_left_running(
    fresh: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    assert fresh.json("init", password=True)["made"]
    daemon = fresh.start()
    agent = fresh.json("agent", "create", "--name", "bot", "--network", "localnet", password=True)
    assert agent["status"] == "ACTIVE"
    funded = fresh.json(
        "agent", "fund", "--agent", agent["id"], "--amount", "2000000000", password=True
    )
    assert funded["balance"] == "2000000000"
    fresh.json("policy", "set", "--agent", agent["id"], "--rules", RULES, password=True)
    token_file = fresh.folder / "bot.token"
    session = fresh.json(
        *("session", "create", "--agent", agent["id"], "--token-file", str(token_file)),
        password=True,
    )
    assert "token" not in session
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert token_file.read_text(encoding="ascii").startswith("wai_sess_")

    begun = time.monotonic()
    paid = fresh.json(
        *("tx", "send", "--token-file", str(token_file), "--to", recipient),
        *("--amount", "50000000", "--wait", "20"),
    )
    print(f"CONFIRMED after {time.monotonic() - begun:.2f} s")  # noqa: T201 -- a figure
    assert paid["status"] == "CONFIRMED"
    assert chain_of(fresh).balance(recipient) == 50_000_000
    assert chain_of(fresh).knows(paid["txHash"])
    shown = fresh.json("tx", "show", paid["id"], "--token-file", str(token_file))
    assert shown == paid

    status = fresh.json("status")
    assert (status["agentCount"], status["unfinishedTransactionCount"]) == (1, 0)
    assert fresh.json("stop") == {"stopped": True, "localnetStopped": True}
    assert daemon.ended() == 0
    assert fresh.processes() == {}
    assert not (fresh.data / "daemon.json").exists()


def test_a_validator_of_ones_own_is_paid_on_by_its_url(
    waiaas: Any, wait: Callable[..., Any], recipient: str
) -> None:
    state = waiaas.folder / "validator.json"
    waiaas.spawn("localnet", "--state", str(state), stdout=subprocess.DEVNULL)
    wait("the validator", lambda: state.exists() and state.read_bytes())
    url = json.loads(state.read_bytes())["url"]
    agent = waiaas.start(localnet=False, env={"WAIAAS_RPC_SOLANA_LOCALNET": url}).funded_agent()

    paid = agent.ended(agent.pay(recipient, 10**8, key="once")["id"])

    assert (paid["status"], paid["error"]) == ("CONFIRMED", None)
    assert not (waiaas.data / "localnet").exists()


def test_two_equal_payments_with_two_keys_both_arrive(
    running: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    waiaas, daemon = running
    agent = daemon.funded_agent()

    accepted = [agent.pay(recipient, 10**8, key=key) for key in ("monday", "tuesday")]
    ended = [agent.ended(payment["id"]) for payment in accepted]

    assert [payment["status"] for payment in ended] == ["CONFIRMED"] * 2
    assert ended[0]["txHash"] != ended[1]["txHash"]
    assert chain_of(waiaas).balance(recipient) == 2 * 10**8


def test_the_same_key_again_is_the_same_payment(
    running: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    waiaas, daemon = running
    agent = daemon.funded_agent()

    first, again = (agent.pay(recipient, 10**8, key="once")["id"] for _ in range(2))

    assert first == again
    assert agent.ends(first) == "CONFIRMED"
    assert agent.pay(recipient, 10**8, key="once")["id"] == first
    assert chain_of(waiaas).balance(recipient) == 10**8


def test_what_becomes_of_a_payment_is_in_the_exit_code(running: Any, recipient: str) -> None:
    waiaas, daemon = running
    agent = daemon.funded_agent()
    token_file = waiaas.folder / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(agent.token, encoding="ascii")
    send = ("tx", "send", "--token-file", str(token_file), "--to", recipient)

    too_much = waiaas.run(*send, "--amount", str(21 * 10**9), "--wait", "9", code=4)
    assert "SPENDING_LIMIT_EXCEEDED" in too_much.stderr
    assert "daily_max" in too_much.stderr

    hopeless = waiaas.run(*send, "--amount", str(6 * 10**9), "--wait", "20", code=1)
    assert json.loads(hopeless.stdout)["status"] == "FAILED"

    with Path("/dev/full").open("w", encoding="ascii") as full:
        unseen = waiaas.run(*send, "--amount", "1000000", stdout=full, code=1)
    assert "standard output takes nothing: No space left on device" in unseen.stderr
    assert waiaas.told("tx show") in unseen.stderr
    agent_id = daemon.operator().get("/v1/agents")["items"][-1]["id"]
    with Path("/dev/full").open("w", encoding="ascii") as full:
        create = ("session", "create", "--agent", agent_id)
        unseen = waiaas.run(*create, stdout=full, code=1, password=True)
    _, told = unseen.stderr.replace("\n", " ").split("`" + waiaas.told("session revoke "))
    session_id = told.split("`")[0]
    assert waiaas.json("session", "revoke", session_id)["agentId"] == agent_id

    quick = waiaas.run(*send, "--amount", "1000000", "--wait", "0.001", code=5)
    assert json.loads(quick.stdout)["status"] not in ("CONFIRMED", "FAILED")
    assert "not ended" in quick.stderr

    assert waiaas.run(*send, "--amount", "1.5", code=1).stderr.count("INVALID_AMOUNT") == 1
    token_file.write_text("wai_sess_" + "x" * 43, encoding="ascii")
    assert "INVALID_TOKEN" in waiaas.run(*send, "--amount", "1", code=4).stderr


def test_what_a_person_types_for_an_id_stays_in_its_place(running: Any) -> None:
    waiaas, daemon = running
    token_file = waiaas.folder / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(daemon.funded_agent().token, encoding="ascii")
    with_token = ("--token-file", str(token_file))

    for odd in ("../../health", "?\N{SNOWMAN}\n"):
        assert "_NOT_FOUND" in waiaas.run("tx", "show", odd, *with_token, code=1).stderr
    for no_id in ("", "..", "."):
        assert "is no id" in waiaas.run("tx", "show", no_id, *with_token, code=2).stderr


@pytest.mark.forked
def test_an_unknown_outcome_says_how_to_find_out(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str
) -> None:
    daemon = waiaas.start()
    token_file = waiaas.folder / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(daemon.funded_agent().token, encoding="ascii")
    send = ("tx", "send", "--token-file", str(token_file), "--to", recipient, "--amount", "5000000")

    ask_at_port(waiaas.data / "daemon.json")
    daemon.process.send_signal(signal.SIGSTOP)  # It takes connections, and answers nobody.
    endings: tuple[Callable[[Any], None], ...] = (
        lambda sending: sending.send_signal(signal.SIGINT),
        lambda sending: sending.send_signal(signal.SIGTERM),
        lambda _: daemon.kill(),
    )
    keys = []
    for end in endings:
        sending = waiaas.spawn(*send, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until_asked(int(daemon.url.rpartition(":")[2]), by=sending.pid)
        end(sending)
        _, error = sending.communicate(timeout=20)
        assert sending.returncode == 5, error
        assert "not known whether the payment was accepted" in error
        found = re.search(r"--idempotency-key (\S+);", error)
        assert found is not None
        keys.append(found[1])
    waiaas.start()
    for key in (*keys, *keys):
        again = waiaas.json(*send, "--idempotency-key", key, "--wait", "20")
        assert again["status"] == "CONFIRMED"
    assert chain_of(waiaas).balance(recipient) == 3 * 5_000_000


def ask_at_port(address: Path) -> None:
    """Let the daemon be found as one without a Unix socket, of which the kernel tells less."""
    told = json.loads(address.read_bytes())
    address.write_text(json.dumps({**told, "socket": None}), encoding="ascii")


def wait_until_asked(port: int, *, by: int) -> None:
    """Wait until a process has sent its request to a loopback port where nobody reads.

    Until then a signal may meet it anywhere, also where Python prints it and goes on.
    """
    deadline = time.monotonic() + 20
    while not _has_asked(f"{socket.htonl(0x7F000001):08X}:{port:04X}", by):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def _has_asked(daemon: str, pid: int) -> bool:
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in lines]  # number, here, there, state, queues, …, inode
    own = {row[1] for row in rows if row[2] == daemon and row[9] in _sockets(pid)}
    return any(
        row[1] == daemon and row[2] in own and not row[4].endswith(":00000000") for row in rows
    )


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets, but for those that it closes meanwhile."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(FileNotFoundError):
            sockets.add(str(link.readlink()).removeprefix("socket:[").rstrip("]"))
    return sockets
