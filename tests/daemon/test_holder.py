"""Who has a data directory is known without its daemon.json, and looking refuses nobody."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from waiaas.cli.client import Client, CookieGone, NotReachable, OutOfReach, SocketGone
from waiaas.cli.doctor import _asked
from waiaas.database.lock import DirectoryLock
from waiaas.directory import write_locked
from waiaas.doctor.answers import check_daemon
from waiaas.doctor.finding import State
from waiaas.doctor.ledger import LedgerRead
from waiaas.holder import Holder, find_holder, in_use, lock_holder
from waiaas.local_socket import listen_at

OUR_PID = os.getpid()
ADDRESS = b'{"url":"http://127.0.0.1:1","pid":7,"socket":"daemon.sock"}'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    private = tmp_path / "data"
    private.mkdir(mode=0o700)
    return private


@contextmanager
def held(data: Path) -> Iterator[None]:
    lock = DirectoryLock(data)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def answering(data: Path, *, first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A daemon, as far as its directory and its socket tell, which does something *first*."""

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:  # It was shut down.
                return
            with caller:
                caller.recv(65_536)
                first()
                caller.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")

    with held(data), listen_at(data / "daemon.sock") as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_nobody_has_a_directory_that_nobody_uses(data: Path) -> None:
    assert find_holder(data) is None
    assert find_holder(data / "none") is None
    assert in_use(data) is None
    with socket.socket(socket.AF_UNIX) as left_by_a_crash:
        left_by_a_crash.bind(str(data / "daemon.sock"))
    assert find_holder(data) is None
    with pytest.raises(NotReachable, match="no daemon runs on"):
        Client.with_cookie(data)


def test_a_daemon_without_daemon_json_is_named_with_what_would_stop_it(data: Path) -> None:
    with answering(data):
        assert find_holder(data) == Holder(OUR_PID, answers=True)
        told = in_use(data)
        with pytest.raises(OutOfReach, match=rf"a daemon runs \(process {OUR_PID}\)") as out:
            Client.with_cookie(data)
        asked = _asked(data)
    assert told is not None
    assert f"`kill {OUR_PID}`" in told
    assert (f"`kill {OUR_PID}`" in out.value.hint, out.value.code) == (True, 1)
    assert asked.pid == OUR_PID
    [found] = check_daemon(asked, LedgerRead(None, "not read"))
    assert (found.state, found.remedy) == (State.MEND, out.value.hint)


def test_one_that_becomes_ready_while_it_is_asked_is_found(data: Path) -> None:
    """The control is the test before: there it answers, and no file says where it is."""
    (data / "operator.cookie").write_text("wai_op_cookie", encoding="ascii")
    descriptors = list[int]()

    def become_ready() -> None:
        if not descriptors:
            descriptors.append(write_locked(data / "daemon.json", ADDRESS))

    with answering(data, first=become_ready):
        assert Client.with_cookie(data).url == "http://127.0.0.1:1"
        told = in_use(data)
    os.close(descriptors[0])
    assert told is not None
    assert "process 7, at http://127.0.0.1:1" in told


def test_who_does_not_answer_may_be_starting_and_is_named_all_the_same(data: Path) -> None:
    """The control is the test before: what tells the two apart is the answer."""
    with held(data):
        assert find_holder(data) == Holder(OUR_PID, answers=False)
        with pytest.raises(OutOfReach, match="starts or stops") as out:
            Client.with_cookie(data)
        assert _asked(data).problem is None, "the check of the lock tells of it"
    assert out.value.hint.startswith("Try again in a moment.")
    assert f"`kill {OUR_PID}`" in out.value.hint
    assert out.value.code == 3, "as before it had the lock: scripts wait for a start so"


def test_looking_who_has_a_directory_takes_nothing_from_him_who_wants_it(data: Path) -> None:
    with answering(data):
        find_holder(data)
    with held(data):
        pass


def test_where_the_system_does_not_say_who_it_is_the_person_is_told_how_to_see() -> None:
    for answers in (True, False):
        nameless = Holder(None, answers=answers)
        assert "process None" not in nameless.problem(Path("/d"))
        assert "`ps` shows" in nameless.remedy()


def test_a_lock_is_found_by_device_and_inode_as_the_kernel_writes_them(data: Path) -> None:
    found = data.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    row = f"1: FLOCK  ADVISORY  WRITE 4711 {device}:{found.st_ino} 0 EOF\n"
    assert lock_holder(data, row) == 4711
    assert lock_holder(data, row.replace("FLOCK", "POSIX")) == 0
    assert lock_holder(data, row.replace("WRITE", "READ")) == 0
    assert lock_holder(data, row.replace(str(found.st_ino), "1")) == 0


@pytest.mark.parametrize("content", [None, b""])
def test_a_daemon_without_its_cookie_is_named_and_a_login_still_works(
    data: Path, content: bytes | None
) -> None:
    if content is not None:
        (data / "operator.cookie").write_bytes(content)
    descriptor = write_locked(data / "daemon.json", ADDRESS)
    try:
        with pytest.raises(CookieGone, match=r"a daemon runs \(process 7\)") as gone:
            Client.with_cookie(data)
        asked = _asked(data)
        with pytest.raises(SocketGone):  # It got as far as that.
            Client.logged_in(data, lambda: b"the password")
    finally:
        os.close(descriptor)
    assert "`kill 7`" in gone.value.hint
    assert (asked.pid, asked.problem, asked.remedy) == (7, str(gone.value), gone.value.hint)
