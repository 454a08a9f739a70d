"""The file: it opens with its password and no other, whole or not at all, and says which it is."""

import base64
import hashlib
import io
import json
import os
import shutil
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.backups.create import find_backup, list_backups
from waiaas.backups.errors import (
    DamagedBackup,
    NotABackup,
    OtherVersion,
    WrongBackupPassword,
)
from waiaas.backups.file import OpenedBackup, describe, open_backup, open_with_key
from waiaas.backups.stream import OpeningReader, SealingWriter
from waiaas.backups.verify import verify_backup
from waiaas.domain.backup import BackupMode

if TYPE_CHECKING:
    from tests.backup.conftest import Home

MAGIC = b"waiaas-backup\r\n\x1a"
Tree = Callable[[Path], dict[str, bytes]]


def header_of(content: bytes) -> dict[str, Any]:
    """Read the header as docs/backups.md describes it, past our own reader."""
    [length] = struct.unpack(">I", content[16:20])
    header: dict[str, Any] = json.loads(content[20 : 20 + length])
    return header


def with_header(content: bytes, header: dict[str, Any]) -> bytes:
    """Exchange the header and mend the checksum, as anybody could."""
    [length] = struct.unpack(">I", content[16:20])
    encoded = json.dumps(header, indent=2).encode() + b"\n"
    beginning = MAGIC + struct.pack(">I", len(encoded)) + encoded
    return beginning + hashlib.sha256(beginning).digest() + content[20 + length + 32 :]


def reopened(home: "Home", path: Path) -> OpenedBackup:
    """Open a file with the key of the original: no derivation, everything else is checked."""
    return open_with_key(path, home.opened._file_key)


def test_it_holds_the_ledger_the_keys_and_the_settings(
    home: "Home", tmp_path: Path, tree: Tree
) -> None:
    manifest = home.opened.extract(tmp_path)
    names = {entry.name for entry in manifest.files}
    keys = {f"keystore/{agent_id}.json" for agent_id in home.agent_ids}
    assert names == {"ledger.db", "config.toml", "keystore/keystore.json", *keys}
    extracted = tree(tmp_path)
    assert set(extracted) == names
    original = tree(home.directory)
    assert all(extracted[name] == original[name] for name in names - {"ledger.db"})
    for entry in manifest.files:
        content = extracted[entry.name]
        assert (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (manifest.daemon_id, manifest.program_version) == ("the-daemon", "1.2.3")
    assert manifest.audit_head is None
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_it_gives_nothing_away(home: "Home", passwords: tuple[bytes, bytes]) -> None:
    for path in (home.by_password, home.by_keystore):
        content = path.read_bytes()
        header = header_of(content)
        for secret in (*passwords, b"SQLite format 3", b"xxxxxxxx", b"the-daemon", b"agent key"):
            assert secret not in content
            assert base64.b64encode(secret) not in content
        for agent_id in home.agent_ids:
            assert agent_id.encode() not in content
        assert set(header) == {"format", "version", "id", "created_at", "protection"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_kind_opens_with_its_password_and_with_no_other(
    home: "Home", passwords: tuple[bytes, bytes]
) -> None:
    master, password = passwords
    with pytest.raises(WrongBackupPassword, match="chosen when it was made"):
        open_backup(home.by_password, master)
    with pytest.raises(WrongBackupPassword, match="master password of the daemon"):
        open_backup(home.by_keystore, password)
    for long in (b"x" * 1025,):
        with pytest.raises(WrongBackupPassword):
            open_backup(home.by_password, long)
    opened = open_backup(home.by_keystore, master)
    names = {entry.name for entry in opened.extract(None).files}
    assert "keystore/backup.json" in names
    opened.close()
    assert not any(opened._file_key)
    assert "withheld" in repr(opened)


def test_the_keystore_in_the_header_is_enough_to_open_it_elsewhere(
    home: "Home", tmp_path: Path, passwords: tuple[bytes, bytes]
) -> None:
    """The circle that is none: master password, keystore key, backup key, file key."""
    header = header_of(home.by_keystore.read_bytes())
    keystore = base64.b64decode(header["protection"]["keystore"])
    assert keystore == (home.directory / "keystore" / "keystore.json").read_bytes()
    alone = tmp_path / "alone.waiaas-backup"
    alone.write_bytes(home.by_keystore.read_bytes())
    assert open_backup(alone, passwords[0]).extract(None).files


def test_a_file_that_is_something_else_is_called_so(tmp_path: Path, home: "Home") -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(home.by_password)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.touch()
    other.write_bytes(b"SQLite format 3\0" * 100)
    for path in (folder, link, fifo, empty, other, tmp_path / "missing"):
        with pytest.raises(NotABackup, match="is not a backup"):
            describe(path)


def test_every_thousandth_cut_is_noticed_and_most_need_no_password(
    home: "Home", file: Path
) -> None:
    content = file.read_bytes()
    [length] = struct.unpack(">I", content[16:20])
    begin = 20 + length + 32
    cuts = [*range(0, len(content), 1000), 15, 16, 19, 20, begin - 1, begin, len(content) - 1]
    for end in cuts:
        file.write_bytes(content[:end])
        if end < begin:
            with pytest.raises((NotABackup, DamagedBackup)):
                describe(file)
        else:
            with pytest.raises(DamagedBackup):
                reopened(home, file).extract(None)


def test_a_flipped_bit_is_noticed_wherever_it_is(home: "Home", file: Path) -> None:
    content = bytearray(file.read_bytes())
    [length] = struct.unpack(">I", content[16:20])
    begin = 20 + length + 32
    body = range(begin, len(content), 4099)
    for position in [*range(begin), *body, len(content) - 1]:
        content[position] ^= 1 << position % 8
        file.write_bytes(content)
        with pytest.raises((NotABackup, DamagedBackup)):
            reopened(home, file).extract(None)
        content[position] ^= 1 << position % 8
    file.write_bytes(content)
    reopened(home, file).extract(None)


def test_what_stands_behind_the_end_is_noticed(home: "Home", file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(DamagedBackup):
        reopened(home, file).extract(None)


def test_another_version_is_called_so_and_another_cost_is_refused(
    file: Path, passwords: tuple[bytes, bytes]
) -> None:
    content = file.read_bytes()
    header = header_of(content)
    file.write_bytes(with_header(content, {**header, "version": 2}))
    with pytest.raises(OtherVersion, match="release"):
        describe(file)
    protection = header["protection"]
    for change in ({"memory_kib": 8}, {"memory_kib": 2**31}, {"passes": 1}, {"lanes": 64}):
        dear = {**protection, "kdf": {**protection["kdf"], **change}}
        file.write_bytes(with_header(content, {**header, "protection": dear}))
        with pytest.raises(DamagedBackup, match="Argon2id"):
            open_backup(file, passwords[1])


@pytest.mark.parametrize(
    "backup_id", ["", "x", "x" * 10_000, "0192d3c4-0000-7000-8000-00000000000A"]
)
def test_an_id_that_is_none_is_refused_before_it_is_written_down_anywhere(
    file: Path, backup_id: str
) -> None:
    content = file.read_bytes()
    file.write_bytes(with_header(content, {**header_of(content), "id": backup_id}))
    with pytest.raises(DamagedBackup):
        describe(file)


def test_an_edited_header_with_a_mended_checksum_does_not_open(
    file: Path, passwords: tuple[bytes, bytes]
) -> None:
    content = file.read_bytes()
    header = header_of(content)
    assert header_of(with_header(content, header)) == header
    file.write_bytes(with_header(content, header))
    open_backup(file, passwords[1])  # The control: mending it like this is mending it right.
    file.write_bytes(with_header(content, {**header, "created_at": header["created_at"] + 1}))
    with pytest.raises(DamagedBackup, match="sealed key"):
        open_backup(file, passwords[1])


def test_the_parts_of_two_backups_do_not_fit_together(home: "Home", file: Path) -> None:
    content, other = file.read_bytes(), home.by_keystore.read_bytes()
    file.write_bytes(with_header(content, header_of(other)))
    with pytest.raises(DamagedBackup):
        reopened(home, file).extract(None)


def sealed_anew(
    home: "Home", path: Path, change: Callable[[dict[str, Any]], object], *, more: bytes = b""
) -> None:
    """Write what the original holds with another manifest, sealed with the file key as it must be.

    Args:
        home: what the original is of.
        path: of the file to be written.
        change: changes the manifest.
        more: stands behind the last file.
    """
    content = home.by_password.read_bytes()
    [length] = struct.unpack(">I", content[16:20])
    beginning = content[: 20 + length + 32]
    key, digest = home.opened._file_key, beginning[-32:]
    reader = OpeningReader(io.BytesIO(content[len(beginning) :]), key=key, associated=digest)
    [size] = struct.unpack(">I", reader.read_exactly(4))
    manifest = json.loads(reader.read_exactly(size))
    rest = reader.read_exactly(sum(entry["size"] for entry in manifest["files"]))
    change(manifest)
    listed = json.dumps(manifest, indent=2).encode() + b"\n"
    with path.open("wb") as file:
        file.write(beginning)
        writer = SealingWriter(file, key=key, associated=digest)
        writer.write(struct.pack(">I", len(listed)) + listed + rest + more)
        writer.finish()


def renamed(name: str) -> Callable[[dict[str, Any]], object]:
    """Return what gives the settings another name."""

    def change(manifest: dict[str, Any]) -> None:
        [settings] = [entry for entry in manifest["files"] if entry["name"] == "config.toml"]
        settings["name"] = name

    return change


def test_a_well_sealed_manifest_that_is_wrong_is_refused_and_writes_nothing_outside(
    home: "Home", file: Path, tmp_path: Path
) -> None:
    sealed_anew(home, file, lambda _: None)
    assert reopened(home, file).extract(None).files, "the control: as it was, it opens"
    names = (
        "../x",
        f"{tmp_path}/x",
        "x",
        "keystore/../../x",
        "keystore/x",
        "keystore/",
        "ledger.db-wal",
    )
    for name in names:
        sealed_anew(home, file, renamed(name))
        folder = tmp_path / "into" / "it"
        folder.mkdir(parents=True)
        with pytest.raises(DamagedBackup, match="belongs to no backup"):
            reopened(home, file).extract(folder)
        assert not list(tmp_path.rglob("x"))
        assert not list(folder.iterdir())
        shutil.rmtree(folder)
    sealed_anew(home, file, lambda manifest: manifest["files"][0].update(sha256="0" * 64))
    with pytest.raises(DamagedBackup, match="is not what was saved"):
        reopened(home, file).extract(None)
    sealed_anew(home, file, lambda _: None, more=b"more")
    with pytest.raises(DamagedBackup):
        reopened(home, file).extract(None)


def test_a_listing_needs_no_password_and_is_newest_first(
    home: "Home", directory: Path, tmp_path: Path
) -> None:
    (directory / "backups" / "bad.waiaas-backup").write_bytes(b"no")
    (directory / "backups" / "notes.txt").write_bytes(b"no")
    backups, problems = list_backups(directory)
    assert [backup.name for backup in backups] == [home.by_keystore.name, home.by_password.name]
    assert [backup.mode for backup in backups] == [BackupMode.KEYSTORE, BackupMode.PASSWORD]
    assert [backup.size_bytes for backup in backups] == [
        home.by_keystore.stat().st_size,
        home.by_password.stat().st_size,
    ]
    [problem] = problems
    assert "bad.waiaas-backup" in problem
    assert list_backups(tmp_path / "nowhere") == ([], [])


def test_a_backup_is_found_by_its_path_or_its_name(home: "Home", directory: Path) -> None:
    name = Path(home.by_password.name)
    assert find_backup(directory, name) == directory / "backups" / name
    assert find_backup(directory, home.by_password) == home.by_password
    assert find_backup(directory, Path("missing")) == Path("missing")


# ── verify ─────────────────────────────────────────────────────────────────────────────────────


def test_a_verified_backup_leaves_nothing_behind(home: "Home", directory: Path, tree: Tree) -> None:
    before = tree(directory)
    verified = verify_backup(home.opened, directory=directory)
    assert verified.agents_without_key == ()
    assert verified.manifest.schema_version >= 1
    assert tree(directory) == before
    assert not list(directory.glob(".backup-work-*"))


def test_a_damaged_one_leaves_nothing_behind_either(
    home: "Home", file: Path, directory: Path
) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedBackup):
        verify_backup(reopened(home, file), directory=directory)
    assert not list(directory.glob(".backup-work-*"))


def test_it_can_be_verified_where_there_is_no_data_directory(home: "Home", tmp_path: Path) -> None:
    verify_backup(home.opened, directory=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_that_others_may_enter_gets_no_plain_copy(
    home: "Home", directory: Path
) -> None:
    directory.chmod(0o755)
    with pytest.raises(Exception, match="chmod 700"):
        verify_backup(home.opened, directory=directory)
