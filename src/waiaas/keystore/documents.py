"""Reading and writing the keystore's JSON: one value has one spelling.

The spelling is UTF-8 JSON, indented by two spaces, fields in the order of the format, bytes in
base64 (RFC 4648 section 4, padded), one newline at the end. A reader writes what it understood
back and compares: whatever it would spell differently (a field twice, another order, a space, a
number with a point, an escape) is refused, so two programs cannot read two things in one file.
"""

import re
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from waiaas.keystore.errors import DamagedKeystore, UnsupportedVersion

Document = TypeVar("Document", bound=msgspec.Struct)

_PLACE: Final = re.compile(r" - at `(\$(?:\.[a-z_]+)+)`$")
"""How msgspec ends a message: with the path of the field it is about, in our field names."""


class _Versioned(msgspec.Struct):
    """What every version of every format has in common."""

    version: int


def encode(document: msgspec.Struct) -> bytes:
    """Return the one spelling of *document*."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode(content: bytes, *, into: type[Document], version: int, path: Path) -> Document:
    """Return what *content* says, if it is the one spelling of an *into*.

    Raises:
        UnsupportedVersion: the file says it has another version.
        DamagedKeystore: it is not such a document. The message may name a place in the file but
            never repeats its content.
    """
    found = _decode(content, into=_Versioned, path=path).version
    if found != version:
        raise UnsupportedVersion(path, found=found, known=version)
    document = _decode(content, into=into, path=path)
    if encode(document) != content:
        raise DamagedKeystore(
            path, problem="it is not spelled as this program writes it (a field twice, moved, ...)"
        )
    return document


def _decode(content: bytes, *, into: type[Document], path: Path) -> Document:
    try:
        return msgspec.json.decode(content, type=into)
    except msgspec.ValidationError as error:
        # What msgspec says before the place may quote the file, so it is left out.
        place = _PLACE.search(str(error))
        problem = (
            f"at {place[1] if place else 'its top level'}, something is missing, unknown, or not"
            " what the format says"
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = "it is not JSON"
    # Raised here, outside the handlers: msgspec's own error may quote the file.
    raise DamagedKeystore(path, problem=problem)
