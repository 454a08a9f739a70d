"""Rewriting keystore.json: the same keystore key under a new password, or at a higher cost.

Agents' files and backup.json are sealed under the keystore key, so they stay as they are. The new
file takes the place of the old one only after it was read back from the disk and gave the same key
(`waiaas.keystore.files.PrivateDirectory.replace`). No second process may be writing here.
"""

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from waiaas.keystore import documents, kdf, vault
from waiaas.keystore.errors import DamagedKeystore, PasswordUnchanged
from waiaas.keystore.files import PrivateDirectory
from waiaas.keystore.guarded import Guarded, guarded_copy
from waiaas.keystore.keystore_key import identity_of
from waiaas.keystore.new_password import check_new_password
from waiaas.ports import KeystoreFacts


class Rewrite(NamedTuple):
    """A new keystore.json that is made and not yet written."""

    facts: KeystoreFacts
    """Of the keystore as it is."""
    sha256: str
    """Of the whole new file, in hexadecimal. It gives nothing away: the file has a fresh salt."""
    carry_out: Callable[[], None]
    """Puts it in the place of the old one.

    Raises:
        ReplacementUncertain: it is in place, and may be gone after a power cut.
        KeystoreError: it is not in place.
    """


@contextmanager
def password_change(
    directory: Path, password: Guarded | bytes, *, new_password: Callable[[], Guarded | bytes]
) -> Iterator[Rewrite]:
    """Hand over the rewriting for *new_password*, which is asked for once *password* is known.

    The cost rises to this release's, and never falls.

    Raises:
        PasswordRefused: the new password is shorter than 12 bytes or longer than 1024.
        PasswordUnchanged: it is the old one.
        WrongPassword, DamagedKeystore, KeystoreMissing, KeystoreError: as `open_keystore` does.
    """
    private, opened = vault.read_in(directory)
    with _root(opened, password, path=directory / vault.FILE_NAME) as root:
        chosen = new_password()
        check_new_password(chosen)
        _require_another(chosen, password)
        cost = opened.kdf.raised_to(kdf.CURRENT)
        yield _rewrite(private, opened, root, chosen, cost=cost)


def _require_another(chosen: Guarded | bytes, password: Guarded | bytes) -> None:
    with (
        guarded_copy(chosen) as new,
        guarded_copy(password) as old,
        new.readable() as new_view,
        old.readable() as old_view,
    ):
        if hmac.compare_digest(new_view, old_view):
            raise PasswordUnchanged


@contextmanager
def cost_rise(
    directory: Path, password: Guarded | bytes, *, cost: kdf.Cost = kdf.CURRENT
) -> Iterator[Rewrite | None]:
    """Hand over the rewriting at *cost*; None, at once, if the file's is as high.

    Raises:
        WrongPassword, DamagedKeystore, KeystoreMissing, KeystoreError: as `open_keystore` does.
    """
    private, opened = vault.read_in(directory)
    risen = opened.kdf.raised_to(cost)
    if risen == opened.kdf.cost:
        yield None
        return
    with _root(opened, password, path=directory / vault.FILE_NAME) as root:
        yield _rewrite(private, opened, root, password, cost=risen)


@contextmanager
def _root(opened: vault.Vault, password: Guarded | bytes, *, path: Path) -> Iterator[Guarded]:
    root = vault.open_root(opened, password, path=path)
    try:
        yield root
    finally:
        root.free()


def _rewrite(
    private: PrivateDirectory,
    opened: vault.Vault,
    root: Guarded,
    password: Guarded | bytes,
    *,
    cost: kdf.Cost,
) -> Rewrite:
    content = vault.wrap(root, password, cost=cost)
    path = private.path / vault.FILE_NAME

    def verify(found: bytes) -> None:
        with (
            _root(vault.read(found, path=path), password, path=path) as again,
            root.readable() as expected,
            again.readable() as actual,
        ):
            if not hmac.compare_digest(expected, actual):
                raise DamagedKeystore(path, problem="the new one would hold another key")

    def carry_out() -> None:
        private.replace(vault.FILE_NAME, content, verify=verify)

    found = KeystoreFacts(identity_of(root), sha256(documents.encode(opened)).hexdigest())
    return Rewrite(found, sha256(content).hexdigest(), carry_out)
