"""Who started the daemon as a service is told when it is ready, as sd_notify(3) says."""

import socket
from pathlib import Path

import pytest

from waiaas.logs import log_to_stderr
from waiaas.readiness import tell_ready


@pytest.mark.parametrize("first", ["/", "@"])
def test_a_service_manager_that_asked_for_it_is_told(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = first + f"{tmp_path}/notify".removeprefix("/")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        tell_ready()
        assert manager.recv(64, socket.MSG_DONTWAIT) == b"READY=1"


def test_nobody_is_told_who_did_not_ask(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    log_to_stderr()
    tell_ready()
    assert not capfd.readouterr().err


def test_a_service_manager_that_cannot_be_told_is_logged_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    log_to_stderr()
    tell_ready()
    assert "the service manager was not told" in capfd.readouterr().err
