"""Where the daemon listens: held early, refused with a sentence, and how it comes to be found."""

import asyncio
import resource
import socket
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from waiaas.directory import DaemonError
from waiaas.doors import DESCRIPTORS_MIN, Doors, answer, open_doors, require_room
from waiaas.life import Life
from waiaas.stages import Stage, Start
from waiaas.system import SystemClock

HOST = "127.0.0.1"
PLACES = ("daemon.json", "operator.cookie", "daemon.sock")


def test_a_port_is_held_by_one_before_anybody_is_answered(tmp_path: Path) -> None:
    with open_doors(tmp_path, HOST, 0) as doors:
        told = rf"port {doors.port} of 127\.0\.0\.1 cannot be used .* another with --port"
        with pytest.raises(OSError, match=told), open_doors(tmp_path, HOST, doors.port):
            pass


def test_control_a_port_that_is_only_bound_is_held_by_two() -> None:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind((HOST, 0))
        second.bind(first.getsockname())


def test_without_a_unix_socket_there_is_the_port_and_a_word_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "daemon.sock").mkdir()
    with capture_logs() as logs, open_doors(tmp_path, HOST, 0) as doors:
        assert doors.local is None
        assert doors.address().socket is None
    assert [line["log_level"] for line in logs] == ["warning"]
    assert "Address already in use" in logs[0]["reason"]


@pytest.mark.parametrize("allowed", [0, 12, DESCRIPTORS_MIN - 1])
def test_too_few_file_descriptors_are_refused_with_a_sentence(allowed: int) -> None:
    with pytest.raises(DaemonError, match=rf"only {allowed} files .* \(`ulimit -n 1024`"):
        require_room(descriptors_max=allowed)


@pytest.mark.parametrize("allowed", [DESCRIPTORS_MIN, 10**6, resource.RLIM_INFINITY])
def test_enough_file_descriptors_are_not(allowed: int) -> None:
    require_room(descriptors_max=allowed)


async def nobody(_scope: object, _receive: object, _send: object) -> None:
    """Be the application that nobody asks."""


def answered(directory: Path, doors: Doors) -> tuple[Start, Life, list[str]]:
    """Answer until whoever waits for the announcement ends it."""
    start, life = Start(SystemClock(), end=lambda _: None), Life()
    life.server.config.app = nobody
    seen: list[str] = []

    def look(_: object) -> None:
        seen.extend(sorted(path.name for path in directory.iterdir()))
        life.server.should_exit = True

    asyncio.run(
        answer(doors, directory, "wai_op_x", works=(), announce=look, start=start, life=life)
    )
    return start, life, seen


def test_it_is_found_while_it_answers_and_leaves_nothing(tmp_path: Path) -> None:
    with open_doors(tmp_path, HOST, 0) as doors:
        start, life, seen = answered(tmp_path, doors)
    assert seen == sorted(PLACES)
    assert (start.failed, life.failure) == (None, None)
    assert not list(tmp_path.iterdir())


def test_what_keeps_it_from_being_found_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "operator.cookie").mkdir()
    with open_doors(tmp_path, HOST, 0) as doors, capture_logs() as logs:
        start, life, seen = answered(tmp_path, doors)
    assert (start.failed, seen) == (Stage.SERVING, [])
    assert isinstance(life.failure, IsADirectoryError)
    assert stat.S_ISDIR((tmp_path / "operator.cookie").lstat().st_mode)
    assert not [line for line in logs if line["log_level"] == "critical"]
