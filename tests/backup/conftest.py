"""One data directory with two agents and one backup of each kind, made once and copied.

Argon2id at full cost takes 0.1 s, so opened backups are shared, too.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.canaries import MARKER

from waiaas.backups.create import BackupMaker
from waiaas.backups.file import OpenedBackup, open_backup
from waiaas.daemon import initialise
from waiaas.database import generate_id, open_ledger
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord
from waiaas.keystore.signer import FileKeystore, open_keystore

NOW_S = 1_700_000_000
MASTER = f"{MARKER}-master-password".encode()
PASSWORD = f"{MARKER}-backup-password".encode()


class StillClock:
    """`waiaas.ports.Clock` that stands still."""

    def now_s(self) -> int:
        return NOW_S

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits {seconds} s here")


@dataclass(frozen=True)
class Home:
    """A data directory, and what was made of it."""

    directory: Path
    keystore: FileKeystore
    by_password: Path
    by_keystore: Path
    opened: OpenedBackup
    """Of `by_password`."""
    agent_ids: tuple[AgentId, ...]


def make_agent(directory: Path, keystore: FileKeystore) -> AgentId:
    agent_id = AgentId(generate_id())
    address = keystore.generate(agent_id, chain=ChainType.SOLANA, network=NetworkType.LOCALNET)
    keystore.store(agent_id)
    agent = AgentRecord(
        *(agent_id, "agent", ChainType.SOLANA, NetworkType.LOCALNET, address),
        AgentStatus.ACTIVE,
        NOW_S,
        suspended_at=None,
        suspension_reason=None,
    )
    with open_ledger(directory) as ledger:
        ledger.write(lambda tx: tx.agents.insert(agent))
    return agent_id


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The original: look, do not change."""
    umask = os.umask(0o022)
    directory = tmp_path_factory.mktemp("backup") / "data"
    initialise(directory, MASTER)
    keystore = open_keystore(directory / "keystore", MASTER)
    agent_ids = (make_agent(directory, keystore), make_agent(directory, keystore))
    with open_ledger(directory) as ledger:
        maker = BackupMaker(
            directory,
            ledger=ledger,
            keystore=keystore,
            clock=StillClock(),
            generate_id=generate_id,
            version="1.2.3",
        )
        ledger.write(lambda tx: tx.key_values.put("daemon.id", "the-daemon", now_s=NOW_S))
        # Enough for several chunks.
        ledger.write(lambda tx: tx.key_values.put("much", "x" * 200_000, now_s=NOW_S))
        by_password = directory / "backups" / maker.make(PASSWORD).name
        by_keystore = directory / "backups" / maker.make(None).name
    yield Home(
        *(directory, keystore, by_password, by_keystore),
        open_backup(by_password, PASSWORD),
        agent_ids,
    )
    os.umask(umask)


@pytest.fixture
def directory(home: Home, tmp_path: Path) -> Path:
    """A data directory of its own."""
    return shutil.copytree(home.directory, tmp_path / "data")


@pytest.fixture
def file(home: Home, tmp_path: Path) -> Path:
    """A backup under a password, to be damaged."""
    return Path(shutil.copy(home.by_password, tmp_path / "a.waiaas-backup"))


@pytest.fixture(scope="session")
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(scope="session")
def passwords() -> tuple[bytes, bytes]:
    """The master password, and the backup's."""
    return MASTER, PASSWORD


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that reads every file of a folder."""
    return lambda folder: {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def killed(home: Home) -> Callable[..., list[Path]]:
    """Return a function that kills whoever does something, at every *stride*-th step from *first*.

    So many *writes* of SQLite's are one step, too; 0: none is. It works on copies of `data` in the
    folder *base*, and returns what is left of them.
    """

    def run(
        base: Path, act: str, *, first: int = 1, stride: int = 1, writes: int = 0
    ) -> list[Path]:
        shutil.copy(home.by_password, base / "a.waiaas-backup")
        order = {
            "base": str(base),
            "act": act,
            "stride": stride,
            "first": first,
            "writes": writes,
            "file_key": home.opened._file_key.hex(),
            "master": MASTER.decode(),
        }
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("victims.py"))],
            input=json.dumps(order),
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return [base / name for name in done.stdout.split()]

    return run


@pytest.fixture
def memory() -> Iterator[Path]:
    """Yield a folder in memory, for tests in which no machine dies: a sync only takes its time."""
    shared = Path("/dev/shm")  # noqa: S108 -- what is made in it has a private name
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)
