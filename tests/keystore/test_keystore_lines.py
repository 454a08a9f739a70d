"""A secret line is read whole, without its end, however it arrives."""

import os
from threading import Thread

import pytest

from waiaas.keystore.lines import LINE_BYTES_MAX, read_line


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        ([], None),
        ([b"secret"], b"secret"),
        ([b"secret\n"], b"secret"),
        ([b"secret\r\n"], b"secret"),
        ([b"se", b"cret", b"\n"], b"secret"),
        ([b"secret\r", b"\nmore"], b"secret"),
        ([b"\n"], b""),
        ([b"\r\n"], b""),
        ([b"a\rb\n"], b"a\rb"),
        ([b"x" * LINE_BYTES_MAX], b"x" * LINE_BYTES_MAX),
        ([b"x" * LINE_BYTES_MAX, b"y\n"], b"x" * LINE_BYTES_MAX),
    ],
)
def test_the_first_line_is_read(pieces: list[bytes], line: bytes | None) -> None:
    reading, writing = os.pipe()

    def write() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    writer = Thread(target=write)
    writer.start()
    found = read_line(reading)
    writer.join()
    os.close(reading)
    if line is None:
        assert found is None
    else:
        assert found is not None
        with found.readable() as view:
            assert view == line


def test_whoever_writes_a_line_need_not_close_his_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret\n")
    found = read_line(reading)
    assert found is not None
    assert len(found) == len(b"secret")
    os.close(reading)
    os.close(writing)
