"""The data directory and the settings: what is refused, how it says so, and who may read what."""

import os
import resource
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import libfaketime  # type: ignore[import-untyped]  # -- only its place is wanted
import pytest

pytestmark = pytest.mark.e2e

START = ("start", "--port", "0")
CREATE = ("agent", "create", "--name", "n", "--network", "localnet")
FAKETIME: Final = (
    Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
)


def modes(directory: Path) -> dict[str, int]:
    found = {".": stat.S_IMODE(directory.stat().st_mode)}
    for path in directory.rglob("*"):
        found[str(path.relative_to(directory))] = stat.S_IMODE(path.stat().st_mode)
    return found


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_everything_is_for_its_owner_alone_whatever_the_umask(fresh: Any, umask: int) -> None:
    fresh.run("init", password=True, umask=umask)
    daemon = fresh.start(umask=umask)
    daemon.operator().ask("POST", "/v1/agents", {"name": "n", "network": "localnet"})

    found = modes(fresh.data)

    wanted = {name: 0o700 if (fresh.data / name).is_dir() else 0o600 for name in found}
    assert found == wanted
    while_it_runs = {"operator.cookie", "daemon.json", "daemon.sock"}
    assert {"config.toml", "ledger.db", *while_it_runs} <= set(found)
    assert len([name for name in found if name.startswith("keystore/")]) == 2
    assert len([name for name in found if name.startswith("localnet/")]) >= 3


def test_a_directory_open_to_others_is_refused_by_every_command(waiaas: Any) -> None:
    waiaas.start(localnet=False)
    waiaas.data.chmod(0o755)
    try:
        advice = f"run `chmod 700 {waiaas.data}`"
        assert advice in waiaas.run(*START, password=True, code=1).stderr
        assert advice in waiaas.run("status", code=1).stderr
        assert advice in waiaas.run(*CREATE, password=True, code=1).stderr
    finally:
        waiaas.data.chmod(0o700)


def test_a_link_in_the_place_of_the_directory_is_refused(waiaas: Any, tmp_path: Path) -> None:
    real, waiaas.data = waiaas.data, tmp_path / "link"
    waiaas.data.symlink_to(real)
    for command in ("init", "start"):
        refused = waiaas.run(command, password=True, code=1)
        assert "is not a directory (or a link to one)" in refused.stderr


def test_what_is_not_initialised_says_so_before_it_asks_for_anything(fresh: Any) -> None:
    """Without a terminal and without a password: the first thing that is wrong is told."""
    assert f"run `{fresh.told('init')}` first" in fresh.run("start", code=1).stderr
    assert "no daemon runs" in fresh.run(*CREATE, code=3).stderr
    assert not fresh.data.exists()


def test_init_where_others_may_look_is_refused_and_makes_nothing(fresh: Any) -> None:
    fresh.data.mkdir(mode=0o755)
    assert "chmod 700" in fresh.run("init", password=True, code=1).stderr
    assert list(fresh.data.iterdir()) == []


def test_a_second_init_changes_nothing(waiaas: Any) -> None:
    before = waiaas.snapshot()
    waiaas.password_file.write_text("another password entirely\n", encoding="ascii")
    assert not waiaas.json("init", password=True)["made"]
    assert waiaas.snapshot() == before


def test_a_wrong_password_leaves_a_row_and_changes_nothing_else(waiaas: Any) -> None:
    def files() -> dict[str, bytes]:
        return {name: content for name, content in waiaas.snapshot().items() if name != "ledger.db"}

    before = files()
    waiaas.password_file.write_text("another password entirely\n", encoding="ascii")

    refused = waiaas.run(*START, "--localnet", password=True, code=4)

    assert "This password does not open" in refused.stderr
    assert "another" not in refused.stderr
    assert files() == before
    assert '"event_type":"AUTH_FAILED"' in waiaas.run("audit", "export").stdout
    assert waiaas.processes() == {}


def test_what_a_password_too_short_left_is_completed_and_opened_by_one_beyond_ascii(
    fresh: Any,
) -> None:
    fresh.password_file.write_text("short\n", encoding="ascii")
    assert "12 to 1024 bytes" in fresh.run("init", password=True, code=1).stderr
    password = "Grüße aus Žilina, 你好"
    fresh.password_file.write_text(password + "\n", encoding="utf-8")
    assert fresh.json("init", password=True)["made"]
    assert fresh.start(localnet=False).operator(password=password).token


def test_a_port_in_use_is_refused_with_the_way_out(waiaas: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        begin = ("start", "--localnet", "--port", port)
        refused = waiaas.run(*begin, password=True, code=1).stderr
    assert f"port {port} of 127.0.0.1 cannot be used (Address already in use)" in refused
    assert "--port" in refused
    assert waiaas.processes() == {}


def test_a_start_with_too_few_file_descriptors_says_so_and_is_not_aborted(waiaas: Any) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    told = waiaas.run("start", "--port", "0", password=True, code=1, preexec_fn=few).stderr
    assert "waiaas: cannot start, at directory: only 20 files may be open" in told


def test_a_mistake_in_the_settings_or_the_environment_is_named(waiaas: Any) -> None:
    env = {"WAIAAS_DEAMON_PORT": "1"}
    file = waiaas.data / "config.toml"
    file.write_text("[daemon]\nprot = 1", encoding="ascii")
    told = waiaas.run("start", code=1, env=env).stderr
    assert told == (
        f"waiaas: {file}:2: daemon.prot: there is no such setting: did you mean daemon.port?\n"
        "waiaas: WAIAAS_DEAMON_PORT: there is no setting of this name: did you mean"
        " WAIAAS_DAEMON_PORT?\n"
    )
    assert waiaas.run("config", "explain", code=1, env=env).stderr == told


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_a_clock_that_stands_before_1970_is_refused(waiaas: Any) -> None:
    clock = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "@1960-01-01 00:00:00"}
    refused = waiaas.run("start", "--port", "0", password=True, code=1, env=clock)
    assert refused.stderr == (
        "waiaas: this machine's clock stands before 1970: set it right and try again\n"
    )


def test_the_environment_says_where_and_which_port(waiaas: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    env = {"WAIAAS_DAEMON_PORT": port}
    process = waiaas.spawn(
        *("start", "--password-file", str(waiaas.password_file)), env=env, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"waiaas is ready at http://127.0.0.1:{port}\n"
    elsewhere = waiaas.command()[:-2]
    found = subprocess.run(
        [*elsewhere, "status"],
        env={"WAIAAS_DATA_DIR": str(waiaas.data), "PATH": "/usr/bin:/bin"},
        capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert found.returncode == 0
    empty = subprocess.run(
        [*elsewhere, "--data-dir", "", "status"], capture_output=True, timeout=20, check=False
    )
    assert empty.returncode == 2
    assert b"waiaas: --data-dir is empty: " in empty.stderr


def test_a_password_comes_from_a_private_file_a_descriptor_or_a_terminal_only(waiaas: Any) -> None:
    assert "No such option" in waiaas.run(*START, "--password=hunter2hunter2", code=2).stderr
    assert "no terminal" in waiaas.run(*START, code=2).stderr
    waiaas.password_file.chmod(0o644)
    assert "is open to other users" in waiaas.run(*START, password=True, code=2).stderr


def test_a_password_is_the_first_line_however_it_ends(running: Any) -> None:
    waiaas, _ = running
    file = waiaas.folder / "another-password-file"
    file.touch(mode=0o600)
    password = waiaas.password_file.read_bytes().strip()
    file.write_bytes(password + b"\r\nnotes to myself\n")
    assert waiaas.json(*CREATE, "--password-file", str(file))["status"] == "ACTIVE"


def test_a_password_that_could_never_log_in_is_refused_at_once(fresh: Any) -> None:
    fresh.password_file.write_bytes(b"caf\xe9 caf\xe9 caf\xe9")
    refused = fresh.run("init", password=True, code=2)
    assert "visible characters and spaces" in refused.stderr
    assert not fresh.data.exists()


def test_a_password_by_descriptor_needs_no_end_of_the_pipe(waiaas: Any) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, waiaas.password_file.read_bytes())  # And it stays open.
        process = waiaas.spawn(
            *(*START, "--password-fd", str(reading)), pass_fds=[reading], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("waiaas is ready")
    finally:
        os.close(reading)
        os.close(writing)


def test_a_token_file_is_never_overwritten_and_no_session_is_lost_for_it(running: Any) -> None:
    waiaas, daemon = running
    body = {"name": "n", "network": "localnet"}
    agent = daemon.operator().ask("POST", "/v1/agents", body)["id"]
    taken, fine = waiaas.folder / "taken", waiaas.folder / "fine"
    taken.write_bytes(b"mine")
    create = ("session", "create", "--agent")

    refused = waiaas.run(*create, agent, "--token-file", str(taken), password=True, code=1)
    assert "was not overwritten" in refused.stderr
    wrong = "01890000-0000-7000-8000-000000000000"
    waiaas.run(*create, wrong, "--token-file", str(fine), password=True, code=1)
    assert not fine.exists()
    waiaas.run(*create, agent, "--token-file", str(fine), password=True)

    assert taken.read_bytes() == b"mine"
    assert fine.stat().st_mode & 0o777 == 0o600
    for _ in range(4):  # Of five sessions one is in use.
        daemon.operator().ask("POST", "/v1/sessions", {"agentId": agent})
