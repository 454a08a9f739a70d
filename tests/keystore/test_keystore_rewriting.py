"""A new password, or a higher cost: at every moment one of the two files is there, whole."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FrameType
from typing import Any, Final, NamedTuple

import pytest
from tests.keystore.crashing import crashes

from waiaas.domain.ids import AgentId
from waiaas.keystore import files, vault
from waiaas.keystore.errors import (
    DamagedKeystore,
    KeystoreError,
    KeystoreMissing,
    PasswordRefused,
    ReplacementUncertain,
    WrongPassword,
)
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.kdf import CURRENT, Cost
from waiaas.keystore.keystore_key import KeystoreKey
from waiaas.keystore.protection import open_file_key
from waiaas.keystore.rewriting import cost_rise, password_change
from waiaas.keystore.signer import FileKeystore, open_keystore

NEW: Final = b"another canary password"
NAME: Final = vault.FILE_NAME
FACTS: Final = b"facts of a backup"

Agents = tuple[AgentId, AgentId]


class Changed(NamedTuple):
    """The two contents of keystore.json, each proved to open with its password and no other."""

    old: bytes
    new: bytes


def contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir()}


def change(home: Path, password: bytes, new_password: bytes) -> None:
    with password_change(home, password, new_password=lambda: new_password) as rewrite:
        rewrite.carry_out()


@pytest.fixture(scope="module")
def changed(
    original: tuple[Path, Any], password: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Changed:
    home = shutil.copytree(original[0], tmp_path_factory.mktemp("changed") / "keystore")
    before = contents(home)
    change(home, password, NEW)
    after = contents(home)
    assert {name for name in before if before[name] != after[name]} == {NAME}
    assert before.keys() == after.keys(), "no other file was touched"
    for content, right, wrong in ((before, password, NEW), (after, NEW, password)):
        opened = vault.read(content[NAME], path=home)
        vault.unlock(opened, right, path=home).free()
        assert not vault.is_password(opened, wrong)
    return Changed(before[NAME], after[NAME])


@pytest.fixture
def private(home: Path, changed: Changed) -> PrivateDirectory:
    assert (home / NAME).read_bytes() == changed.old
    return PrivateDirectory(home)


def test_a_new_password_opens_the_same_keys(
    home: Path, changed: Changed, agents: Agents, addresses: dict[AgentId, str]
) -> None:
    (home / NAME).write_bytes(changed.new)
    keystore = open_keystore(home, NEW)
    assert all(keystore.holds(agent, public_key=addresses[agent]) for agent in agents)


def test_the_salt_is_fresh_even_for_the_same_password(changed: Changed, home: Path) -> None:
    old, new = (vault.read(content, path=home) for content in changed)
    assert old.kdf.salt != new.kdf.salt
    assert old.kdf.cost == new.kdf.cost == CURRENT


def test_a_backup_opens_with_the_password_that_was_right_when_it_was_made(
    home: Path, changed: Changed, keystore: FileKeystore, password: bytes, key_of_original: Guarded
) -> None:
    before = keystore.protect_file_key(bytearray(b"b" * 32), facts=FACTS)
    later = FileKeystore(
        directory=PrivateDirectory(home),
        opened=vault.read(changed.new, path=home),
        keystore_key=KeystoreKey(key_of_original),
    )
    after = later.protect_file_key(bytearray(b"a" * 32), facts=FACTS)
    assert (before.keystore, after.keystore) == changed, "each opens with one of the two"
    assert before.backup_key == after.backup_key, "sealed under the keystore key, which stays"
    assert open_file_key(before, password, facts=FACTS, path=home) == b"b" * 32
    assert open_file_key(after, NEW, facts=FACTS, path=home) == b"a" * 32


def test_a_wrong_password_changes_nothing_and_no_new_one_is_asked_for(
    home: Path, password: bytes
) -> None:
    before = contents(home)
    with (
        pytest.raises(WrongPassword),
        password_change(home, password + b"x", new_password=lambda: pytest.fail("asked")),
    ):
        pytest.fail("handed over")
    assert contents(home) == before


def test_a_new_password_that_is_too_short_is_refused(home: Path, password: bytes) -> None:
    before = contents(home)
    with pytest.raises(PasswordRefused):
        change(home, password, b"x" * 11)
    assert contents(home) == before


def test_without_a_keystore_there_is_nothing_to_change(tmp_path: Path) -> None:
    with pytest.raises(KeystoreMissing), cost_rise(tmp_path / "nowhere", NEW):
        pytest.fail("handed over")


# ── cost ───────────────────────────────────────────────────────────────────────────────────────

HIGHER: Final = Cost(CURRENT.memory_kib + 8, CURRENT.passes, CURRENT.lanes + 1)
"""What a later release might ask for."""


def test_a_cost_below_the_releases_rises_once_and_the_password_stays(
    home: Path, password: bytes
) -> None:
    for expected in (True, False):
        with cost_rise(home, password, cost=HIGHER) as rewrite:
            assert (rewrite is not None) == expected
            if rewrite is not None:
                rewrite.carry_out()
    opened = vault.read((home / NAME).read_bytes(), path=home)
    assert opened.kdf.cost == HIGHER


@pytest.mark.parametrize(
    ("asked", "risen"),
    [
        (Cost(1, 1, 1), CURRENT),
        (Cost(CURRENT.memory_kib * 2, 1, 1), CURRENT._replace(memory_kib=CURRENT.memory_kib * 2)),
        (Cost(1, 4, 1), CURRENT._replace(passes=4)),
    ],
)
def test_no_number_of_a_cost_ever_falls(changed: Changed, asked: Cost, risen: Cost) -> None:
    opened = vault.read(changed.old, path=Path(NAME))
    assert opened.kdf.raised_to(asked) == risen


def test_a_cost_that_is_high_enough_takes_no_derivation(home: Path) -> None:
    with cost_rise(home, b"not even the password") as rewrite:
        assert rewrite is None


# ── cut off ────────────────────────────────────────────────────────────────────────────────────


def accept(_content: bytes) -> None:
    """Stand for the opening of what was read back, which the tests of contents have done."""


def after_crashes(
    private: PrivateDirectory, changed: Changed, write: Callable[[], None], *, source: str
) -> list[bytes | None]:
    """Return what is under the name after a crash at each step of *write*, in *source*."""

    def begin() -> Callable[[], None]:
        private.remove_leftovers()
        (private.path / NAME).write_bytes(changed.old)
        return write

    return [private.read(NAME) for _ in crashes(begin, source=source)]


def test_a_crash_at_any_step_leaves_exactly_one_of_two_passwords_right(
    private: PrivateDirectory, changed: Changed
) -> None:
    def write() -> None:
        private.replace(NAME, changed.new, verify=accept)

    found = after_crashes(private, changed, write, source=files.__file__)
    assert set(found) == {changed.old, changed.new}
    assert found.index(changed.new) > len(found) / 2, "the old one stands until the new one does"
    assert changed.old not in found[found.index(changed.new) :]


class Failing:
    """Lets the operation of a number fail, of those that the keystore's files ask for."""

    ASKED: Final = frozenset({"open", "fstat", "fchmod", "write", "flush", "fsync", "read"})

    def __init__(self, number: int) -> None:
        self._left = number
        self.has_failed = False

    def __call__(self, running: FrameType, event: str, function: object) -> None:
        if running.f_code.co_filename != files.__file__ or event != "c_call":
            return
        assert isinstance(function, BuiltinFunctionType)
        if function.__name__ in self.ASKED | {"rename"}:
            self._left -= 1
            if not self._left:
                self.has_failed = True
                raise OSError(5, os.strerror(5))


def test_whatever_the_system_refuses_the_error_says_which_file_is_there(
    private: PrivateDirectory, changed: Changed
) -> None:
    seen = set()
    for number in range(1, 100):
        (private.path / NAME).write_bytes(changed.old)
        failing, error = Failing(number), None
        try:
            sys.setprofile(failing)
            private.replace(NAME, changed.new, verify=accept)
        except KeystoreError as caught:
            error = type(caught)
        finally:
            sys.setprofile(None)
        found = private.read(NAME)
        assert found == (changed.new if error in {None, ReplacementUncertain} else changed.old)
        assert private.names().count(NAME) == 1
        private.remove_leftovers()
        seen.add(error)
        if not failing.has_failed:
            break
    else:
        pytest.fail("it never came through")
    assert {None, ReplacementUncertain} < seen


def test_a_file_that_does_not_open_takes_nobodys_place(
    private: PrivateDirectory, changed: Changed
) -> None:
    def refuse(_content: bytes) -> None:
        raise DamagedKeystore(private.path, problem="it gives another key")

    before = contents(private.path)
    with pytest.raises(DamagedKeystore, match="another key"):
        private.replace(NAME, changed.new, verify=refuse)
    assert contents(private.path) == before


class Spoiling(PrivateDirectory):
    """A disk that gives back something else than it was given."""

    def read(self, name: str) -> bytes | None:
        found = super().read(name)
        return found and found.replace(b"a", b"b")


def test_a_file_that_does_not_read_back_takes_nobodys_place(home: Path, changed: Changed) -> None:
    before = contents(home)
    with pytest.raises(DamagedKeystore, match="does not read back"):
        Spoiling(home).replace(NAME, changed.new, verify=lambda _: pytest.fail("verified"))
    assert contents(home) == before


def test_what_is_verified_is_what_was_read_back(home: Path, changed: Changed) -> None:
    verified: list[bytes] = []
    PrivateDirectory(home).replace(NAME, changed.new, verify=verified.append)
    assert verified == [changed.new]
    assert verified[0] is not changed.new, "an object in memory is safe on no disk"


def test_control_a_file_with_another_key_is_no_rewriting(
    home: Path, password: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(home)
    wrap = vault.wrap

    def wrapping_another(_root: Guarded, password: bytes, *, cost: Cost) -> bytes:
        return wrap(Guarded.random(32), password, cost=cost)

    monkeypatch.setattr(vault, "wrap", wrapping_another)
    with pytest.raises(DamagedKeystore, match="another key"):
        change(home, password, NEW)
    assert contents(home) == before


def test_control_writing_in_place_leaves_a_file_that_no_password_opens(
    private: PrivateDirectory, changed: Changed
) -> None:
    def write() -> None:
        descriptor = os.open(private.path / NAME, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, changed.new)
        os.fsync(descriptor)
        os.close(descriptor)

    found = after_crashes(private, changed, write, source=__file__)
    assert set(found) - {changed.old, changed.new} == {b""}
