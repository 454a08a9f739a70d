"""Encrypting a stream of any length in chunks, so that no part of it can go, move or change.

The plain bytes are cut into chunks of 64 KiB; the last one may be shorter. Each is sealed with
AES-256-GCM under a key that is used for this one stream only:

    nonce            the chunk's number from 0 (11 bytes, big-endian), then 1 for the last chunk
                     and 0 for every other (1 byte)
    associated data  the same for all: what the caller binds the stream to

On the disk stand the ciphertexts, each followed by its 16-byte tag, and nothing else. A chunk that
was moved, doubled or taken from elsewhere has another number; where the file was cut off, a chunk
is the last that was not sealed as the last one. Memory holds two chunks, however long the stream.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16


class StreamNotValid(Exception):  # noqa: N818 -- a finding, which callers turn into an error
    """What was read is not the whole of what was written, in its order."""


class SealingWriter:
    """Takes plain bytes, writes sealed chunks."""

    def __init__(self, file: BinaryIO, *, key: bytearray, associated: bytes) -> None:
        self._file = file
        self._cipher = AESGCM(key)
        self._associated = associated
        self._number = 0
        self._waiting = bytearray()

    def write(self, content: bytes) -> None:
        """Add plain bytes. A chunk is written once it is known that it is not the last."""
        self._waiting += content
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(self._waiting[:CHUNK_BYTES], is_last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(self._waiting, is_last=True)
        self._waiting.clear()

    def _seal(self, content: bytearray, *, is_last: bool) -> None:
        nonce = _nonce(self._number, is_last=is_last)
        self._file.write(self._cipher.encrypt(nonce, content, self._associated))
        self._number += 1


class OpeningReader:
    """Reads sealed chunks, gives plain bytes; not one of them before its chunk was checked."""

    def __init__(self, file: BinaryIO, *, key: bytearray, associated: bytes) -> None:
        self._chunks = _opened_chunks(file, AESGCM(key), associated)
        self._ready = bytearray()

    def read_exactly(self, length: int) -> bytes:
        """Return the next *length* bytes.

        Raises:
            StreamNotValid: there are fewer, or they are not what was written.
        """
        while len(self._ready) < length:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise StreamNotValid("it ends too early")
            self._ready += chunk
        content = bytes(self._ready[:length])
        del self._ready[:length]
        return content

    def finish(self) -> None:
        """Return if everything was read, and nothing stands behind the last chunk.

        Raises:
            StreamNotValid: otherwise.
        """
        if self._ready or next(self._chunks, b""):
            raise StreamNotValid("something stands behind its end")


def _opened_chunks(file: BinaryIO, cipher: AESGCM, associated: bytes) -> Iterator[bytes]:
    number = 0
    sealed = file.read(CHUNK_BYTES + TAG_BYTES)
    while True:
        following = file.read(CHUNK_BYTES + TAG_BYTES)
        is_last = not following
        try:
            yield cipher.decrypt(_nonce(number, is_last=is_last), sealed, associated)
        except (InvalidTag, ValueError):  # ValueError: shorter than a tag.
            where = "its end is missing or changed" if is_last else f"chunk {number} was changed"
            raise StreamNotValid(where) from None
        if is_last:
            return
        sealed = following
        number += 1


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
