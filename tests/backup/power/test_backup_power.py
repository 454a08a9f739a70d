"""Power cuts during a restore, and during the start that finishes one: one of two states, whole.

A real restore is watched, and cut off before each of its calls that changes a name or syncs, with
what was not synced surviving or not. What a disk may hold then is laid out, and the real recovery
runs on it, which is watched and cut off in its turn; as is one after a mere kill, whose changes
are not on the disk yet.
"""

import errno
import os
import random  # noqa: TID251 -- reproducible cases, not secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pytest

from waiaas.backups.errors import BackupError
from waiaas.backups.restore import restore_backup
from waiaas.backups.swap import claimed
from waiaas.database import open_ledger
from waiaas.directory import is_initialised
from waiaas.pipeline.restored import restored_at

if TYPE_CHECKING:
    from tests.backup.conftest import Home, StillClock
    from tests.backup.power.conftest import Disk, Instruments, Tree

Omits = Callable[[Path], bool]
Moments = list[tuple[str, "Disk"]]

DATA: Final = "data/"
MOVED: Final = ("ledger.db", "keystore/", "config.toml")
HARMLESS: Final = ("ballast", "clean-stop", ".restore.json.new")
"""What may lie in a data directory besides; the last is written over by the next restore."""

STATES: Final = {"old", "new"}
THE_END: Final = "the end"
"""Of what was watched: its caller was told that it is done."""

ENOUGH: Final = 5
"""Recoveries after which a control that has lost nothing has failed."""


def nothing(_: Path) -> bool:
    return False


@contextmanager
def obstructed() -> Iterator[None]:
    """Let nobody move a keystore out of its place."""
    rename = os.rename

    def refused(source: Any, target: Any) -> None:
        if Path(source).match("data/keystore"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), source, None, target)
        rename(source, target)

    os.rename = refused  # type: ignore[assignment]  # -- put back below
    try:
        yield
    finally:
        os.rename = rename


def part(tree: "Tree", folder: str) -> "Tree":
    """Return what a restore moves, of what lies in a folder."""
    inside = {name.removeprefix(folder): tree[name] for name in tree if name.startswith(folder)}
    return {name: inside[name] for name in inside if name.startswith(MOVED)}


class Life:
    """A restore into one directory, watched, and what comes of it wherever it is cut off."""

    def __init__(
        self, memory: Path, instruments: "Instruments", home: "Home", clock: "StillClock"
    ) -> None:
        self._memory = memory
        self.instruments = instruments
        self._opened = home.opened
        self._clock = clock
        self._known: dict[frozenset[tuple[str, bytes]], str] = {}
        self.old: Tree = {}
        self.new: Tree = {}
        self.moments: list[tuple[str, Disk]] = []

    def chance(self, proof: Any, turn: int) -> random.Random:
        return self.instruments.chance(f"{proof.seed}:{turn}")

    def outcomes(self) -> list[str]:
        """Return what came of each image that was different from all before."""
        return list(self._known.values())

    def restore(
        self, directory: Path, *, before: "Disk | None" = None, omits: Omits = nothing
    ) -> None:
        """Restore into *directory*, which is the only thing in its folder, or will be."""
        recorder = self.instruments.recorder(directory.parent, before, omits=omits)
        with recorder.watching():
            restore_backup(self._opened, directory, clock=self._clock)
        self.moments = recorder.moments
        self.old = part(self.moments[0][1].seen(), DATA)
        self.new = part(self.moments[-1][1].seen(), DATA)
        with open_ledger(directory) as ledger:
            assert ledger.read(restored_at) == self._clock.now_s(), "the new state has its mark"

    def restore_in_vain(self, directory: Path, *, omits: Omits = nothing) -> None:
        """Restore where the keystore cannot be moved out of the way; it goes back."""
        recorder = self.instruments.recorder(directory.parent, omits=omits)
        with (
            obstructed(),
            recorder.watching(),
            pytest.raises(BackupError, match="as it was before"),
        ):
            restore_backup(self._opened, directory, clock=self._clock)
        self.moments = recorder.moments
        self.old = part(self.moments[0][1].seen(), DATA)
        begun = next(disk.seen() for call, disk in self.moments if "replaced-" in call)
        [staged] = {name.split("/")[1] for name in begun if name.startswith(f"{DATA}restore-")}
        self.new = part(begun, f"{DATA}{staged}/")

    def outcome(self, image: "Tree") -> str:
        """Let a start recover what is on a disk; return the state it is then in, or a fault."""
        key = frozenset(image.items())
        if key not in self._known:
            with self.laid_out(image) as root:
                self._known[key] = self._recovered(root)
        return self._known[key]

    def recovery(
        self, image: "Tree", before: "Disk | None", *, omits: Omits = nothing
    ) -> tuple[list[tuple[str, "Disk"]], str]:
        """Watch a start that recovers; return its moments, and the state it came to.

        Args:
            image: what is there.
            before: what it is in when it was only the process that died; None after a power cut.
            omits: of what the sync is left out.
        """
        with self.laid_out(image) as root:
            recorder = self.instruments.recorder(root, before, omits=omits)
            with recorder.watching():
                found = self._recovered(root)
            return recorder.moments, found

    @contextmanager
    def laid_out(self, image: "Tree") -> Iterator[Path]:
        with TemporaryDirectory(dir=self._memory) as folder:
            self.instruments.lay_out(image, Path(folder))
            yield Path(folder)

    def _recovered(self, root: Path) -> str:
        directory = root / "data"
        if not directory.exists() or not is_initialised(directory):
            return "old" if not self.old else "not initialised"
        try:
            with claimed(directory):
                pass
        except (BackupError, OSError) as error:
            return f"refused: {error}".replace(str(root), "")
        return self._judged(self.instruments.look(root))

    def _judged(self, tree: "Tree") -> str:
        found = part(tree, DATA)
        rest = [
            name.removeprefix(DATA)
            for name in tree
            if name != DATA and not name.removeprefix(DATA).startswith((*MOVED, "replaced-"))
        ]
        strange = sorted(set(rest) - set(HARMLESS))
        if strange:
            return f"left over: {strange}"
        replaced = {name.split("/")[1] for name in tree if name.startswith(f"{DATA}replaced-")}
        kept: Tree = {}
        for name in replaced:
            kept |= {
                path: content
                for path, content in tree.items()
                if path.startswith(f"{DATA}{name}/") and path != f"{DATA}{name}/"
            }
        if found == self.old:
            return "old" if not kept else "old, and files were moved"
        if found != self.new:
            missing = sorted((set(self.old) | set(self.new)) - set(found))
            return f"mixed: without {missing}" if missing else "mixed"
        held = [part(kept, f"{DATA}{name}/") for name in replaced]
        may_be = [[self.old]] if self.old else [[{}], []]  # An empty folder goes in the end.
        if held not in may_be or len(kept) != len(self.old):
            return "new, without what it replaced"
        return "new"


@pytest.fixture
def life(
    memory: Path, instruments: "Instruments", home: "Home", clock: "StillClock"
) -> Callable[[], Life]:
    return lambda: Life(memory, instruments, home, clock)


@pytest.fixture
def lived_on(home: "Home", memory: Path) -> Callable[[], Path]:
    """Return what makes a data directory that went on living, its newest in the WAL alone."""

    def made() -> Path:
        directory = memory / f"place-{len(list(memory.iterdir()))}" / "data"
        directory.mkdir(mode=0o700, parents=True)
        for name in ("ledger.db", "config.toml"):
            shutil.copy(home.directory / name, directory / name)
        shutil.copytree(home.directory / "keystore", directory / "keystore")
        with open_ledger(directory) as ledger:
            ledger.write(lambda tx: tx.key_values.put("later", "v", now_s=1))
            copies = {name: directory / name for name in ("ledger.db-wal", "ledger.db-shm")}
            assert all(path.stat().st_size for path in copies.values())
        # As a crash leaves them: it was closed, so their content is none of SQLite's.
        for path in copies.values():
            path.write_bytes(b"of the old ledger" * 100)
        (directory / "config.toml").write_bytes(b"# later\n")
        (directory / "keystore" / "0198c0de-0000-7000-8000-00000000000f.json").write_bytes(b"{}")
        return directory

    return made


@pytest.fixture
def fresh(memory: Path) -> Callable[[], Path]:
    """Return what names a data directory that does not exist."""

    def made() -> Path:
        folder = memory / f"place-{len(list(memory.iterdir()))}"
        folder.mkdir()
        return folder / "data"

    return made


def cuts(life: Life, moments: Moments, rng: random.Random) -> Iterator[tuple[str, bool, str]]:
    """Cut the power at every moment; yield when and how, whether that is the end, and what came."""
    survives = life.instruments.survives
    for call, disk in moments:
        for way in (survives.NOTHING, survives.ALL, *[survives.ANY] * 4):
            yield f"{call}, {way}", call == THE_END, life.outcome(disk.cut(way, rng))


def faults_of_a_restore(life: Life, rng: random.Random) -> list[str]:
    """Return what is wrong after which cut of a restore; "" for each that did no harm.

    Who was told that it is restored finds it restored.
    """
    return [
        "" if found == "new" or (found == "old" and not was_told) else f"{cut}: {found}"
        for cut, was_told, found in cuts(life, life.moments, rng)
    ]


def faults_of_a_recovery(
    life: Life, rng: random.Random, *, omits: Omits = nothing, only_killed: bool = False
) -> list[str]:
    """Cut a restore off somewhere and the start that recovers from it everywhere.

    Where that start came to an end it showed one of the two states, which must be there for good.
    """
    survives = life.instruments.survives
    call, disk = rng.choice(life.moments)
    is_killed = only_killed or rng.random() < 0.5
    image = disk.seen() if is_killed else disk.cut(survives.ANY, rng)
    moments, shown = life.recovery(image, disk if is_killed else None, omits=omits)
    first = f"{'killed' if is_killed else 'cut off'} before {call}"
    faults = [f"{first}: {shown}"] if shown not in STATES else []
    allowed = {"new"} if call == THE_END else STATES
    for cut, has_ended, found in cuts(life, moments, rng):
        is_good = found == shown if has_ended else found in allowed
        faults.append("" if is_good else f"{first}, then {cut}: {found}")
    return faults


def count(faults: list[str]) -> int:
    return sum(map(bool, faults))


def told(faults: list[str]) -> str:
    """Return the first few, to be looked into."""
    return "\n".join([fault for fault in faults if fault][:10])


def test_a_restore_into_a_directory_that_a_killed_one_made_is_there_for_good(
    life: Callable[[], Life], fresh: Callable[[], Path]
) -> None:
    first, second = life(), life()
    first.restore(fresh())
    made = next(disk for _, disk in first.moments if DATA in disk.seen())
    assert DATA not in made.cut(first.instruments.survives.NOTHING, first.instruments.chance("1"))
    with second.laid_out(made.seen()) as root:
        second.restore(root / "data", before=made)
    faults = faults_of_a_restore(second, second.instruments.chance("1"))
    assert not any(faults), told(faults)


def is_folder(path: Path) -> bool:
    return path.is_dir()


def is_journal(path: Path) -> bool:
    return path.name == ".restore.json.new"


def is_staged_file(path: Path) -> bool:
    return path.is_file() and "restore-" in str(path)


LEFT_OUT: Final[dict[str, Omits]] = {
    "of folders": is_folder,
    "of the journal": is_journal,
    "of the new files": is_staged_file,
}


def is_first() -> Omits:
    """Return what leaves the first sync out."""
    seen: list[Path] = []

    def omits(path: Path) -> bool:
        seen.append(path)
        return len(seen) == 1

    return omits


@pytest.mark.slow
@pytest.mark.proof
@pytest.mark.parametrize("place", ["lived_on", "fresh"])
def test_a_power_cut_during_a_restore_leaves_one_of_two_states_whole(
    life: Callable[[], Life], request: pytest.FixtureRequest, place: str, proof: Any
) -> None:
    make_place = request.getfixturevalue(place)
    subject = life()
    subject.restore(make_place())
    for turn in proof.until(proof.wanted(2500), unit="images", budget_s=20):
        faults = faults_of_a_restore(subject, subject.chance(proof, turn))
        proof.count(len(faults))
        proof.lose(count(faults))
        assert not any(faults), told(faults)
    assert set(subject.outcomes()) == STATES, "it was cut on both sides of the turning point"
    proof.control(f"{len(subject.outcomes())} were distinct")

    for what, omits in LEFT_OUT.items() if place == "lived_on" else ():
        naive = life()
        naive.restore(make_place(), omits=omits)
        faults = faults_of_a_restore(naive, naive.chance(proof, 0))
        proof.control(f"without syncs {what} {count(faults)} of {len(faults)} lost")
        assert any(faults), what


@pytest.mark.slow
@pytest.mark.proof
def test_a_power_cut_during_the_recovery_leaves_one_of_two_states_whole(
    life: Callable[[], Life], lived_on: Callable[[], Path], proof: Any
) -> None:
    subject = life()
    subject.restore(lived_on())
    for turn in proof.until(proof.wanted(5000), unit="images", budget_s=20):
        faults = faults_of_a_recovery(subject, subject.chance(proof, turn))
        proof.count(len(faults))
        proof.lose(count(faults))
        assert not any(faults), told(faults)
    proof.control(f"{len(subject.outcomes())} were distinct")

    # The first sync is for a journal whose writer was killed before it was on the disk. It is cut
    # off there in every run, or the few cases of a short one would seldom meet that moment.
    written = [n for n, (call, _) in enumerate(subject.moments) if call.startswith("replace ")]
    subject.moments = [subject.moments[n + 1] for n in written]
    ways: dict[str, list[str]] = {"trusting the journal": [], "not trusting it": []}
    for turn in range(ENOUGH):
        rng = subject.chance(proof, turn)
        ways["trusting the journal"] += faults_of_a_recovery(
            subject, rng, omits=is_first(), only_killed=True
        )
        ways["not trusting it"] += faults_of_a_recovery(subject, rng, only_killed=True)
    for way, faults in ways.items():
        proof.control(f"{way} {count(faults)} of {len(faults)} lost")
    assert any(ways["trusting the journal"])
    assert not any(ways["not trusting it"]), told(ways["not trusting it"])


@pytest.mark.slow
@pytest.mark.proof
def test_a_power_cut_on_the_way_back_leaves_one_of_two_states_whole(
    life: Callable[[], Life], lived_on: Callable[[], Path], proof: Any
) -> None:
    subject = life()
    subject.restore_in_vain(lived_on())
    for turn in proof.until(proof.wanted(3000), unit="images", budget_s=20):
        faults = faults_of_going_back(subject, subject.chance(proof, turn))
        proof.count(len(faults))
        proof.lose(count(faults))
        assert not any(faults), told(faults)
    assert set(subject.outcomes()) == STATES
    proof.control(f"{len(subject.outcomes())} were distinct")

    naive = life()
    naive.restore_in_vain(lived_on(), omits=is_folder)
    faults = faults_of_going_back(naive, naive.chance(proof, 0))
    proof.control(f"without syncs of folders {count(faults)} of {len(faults)} lost")
    assert any(faults)


def faults_of_going_back(life: Life, rng: random.Random) -> list[str]:
    """Return what is wrong after which cut; who was told that it is undone finds it undone."""
    return [
        "" if found == "old" or (found == "new" and not was_told) else f"{cut}: {found}"
        for cut, was_told, found in cuts(life, life.moments, rng)
    ]


def test_a_start_does_not_trust_that_the_journal_of_a_killed_one_is_gone(
    life: Callable[[], Life], lived_on: Callable[[], Path]
) -> None:
    subject = life()
    subject.restore_in_vain(lived_on())
    [gone] = [n for n, (call, _) in enumerate(subject.moments) if call.endswith("/restore.json")]
    _, disk = subject.moments[gone + 1]
    rng = subject.instruments.chance("1")

    def faults(omits: Omits) -> list[str]:
        moments, shown = subject.recovery(disk.seen(), disk, omits=omits)
        assert shown == "old"
        return [
            found
            for _ in range(5)
            for _, _, found in cuts(subject, moments, rng)
            if found not in STATES
        ]

    assert not faults(nothing)
    assert faults(is_first()), "the control: without the first sync"


def test_while_the_new_ledger_may_be_staged_nothing_new_is_in_place(
    life: Callable[[], Life], lived_on: Callable[[], Path]
) -> None:
    """So a start after a power cut knows whether it may go back."""

    def is_in_part(tree: "Tree") -> bool:
        staged = {name.split("/", 2)[2] for name in tree if name.startswith(f"{DATA}restore-")}
        has_begun = f"{DATA}restore.json" in tree
        return has_begun and "ledger.db" in staged and not {*MOVED} <= staged

    def times(omits: Omits) -> int:
        subject = life()
        subject.restore(lived_on(), omits=omits)
        rng, survives = subject.instruments.chance("1"), subject.instruments.survives
        images = (disk.cut(survives.ANY, rng) for _, disk in subject.moments * 4)
        return sum(map(is_in_part, images))

    assert times(nothing) == 0
    assert times(lambda path: "/restore-" in str(path) and path.is_dir()), "the control"
