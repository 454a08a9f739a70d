"""`waiaas demo`: it tells the truth, notices when something is not as said, and leaves nothing."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

NO_LOCALNET = """
import sys
if "waiaas.chains.localnet" in sys.orig_argv:
    sys.exit("no network today")
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo makes its directory, so that its traces can be looked for."""
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o700)
    return folder


def test_it_does_what_it_tells_and_leaves_nothing(fresh: Any, temporary: Path) -> None:
    begun = time.monotonic()
    done = fresh.run("demo", env={"TMPDIR": str(temporary)})
    took = time.monotonic() - begun
    print(f"the demo took {took:.1f} s")  # noqa: T201 -- a figure
    assert took < 50
    assert "CONFIRMED, signature" in done.stdout
    assert "It thinks again: CANCELLED" in done.stdout
    assert "He does: CONFIRMED, signature" in done.stdout
    assert "denied by SPENDING_LIMIT" in done.stdout
    assert "510000000 lamports (recipient)" in done.stdout
    assert "The audit log's chain is whole" in done.stdout
    assert "the head that the owner signed is in it" in done.stdout
    steps = done.stdout.split("goes on from there:")[1].split("\n  ")[1:]
    assert steps[-2:] == ["waiaas init", "waiaas start --localnet\n"]
    assert fresh.processes() == {}
    assert list(temporary.iterdir()) == []


def test_without_a_client_that_is_not_ours_it_fails_at_once(fresh: Any, temporary: Path) -> None:
    stub = fresh.folder / "stub" / "solana"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise ImportError('hidden')", encoding="ascii")
    env = {"TMPDIR": str(temporary), "PYTHONPATH": str(stub.parent)}

    done = fresh.run("demo", env=env, code=1)

    assert done.stderr.startswith("demo failed: solana-py is not installed: pip install")
    assert list(temporary.iterdir()) == []


def test_a_network_that_does_not_start_fails_it_with_the_reason(
    fresh: Any, temporary: Path
) -> None:
    stub = fresh.folder / "stub"
    stub.mkdir()
    (stub / "sitecustomize.py").write_text(NO_LOCALNET, encoding="ascii")
    env = {"TMPDIR": str(temporary), "PYTHONPATH": str(stub)}

    done = fresh.run("demo", env=env, code=1)

    assert "demo failed: the daemon ended with 1" in done.stderr
    assert "the localnet did not start" in done.stderr
    assert fresh.processes() == {}
    assert list(temporary.iterdir()) == []


def test_interrupted_it_cleans_up_behind_itself(
    fresh: Any, temporary: Path, wait: Callable[..., Any]
) -> None:
    demo = fresh.spawn("demo", env={"TMPDIR": str(temporary)}, stdout=-3, stderr=-3)
    wait("the network", lambda: list(temporary.glob("*/localnet/localnet.json")))
    assert len(fresh.processes()) >= 2

    demo.send_signal(signal.SIGTERM)

    assert demo.wait(timeout=30) == 128 + signal.SIGTERM
    assert fresh.processes() == {}
    assert list(temporary.iterdir()) == []
