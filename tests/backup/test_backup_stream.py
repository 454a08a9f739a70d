"""The stream: what comes out is what went in, whole and in order, or nothing does."""

import io
import random  # noqa: TID251 -- reproducible cases, not secrets
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from waiaas.backups.stream import (
    CHUNK_BYTES,
    TAG_BYTES,
    OpeningReader,
    SealingWriter,
    StreamNotValid,
)

KEY = bytearray(range(32))
SEALED_BYTES = CHUNK_BYTES + TAG_BYTES


def sealed(content: bytes, *, key: bytearray = KEY, associated: bytes = b"header") -> bytes:
    file = io.BytesIO()
    writer = SealingWriter(file, key=key, associated=associated)
    source = random.Random(len(content))  # noqa: S311 -- reproducible cases
    position = 0
    while position < len(content):
        length = source.randrange(1, 2 * CHUNK_BYTES)
        writer.write(content[position : position + length])
        position += length
    writer.finish()
    return file.getvalue()


def opened(
    content: bytes, *, length: int, key: bytearray = KEY, associated: bytes = b"header"
) -> bytes:
    reader = OpeningReader(io.BytesIO(content), key=key, associated=associated)
    plain = reader.read_exactly(length)
    reader.finish()
    return plain


def naively_opened(content: bytes) -> bytes:
    """What chunks with random nonces and no place of their own would give: whatever is there."""
    cipher = AESGCM(KEY)
    size = 12 + SEALED_BYTES
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(cipher.decrypt(piece[:12], piece[12:], b"header") for piece in pieces)


def naively_sealed(content: bytes) -> bytes:
    cipher = AESGCM(KEY)
    chunks = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
    return b"".join(
        number.to_bytes(12, "big") + cipher.encrypt(number.to_bytes(12, "big"), chunk, b"header")
        for number, chunk in enumerate(chunks)
    )


def plain(length: int) -> bytes:
    return random.Random(length).randbytes(length)  # noqa: S311 -- reproducible cases


LENGTHS = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_001]


@pytest.mark.parametrize("length", LENGTHS)
def test_what_goes_in_comes_out(length: int) -> None:
    content = plain(length)
    stored = sealed(content)
    assert opened(stored, length=length) == content
    chunks = max(1, -(-length // CHUNK_BYTES))
    assert len(stored) == length + chunks * TAG_BYTES
    assert length < 32 or content[:32] not in stored


@pytest.mark.parametrize("length", LENGTHS)
def test_more_or_less_than_was_written_is_never_read(length: int) -> None:
    stored = sealed(plain(length))
    with pytest.raises(StreamNotValid, match="too early"):
        opened(stored, length=length + 1)
    if length:
        with pytest.raises(StreamNotValid, match="behind its end"):
            opened(stored, length=length - 1)


def test_every_cut_is_noticed() -> None:
    length = 3 * CHUNK_BYTES + 5
    stored = sealed(plain(length))
    borders = [SEALED_BYTES * number + off for number in range(4) for off in (-1, 0, 1)]
    for end in [*range(0, len(stored), 1000), *borders, len(stored) - 1]:
        if 0 <= end < len(stored):
            with pytest.raises(StreamNotValid):
                opened(stored[:end], length=length)


def test_chunks_are_not_moved_doubled_dropped_or_exchanged() -> None:
    length = 4 * CHUNK_BYTES
    stored, other = sealed(plain(length)), sealed(plain(length), associated=b"another header")
    chunks = [stored[start : start + SEALED_BYTES] for start in range(0, len(stored), SEALED_BYTES)]
    foreign = other[SEALED_BYTES : 2 * SEALED_BYTES]
    orders = {
        "swapped": [chunks[1], chunks[0], chunks[2], chunks[3]],
        "doubled": [chunks[0], chunks[0], *chunks[1:]],
        "dropped": [chunks[0], *chunks[2:]],
        "reversed": chunks[::-1],
        "exchanged": [chunks[0], foreign, *chunks[2:]],
        "followed": [*chunks, chunks[3]],
        "begun anew": [*chunks, *chunks],
    }
    for order in orders.values():
        with pytest.raises(StreamNotValid):
            opened(b"".join(order), length=length)
    assert opened(b"".join(chunks), length=length) == plain(length)


def test_control_sealed_chunks_without_a_place_are_moved_and_cut_unnoticed() -> None:
    content = plain(4 * CHUNK_BYTES)
    stored = naively_sealed(content)
    size = 12 + SEALED_BYTES
    assert naively_opened(stored) == content
    assert naively_opened(stored[: 2 * size]) == content[: 2 * CHUNK_BYTES]
    swapped = stored[size : 2 * size] + stored[:size] + stored[2 * size :]
    assert len(naively_opened(swapped)) == len(content)


def test_another_key_or_another_header_opens_nothing() -> None:
    stored = sealed(plain(100))
    with pytest.raises(StreamNotValid):
        opened(stored, length=100, key=bytearray(32))
    with pytest.raises(StreamNotValid):
        opened(stored, length=100, associated=b"another header")


def test_no_two_chunks_share_a_nonce() -> None:
    same = sealed(bytes(3 * CHUNK_BYTES))
    chunks = [same[start : start + SEALED_BYTES] for start in range(0, len(same), SEALED_BYTES)]
    assert all(one != another for one, another in pairwise(chunks))
