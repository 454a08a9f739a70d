"""A socket in a private folder: for its owner alone, gone at the end, and in nobody's way."""

import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from waiaas.local_socket import connect_to, listen_at


def left_by_a_crash(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_it_is_for_its_owner_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "daemon.sock"
    with listen_at(path) as listener:
        assert path.lstat().st_mode == stat.S_IFSOCK | 0o600
        with connect_to(path, timeout_s=5) as caller:
            called, _ = listener.accept()
            called.sendall(b"hello")
            called.close()
            assert caller.recv(5) == b"hello"
    assert not list(tmp_path.iterdir())


def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "daemon.sock"
    left_by_a_crash(path)
    with pytest.raises(ConnectionRefusedError):
        connect_to(path, timeout_s=5)
    with listen_at(path):
        connect_to(path, timeout_s=5).close()


def a_file(path: Path) -> None:
    path.write_bytes(b"mine")


def a_link_to_a_socket(path: Path) -> None:
    left_by_a_crash(path.with_name("other"))
    path.symlink_to("other")


@pytest.mark.parametrize("make", [a_file, a_link_to_a_socket, Path.mkdir, os.mkfifo])
def test_what_is_no_socket_stays_and_no_link_is_followed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "daemon.sock"
    make(path)
    before = {each: each.lstat() for each in tmp_path.iterdir()}
    with pytest.raises(OSError, match="Address already in use"), listen_at(path):
        pass
    assert {each: each.lstat() for each in tmp_path.iterdir()} == before


@pytest.mark.skipif(sys.platform != "linux", reason="only there is /proc/self/fd")
def test_a_folder_whose_path_is_too_long_for_an_address_is_reached_all_the_same(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ("d" * 200)
    folder.mkdir()
    path = folder / "daemon.sock"
    with listen_at(path):
        assert path.lstat().st_mode == stat.S_IFSOCK | 0o600
        connect_to(path, timeout_s=5).close()
    assert not list(folder.iterdir())


def test_control_by_its_path_it_is_not_reached(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="path too long"):
        left_by_a_crash(tmp_path / ("d" * 200) / "daemon.sock")


def test_at_the_end_nothing_goes_from_a_folder_that_came_in_the_place_of_the_first(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "daemon.sock"
    with listen_at(path):
        folder.rename(tmp_path / "moved")
        folder.mkdir()
        left_by_a_crash(path)
    assert path.is_socket()
    assert not list((tmp_path / "moved").iterdir())


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path)
    path = tmp_path / "data" / "daemon.sock"
    with pytest.raises(NotADirectoryError), listen_at(path):
        pass
    with pytest.raises(NotADirectoryError):
        connect_to(path, timeout_s=5)
