"""`waiaas demo`: what an agent may do, from an empty directory, with real parts.

The daemon is a process of its own, the network is a real Solana runtime, the owner's wallet a real
key, and the balances at the end are read by solana-py, which is not ours. Every step is checked;
the first one that is not as said ends the demo with exit code 1.
"""

import asyncio
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import wrap
from types import FrameType, MappingProxyType
from typing import Final, NoReturn

import typer
from nacl.signing import SigningKey

from waiaas.cli.client import Client, Json, NoAnswer, NotReachable, Refused, wait_for
from waiaas.cli.layout import list_lines
from waiaas.cli.transactions import wait_for_end
from waiaas.daemon import initialise
from waiaas.directory import DaemonError, find_daemon
from waiaas.domain.addresses import SOLANA_ADDRESS_BYTES, solana_address
from waiaas.domain.enums import ChainType
from waiaas.domain.money import NATIVE_UNITS, human_amount
from waiaas.offline import LedgerContents, read_tables, stop_localnet, verify_audit_log
from waiaas.system import generate_secret

SOL: Final = 1_000_000_000
"""Lamports in one SOL."""

PROFILE: Final = "cautious"
FUNDING: Final = 2 * SOL
SMALL: Final = SOL // 100
"""Goes out at once."""
MEDIUM: Final = SOL // 10
"""Goes out after a quarter of an hour, unless somebody calls it off."""
LARGE: Final = SOL // 2
"""Needs a person."""
TOO_MUCH: Final = 3 * SOL // 2
FEES_MAX: Final = 20_000
"""Lamports of two payments; a signature costs 5000, and its priority next to nothing."""

START_S_MAX: Final = 20.0
PAY_S_MAX: Final = 20.0
STOP_S_MAX: Final = 20.0

_WIDTH: Final = 76


class NotAsSaid(Exception):  # noqa: N818 -- what the demo is there to notice
    """A step did not do what it says."""


def first_payment() -> None:
    """Do every step in a directory of its own, and leave nothing behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # So that it cleans up behind itself.
    directory = Path(tempfile.mkdtemp(prefix="waiaas-demo-"))
    try:
        _require_solana_py()
        _tell(directory)
    except (NotAsSaid, Refused, NotReachable, NoAnswer, DaemonError) as error:
        typer.echo(f"demo failed: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        _ignore_signals()
        shutil.rmtree(directory, ignore_errors=True)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _ignore_signals() -> None:
    """Let the clean-up run to its end; it has deadlines of its own."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _tell(directory: Path) -> None:
    password = generate_secret()
    _say(1, f"A data directory: {directory} (ledger, keystore, a random master password)")
    initialise(directory, password.encode())
    wallet = SigningKey.generate()
    with _daemon(directory, password) as url:
        _say(2, f"The daemon, a process of its own, at {url}, with an embedded Solana network")
        with Client.logged_in(directory, password.encode) as operator:
            agent, token, localnet_url = _make_agent(operator)
            _register_owner(operator, agent, wallet)
        recipient = solana_address(secrets.token_bytes(SOLANA_ADDRESS_BYTES))
        with Client.to_daemon(directory, token) as client:
            hashes = [_pay(client, recipient)]
            _call_off(client, recipient)
            with Client.with_cookie(directory) as desk:
                hashes.append(_let_the_owner_decide(client, desk, recipient, wallet))
            _be_denied(client, recipient)
        _say(9, "The seven tables of the ledger, as they stand, without most of their columns")
        tables = read_tables(directory)
        for line in _table_lines(tables):
            typer.echo(f"   {line}")
        _say(10, "The balances on the chain, read by solana-py")
        _compare(tables, localnet_url, agent["publicKey"], recipient, hashes)
    _say(11, "The daemon and its network have stopped; nothing is left running")
    found = verify_audit_log(directory, anchor_file=None)
    _expect("the fault in the audit log", found.fault, None)
    _expect("whether the owner's signature is an anchor of it", found.anchors > 0, wanted=True)
    _say(
        12,
        f"The audit log's chain is whole: {found.rows} rows verified, head {found.hash}; "
        "the head that the owner signed is in it",
    )
    typer.echo('\nNext, with a wallet that stays; the README ("Use it") goes on from there:')
    for line in _first_commands(Path(sys.executable).parent):
        typer.echo(f"  {line}")


def _first_commands(program_folder: Path) -> Iterator[str]:
    """Yield what begins with the program that runs here, which a shell may not find by its name."""
    found = shutil.which("waiaas")
    if found is None or Path(found).parent != program_folder:
        yield f". {shlex.quote(str(program_folder / 'activate'))}"
    yield "waiaas init"
    yield "waiaas start --localnet"


def _make_agent(operator: Client) -> tuple[Json, str, str]:
    body = {"name": "demo agent", "network": "localnet", "profile": PROFILE}
    agent = operator.post("/v1/agents", body)
    _expect("the agent's status", agent["status"], "ACTIVE")
    funded = operator.post(f"/v1/agents/{agent['id']}/fund", {"amount": str(FUNDING)})
    _expect("its balance", funded["balance"], str(FUNDING))
    session = operator.post("/v1/sessions", {"agentId": agent["id"]})
    _say(
        3,
        f"An agent with a key of its own, {agent['publicKey']}, and {_sol(FUNDING)}. "
        f"Its rules are the profile `{PROFILE}`",
    )
    return agent, session["token"], operator.get("/v1/admin/status")["localnetUrl"]


def _register_owner(operator: Client, agent: Json, wallet: SigningKey) -> None:
    address = solana_address(bytes(wallet.verify_key))
    owner = operator.put(f"/v1/agents/{agent['id']}/owner", {"ownerAddress": address})
    _expect("the owner's state", owner["ownerState"], "GRACE")
    _say(4, f"Its owner's wallet is {address}: whoever holds that key decides on what is large")


def _ask_to_pay(client: Client, recipient: str, lamports: int) -> Json:
    body = {"to": recipient, "amount": str(lamports)}
    return client.post("/v1/transactions/send", body, key=generate_secret())


def _await_payment(client: Client, accepted: Json) -> str:
    paid = wait_for_end(client, accepted["id"], seconds=PAY_S_MAX)
    _expect("the payment's status", paid["status"], "CONFIRMED")
    return str(paid["txHash"])


def _pay(client: Client, recipient: str) -> str:
    tx_hash = _await_payment(client, _ask_to_pay(client, recipient, SMALL))
    _say(5, f"It pays {_sol(SMALL)}, at once: CONFIRMED, signature {tx_hash}")
    return tx_hash


def _call_off(client: Client, recipient: str) -> None:
    queued = _ask_to_pay(client, recipient, MEDIUM)
    _expect("where it stands", (queued["status"], queued["tier"]), ("QUEUED", "DELAY"))
    gone = client.post(f"/v1/transactions/{queued['id']}/cancel")
    _expect("where it stands", gone["status"], "CANCELLED")
    _say(
        6,
        f"It asks for {_sol(MEDIUM)}: QUEUED for a quarter of an hour. It thinks again: CANCELLED",
    )


def _let_the_owner_decide(client: Client, desk: Client, recipient: str, wallet: SigningKey) -> str:
    queued = _ask_to_pay(client, recipient, LARGE)
    _expect("where it stands", (queued["status"], queued["tier"]), ("QUEUED", "APPROVAL"))
    path = f"/v1/transactions/{queued['id']}"
    asked = desk.post(f"{path}/message", {"action": "APPROVE"})
    signature = b64encode(wallet.sign(asked["message"].encode()).signature).decode("ascii")
    client.post(f"{path}/approve", {"nonce": asked["nonce"], "signature": signature})
    tx_hash = _await_payment(client, queued)
    _say(7, f"It asks for {_sol(LARGE)}: held, until its owner has signed this:")
    typer.echo("\n".join(f"   | {line}" for line in asked["message"].splitlines()))
    typer.echo(f"   He does: CONFIRMED, signature {tx_hash}")
    return tx_hash


def _be_denied(client: Client, recipient: str) -> None:
    try:
        _ask_to_pay(client, recipient, TOO_MUCH)
    except Refused as refused:
        problem = refused.problem
    else:
        raise NotAsSaid(f"{_sol(TOO_MUCH)} were let through")
    _expect("the code", problem.get("code"), "SPENDING_LIMIT_EXCEEDED")
    _expect("the rule", problem.get("rule"), "SPENDING_LIMIT")
    _say(
        8,
        f"It asks for {_sol(TOO_MUCH)}: denied by {problem['rule']}: {problem.get('message')}. "
        f"{problem.get('hint')}",
    )


_COLUMNS: Final = MappingProxyType(
    {
        "agents": ("name", "network", "status", "public_key"),
        "sessions": ("id", "expires_at"),
        "transactions": ("id", "status", "tier", "amount"),
        "policies": ("id", "type", "enabled"),
        "pending_approvals": ("tx_id", "approved_at"),
        "audit_log": ("event_type",),
        "key_value_store": ("key",),
    }
)
"""What is shown of the tables."""

_IN_A_ROW: Final = ("audit_log", "key_value_store")
"""Their rows are short and many."""


def _table_lines(tables: LedgerContents) -> Iterator[str]:
    """Yield what is in the ledger, as lines of which none is wider than a terminal."""
    for name, (columns, rows) in tables.items():
        yield f"{name}: {len(rows)} row{'' if len(rows) == 1 else 's'}"
        shown = [{column: row[columns.index(column)] for column in _COLUMNS[name]} for row in rows]
        if name in _IN_A_ROW:
            told = ", ".join(str(each) for row in shown for each in row.values())
            yield from wrap(told, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        else:
            yield from (f"  {line}" for line in list_lines(shown, width=_WIDTH))


def _compare(
    tables: LedgerContents, url: str, agent: str, recipient: str, hashes: Sequence[str]
) -> None:
    """Hold the ledger against the chain."""
    columns, rows = tables["transactions"]
    status, amount, tx_hash = (columns.index(name) for name in ("status", "amount", "tx_hash"))
    found = sorted((str(row[status]), str(row[amount]), row[tx_hash] or "") for row in rows)
    _expect(
        "what the ledger says",
        found,
        sorted(
            [
                ("CANCELLED", str(MEDIUM), ""),
                ("CANCELLED", str(TOO_MUCH), ""),
                ("CONFIRMED", str(SMALL), hashes[0]),
                ("CONFIRMED", str(LARGE), hashes[1]),
            ]
        ),
    )
    try:
        has_recipient, has_agent, fees = asyncio.run(_ask_chain(url, recipient, agent, hashes))
    except Exception as error:  # The client is not ours, and neither are its errors.
        raise NotAsSaid(f"the chain does not tell: {error!r}") from error
    typer.echo(f"   {recipient}  {has_recipient} lamports (recipient)")
    typer.echo(f"   {agent}  {has_agent} lamports (agent), after fees of {fees}")
    _expect("the recipient's balance", has_recipient, SMALL + LARGE)
    _expect("the agent's balance", has_agent, FUNDING - SMALL - LARGE - fees)
    if not 0 < fees <= FEES_MAX:
        raise NotAsSaid(f"the fees were {fees} lamports")


def _require_solana_py() -> None:
    try:
        import solana.rpc.async_api  # noqa: F401 -- an extra of the demo alone
    except ImportError as error:
        raise NotAsSaid("solana-py is not installed: pip install 'waiaas[demo]'") from error


async def _ask_chain(
    url: str, recipient: str, agent: str, hashes: Sequence[str]
) -> tuple[int, int, int]:
    """Return both balances and the fees, as a client that is not ours reads them."""
    from solana.rpc.async_api import (
        AsyncClient,
    )  # An extra of the demo alone, as are the three below.
    from solana.rpc.commitment import Commitment
    from solders.pubkey import Pubkey
    from solders.signature import Signature

    async with AsyncClient(url, commitment=Commitment("confirmed")) as client:
        has_recipient = (await client.get_balance(Pubkey.from_string(recipient))).value
        has_agent = (await client.get_balance(Pubkey.from_string(agent))).value
        fees = 0
        for tx_hash in hashes:
            answer = await client.get_transaction(
                Signature.from_string(tx_hash),
                encoding="base64",
                max_supported_transaction_version=0,
            )
            landed = answer.value
            if landed is None or landed.transaction.meta is None:
                raise LookupError("it does not know a payment's signature")
            fees += landed.transaction.meta.fee
        return has_recipient, has_agent, fees


@contextmanager
def _daemon(directory: Path, password: str) -> Iterator[str]:
    """Run the daemon while the block runs; leave nothing behind, whatever happens."""
    command = [sys.executable, "-m", "waiaas", "--data-dir", str(directory)]
    command += ["start", "--localnet", "--port", "0", "--password-fd", "0"]
    log = directory / "daemon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own program
            command, stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:  # Then it ended, which is told below.
            process.stdin.write(password.encode())
        address = wait_for(lambda: _is_up(directory, process, log), seconds=START_S_MAX)
        if address is None:
            _fail_with_log("the daemon did not become ready", log)
        yield address
        with Client.with_cookie(directory) as client:
            client.post("/v1/admin/shutdown")
        try:
            process.wait(timeout=STOP_S_MAX)
        except subprocess.TimeoutExpired:
            _fail_with_log("the daemon does not stop", log)
        if process.returncode != 0:
            _fail_with_log(f"the daemon ended with {process.returncode}", log)
        if stop_localnet(directory):
            raise NotAsSaid("the local network was left behind")
    finally:
        _ignore_signals()
        if process.poll() is None:
            process.kill()
            process.wait()
        stop_localnet(directory)


def _is_up(directory: Path, process: "subprocess.Popen[bytes]", log: Path) -> str | None:
    if process.poll() is not None:
        _fail_with_log(f"the daemon ended with {process.returncode}", log)
    address = find_daemon(directory)
    return None if address is None else address.url


def _fail_with_log(what: str, log: Path) -> NoReturn:
    raise NotAsSaid(f"{what}; its output:\n{log.read_text(encoding='utf-8', errors='replace')}")


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise NotAsSaid(f"{what} is {found!r}, not {wanted!r}")


def _say(step: int, sentence: str) -> None:
    typer.echo(f"\n{step}. {sentence}")


def _sol(lamports: int) -> str:
    return f"{human_amount(lamports, decimals=NATIVE_UNITS[ChainType.SOLANA].decimals)} SOL"
