"""A keystore in every broken state that shows without a password: doctor names it, start refuses.

What a start or a payment would fail on must not be called in order.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.fakes.clock import FakeClock

from waiaas.backups.create import make_offline
from waiaas.backups.file import open_backup
from waiaas.backups.restore import restore_backup
from waiaas.daemon import initialise
from waiaas.database import generate_id, open_ledger
from waiaas.doctor import machine
from waiaas.doctor.answers import Answer
from waiaas.doctor.examination import examine
from waiaas.doctor.finding import Finding, State, Subject
from waiaas.doctor.keys import check_keys
from waiaas.doctor.ledger import AgentFacts
from waiaas.domain.enums import AgentStatus, ChainType, NetworkType
from waiaas.domain.ids import AgentId
from waiaas.domain.profile import ProfileName
from waiaas.keystore.errors import DamagedKeystore, KeystoreError
from waiaas.keystore.signer import open_keystore
from waiaas.pipeline.agents import create_agent
from waiaas.profiles import read_profiles

NOW_S: Final = 1_900_000_000
PASSWORD: Final = b"correct horse battery staple"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with two agents that may pay."""
    directory = tmp_path_factory.mktemp("peopled") / "data"
    assert initialise(directory, PASSWORD)
    keystore = open_keystore(directory / "keystore", PASSWORD)
    with open_ledger(directory) as ledger:
        for name in ("first", "second"):
            asyncio.run(
                create_agent(
                    name,
                    chain=ChainType.SOLANA,
                    network=NetworkType.LOCALNET,
                    profile=read_profiles()[ProfileName.CAUTIOUS],
                    ip_address=None,
                    ledger=ledger,
                    keystore=keystore,
                    clock=FakeClock(now_s=NOW_S),
                    generate_id=generate_id,
                )
            )
    keystore.lock()
    return directory


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture(scope="module")
def restored(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of its own into which a backup of the directory was restored."""
    folder = tmp_path_factory.mktemp("restored")
    copy, clock = Path(shutil.copytree(made, folder / "copy")), FakeClock(now_s=NOW_S)
    backup = make_offline(
        copy, password=PASSWORD, master_password=lambda: PASSWORD, clock=clock, version="1"
    )
    opened = open_backup(copy / "backups" / backup.name, PASSWORD)
    restore_backup(opened, folder / "other", clock=clock)
    opened.close()
    return folder / "other"


def findings(directory: Path) -> list[Finding]:
    answer = Answer(None, None, None)
    found = examine(directory, answer=answer, version="1", now_s=NOW_S, with_nodes=False)
    # No backup was made of it yet.
    return [
        each for each in found if each.state is State.MEND and each.subject is not Subject.BACKUPS
    ]


def wrong(directory: Path) -> list[tuple[Subject, str]]:
    return [(each.subject, each.found) for each in findings(directory)]


def remedies(directory: Path) -> list[str]:
    return [str(each.remedy) for each in findings(directory)]


def vault(place: Path) -> Path:
    return place / "keystore" / "keystore.json"


def key_files(place: Path) -> list[Path]:
    return sorted(each for each in (place / "keystore").iterdir() if each != vault(place))


def first_key(place: Path) -> Path:
    return key_files(place)[0]


def edited(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(_: bytes) -> bytes:
    return b""


def of_another_version(content: bytes) -> bytes:
    return content.replace(b'"version": 1', b'"version": 2')


def with_a_field_twice(content: bytes) -> bytes:
    return content.replace(b'"version": 1,', b'"version": 1,\n  "version": 1,')


def with_other_line_ends(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def out_of_bounds(content: bytes) -> bytes:
    return content.replace(b'"memory_kib": 65536', b'"memory_kib": 4294967296')


def test_a_keystore_that_is_whole_is_in_order(place: Path) -> None:
    assert wrong(place) == []


@pytest.mark.parametrize(
    "change",
    [
        truncated,
        emptied,
        of_another_version,
        with_a_field_twice,
        with_other_line_ends,
        out_of_bounds,
    ],
)
def test_a_broken_keystore_file_is_named_and_no_password_opens_it(
    place: Path, change: Callable[[bytes], bytes]
) -> None:
    edited(vault(place), change)
    [(subject, told)] = wrong(place)
    assert subject is Subject.KEYSTORE
    assert str(vault(place)) in told
    with pytest.raises(KeystoreError):
        open_keystore(place / "keystore", PASSWORD)


def test_a_keystore_file_that_is_a_folder_is_named(place: Path) -> None:
    vault(place).unlink()
    vault(place).mkdir(mode=0o700)
    assert [subject for subject, _ in wrong(place)] == [Subject.KEYSTORE]


@pytest.mark.parametrize("change", [truncated, emptied, of_another_version, with_a_field_twice])
def test_a_broken_key_file_is_named(place: Path, change: Callable[[bytes], bytes]) -> None:
    edited(key_files(place)[1], change)
    [(subject, told)] = wrong(place)
    assert subject is Subject.KEYS
    assert str(key_files(place)[1]) in told


def test_a_key_file_that_is_a_folder_is_named(place: Path) -> None:
    file = key_files(place)[0]
    file.unlink()
    file.mkdir(mode=0o700)
    [(subject, told)] = wrong(place)
    assert subject is Subject.KEYS
    assert str(file) in told
    assert remedies(place)[0].startswith("Move it away. Restore a backup that has")


@pytest.mark.parametrize("which", [vault, first_key])
def test_one_file_comes_back_from_a_backup_as_is_said_and_nothing_else_with_it(
    place: Path, restored: Path, which: Callable[[Path], Path]
) -> None:
    """Restored into another folder, and copied: the ledger here is not marked as restored."""
    file, agent = which(place), AgentId(first_key(place).stem)
    public_key = json.loads(first_key(place).read_bytes())["public_key"]
    edited(file, truncated)
    [remedy] = remedies(place)
    assert f"cp -p OTHER/keystore/{file.name} to its place" in remedy
    shutil.copy2(restored / "keystore" / file.name, file)
    assert wrong(place) == []
    keystore = open_keystore(place / "keystore", PASSWORD)
    assert keystore.holds(agent, public_key=public_key)
    keystore.lock()


def test_a_missing_key_file_is_named(place: Path) -> None:
    gone = key_files(place)[0]
    gone.unlink()
    [(subject, told)] = wrong(place)
    assert subject is Subject.KEYS
    assert gone.stem in told
    assert f"cp -p OTHER/keystore/{gone.name} to its place" in remedies(place)[0]


def test_key_files_that_changed_places_are_both_named_and_neither_signs(place: Path) -> None:
    """The control: each is a file that exists, and whole, which is all that was asked before."""
    first, second = key_files(place)
    aside = first.with_suffix(".aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    assert [subject for subject, _ in wrong(place)] == [Subject.KEYS, Subject.KEYS]
    with pytest.raises(DamagedKeystore):
        open_keystore(place / "keystore", PASSWORD).sign(AgentId(first.stem), b"a payload")


def test_of_many_lost_keys_ten_are_named_and_the_rest_counted(place: Path) -> None:
    gone = AgentFacts(
        generate_id(), "a", ChainType.SOLANA, "an address", AgentStatus.SUSPENDED, has_policy=True
    )
    told = [each.found for each in check_keys(place, (gone,) * 12)]
    assert len(told) == 11
    assert told[-1] == "2 more are wrong"


def test_what_is_open_to_others_is_told_once_as_a_file(place: Path) -> None:
    key_files(place)[0].chmod(0o644)
    assert [subject for subject, _ in wrong(place)] == [Subject.FILES]


def test_a_folder_in_which_nothing_can_be_made_is_told(place: Path) -> None:
    place.chmod(0o500)
    assert [subject for subject, _ in wrong(place)] == [Subject.DIRECTORY]
    place.chmod(0o700)


@pytest.mark.parametrize("name", [".", "ledger.db", "keystore"])
def test_what_is_mounted_read_only_is_named(place: Path, name: str) -> None:
    def statvfs(path: Path) -> os.statvfs_result:
        found = list(os.statvfs(path))
        if path == place / name:
            found[8] |= os.ST_RDONLY
        return os.statvfs_result(found)

    assert machine.read_only_in(place, statvfs=statvfs) == (place / name,)
    assert machine.read_only_in(place) == ()
