"""Secrets stay where they belong: after a whole life with errors, they are found nowhere else.

Not in a file, an output, a command line, or memory that the daemon itself could read by accident.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.canaries import MARKER
from tests.e2e import memory, opener, receiver
from tests.e2e.conftest import Http

from waiaas.database import generate_id
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.keystore.signer import create_keystore, open_keystore

pytestmark = pytest.mark.e2e

CANARY = f"{MARKER}-password"
CREATE = ("agent", "create", "--name", "n", "--network", "localnet")


@pytest.mark.timeout(180)
def test_no_secret_is_in_any_output_or_file(fresh: Any, recipient: str) -> None:
    fresh.password_file.write_text(CANARY + "\n", encoding="ascii")
    printed = [fresh.run("init", password=True)]
    daemon = fresh.start()
    cookie = (fresh.data / "operator.cookie").read_text(encoding="ascii")
    _require_closed(fresh, daemon.process.pid, whose="at start")
    http = daemon.operator(password=CANARY)
    printed.append(fresh.run(*CREATE, password=True))
    agent = json.loads(printed[-1].stdout)["id"]
    http.ask("POST", f"/v1/agents/{agent}/fund", {"amount": "1000000000"})
    token_file = fresh.folder / "token"
    printed.append(
        fresh.run(
            *("session", "create", "--agent", agent, "--token-file", str(token_file)), password=True
        )
    )
    token = token_file.read_text(encoding="ascii").strip()
    send = ("tx", "send", "--token-file", str(token_file), "--to", recipient, "--amount")
    rules = {"asset": "native", "instant_max": "100000000", "daily_max": "100000000"}
    http.ask("PUT", "/v1/policies", {"agentId": agent, "type": "SPENDING_LIMIT", "rules": rules})
    printed += [
        fresh.run(*send, "1000000", "--wait", "20"),
        fresh.run(*send, "900000000", code=4),
        fresh.run(*send, "nonsense", code=1),
        fresh.run("status"),
        fresh.run("start", password=True, code=1),
    ]
    for path, body in (
        ("/v1/admin/login", {"password": CANARY[:-1]}),
        ("/v1/admin/login", {"password": CANARY, "more": CANARY}),
        ("/v1/agents", {"name": CANARY, "network": CANARY}),
        ("/v1/transactions/send", {"to": token, "amount": token}),
    ):
        with pytest.raises(Exception, match=r"40\d"):
            type(http)(http.url, token).ask("POST", path, body)
    fresh.password_file.write_text(CANARY + "x\n", encoding="ascii")
    printed.append(fresh.run(*CREATE, password=True, code=4))

    agents_program = type(http)(http.url, token)
    paid = [agents_program.pay(recipient, 1000 + n, key=f"k{n}")["id"] for n in range(50)]
    assert {agents_program.ended(tx_id)["status"] for tx_id in paid} == {"CONFIRMED"}
    _require_closed(fresh, daemon.process.pid, whose="after 50 signatures")
    printed.append(fresh.run("lock"))
    _require_closed(fresh, daemon.process.pid, whose="locked", is_locked=True)
    fresh.password_file.write_text(CANARY + "\n", encoding="ascii")
    printed += [
        fresh.run(*send, "1000000", code=1),
        fresh.run("unlock", password=True),
    ]
    _require_closed(fresh, daemon.process.pid, whose="unlocked", has_signed=False)
    printed.append(fresh.run(*send, "1000001", "--wait", "20"))

    running = _texts(fresh, daemon, printed, leave_out={"operator.cookie"})
    with_cookie = _texts(fresh, daemon, [], leave_out=set())
    assert any(cookie.encode() in text for text in with_cookie.values()), "a control"
    daemon.kill()  # Not cleanly: the WAL stays.
    printed.append(fresh.run("stop"))
    stopped = _texts(fresh, daemon, printed, leave_out={"operator.cookie"})

    for name, text in {**running, **stopped}.items():
        for what, secret in {
            "password": CANARY, "token": token, "cookie": cookie, "operator": http.token
        }.items():  # fmt: skip
            for spelling in (secret, secret.removeprefix("wai_sess_").removeprefix("wai_op_")):
                assert spelling.encode() not in text, f"the {what} is in {name}"
    assert "ledger.db-wal" in running


AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="not root: the daemon's memory is not scanned here"
)


@AS_ROOT
def test_control_a_naive_daemon_has_the_seed_in_its_heap(tmp_path: Path) -> None:
    place = tmp_path / "keystore"
    create_keystore(place, CANARY.encode())
    keystore, agent_id = open_keystore(place, CANARY.encode()), AgentId(generate_id())
    keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    keystore.store(agent_id)
    assert _open_in(memory.__file__, place) >= {"the password", "a seed"}


@AS_ROOT
def test_opening_leaves_nothing_in_registers_and_on_stacks_that_naive_opening_leaves(
    tmp_path: Path,
) -> None:
    place = tmp_path / "keystore"
    create_keystore(place, CANARY.encode())
    assert _open_in(opener.__file__, place) <= {"the password"}, "it was read from a pipe, as text"
    left = _open_in(opener.__file__, place, "naive") - {"the password"}
    assert "the wrapping key" in left, "a control"


@AS_ROOT
def test_a_password_that_came_by_http_is_gone_and_naively_it_is_not() -> None:
    shortest = "12 bytes: xy"
    assert [_left_behind(password) for password in (CANARY, shortest)] == [[], []]
    naively = _left_behind(shortest, "naive")
    assert "[heap]" in {finding.region for finding in naively}, "a control"


def _left_behind(password: str, *words: str) -> list[memory.Finding]:
    """Return where the password lies in a program that has received it."""
    with subprocess.Popen(
        [sys.executable, receiver.__file__, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            http = Http(f"http://127.0.0.1:{int(process.stdout.readline())}")
            http.ask("POST", "/v1/admin/unlock", {"password": password})
            return memory.search(process.pid, {"the password": password.encode()})
        finally:
            process.terminate()


def _open_in(program: str, *words: str | Path) -> set[str]:
    """Return what lies open in the memory of a program that has opened a keystore."""
    with subprocess.Popen(
        [sys.executable, program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(CANARY + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        found = memory.search(process.pid, memory.secrets_in(Path(words[0]), CANARY))
    return {finding.secret for finding in found if not finding.is_closed}


def _require_closed(
    program: Any, pid: int, *, whose: str, is_locked: bool = False, has_signed: bool = True
) -> None:
    """Look into the daemon's memory: what it holds is in pages that nothing in it can read."""
    if os.geteuid() != 0 or not Path("/proc/self/mem").exists():
        return  # Nobody else may look, which tests/daemon/test_daemon_hardening shows.
    secrets = memory.secrets_in(program.data / "keystore", CANARY)
    found = memory.search(pid, secrets)
    assert [finding for finding in found if not finding.is_closed] == [], whose
    held = {finding.secret for finding in found}
    loaded = {"the data keys key"} | ({"a seed"} & secrets.keys() if has_signed else set())
    assert held == (set() if is_locked else loaded), whose


def _texts(
    program: Any,
    daemon: Any,
    printed: list["subprocess.CompletedProcess[str]"],
    leave_out: set[str],
) -> dict[str, bytes]:
    files = {name: text for name, text in program.snapshot().items() if name not in leave_out}
    outputs = {
        f"output of {done.args[5:]}": (done.stdout + done.stderr).encode() for done in printed
    }
    ours = program.processes()
    return {
        **files,
        **outputs,
        "the daemon's log": daemon.log.read_bytes(),
        "ps": "\n".join(ours.values()).encode(),
        "an environment": b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in ours),
    }
