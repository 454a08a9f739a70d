"""What every test shares: how hard Hypothesis tries, and how long proofs count their cases.

A proof is a test that repeats one experiment with many seeds. `make prove` runs all of its cases,
`make test` a tenth, or a hundredth where that takes long: `make worlds` runs the tenth then. Each
has a budget in seconds, says how far it got, and fails below a floor. What every proof found is
printed as one table at the end of the run.
"""

import gc
import os
import random  # noqa: TID251 -- reproducible cases, not secrets
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import settings

pytest_plugins = ["tests.canaries", "tests.derivations"]

settings.register_profile("dev", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
settings.register_profile("many", settings.get_profile("dev"), max_examples=200, derandomize=True)
# `make coverage`, which CI runs beside `make test`, asks for the many by --hypothesis-profile.
settings.load_profile("ci" if os.environ.get("CI") else "dev")  # noqa: TID251 -- not a setting of ours

_SHARE: Final = 10
"""`make test` runs one case in so many."""

_COLUMNS: Final = ("proof", "cases", "of", "losses", "controls")

_PROPERTY: Final = "proof"


if "PYTEST_XDIST_WORKER" in os.environ:  # noqa: TID251 -- as above
    # Coverage measures this process by now. The hundreds that tests start go without: it takes
    # longer to start than the program, and what they alone run is 4 % of the lines.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # noqa: TID251 -- as above

# Where nothing compiled is kept, as images of containers like to have it, each of the hundreds of
# programs that tests start compiles itself first, and each worker all of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # noqa: TID251 -- as above


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect tests without collecting garbage.

    They are a million objects that stay. Looking through them again and again is half the time
    that collecting takes, and later would be at every full collection: it leaves them alone.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


TESTS: Final = Path(__file__).parent
MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- what is made in it has a private name
MEMORY_FREE_BYTES: Final = 2**30
"""A container may have little of it; then a disk serves."""

IN_MEMORY: Final = frozenset(
    {"api", "contract", "custody", "database", "keystore", "ledger", "pipeline"}
)
"""Whose files nobody takes the power from: to sync each to a real disk would only take its time.

The program itself, crashes and backups are tried on a disk.
"""


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Yield a folder of the test's own; pytest's, which is on a disk, or one in memory."""
    is_light = request.path.relative_to(TESTS).parts[0] in IN_MEMORY and MEMORY.is_dir()
    if not is_light or shutil.disk_usage(MEMORY).free < MEMORY_FREE_BYTES:
        factory = request.getfixturevalue("tmp_path_factory")
        yield factory.mktemp(re.sub(r"\W", "_", request.node.name)[:30])
        return
    from tests.canaries import require_clean  # noqa: PLC0415 -- a plugin: pytest imports it first

    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)
        require_clean(Path(folder))  # Before it goes; what stays is searched at the end.


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """Start every test with the usual umask: what the daemon sets for its process ends with it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run every case of every proof")
    parser.addoption("--tenth", action="store_true", help="run a tenth of the slowest proofs too")
    parser.addoption("--seed", type=int, default=1, help="where the cases of the proofs begin")


class Proof:
    """Counts the cases of one proof and keeps what it found for the table."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._is_full: Final = bool(request.config.getoption("--prove"))
        self._is_tenth: Final = bool(request.config.getoption("--tenth"))
        self._properties: Final = request.node.user_properties
        self._name: Final = request.node.name
        self.seed: Final = int(request.config.getoption("--seed"))
        self._done = 0
        self._wanted = 0
        self._unit = ""
        self._losses = 0
        self._controls: list[str] = []

    def cases(self, *, full: int, unit: str, budget_s: float) -> Iterator[random.Random]:
        """Yield a source of randomness for each case, until there were enough.

        Args:
            full: how many cases `make prove` runs; `make test` runs a tenth, which is the floor.
            unit: what one case is, in the plural: "images".
            budget_s: how long `make test` may take; `make prove` may take thirty times that.
        """
        wanted = full if self._is_full else max(1, full // _SHARE)
        for case in self.until(wanted, unit=unit, budget_s=budget_s):
            yield random.Random(f"{self.seed}:{case}")  # noqa: S311 -- reproducible cases
            self.count()

    def until(self, wanted: int, *, unit: str, budget_s: float) -> Iterator[int]:
        """Yield 0, 1, 2 … until `count` has reached *wanted*; one turn may count many cases."""
        self._wanted = wanted
        self._unit = unit
        deadline_s = time.monotonic() + budget_s * (30 if self._is_full else 1)
        turn = 0
        while self._done < wanted:
            if time.monotonic() > deadline_s:
                pytest.fail(f"the budget ended after {self._done} of {wanted} {unit}")
            yield turn
            turn += 1

    def wanted(self, full: int) -> int:
        """Return how many of *full* cases this run has to do."""
        return full if self._is_full else max(1, full // _SHARE)

    def wanted_of_slow(self, full: int) -> int:
        """Return the same where a tenth takes too long for `make test`, which does a hundredth."""
        wanted = self.wanted(full)
        return wanted if self._is_full or self._is_tenth else max(1, wanted // _SHARE)

    def count(self, cases: int = 1) -> None:
        """Add cases that were done."""
        self._done += cases

    def lose(self, losses: int = 1) -> None:
        """Add what was lost, doubled or missed; a proof asserts that there was none."""
        self._losses += losses

    def control(self, found: str) -> None:
        """Keep how the naive variant failed: "NORMAL lost 284 of 294"."""
        self._controls.append(found)

    def record(self) -> None:
        """Hand the row over to the table."""
        row = {
            "proof": self._name,
            "cases": f"{self._done} {self._unit}".strip(),
            "of": str(self._wanted),
            "losses": str(self._losses),
            "controls": "; ".join(self._controls) or "-",
        }
        self._properties.append((_PROPERTY, row))


@pytest.fixture(scope="session")
def unshare() -> list[str] | None:
    """Return the command that gives a program mounts of its own, or None where nobody may mount.

    Whoever skips for it says what is not covered then; `.ci/run` repeats it at its end.
    """
    for command in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        tried = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        with suppress(FileNotFoundError):
            if not subprocess.run(tried, check=False, capture_output=True).returncode:
                return command
    return None


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a ledger that nobody has used: a copy costs less than another start."""
    from waiaas.database import open_ledger  # noqa: PLC0415 -- only tests of ledgers load it

    folder = tmp_path_factory.mktemp("empty") / "ledger"
    open_ledger(folder).close()
    (folder / "ballast").unlink()  # Each takes its own.
    return folder


@pytest.fixture(scope="session")
def issue_token() -> Callable[..., bytes]:
    """Return what composes the one transaction that makes a token and gives it all to somebody.

    It is paid and signed by the keypair *issuer*; the mint's own key is *mint*. The instructions
    are solana-py's, which is not ours.
    """
    # Only tests of chains take the time to load them.
    from solders.hash import Hash  # noqa: PLC0415
    from solders.message import MessageV0  # noqa: PLC0415
    from solders.pubkey import Pubkey  # noqa: PLC0415
    from solders.system_program import CreateAccountParams, create_account  # noqa: PLC0415
    from solders.transaction import VersionedTransaction  # noqa: PLC0415
    from spl.token import instructions as spl  # noqa: PLC0415
    from spl.token import models  # noqa: PLC0415
    from spl.token.constants import TOKEN_PROGRAM_ID as TOKENS  # noqa: PLC0415

    def compose(
        issuer: Any, mint: Any, *, to: str, amount: int, decimals: int, blockhash: str
    ) -> bytes:
        payer, token, owner = issuer.pubkey(), mint.pubkey(), Pubkey.from_string(to)
        account = spl.get_associated_token_address(owner, token)
        instructions = [
            create_account(
                CreateAccountParams(
                    from_pubkey=payer, to_pubkey=token, lamports=2_000_000, space=82, owner=TOKENS
                )
            ),
            spl.initialize_mint2(
                models.InitializeMint2Params(
                    program_id=TOKENS, mint=token, decimals=decimals, mint_authority=payer
                )
            ),
            spl.create_associated_token_account(payer, owner, token),
            spl.mint_to(
                models.MintToParams(
                    program_id=TOKENS, mint=token, dest=account, mint_authority=payer, amount=amount
                )
            ),
        ]
        message = MessageV0.try_compile(payer, instructions, [], Hash.from_string(blockhash))
        return bytes(VersionedTransaction(message, [issuer, mint]))

    return compose


@pytest.fixture(scope="session")
def close_account() -> Callable[..., bytes]:
    """Return what composes the transaction by which *owner* gives up his account for a token.

    He destroys the *amount* that is in it, closes it, and keeps the SOL that it held.
    """
    from solders.hash import Hash  # noqa: PLC0415 -- as above
    from solders.message import MessageV0  # noqa: PLC0415
    from solders.pubkey import Pubkey  # noqa: PLC0415
    from solders.transaction import VersionedTransaction  # noqa: PLC0415
    from spl.token import instructions as spl  # noqa: PLC0415
    from spl.token import models  # noqa: PLC0415
    from spl.token.constants import TOKEN_PROGRAM_ID as TOKENS  # noqa: PLC0415

    def compose(owner: Any, *, token: str, amount: int, blockhash: str) -> bytes:
        wallet, mint = owner.pubkey(), Pubkey.from_string(token)
        account = spl.get_associated_token_address(wallet, mint)
        instructions = [
            spl.burn(
                models.BurnParams(
                    program_id=TOKENS, account=account, mint=mint, owner=wallet, amount=amount
                )
            ),
            spl.close_account(
                models.CloseAccountParams(
                    program_id=TOKENS, account=account, dest=wallet, owner=wallet
                )
            ),
        ]
        message = MessageV0.try_compile(wallet, instructions, [], Hash.from_string(blockhash))
        return bytes(VersionedTransaction(message, [owner]))

    return compose


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Iterator[Proof]:
    """Yield what counts the cases of this proof; mark the test with `@pytest.mark.proof`."""
    counted = Proof(request)
    yield counted
    counted.record()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what every proof found, as one table."""
    rows = [
        dict(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if not rows:
        return
    lines = [
        dict(zip(_COLUMNS, _COLUMNS, strict=True)),
        *sorted(rows, key=lambda row: row["proof"]),
    ]
    widths = {column: max(len(line[column]) for line in lines) for column in _COLUMNS}
    terminalreporter.section("proofs")
    for line in lines:
        text = "  ".join(line[column].ljust(widths[column]) for column in _COLUMNS)
        terminalreporter.write_line(text.rstrip())
