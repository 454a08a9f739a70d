"""A data directory where it cannot live is refused before anything is opened or made in it."""

import contextlib
import os
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.fakes.clock import FakeClock

from waiaas import daemon
from waiaas.config.reading import load_config
from waiaas.directory import (
    NETWORK_FILE_SYSTEMS,
    NEW_BYTES_MIN,
    SHARED_FOLDERS,
    DaemonError,
    file_system_of,
    read_mounts,
    require_local,
)
from waiaas.stages import Start

PASSWORD = b"correct horse battery staple"
MOUNTS = (
    "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
    "22 21 0:20 / /mnt rw - xfs /dev/b rw\n"
    "23 22 0:21 / /mnt/a\\040b rw,nosuid master:2 - nfs4 host:/x rw\n"
    "24 21 0:22 / /mnt/über rw - cifs //host/y rw\n"
    "25 21 0:23 / /mem rw - xfs /dev/c rw\n"
    "26 21 0:24 / /mem rw - tmpfs tmpfs rw\n"
    "unreadable\n"
    "27 21 0:25 / /mnt/line\x0bend rw - nfs host:/z rw\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/a", "ext4"),
        ("/mnt/a b/x", "nfs4"),
        ("/mnt/a", "xfs"),
        ("/mnt/über/x", "cifs"),
        ("/mem/x", "tmpfs"),
        ("/mnt/line\x0bend/x", "nfs"),
    ],
)
def test_a_path_is_on_the_file_system_of_the_nearest_mount_and_of_the_last_one_there(
    path: str, kind: str
) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind
    assert file_system_of(Path(path), "") is None


def mounted_as(kind: str, tmp_path: Path) -> Path:
    """Return what the kernel would say if everything were on such a file system."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"21 1 254:0 / / rw - {kind} somewhere rw\n", encoding="utf-8")
    return mounts


@pytest.mark.parametrize("kind", sorted(NETWORK_FILE_SYSTEMS))
def test_every_one_of_them_is_refused_with_what_to_do(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="move it to a disk of this machine") as refused:
        require_local(tmp_path / "data", mounts=mounted_as(kind, tmp_path))
    assert f"({kind})" in str(refused.value)
    assert ("a volume, not a bind mount" in str(refused.value)) is (kind in SHARED_FOLDERS)


def test_a_link_to_one_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"22 21 0:20 / {tmp_path / 'far'} rw - nfs host:/x rw\n", encoding="utf-8")
    with pytest.raises(DaemonError, match="network"):
        require_local(tmp_path / "near" / "data", mounts=mounts)


def test_a_disk_of_this_machine_is_not_refused(tmp_path: Path) -> None:
    for kind in ("ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs"):
        assert require_local(tmp_path, mounts=mounted_as(kind, tmp_path))
    assert file_system_of(tmp_path, read_mounts()) is not None, "this machine says"


def test_where_linux_is_kept_from_saying_it_is_refused_and_elsewhere_it_is_told(
    tmp_path: Path,
) -> None:
    none = tmp_path / "there is none"
    assert read_mounts(none) == ""
    with pytest.raises(DaemonError, match=r"cannot be read.*: mount /proc"):
        require_local(tmp_path, mounts=none, is_linux=True)
    assert not require_local(tmp_path, mounts=none, is_linux=False)


def test_a_start_where_nothing_says_what_it_is_on_tells_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a chroot what is mounted at its root is not listed. The control: here it is."""
    directory = tmp_path / "data"
    assert daemon.initialise(directory, PASSWORD)
    elsewhere = tmp_path / "mounts"
    elsewhere.write_text(MOUNTS.splitlines()[1], encoding="utf-8")
    for how, count in ((require_local, 0), (partial(require_local, mounts=elsewhere), 1)):
        monkeypatch.setattr(daemon, "require_local", how)
        start = Start(FakeClock(), end=lambda _: None)
        with capture_logs() as logs, contextlib.ExitStack() as stack:
            monkeypatch.setattr(daemon, "require_room", stopped)
            with pytest.raises(DaemonError, match="that is enough"):
                daemon._open(directory, load_config(directory), None, start=start, stack=stack)
        told = [each for each in logs if "network file system" in each["event"]]
        assert [each["log_level"] for each in told] == ["warning"] * count


def stopped() -> None:
    raise DaemonError("that is enough")


def test_a_start_there_ends_in_its_first_stage_and_init_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same directory is taken where it is on a disk."""
    directory = tmp_path / "data"
    refused = partial(require_local, mounts=mounted_as("nfs4", tmp_path))
    with monkeypatch.context() as context:
        context.setattr(daemon, "require_local", refused)
        with pytest.raises(DaemonError, match="network"):
            daemon.initialise(directory, PASSWORD)
        assert not directory.exists()
    assert daemon.initialise(directory, PASSWORD)
    before = sorted(directory.iterdir())
    monkeypatch.setattr(daemon, "require_local", refused)
    start = Start(FakeClock(), end=lambda _: None)
    with pytest.raises(DaemonError, match="network"), contextlib.ExitStack() as stack:
        daemon._open(directory, load_config(directory), None, start=start, stack=stack)
    assert start.failed == "directory"
    assert sorted(directory.iterdir()) == before


def test_on_a_disk_without_room_init_makes_nothing_and_says_how_much_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with that much room it makes it, and one that was made is told of as ever."""
    directory = tmp_path / "a" / "data"
    free = [NEW_BYTES_MIN - 4096]

    def statvfs(_: Path) -> os.statvfs_result:
        blocks = free[0] // 4096
        return os.statvfs_result((4096, 4096, 10**6, blocks, blocks, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    with pytest.raises(DaemonError, match=r"room for 4092 KiB, .* needs 4096"):
        daemon.initialise(directory, PASSWORD)
    assert not directory.parent.exists()
    free[0] = NEW_BYTES_MIN
    assert daemon.initialise(directory, PASSWORD)
    free[0] = 0
    assert not daemon.initialise(directory, PASSWORD)
