"""Canary secrets, and the last step of every run: they are looked for in all that it left behind.

Passwords and seeds that a test chooses begin with `MARKER`; tokens are known by their form. When
every test is over, each file that is left where a keystore was is searched for them: databases,
WALs, logs, exports, outputs. `BY_DESIGN` names the files that are such a secret. Whatever else has
one fails the run. Folders in memory go with their tests, and are searched right before.
"""

import base64
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

MARKER: Final = "canary-7f3a91"
SEED: Final = MARKER.encode() + b" seed, known to all"
"""Of an ed25519 key; whoever has its address has seen it here."""

BY_DESIGN: Final = frozenset(
    {
        "operator.cookie",
        *("password", "master", "new", "another-password-file", "waiaas-master-password"),
        *("token", "bot.token", "shopper.token", "fine", "bounded"),
        "id.json",
    }
)
"""Files that are a cookie, a password, a token or a key: tests write them, or ask for them."""

_TOKEN: Final = re.compile(rb"wai_(?:sess|op)_[A-Za-z0-9_-]{43}")
_TOKENS_BEGIN: Final = (b"wai_sess_", b"wai_op_")
_FILES_AT_ONCE: Final = 1000
"""A command line has a limit."""


class Leak(NamedTuple):
    """A secret where none belongs."""

    file: Path
    spelling: str


def _spellings() -> dict[bytes, str]:
    """Return how the marker looks, as it is and as programs write bytes down."""
    marker = MARKER.encode()
    numbers = [str(byte) for byte in marker]
    found = {
        marker: "as it is",
        marker.hex().encode(): "in hexadecimal digits",
        ", ".join(numbers).encode(): "as a list of numbers",
        ",".join(numbers).encode(): "as a list of numbers",
        _in_base58(SEED)[:20]: "in base58",
        _in_base58(SEED + bytes(32))[:14]: "in base58, with a public key behind it",
    }
    for before in range(3):
        whole = base64.b64encode(bytes(before) + marker)
        # Neither its beginning nor its end, which depend on the bytes beside it.
        found[whole[-(-8 * before // 6) : len(whole) - 4]] = "in base64"
    return found


def _in_base58(data: bytes) -> bytes:
    digits = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data), b""
    while number:
        number, digit = divmod(number, len(digits))
        text = digits[digit : digit + 1] + text
    return text


SPELLINGS: Final = _spellings()


def find_leaks(folder: Path) -> list[Leak]:
    """Return the secrets in files below *folder*, where one of its folders had a keystore."""
    files = [str(path) for path in _left_in(folder)]
    leaks = []
    for first in range(0, len(files), _FILES_AT_ONCE):
        for name in _suspected(files[first : first + _FILES_AT_ONCE]):
            content = Path(name).read_bytes()
            leaks += [Leak(Path(name), how) for each, how in SPELLINGS.items() if each in content]
            if _TOKEN.search(content):
                leaks.append(Leak(Path(name), "a token"))
    return sorted(leaks)


def require_clean(test: Path) -> None:
    """Search the folder of one test that is about to go, for secrets as they are: that is quick."""
    for path in _left_by(test):
        content = path.read_bytes()
        assert MARKER.encode() not in content, path
        has_token = any(begin in content for begin in _TOKENS_BEGIN) and _TOKEN.search(content)
        assert not has_token, path


def _left_in(folder: Path) -> Iterator[Path]:
    """Yield the files in question, test by test."""
    for test in _folders_of_tests(folder):
        yield from _left_by(test)


def _left_by(test: Path) -> Iterator[Path]:
    below = list(os.walk(test))
    if any("keystore.json" in names for _, _, names in below):
        for place, _, names in below:
            yield from filter(_is_looked_at, (Path(place, name) for name in names))


def _folders_of_tests(folder: Path) -> Iterator[Path]:
    """Yield the folder of each test, those of the workers of a run in parallel too."""
    for path in folder.iterdir():
        if path.name.startswith("popen-gw"):
            yield from _folders_of_tests(path)
        elif path.is_dir() and not path.is_symlink():
            yield path


def _is_looked_at(path: Path) -> bool:
    """Tell whether a file has content, and not that of a secret by design."""
    found = path.lstat()
    is_whole = found.st_blocks * 512 * 2 >= found.st_size  # Or nearly all of it was never written.
    return stat.S_ISREG(found.st_mode) and is_whole and path.name not in BY_DESIGN


def _suspected(files: Sequence[str]) -> list[str]:
    """Return those that have anything in them that looks like a secret; grep is fast at that."""
    patterns = b"\n".join([*SPELLINGS, *_TOKENS_BEGIN])
    look = ["grep", "--files-with-matches", "--text", "--fixed-strings", "--null", "--file=-"]
    searched = subprocess.run(
        [*look, *files],
        input=patterns,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},  # noqa: TID251 -- handed on, not read
    )
    assert searched.returncode in {0, 1}, searched.stderr
    return searched.stdout.decode(errors="surrogateescape").split("\0")[:-1]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, once no worker works any more."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]  # -- pytest has no public name for where all of them are
    leaks = find_leaks(factory.getbasetemp())
    if leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    session.config.stash[_LEAKS] = leaks


_LEAKS: Final = pytest.StashKey[list[Leak]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where secrets were found."""
    leaks = terminalreporter.config.stash.get(_LEAKS, [])
    if leaks:
        terminalreporter.section("secrets were left behind", red=True)
        for leak in leaks:
            terminalreporter.write_line(f"{leak.file}: {leak.spelling}")
