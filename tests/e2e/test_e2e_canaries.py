"""The last step of every run finds a secret that was left behind, and nothing that is none."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from solders.keypair import Keypair
from tests.canaries import MARKER, SEED, find_leaks, require_clean

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "wai_sess_" + "A-_9" * 10 + "abc"
PAIR = Keypair.from_seed(SEED)
PLANTED = {
    "a password": f"… {MARKER} and more …".encode(),
    "a seed": b"\0" * 5000 + SEED + b"\0",
    "its hexadecimal digits": SEED.hex().encode(),
    "its numbers": str(list(SEED)).encode(),
    "a keypair of solana-keygen": PAIR.to_json().encode(),
    "a keypair in base58": str(PAIR).encode(),
    **{f"base64 behind {n}": base64.b64encode(b"x" * n + SEED + b"more") for n in range(3)},
    "a session's token": f'{{"token": "{TOKEN}"}}'.encode(),
    "an operator's": TOKEN.replace("sess", "op").encode(),
}
"""What would be left behind; none of it may itself be, so it is planted where no run looks."""


@pytest.mark.parametrize("secret", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("place", ["data/ledger.db-wal", "output", "data/deep/er/daemon.log"])
def test_a_planted_secret_is_found_wherever_it_lies(secret: bytes, place: str) -> None:
    with TemporaryDirectory() as name:
        base = Path(name)
        for test in (base / "popen-gw0" / "test_a0", base / "test_b0"):
            (test / "data" / "keystore").mkdir(parents=True)
            (test / "data" / "keystore" / "keystore.json").touch()
            planted = test / place
            planted.parent.mkdir(parents=True, exist_ok=True)
            planted.write_bytes(secret)
        found = find_leaks(base)
    assert {leak.file for leak in found} == {
        base / "popen-gw0" / "test_a0" / place,
        base / "test_b0" / place,
    }


@pytest.mark.parametrize("what", ["a password", "a seed", "a session's token", "an operator's"])
def test_a_folder_that_goes_with_its_test_is_searched_before(what: str) -> None:
    with TemporaryDirectory() as name:
        test = Path(name)
        (test / "keystore.json").touch()
        require_clean(test)
        (test / "ledger.db-wal").write_bytes(PLANTED[what])
        with pytest.raises(AssertionError, match=r"ledger\.db-wal"):
            require_clean(test)


def test_nothing_is_found_where_nothing_is_or_where_it_belongs() -> None:
    with TemporaryDirectory() as name:
        test = Path(name) / "test_a0"
        (test / "keystore").mkdir(parents=True)
        (test / "keystore" / "keystore.json").write_bytes(b"wai_sess_short canary-")
        (test / "password").write_text(MARKER, encoding="ascii")
        os.mkfifo(test / "pipe")
        assert find_leaks(Path(name)) == []


LEAKS = f"""
from pathlib import Path
def test_that_passes(tmp_path):
    (tmp_path / "keystore.json").touch()
    (tmp_path / "output").write_text({MARKER!r})
"""


def test_a_run_that_leaves_a_secret_behind_fails() -> None:
    with TemporaryDirectory() as name:
        case = Path(name) / "test_case.py"
        case.write_text(LEAKS, encoding="ascii")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "tests.canaries", "-c", os.devnull),
                *("--basetemp", str(Path(name) / "base"), str(case)),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # noqa: TID251 -- handed on, not read
            capture_output=True,
            text=True,
            check=False,
        )
    assert "1 passed" in done.stdout
    assert "output: as it is" in done.stdout
    assert done.returncode == 1
