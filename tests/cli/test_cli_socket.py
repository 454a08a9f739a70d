"""The command line at the daemon's Unix socket: who waits at the port is asked and told nothing."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from waiaas.cli.client import Client, NotReachable, SocketGone
from waiaas.directory import write_locked
from waiaas.local_socket import listen_at

COOKIE: Final = "wai_op_cookie"
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Listener:
    """Answers whoever asks at a socket, and remembers what it was sent."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.heard: list[bytes] = []

    def answer(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:  # It was shut down.
                return
            with caller:
                self.heard.append(caller.recv(65_536))
                caller.sendall(ANSWER)


@contextmanager
def answering(listener: socket.socket) -> Iterator[list[bytes]]:
    party = Listener(listener)
    thread = threading.Thread(target=party.answer)
    thread.start()
    try:
        yield party.heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """Where a stranger waits for what he may be told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def data(tmp_path: Path) -> Path:
    private = tmp_path / "data"
    private.mkdir(mode=0o700)
    (private / "operator.cookie").write_text(COOKIE, encoding="ascii")
    return private


@contextmanager
def said_to_be_at(port: socket.socket, data: Path, more: str) -> Iterator[None]:
    """A daemon's file, which says that the daemon has the stranger's port by now."""
    url = f"http://127.0.0.1:{port.getsockname()[1]}"
    held = write_locked(data / "daemon.json", f'{{"url":"{url}","pid":1{more}}}'.encode())
    try:
        yield
    finally:
        os.close(held)


SOCKET: Final = ',"socket":"daemon.sock"'


def ask(data: Path) -> None:
    with Client.with_cookie(data) as client:
        client.get("/x")


def test_who_waits_at_the_port_is_never_shown_a_token(port: socket.socket, data: Path) -> None:
    with (
        said_to_be_at(port, data, SOCKET),
        listen_at(data / "daemon.sock") as local,
        answering(port) as stranger,
        answering(local) as daemon,
    ):
        ask(data)
    assert stranger == []
    [asked] = daemon
    assert COOKIE.encode() in asked
    assert b"Host: 127.0.0.1:%d\r\n" % port.getsockname()[1] in asked


def test_control_a_client_of_the_port_shows_it_to_him(port: socket.socket, data: Path) -> None:
    """So does ours, where the daemon could make no socket."""
    with said_to_be_at(port, data, ""), answering(port) as stranger:
        ask(data)
    assert COOKIE.encode() in stranger[0]


def test_a_daemon_that_died_just_now_is_not_looked_for_at_its_port(
    port: socket.socket, data: Path
) -> None:
    with answering(port) as stranger:
        with said_to_be_at(port, data, SOCKET):
            client = Client.with_cookie(data)
        with pytest.raises(NotReachable, match="takes no connections"):
            client.get("/x")
        with socket.socket(socket.AF_UNIX) as left_by_it:
            left_by_it.bind(str(data / "daemon.sock"))
        with pytest.raises(NotReachable, match="takes no connections"):
            client.get("/x")
    assert stranger == []


def test_one_that_lives_without_its_socket_is_named_and_not_looked_for_at_its_port(
    port: socket.socket, data: Path
) -> None:
    """The control is the test before this one: the lock decides, not the file."""
    with said_to_be_at(port, data, SOCKET), answering(port) as stranger:
        with pytest.raises(SocketGone, match=r"a daemon runs \(process 1\)") as gone:
            ask(data)
        assert "`kill 1`" in gone.value.hint
    assert stranger == []
