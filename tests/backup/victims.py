"""Processes that make or restore a backup, and die: one at every step, or at every n-th.

A program: one order on stdin, then one line on stdout for each victim: its directory's name. It
opens no database itself; what does is forked from it, and ends, without another word, before its
n-th call that opens a file, changes a name or syncs, or in the middle of what SQLite writes.
"""

import asyncio
import errno
import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import apsw
import structlog

from waiaas.backups.create import BackupMaker, Occasion
from waiaas.backups.errors import BackupError
from waiaas.backups.file import Header, describe, open_with_key, write_backup
from waiaas.backups.restore import restore_backup
from waiaas.backups.schedule import BackupSchedule, _kept
from waiaas.backups.swap import claimed
from waiaas.config.registry import BackupSettings
from waiaas.database import Ledger, generate_id, open_ledger
from waiaas.directory import BACKUPS_NAME
from waiaas.domain.backup import Backup
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.protection import Protection
from waiaas.keystore.signer import FileKeystore, open_keystore

Act = Callable[[Path], object]

_KILLED: Final = 99
_NAMES: Final = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link")


class _Clock:
    def now_s(self) -> int:
        return 1_700_000_000

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> NoReturn:
        raise AssertionError(f"nobody waits {seconds} s here")


# ── dying ──────────────────────────────────────────────────────────────────────────────────────


class _Steps:
    """Counts the steps of this process, and ends it before one of them."""

    def __init__(self, last: int, directory: Path, *, writes: int) -> None:
        """Args: writes: how many of SQLite's are one step; 0: none is."""
        self._left = last
        self._directory = str(directory)
        self._writes_a_step = writes
        self._writes = 0

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(_KILLED)

    def count_write(self) -> None:
        self._writes += 1
        if self._writes % self._writes_a_step == 0:
            self.count()

    def watch(self) -> None:
        sync = os.fsync

        def counted_sync(descriptor: int) -> None:
            self.count()
            sync(descriptor)

        os.fsync = counted_sync  # type: ignore[assignment]  # -- the same, counted
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NAMES or (event == "open" and self._directory in str(arguments[0])):
            self.count()


class _Disk(apsw.VFS):
    """The system's disk, for every database of this process."""

    def __init__(self, steps: _Steps) -> None:
        self.steps = steps
        self.system = apsw.vfs_names()[0]
        super().__init__("counted", self.system, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _DiskFile(self, name, flags)


class _DiskFile(apsw.VFSFile):
    def __init__(self, disk: _Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(disk.system, name, flags)
        self._steps = disk.steps

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._steps.count_write()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._steps.count()
        super().xSync(flags)


def _is_killed_at(number: int, act: Act, directory: Path, *, writes: int) -> bool:
    """Fork a victim; tell whether it ended before its *number*-th step, or came to its end."""
    child = os.fork()
    if child == 0:
        steps = _Steps(number, directory, writes=writes)
        steps.watch()
        disk = _Disk(steps) if writes else None
        try:
            act(directory)
        except BaseException:  # noqa: BLE001 -- told, and the end of this process
            traceback.print_exc()
            os._exit(1)
        assert disk is None or disk.steps is steps
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _KILLED), status
    return status == _KILLED


# ── restoring ──────────────────────────────────────────────────────────────────────────────────


def _recover(directory: Path) -> None:
    with claimed(directory):
        pass


def _obstructed(act: Act) -> Act:
    """Do the same where the keystore cannot be moved out of the way, whoever tries."""

    def in_vain(directory: Path) -> None:
        rename = os.rename

        def refused(source: Any, target: Any) -> None:
            if Path(source) == directory / "keystore":
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), source, None, target)
            rename(source, target)

        os.rename = refused  # type: ignore[assignment]  # -- for the rest of this process
        with suppress(BackupError):
            act(directory)

    return in_vain


def kill_restores(base: Path, act: Act, recover: Act, *, stride: int) -> Iterator[Path]:
    """Kill restores, and the start behind each that had begun to move files."""
    number = 1
    while True:
        directory = base / f"first-{number}"
        shutil.copytree(base / "data", directory)
        if not _is_killed_at(number, act, directory, writes=0):
            return
        yield directory
        second = 1
        while (directory / "restore.json").exists():
            again = base / f"second-{number}-{second}"
            shutil.copytree(directory, again)
            if not _is_killed_at(second, recover, again, writes=0):
                break
            yield again
            second += stride
        number += stride


def restores(base: Path, file_key: str) -> dict[str, Act]:
    opened = open_with_key(base / "a.waiaas-backup", bytearray.fromhex(file_key))

    def restore(directory: Path) -> None:
        restore_backup(opened, directory, clock=_Clock())

    def restore_naively(directory: Path) -> None:
        """Do what one would do at first: out with the old, in with the new."""
        out = directory / "out"
        out.mkdir(mode=0o700)
        opened.extract(out)
        for name in ("ledger.db", "config.toml"):
            (out / name).replace(directory / name)
        shutil.rmtree(directory / "keystore")
        (out / "keystore").rename(directory / "keystore")

    return {
        "restore": restore,
        "restore in vain": _obstructed(restore),
        "restore naively": restore_naively,
    }


# ── making ─────────────────────────────────────────────────────────────────────────────────────


class _Telling(BackupMaker):
    """Writes down beside the directory which keys its backups have, so that they can be opened."""

    def _protect(
        self, file_key: bytearray, password: Guarded | bytes | None, *, facts: bytes
    ) -> Protection:
        with self._directory.with_suffix(".keys").open("a", encoding="ascii") as keys:
            keys.write(f"{file_key.hex()}\n")
        return super()._protect(file_key, password, facts=facts)


class _Naive(_Telling):
    """Makes a backup as one would do it at first: straight into its place."""

    def _write(self, header: Header, file_key: bytearray, occasion: Occasion) -> Backup:
        work = self._directory / "copy"
        work.mkdir(mode=0o700)
        path = self._directory / BACKUPS_NAME / f"{header.id}.waiaas-backup"
        manifest, contents, saved = self._collect(header, work, occasion)
        with path.open("wb") as file:
            write_backup(
                file, header=header, manifest=manifest, contents=contents, file_key=file_key
            )
        shutil.rmtree(work)
        made = describe(path)
        self._record(made, saved, occasion)
        return made


def kill_creations(base: Path, act: Act, *, first: int, stride: int, writes: int) -> Iterator[Path]:
    """Kill who makes a backup."""
    number = first
    while True:
        directory = base / f"victim-{number}"
        shutil.copytree(base / "data", directory)
        if not _is_killed_at(number, act, directory, writes=writes):
            return
        yield directory
        number += stride


def creations(keystore: FileKeystore) -> dict[str, Act]:
    @contextmanager
    def maker(directory: Path, kind: type[BackupMaker]) -> Iterator[tuple[BackupMaker, Ledger]]:
        with claimed(directory) as lock, open_ledger(directory, lock=lock) as ledger:
            made = kind(
                directory,
                ledger=ledger,
                keystore=keystore,
                clock=_Clock(),
                generate_id=generate_id,
                version="1.2.3",
            )
            yield made, ledger

    def create(directory: Path) -> None:
        with maker(directory, _Telling) as (made, _):
            made.make(None)

    def create_beside_requests(directory: Path) -> None:
        """Do it as the daemon does, which writes meanwhile."""
        is_over = threading.Event()
        with maker(directory, _Telling) as (made, ledger):

            def write() -> None:
                while not is_over.is_set():
                    ledger.write(lambda tx: tx.key_values.put("beside", "v", now_s=1))

            writer = threading.Thread(target=write)
            writer.start()
            asyncio.run(made.make_beside_requests(None))
            is_over.set()
            writer.join()

    def create_on_schedule(directory: Path) -> None:
        """Make two, of which one may be kept."""
        with maker(directory, _Telling) as (made, ledger):
            schedule = BackupSchedule(
                made,
                directory=directory,
                ledger=ledger,
                clock=_Clock(),
                settings=BackupSettings(keep=1),
            )
            for _ in range(2):
                schedule._make(ledger.read(_kept), stop=threading.Event())

    def create_naively(directory: Path) -> None:
        with maker(directory, _Naive) as (made, _):
            made.make(None)

    return {
        "create": create,
        "create beside requests": create_beside_requests,
        "create on schedule": create_on_schedule,
        "create naively": create_naively,
    }


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # Our output is ours.
    order = json.loads(sys.stdin.read())
    base, name, stride = Path(order["base"]), order["act"], order["stride"]
    if name.startswith("restore"):
        act = restores(base, order["file_key"])[name]
        recover = _obstructed(_recover) if name.endswith("in vain") else _recover
        killed = kill_restores(base, act, recover, stride=stride)
    else:
        keystore = open_keystore(base / "data" / "keystore", order["master"].encode())
        act = creations(keystore)[name]
        killed = kill_creations(
            base, act, first=order["first"], stride=stride, writes=order["writes"]
        )
    for directory in killed:
        sys.stdout.write(f"{directory.name}\n")


if __name__ == "__main__":
    main()
