"""A tree of folders under power cuts: what is there afterwards of what was not synced.

`Recorder` watches a tree while something works on it: before each call that changes a name or
syncs, and at the end, it looks at the whole tree and notes what is different. So nothing goes by
unseen, whoever changed it; a sync that it does not see counts as none. `Disk` is what it notes: the
tree as processes see it, what of it is durable, and the changes in between. `Disk.cut` says what
may be there after the power went.

A file's content is durable once the file was synced, a name once its folder was. A change of names
that concerns two folders, a renaming, is durable once both were. Until then it may be missing as a
whole, whichever other changes survive: in no order, but never in halves, as on every file system
with a journal.
"""

import os
import random  # noqa: TID251 -- reproducible cases, not secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import pytest

SECTOR_BYTES: Final = 512
_ROOT: Final = 0
_CHANGING: Final = ("mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir")

Tree = dict[str, bytes]
"""Files by their path below the root; a folder is an empty one whose path ends with a slash."""


class Survives(StrEnum):
    """What of that which was not synced is there after the cut."""

    NOTHING = "nothing"
    ANY = "any"
    ALL = "all"


@dataclass
class NameChange:
    """What one call changed, and the folders that were not synced since."""

    entries: dict[tuple[int, str], int | None]
    unsynced: set[int]


@dataclass
class Disk:
    """Folders and files by numbers, as processes see them and as they are kept."""

    folders: dict[int, dict[str, int]] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    kept_folders: dict[int, dict[str, int]] = field(default_factory=dict)
    """Before `changes`."""
    kept_contents: dict[int, bytes] = field(default_factory=dict)
    changes: list[NameChange] = field(default_factory=list)
    """In their order; those without unsynced folders are durable."""

    def copy(self) -> "Disk":
        return Disk(
            {number: dict(names) for number, names in self.folders.items()},
            dict(self.contents),
            {number: dict(names) for number, names in self.kept_folders.items()},
            dict(self.kept_contents),
            [replace(change, unsynced=set(change.unsynced)) for change in self.changes],
        )

    def sync(self, number: int) -> None:
        """Make a file's content, or a folder's names, durable."""
        if number in self.contents:
            self.kept_contents[number] = self.contents[number]
        for change in self.changes:
            change.unsynced.discard(number)

    def cut(self, survives: Survives, rng: random.Random) -> Tree:
        """Return what may be there after the power went now."""
        folders = {number: dict(names) for number, names in self.kept_folders.items()}
        for change in self.changes:
            if not change.unsynced or _does(survives, rng):
                _apply(change, folders)
        contents = {
            number: self._cut_content(number, survives, rng) for number in sorted(self.contents)
        }
        return _tree(folders, contents)

    def seen(self) -> Tree:
        """Return the tree as processes see it."""
        return _tree(self.folders, self.contents)

    def _cut_content(self, number: int, survives: Survives, rng: random.Random) -> bytes:
        """Return a file's content: kept, new, cut anywhere, or a mixture of sectors."""
        kept, new = self.kept_contents[number], self.contents[number]
        if kept == new or survives is Survives.NOTHING:
            return kept
        if survives is Survives.ALL or rng.random() < 0.25:
            return new
        size = rng.choice((len(kept), len(new), rng.randrange(len(new) + 1)))
        sources = [content.ljust(size, b"\0") for content in (kept, new)]
        starts = range(0, size, SECTOR_BYTES)
        chosen = rng.choices(sources, k=len(starts))
        return b"".join(
            content[start : min(start + SECTOR_BYTES, size)]
            for content, start in zip(chosen, starts, strict=True)
        )


def _does(survives: Survives, rng: random.Random) -> bool:
    return survives is Survives.ALL or (survives is Survives.ANY and rng.random() < 0.5)


def _apply(change: NameChange, folders: dict[int, dict[str, int]]) -> None:
    for (folder, name), number in change.entries.items():
        if number is None:
            folders[folder].pop(name, None)
        else:
            folders[folder][name] = number


def _tree(folders: dict[int, dict[str, int]], contents: dict[int, bytes]) -> Tree:
    tree: Tree = {}

    def add(folder: int, path: str) -> None:
        for name, number in folders[folder].items():
            if number in folders:
                tree[f"{path}{name}/"] = b""
                add(number, f"{path}{name}/")
            else:
                tree[f"{path}{name}"] = contents[number]

    add(_ROOT, "")
    return tree


def lay_out(tree: Tree, root: Path) -> None:
    """Make the tree in the empty folder *root*."""
    for name in sorted(tree):  # A folder comes before what is in it.
        path = root / name
        if name.endswith("/"):
            path.mkdir(mode=0o700)
        else:
            path.write_bytes(tree[name])
            path.chmod(0o600)


def look(root: Path) -> Tree:
    """Return the tree that is in the folder *root*."""
    return {
        f"{path.relative_to(root)}{'/' * path.is_dir()}": b""
        if path.is_dir()
        else path.read_bytes()
        for path in root.rglob("*")
    }


# ── watching a real tree ─────────────────────────────────────────────────────────────────────


class Recorder:
    """Keeps what a disk is in, before each call and at the end."""

    def __init__(
        self, root: Path, before: Disk | None = None, *, omits: Callable[[Path], bool]
    ) -> None:
        """Begin with all that is there, durable as in *before*, or all of it.

        Args:
            root: nothing outside of it is looked at.
            before: what was laid out there; its numbers go on.
            omits: of which files and folders the sync is left out, as if nobody had asked for it.
        """
        self.root: Final = root
        self.moments: list[tuple[str, Disk]] = []
        """The call that was about to come, and what the disk was in then."""
        self._omits = omits
        self._numbers: dict[tuple[int, int], int] = {}
        self._held: list[int] = []
        """Descriptors, so that the system gives no inode's number to another."""
        self._lock = threading.RLock()
        self.sqlite = SqliteFiles()
        self._disk = Disk() if before is None else before.copy()
        if before is None:
            self._look()
            disk = self._disk
            disk.kept_folders, disk.kept_contents = disk.copy().folders, dict(disk.contents)
            disk.changes.clear()
        else:
            self._recognise(root, _ROOT)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this process; when the block ends, whatever it told somebody was told."""
        with ExitStack() as stack:
            stack.callback(self._close)
            stack.enter_context(_in_place("fsync", self._fsync))
            stack.enter_context(_in_place("open", self._open))
            for name in _CHANGING:
                stack.enter_context(_in_place(name, self._announced(name)))
            stack.enter_context(self.sqlite.watched())
            yield
            self._note("the end")

    def _close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)

    def _announced(self, name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def announced(path: Any, *arguments: Any, **options: Any) -> Any:
            self._note(f"{name} {path}")
            return call(path, *arguments, **options)

        return announced

    def _open(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            self._note(f"open {path}")
        return _OPEN(path, flags, *arguments, **options)

    def _fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._note(f"fsync {path}")
        if not self._omits(path):
            found = os.fstat(descriptor)
            self._disk.sync(self._numbers.get((found.st_dev, found.st_ino), -1))

    def _note(self, call: str) -> None:
        with self._lock:
            self._look()
            self.moments.append((call, self._disk.copy()))

    def _look(self) -> None:
        """Compare the tree with what it was, and keep what is different."""
        disk = self._disk
        folders: dict[int, dict[str, int]] = {}
        self._walk(self.root, folders)
        for change in _changes(disk.folders, folders):
            for folder, _ in change.entries:
                disk.kept_folders.setdefault(folder, {})
            disk.changes.append(change)
        for number in folders:
            disk.kept_folders.setdefault(number, {})
        disk.folders = folders

    def _walk(self, folder: Path, folders: dict[int, dict[str, int]]) -> None:
        names = folders[self._number(folder)] = {}
        for path in sorted(folder.iterdir()):
            number = names[path.name] = self._number(path)
            if path.is_dir():
                self._walk(path, folders)
            elif not self.sqlite.uses(path):
                self._disk.contents[number] = path.read_bytes()
                self._disk.kept_contents.setdefault(number, b"")
                if self.sqlite.has_synced(path):
                    self._disk.sync(number)
            else:
                self._disk.contents.setdefault(number, b"")
                self._disk.kept_contents.setdefault(number, b"")

    def _number(self, path: Path) -> int:
        found = path.lstat()
        key = (found.st_dev, found.st_ino)
        if key not in self._numbers:
            used = max([*self._disk.folders, *self._disk.contents, *self._numbers.values(), -1])
            self._hold(path, used + 1)
        return self._numbers[key]

    def _hold(self, path: Path, number: int) -> None:
        """Give a file its number; not opened for reading, which would end SQLite's locks."""
        descriptor = _OPEN(path, os.O_PATH | os.O_NOFOLLOW)
        found = os.fstat(descriptor)
        self._held.append(descriptor)
        self._numbers[found.st_dev, found.st_ino] = number

    def _recognise(self, path: Path, number: int) -> None:
        self._hold(path, number)
        for name, inner in self._disk.folders.get(number, {}).items():
            self._recognise(path / name, inner)


_OPEN: Final = os.open


@contextmanager
def _in_place(name: str, function: Callable[..., Any]) -> Iterator[None]:
    before = getattr(os, name)
    setattr(os, name, function)
    try:
        yield
    finally:
        setattr(os, name, before)


def _changes(
    old: dict[int, dict[str, int]], new: dict[int, dict[str, int]]
) -> Iterator[NameChange]:
    """Tell what became of the names between two looks; a renaming is one change."""
    gone = {(f, n): i for f, names in old.items() for n, i in names.items()}
    come = {(f, n): i for f, names in new.items() for n, i in names.items()}
    departed = {place: number for place, number in gone.items() if place not in come}
    for place, number in come.items():
        if gone.get(place) != number:
            entries: dict[tuple[int, str], int | None] = {place: number}
            for other in [other for other, moved in departed.items() if moved == number]:
                entries[other] = None
                del departed[other]
            yield NameChange(entries, {folder for folder, _ in entries})
    for place in departed:
        yield NameChange({place: None}, {place[0]})


class SqliteFiles:
    """What SQLite has open, and what it has synced since it wrote; in this process, by default.

    Only SQLite may open its files meanwhile, so they are looked at when it has closed them.
    """

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._is_synced: dict[str, bool] = {}

    def uses(self, path: Path) -> bool:
        """Tell whether a database of this name, or one whose companion it is, is open."""
        return any(str(path).startswith(used) for used, times in self._open.items() if times)

    def has_synced(self, path: Path) -> bool:
        return self._is_synced.get(str(path), False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        vfs = _WatchedVfs(self)
        try:
            yield
        finally:
            vfs.unregister()

    def opened(self, path: str) -> None:
        self._open[path] += 1

    def closed(self, path: str) -> None:
        self._open[path] -= 1

    def wrote(self, path: str) -> None:
        self._is_synced[path] = False

    def synced(self, path: str) -> None:
        self._is_synced[path] = True


class _WatchedVfs(apsw.VFS):
    def __init__(self, files: SqliteFiles) -> None:
        self.files = files
        self.system = apsw.vfs_names()[0]
        super().__init__("watched", self.system, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return _WatchedFile(self, name, flags)


class _WatchedFile(apsw.VFSFile):
    def __init__(
        self, vfs: _WatchedVfs, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(vfs.system, name, flags)
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._files = vfs.files
        self._files.opened(self._path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._files.wrote(self._path)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._files.wrote(self._path)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._files.synced(self._path)

    def xClose(self) -> None:  # noqa: N802
        super().xClose()
        self._files.closed(self._path)


# ── for the tests ──────────────────────────────────────────────────────────────────────────────


class Instruments(NamedTuple):
    """What the tests of this folder work with."""

    recorder: type[Recorder]
    survives: type[Survives]
    lay_out: Callable[[Tree, Path], None]
    look: Callable[[Path], Tree]
    chance: Callable[[str], random.Random]
    """The same for the same seed."""


def chance(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- reproducible cases


@pytest.fixture
def instruments() -> Instruments:
    return Instruments(Recorder, Survives, lay_out, look, chance)
