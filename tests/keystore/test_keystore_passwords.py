"""Creating and unlocking: which passwords, which errors, and what they do not give away."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import pytest

from waiaas.keystore import vault
from waiaas.keystore.errors import (
    DamagedKeystore,
    DerivationFailed,
    FileUnavailable,
    KeystoreError,
    KeystoreExists,
    KeystoreMissing,
    PasswordRefused,
    UnsupportedVersion,
    WrongPassword,
)
from waiaas.keystore.signer import create_keystore, open_keystore


@pytest.mark.parametrize("length", [0, 1, 11, 1025, 100_000])
def test_a_password_too_short_or_too_long_protects_nothing(tmp_path: Path, length: int) -> None:
    with pytest.raises(PasswordRefused, match="12 to 1024 bytes"):
        create_keystore(tmp_path / "keystore", b"x" * length)
    assert not (tmp_path / "keystore").exists()


def test_of_a_password_that_is_too_long_nothing_is_derived(home: Path) -> None:
    opened = vault.read((home / vault.FILE_NAME).read_bytes(), path=home)
    absurd = msgspec.structs.replace(opened, kdf=msgspec.structs.replace(opened.kdf, passes=0))
    assert not vault.is_password(absurd, b"x" * 1025)
    with pytest.raises(ValueError, match="passes"):  # The control: this is about to be derived.
        vault.is_password(absurd, b"x" * 1024)


@pytest.mark.parametrize("length", [12, 1024])
def test_a_password_at_the_bounds_opens_its_keystore(tmp_path: Path, length: int) -> None:
    create_keystore(tmp_path / "keystore", b"x" * length)
    open_keystore(tmp_path / "keystore", b"x" * length)
    with pytest.raises(WrongPassword):
        open_keystore(tmp_path / "keystore", b"x" * (length + 1))


def test_a_wrong_password_is_known_without_any_agent(tmp_path: Path, password: bytes) -> None:
    create_keystore(tmp_path / "keystore", password)
    assert [path.name for path in (tmp_path / "keystore").iterdir()] == ["keystore.json"]
    with pytest.raises(WrongPassword):
        open_keystore(tmp_path / "keystore", password + b"x")


def test_passwords_are_bytes_and_spellings_are_not_made_equal(home: Path, password: bytes) -> None:
    decomposed = password.replace("é".encode(), "e\u0301".encode())
    assert decomposed != password
    with pytest.raises(WrongPassword):
        open_keystore(home, decomposed)


def test_two_keystores_with_one_password_share_no_secret(tmp_path: Path, password: bytes) -> None:
    contents = []
    for name in ("one", "two"):
        create_keystore(tmp_path / name, password)
        contents.append((tmp_path / name / "keystore.json").read_text())
    one, two = (set(content.split('"')[1::2]) for content in contents)
    words = {"format", "waiaas keystore", "version", "kdf", "algorithm", "argon2id", "memory_kib"}
    words |= {"passes", "lanes", "salt", "commitment", "keystore_key", "nonce", "ciphertext"}
    assert one & two == words | {"checksum"}


@pytest.mark.parametrize("place", ["nowhere", "nowhere/deeper", "empty"])
def test_a_missing_keystore_is_said_to_be_missing(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir(mode=0o700)
    with pytest.raises(KeystoreMissing, match="no keystore"):
        open_keystore(tmp_path / place, b"irrelevant password")


def test_creating_never_overwrites_a_keystore(home: Path, password: bytes) -> None:
    before = (home / "keystore.json").read_bytes()
    with pytest.raises(KeystoreExists):
        create_keystore(home, password)
    assert (home / "keystore.json").read_bytes() == before


def test_of_several_who_create_at_once_one_does(tmp_path: Path, password: bytes) -> None:
    start = Barrier(3)

    def create(number: int) -> bytes | None:
        start.wait()
        try:
            create_keystore(tmp_path / "keystore", password + bytes([number]))
        except KeystoreExists:
            return None
        return password + bytes([number])

    with ThreadPoolExecutor(3) as pool:
        created = [made for made in pool.map(create, range(3)) if made]
    assert len(created) == 1
    open_keystore(tmp_path / "keystore", created[0])


def test_creating_refuses_a_directory_whose_agents_lost_their_keystore(
    home: Path, password: bytes
) -> None:
    (home / "keystore.json").unlink()
    with pytest.raises(KeystoreExists, match=r"restore a lost keystore\.json"):
        create_keystore(home, password)


def test_creating_needs_a_parent_directory(tmp_path: Path, password: bytes) -> None:
    with pytest.raises(FileUnavailable):
        create_keystore(tmp_path / "nowhere/keystore", password)


def test_every_error_is_of_the_family_and_has_a_remedy(home: Path) -> None:
    with pytest.raises(KeystoreError) as caught:
        open_keystore(home, b"wrong")
    assert caught.value.remedy
    assert str(caught.value) == f"{caught.value.problem} {caught.value.remedy}"
    family = (
        DamagedKeystore,
        DerivationFailed,
        KeystoreExists,
        KeystoreMissing,
        PasswordRefused,
        UnsupportedVersion,
        WrongPassword,
    )
    assert all(issubclass(member, KeystoreError) for member in family)


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from waiaas.keystore.errors import KeystoreError
from waiaas.keystore.signer import open_keystore

pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
limit = pages * resource.getpagesize() + 16 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    open_keystore(Path(sys.argv[1]), sys.stdin.buffer.read())
except KeystoreError as error:
    print(type(error).__name__)
"""
"""Opens a keystore where 16 MiB more can be had; a new process has no spare memory of its own."""


def test_a_machine_without_memory_gives_an_error_and_no_verdict_on_the_password(
    home: Path, password: bytes
) -> None:
    for attempt in (password, b"wrong password"):
        done = subprocess.run(
            [sys.executable, "-c", SHORT_OF_MEMORY, home],
            input=attempt,
            check=True,
            capture_output=True,
        )
        assert done.stdout.decode().strip() == DerivationFailed.__name__
