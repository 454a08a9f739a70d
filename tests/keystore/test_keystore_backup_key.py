"""The backup key: made once, sealed under the keystore's, and of no use with another keystore."""

import json
from pathlib import Path

import pytest

from waiaas.keystore.errors import DamagedKeystore, KeystoreLocked, WrongPassword
from waiaas.keystore.protection import open_file_key
from waiaas.keystore.signer import FileKeystore, create_keystore, open_keystore

FACTS = b"facts"


def test_it_is_made_when_first_needed_and_never_again(
    keystore: FileKeystore, home: Path, password: bytes
) -> None:
    path = home / "backup.json"
    assert not path.exists()
    first = keystore.protect_file_key(bytearray(b"a" * 32), facts=FACTS)
    content = path.read_bytes()
    second = keystore.protect_file_key(bytearray(b"b" * 32), facts=FACTS)
    assert path.read_bytes() == content == first.backup_key == second.backup_key
    assert first.keystore == (home / "keystore.json").read_bytes()
    opened = open_file_key(second, password, facts=FACTS, path=path)
    assert opened == b"b" * 32
    with pytest.raises(DamagedKeystore):
        open_file_key(second, password, facts=b"other facts", path=path)
    with pytest.raises(WrongPassword):
        open_file_key(second, password + b"!", facts=FACTS, path=path)


def test_another_keystores_or_an_edited_one_is_damaged(
    keystore: FileKeystore, home: Path, tmp_path: Path
) -> None:
    create_keystore(tmp_path / "other", b"another password")
    other = open_keystore(tmp_path / "other", b"another password")
    other.protect_file_key(bytearray(32), facts=FACTS)
    theirs = (tmp_path / "other" / "backup.json").read_bytes()
    path = home / "backup.json"
    path.touch(mode=0o600)
    edited = json.loads(theirs)
    edited["version"] = 1.0
    for content in (theirs, json.dumps(edited).encode(), b"", b"{}"):
        path.write_bytes(content)
        with pytest.raises(DamagedKeystore):
            keystore.protect_file_key(bytearray(32), facts=FACTS)
        assert path.read_bytes() == content


def test_a_locked_keystore_protects_nothing(keystore: FileKeystore, home: Path) -> None:
    keystore.lock()
    with pytest.raises(KeystoreLocked):
        keystore.protect_file_key(bytearray(32), facts=FACTS)
    assert not (home / "backup.json").exists()
