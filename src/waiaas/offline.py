"""What commands do in a data directory by themselves, beside a daemon or without one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from waiaas.chains.localnet import process as localnet_process
from waiaas.database import DatabaseConnection
from waiaas.database.audit_verify import (
    audit_snapshot,
    export_lines,
    read_head,
    read_owners_acts,
    verify_audit,
)
from waiaas.database.chain import (
    Anchor,
    Fault,
    FaultKind,
    Verification,
    anchor_line,
    parse_anchors,
)
from waiaas.database.contents import TableRows, read_contents
from waiaas.database.errors import AlreadyOpen, DatabaseError
from waiaas.database.ledger import LEDGER_NAME
from waiaas.database.lock import DirectoryLock
from waiaas.directory import (
    LOCALNET_NAME,
    DaemonError,
    NotThatFile,
    may_have_localnet,
    require_initialised,
    sentence,
)
from waiaas.holder import in_use
from waiaas.inputs import read_file
from waiaas.owner_signatures import WalletSignatures

LedgerContents = dict[str, TableRows]
"""The seven tables by name."""

_ANCHOR_BYTES_MAX: Final = 64 * 1024 * 1024
"""Some 300,000 anchors."""


def verify_audit_log(directory: Path, *, anchor_file: Path | None) -> Verification:
    """Verify the audit chain: it passes through every anchor in a file, and all that owners signed.

    Like the two below it works beside a daemon and without one, and writes nothing.

    Raises:
        DaemonError: the ledger or (NotThatFile) the anchors cannot be read; that is no finding
            about the chain.
    """
    try:
        anchors = list[Anchor]()
        if anchor_file is not None:
            anchors = parse_anchors(read_file(anchor_file, bytes_max=_ANCHOR_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise NotThatFile(f"{anchor_file} cannot be used: {sentence(error)}") from error
    with _audit_snapshot(directory) as connection:
        signed, forged = list[Anchor](), None
        with suppress(DatabaseError):  # What cannot be read is found below, and named.
            signed, forged = _signed_heads(connection)
        found = verify_audit(connection, [*anchors, *signed])
    return found if found.fault is not None else replace(found, fault=forged)


class _Evidence(msgspec.Struct, rename="camel"):
    """What the row of an owner's act holds."""

    owner_address: str
    message: str
    signature: str
    anchor_sequence: int
    anchor_hash: str

    @property
    def is_genuine(self) -> bool:
        """Whether the owner signed a message that names this head."""
        named = f"- urn:waiaas:audit:{self.anchor_sequence}:{self.anchor_hash}"
        return named in self.message.splitlines() and WalletSignatures().verify(
            self.owner_address, self.message, self.signature
        )


def _signed_heads(connection: DatabaseConnection) -> tuple[list[Anchor], Fault | None]:
    """Return the heads that owners signed, and the first row whose signature is not the owner's."""
    heads: list[Anchor] = []
    for audit_id, timestamp, details in read_owners_acts(connection):
        if '"signature"' not in details:
            continue  # The operator did it.
        try:
            signed = msgspec.json.decode(details, type=_Evidence)
        except msgspec.MsgspecError:
            signed = None
        if signed is None or not signed.is_genuine:
            explanation = f"audit row {audit_id} holds a signature that is not the owner's over it"
            return heads, Fault(FaultKind.EDITED, audit_id, audit_id, explanation)
        if signed.anchor_sequence > 0:  # 0: there was no link yet.
            heads.append(
                Anchor(
                    daemon_id=None,
                    sequence=signed.anchor_sequence,
                    hash=signed.anchor_hash,
                    timestamp=timestamp,
                )
            )
    return heads, None


def export_audit_log(directory: Path) -> Iterator[bytes]:
    """Yield the audit log with its chain as lines of JSON; raise DaemonError if unreadable."""
    with _audit_snapshot(directory) as connection:
        yield from export_lines(connection)


def read_audit_head(directory: Path) -> str | None:
    """Return the newest link as a line for an anchor file, if any; DaemonError if unreadable."""
    with _audit_snapshot(directory) as connection:
        head = read_head(connection)
    return None if head is None else anchor_line(head)


@contextmanager
def _audit_snapshot(directory: Path) -> Iterator[DatabaseConnection]:
    require_initialised(directory)
    try:
        with audit_snapshot(directory / LEDGER_NAME) as connection:
            yield connection
    except DatabaseError as error:
        raise DaemonError(str(error)) from error


def stop_localnet(directory: Path) -> bool:
    """End the local network of a data directory; tell whether there was one.

    Raises:
        DaemonError: a daemon uses the directory, or the network does not end.
    """
    try:
        lock = DirectoryLock(directory)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except AlreadyOpen as error:
        raise DaemonError(
            in_use(directory)
            or f"a daemon is starting or stopping on {directory}: try again in a moment"
        ) from error
    except OSError as error:
        raise DaemonError(sentence(error)) from error
    try:
        return localnet_process.stop(directory / LOCALNET_NAME)
    except (OSError, localnet_process.LocalnetError) as error:
        raise DaemonError(sentence(error)) from error
    finally:
        lock.release()


def has_localnet(directory: Path) -> bool:
    """Tell whether a local network of a data directory lives, with a daemon or by itself."""
    try:
        return may_have_localnet(directory) and localnet_process.lives(directory / LOCALNET_NAME)
    except OSError as error:
        raise DaemonError(sentence(error)) from error


def read_tables(directory: Path) -> LedgerContents:
    """Read the seven tables as they stand, whether or not the daemon runs."""
    try:
        return read_contents(directory / LEDGER_NAME)
    except DatabaseError as error:
        raise DaemonError(str(error)) from error
