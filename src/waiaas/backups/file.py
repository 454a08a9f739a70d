"""The backup file, format version 1: what stands where. docs/backups.md describes it in full.

16 bytes    "waiaas-backup", CR, LF, 0x1A
 4 bytes    length of the header, big-endian
 n bytes    the header: JSON, spelled as `waiaas.keystore.documents` says
32 bytes    SHA-256 of everything before: tells damage from a wrong password, protects nothing
the rest    a stream (`waiaas.backups.stream`), bound to that SHA-256, of:
              4 bytes    length of the manifest, big-endian
              n bytes    the manifest: JSON
              the content of each file, in the manifest's order, nothing between
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import msgspec

from waiaas.backups.disk import new_file
from waiaas.backups.errors import DamagedBackup, NotABackup, OtherVersion, WrongBackupPassword
from waiaas.backups.stream import OpeningReader, SealingWriter, StreamNotValid
from waiaas.directory import KEYSTORE_NAME, LEDGER_FILE
from waiaas.domain.backup import Backup, BackupMode
from waiaas.keystore import documents
from waiaas.keystore.errors import DamagedKeystore, UnsupportedVersion, WrongPassword
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.protection import Protection, UnderPassword, open_file_key
from waiaas.keystore.sealed_files import SEALED_BYTES_MAX, VAULT_NAME, is_sealed_file_name
from waiaas.keystore.sealing import frame
from waiaas.keystore.secrecy import SecretHolder, wipe

VERSION: Final = 1
SUFFIX: Final = ".waiaas-backup"

CONFIG_FILE: Final = "config.toml"
VAULT_FILE: Final = f"{KEYSTORE_NAME}/{VAULT_NAME}"

_MAGIC: Final = b"waiaas-backup\r\n\x1a"
_LENGTH_BYTES: Final = 4
_DIGEST_BYTES: Final = 32
_HEADER_BYTES_MAX: Final = 4 * SEALED_BYTES_MAX
_MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_SHA256: Final = r"^[0-9a-f]{64}$"
_ID: Final = r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"
_KEYSTORE_PREFIX: Final = f"{KEYSTORE_NAME}/"


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What anybody may read of a backup."""

    format: Literal["waiaas backup"]
    version: Literal[1]
    id: Annotated[str, msgspec.Meta(pattern=_ID)]
    created_at: Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]
    protection: Protection

    @property
    def mode(self) -> BackupMode:
        """What opens the backup."""
        is_password = isinstance(self.protection, UnderPassword)
        return BackupMode.PASSWORD if is_password else BackupMode.KEYSTORE


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=_SHA256)]


class AuditHeadEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest link of the audit chain in the ledger copy."""

    sequence: int
    hash: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a backup."""

    format: Literal["waiaas backup manifest"]
    version: Literal[1]
    program_version: str
    daemon_id: str | None
    schema_version: int
    created_at: int
    audit_head: AuditHeadEntry | None
    files: list[FileEntry]


Content = bytes | Path
"""A file's bytes, or where it lies; it must not change while it is read."""

GoOn = Callable[[], None]
"""Called before each piece of a long work; raises if that is to end."""


def to_the_end() -> None:
    """Go on, whatever happens."""


def key_facts(*, backup_id: str, created_at: int, mode: BackupMode) -> bytes:
    """Return what the sealed file key of a backup is bound to."""
    return frame("waiaas backup file key", VERSION, backup_id, created_at, mode)


# ── writing ────────────────────────────────────────────────────────────────────────────────────


def entry_of(name: str, content: Content, *, go_on: GoOn = to_the_end) -> FileEntry:
    """Return the manifest's entry for a file."""
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(content, go_on):
        digest.update(piece)
        size += len(piece)
    return FileEntry(name, size, digest.hexdigest())


def write_backup(
    file: BinaryIO,
    *,
    header: Header,
    manifest: Manifest,
    contents: Mapping[str, Content],
    file_key: bytearray,
    go_on: GoOn = to_the_end,
) -> None:
    """Write a whole backup; *contents* are the files of the manifest by name."""
    encoded = documents.encode(header)
    assert len(encoded) <= _HEADER_BYTES_MAX, "no keystore.json is that long"
    beginning = _MAGIC + len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded
    digest = hashlib.sha256(beginning).digest()
    file.write(beginning + digest)
    writer = SealingWriter(file, key=file_key, associated=digest)
    listed = documents.encode(manifest)
    writer.write(len(listed).to_bytes(_LENGTH_BYTES, "big") + listed)
    for entry in manifest.files:
        for piece in _pieces(contents[entry.name], go_on):
            writer.write(piece)
    writer.finish()


def _pieces(content: Content, go_on: GoOn) -> Iterator[bytes]:
    go_on()
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
            go_on()


# ── reading ────────────────────────────────────────────────────────────────────────────────────


def describe(path: Path) -> Backup:
    """Return what the header of a backup says; needs no password.

    Raises:
        BackupError: it is no backup, its header is damaged, or it cannot be read.
    """
    with _opened(path) as file:
        header, _ = _read_header(file, path)
        size_bytes = os.fstat(file.fileno()).st_size
    return Backup(header.id, path.name, header.created_at, size_bytes, header.mode)


def open_backup(path: Path, password: Guarded | bytes) -> "OpenedBackup":
    """Unlock a backup; takes one key derivation.

    Args:
        path: of the file.
        password: the backup's own, or in mode `keystore` the master password of the keystore that
            made it.

    Raises:
        NotABackup, DamagedBackup, OtherVersion: as their names say.
        WrongBackupPassword: the header is whole, and the password is another.
    """
    with _opened(path) as file:
        header, digest = _read_header(file, path)
        offset = file.tell()
    facts = key_facts(backup_id=header.id, created_at=header.created_at, mode=header.mode)
    try:
        file_key = open_file_key(header.protection, password, facts=facts, path=path)
    except WrongPassword:
        whose = {
            BackupMode.PASSWORD: "the password that was chosen when it was made",
            BackupMode.KEYSTORE: "the master password of the daemon that made it, as it was then",
        }[header.mode]
        raise WrongBackupPassword(path, whose=whose) from None
    except DamagedKeystore as error:
        raise DamagedBackup(path, problem=error.problem.rstrip(".")) from None
    except UnsupportedVersion as error:
        raise OtherVersion(path, problem=error.problem.rstrip(".")) from None
    return OpenedBackup(path, header, file_key, digest=digest, offset=offset)


def open_with_key(path: Path, file_key: bytearray) -> "OpenedBackup":
    """Open a backup whose file key is at hand, as when it was written just now."""
    with _opened(path) as file:
        header, digest = _read_header(file, path)
        return OpenedBackup(path, header, file_key, digest=digest, offset=file.tell())


class OpenedBackup(SecretHolder):
    """A backup and the key to it; `close` forgets the key."""

    def __init__(
        self, path: Path, header: Header, file_key: bytearray, *, digest: bytes, offset: int
    ) -> None:
        self.path = path
        self.header = header
        self._file_key = file_key
        self._digest = digest
        self._offset = offset

    def close(self) -> None:
        """Overwrite the key."""
        wipe(self._file_key)

    def extract(self, folder: Path | None, *, go_on: GoOn = to_the_end) -> Manifest:
        """Read every byte and check it; with a *folder*, write the files there, durably.

        Args:
            folder: an empty one that only its owner may enter. Its own name is not synced.
            go_on: called before each piece; what it raises ends the work.

        Raises:
            DamagedBackup: some of it is not what was written. What was extracted is to be removed.
            OSError: a file cannot be written.
        """
        with _opened(self.path) as file:
            file.seek(self._offset)
            reader = OpeningReader(file, key=self._file_key, associated=self._digest)
            try:
                manifest = self._read_manifest(reader)
                if folder is not None:
                    (folder / KEYSTORE_NAME).mkdir(mode=0o700)
                for entry in manifest.files:
                    self._extract_file(reader, entry, folder, go_on)
                reader.finish()
            except StreamNotValid as error:
                raise DamagedBackup(self.path, problem=str(error)) from None
        return manifest

    def _read_manifest(self, reader: OpeningReader) -> Manifest:
        length = int.from_bytes(reader.read_exactly(_LENGTH_BYTES), "big")
        if length > _MANIFEST_BYTES_MAX:
            raise DamagedBackup(self.path, problem="its manifest is longer than any")
        content = reader.read_exactly(length)
        try:
            manifest = documents.decode(content, into=Manifest, version=VERSION, path=self.path)
        except (DamagedKeystore, UnsupportedVersion) as error:
            raise DamagedBackup(self.path, problem=error.problem.rstrip(".")) from None
        names = [entry.name for entry in manifest.files]
        if len(set(names)) < len(names) or not {LEDGER_FILE, VAULT_FILE} <= set(names):
            raise DamagedBackup(self.path, problem="a file is missing in it, or there twice")
        for name in names:
            if not _is_file_of_backup(name):
                raise DamagedBackup(self.path, problem="a file in it belongs to no backup")
        return manifest

    def _extract_file(
        self, reader: OpeningReader, entry: FileEntry, folder: Path | None, go_on: GoOn
    ) -> None:
        target: AbstractContextManager[BinaryIO | None] = nullcontext()
        if folder is not None:
            target = new_file(folder / entry.name)
        digest, left = hashlib.sha256(), entry.size
        with target as file:
            while left:
                go_on()
                piece = reader.read_exactly(min(left, _PIECE_BYTES))
                digest.update(piece)
                left -= len(piece)
                if file is not None:
                    file.write(piece)
        if digest.hexdigest() != entry.sha256:
            raise DamagedBackup(self.path, problem=f"{entry.name} is not what was saved")


def _is_file_of_backup(name: str) -> bool:
    """Tell whether a backup may hold a file of this name; nothing else is ever written."""
    if name in {LEDGER_FILE, CONFIG_FILE}:
        return True
    return name.startswith(_KEYSTORE_PREFIX) and is_sealed_file_name(
        name.removeprefix(_KEYSTORE_PREFIX)
    )


def _opened(path: Path) -> BinaryIO:
    """Open a file that must be an ordinary one.

    Raises:
        NotABackup: it is a link, a folder, or cannot be read at all.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        problem = "it is a symbolic link" if path.is_symlink() else f"{error.strerror}"
        raise NotABackup(path, problem=problem) from error
    file = os.fdopen(descriptor, "rb") if _is_ordinary(descriptor) else None
    if file is None:
        os.close(descriptor)
        raise NotABackup(path, problem="it is no ordinary file")
    return file


def _is_ordinary(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _read_header(file: BinaryIO, path: Path) -> tuple[Header, bytes]:
    """Return the header and the digest of everything up to its end."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise NotABackup(path, problem="it does not begin like one")
    length = file.read(_LENGTH_BYTES)
    header_bytes = int.from_bytes(length, "big")
    if header_bytes > _HEADER_BYTES_MAX:
        raise DamagedBackup(path, problem="its header is longer than any")
    encoded = file.read(header_bytes)
    digest = hashlib.sha256(_MAGIC + length + encoded).digest()
    if file.read(_DIGEST_BYTES) != digest:
        raise DamagedBackup(path, problem="its header is cut off or changed")
    try:
        header = documents.decode(encoded, into=Header, version=VERSION, path=path)
    except DamagedKeystore as error:
        raise DamagedBackup(path, problem=error.problem.rstrip(".")) from None
    except UnsupportedVersion as error:
        raise OtherVersion(path, problem=error.problem.rstrip(".")) from None
    return header, digest
