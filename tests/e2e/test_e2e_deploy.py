"""What deploy/ says is run as it says: the unit's command, in memory as the unit leaves it."""

import ctypes
import http.client
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
UNIT = (ROOT / "deploy/waiaas.service").read_text(encoding="utf-8")
INSTALLED = "/opt/waiaas/bin/waiaas"
LIBC = ctypes.CDLL(None)
PR_SET_MDWE, PR_GET_MDWE = 65, 66
"""prctl(2), since Linux 6.3: no memory that was written becomes executable."""


def command_of(unit: str, program: str) -> list[str]:
    """Return what the unit executes, with *program* for the installed one."""
    [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert INSTALLED in line
    command = line.removeprefix("ExecStart=").replace("$$", "$").replace(INSTALLED, program)
    return shlex.split(command)


def figures_of(url: str, cookie: str) -> list[str]:
    """Return the lines that a scraper gets with the cookie."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {cookie}"})
        return connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()


def confine() -> None:
    """Leave this process what MemoryDenyWriteExecute=, LimitMEMLOCK= and LimitCORE= leave it."""
    LIBC.prctl(PR_SET_MDWE, 1, 0, 0, 0)
    _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)  # Nobody may raise it for himself.
    locked = 64 << 20 if most == resource.RLIM_INFINITY else min(64 << 20, most)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (locked, locked))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pytest.mark.slow
def test_the_units_command_takes_the_credential_and_pays_without_executable_memory(
    waiaas: Any, recipient: str
) -> None:
    (waiaas.data / "localnet").mkdir(mode=0o700)
    state = str(waiaas.data / "localnet" / "localnet.json")
    network = waiaas.spawn("localnet", "--state", state, stdout=subprocess.PIPE)
    assert network.stdout.readline()  # By itself: its virtual machine does make code.
    credentials = waiaas.folder / "credentials"
    credentials.mkdir()
    # As a manager may leave it: readable for more than its owner, in a folder that is not.
    (credentials / "waiaas-master-password").write_bytes(waiaas.password_file.read_bytes())
    program = waiaas.folder / "waiaas"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m waiaas "$@" --port 0 --localnet\n', encoding="ascii"
    )
    program.chmod(0o700)
    with (waiaas.folder / "daemon.log").open("ab") as stderr:
        process = subprocess.Popen(
            command_of(UNIT, str(program)),
            env={
                "PATH": os.defpath,
                "WAIAAS_DATA_DIR": str(waiaas.data),
                "WAIAAS_BACKUP_INTERVAL_HOURS": "0",
                "CREDENTIALS_DIRECTORY": str(credentials),
            },
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=confine,  # noqa: PLW1509 -- it makes three system calls
        )
    waiaas._started.append(process)
    daemon = waiaas.daemon_of(process)
    agent = daemon.funded_agent()
    assert agent.ended(agent.pay(recipient, 10**6, key="k")["id"])["status"] == "CONFIRMED"
    figures = figures_of(daemon.url, (waiaas.data / "operator.cookie").read_text("ascii"))
    assert 'waiaas_decisions_total{tier="INSTANT"} 1.0' in figures
    assert 'waiaas_events_total{event="TX_CONFIRMED"} 1.0' in figures
    assert 'waiaas_chain_reachable{chain="solana",network="localnet"} 1.0' in figures
    assert not any(name in "\n".join(figures) for name in (agent.token, recipient))
    assert waiaas.json("health")["status"] == "ready"
    assert waiaas.json("health", "--live")["status"] == "live"
    assert waiaas.json("stop")["stopped"]
    assert daemon.ended() == 0
    assert "no daemon runs" in waiaas.run("health", code=3).stderr


def test_control_memory_that_would_be_written_and_executed_is_refused_to_it_alone() -> None:
    if LIBC.prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0:
        pytest.skip("kernel before 6.3: that the unit's memory rule holds is not seen here")
    program = [sys.executable, "-c", "import mmap; mmap.mmap(-1, 4096, prot=7)"]
    free = subprocess.run(program, check=False, capture_output=True)
    confined = subprocess.run(program, check=False, capture_output=True, preexec_fn=confine)
    assert (free.returncode, confined.returncode) == (0, 1)
