"""Secrets stay where they belong: after a whole life with errors, they are found nowhere else."""

import json
import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

CANARY = "canary-password-7f3a91"


def test_no_secret_is_in_any_output_or_file(fresh: Any, recipient: str) -> None:
    fresh.password_file.write_text(CANARY + "\n", encoding="ascii")
    printed = [fresh.run("init", password=True)]
    daemon = fresh.start()
    cookie = (fresh.data / "operator.cookie").read_text(encoding="ascii")
    http = daemon.operator(password=CANARY)
    printed.append(
        fresh.run("agent", "create", "--name", "n", "--network", "localnet", password=True)
    )
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
    printed.append(fresh.run("agent", "create", "--name", "n", password=True, code=4))

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
    return {**files, **outputs, "the daemon's log": daemon.log.read_bytes()}
