"""`waiaas tx`: pay as an agent does, with a session token; look at payments as the operator."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode

import typer

from waiaas.cli.client import (
    Client,
    Json,
    NoAnswer,
    NotReachable,
    explained,
    segment,
    wait_for,
)
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    Form,
    FormOption,
    TokenFileOption,
    directory_of,
    fail,
    file_path,
    say_next,
    show,
    show_list,
)
from waiaas.cli.progress import working
from waiaas.cli.secret import read_token
from waiaas.cli.waiting import LIVE, next_steps
from waiaas.domain.enums import TransactionStatus
from waiaas.inputs import read_json
from waiaas.system import generate_secret

tx_app = typer.Typer(
    help="Payments: ask for them, look at them, call them off.", no_args_is_help=True
)

_COLUMNS: Final = ("id", "status", "tier", "type", "amount", "toAddress", "error")
"""What of each a person is shown in a list; a program gets all."""

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

ToOption = Annotated[str | None, typer.Option(help="The recipient's address.")]
AmountOption = Annotated[str | None, typer.Option(help="Base units (1 SOL = 1000000000 lamports).")]
TokenOption = Annotated[
    str | None,
    typer.Option(
        help="A token's mint by its address, or its CAIP-19 asset type; without it, SOL is paid."
    ),
]
RequestOption = Annotated[
    Path | None,
    typer.Option(
        parser=file_path, help="A file with a request of any kind as JSON, in place of the three."
    ),
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(help="What it is for, e.g. an invoice's number: one thing is paid once."),
]


@tx_app.command("send")
def send(
    context: typer.Context,
    *,
    token_file: TokenFileOption,
    to: ToOption = None,
    amount: AmountOption = None,
    token: TokenOption = None,
    request: RequestOption = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Repeat it to ask again about the same payment; else a new one."),
    ] = None,
    reference: ReferenceOption = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end.")] = 0,
    form: FormOption = AS_USUAL,
) -> None:
    """Ask for a payment, or with --request for anything."""
    session_token = read_token(token_file)
    asked = wanted(to, amount, token, request, reference)
    key = key_of(idempotency_key)

    def ask() -> None:
        with _interrupts(), Client.to_daemon(directory_of(context), session_token) as client:
            accepted = _ask_for(client, asked, key=key)
            if wait and accepted["status"] == TransactionStatus.QUEUED:
                say_next(*next_steps(accepted), form=form)  # At once: somebody may shorten it.
            seen = _wait_for(client, accepted, seconds=wait) if wait else accepted
            show(seen, form=form)
            if not wait:
                say_next(*next_steps(accepted), form=form)
            elif seen.get("status") in LIVE:
                hint = _where_to_look(accepted)
                fail("the payment has not ended yet", hint=hint, code=ExitCode.TIMEOUT)
            if wait and seen.get("status") != "CONFIRMED":
                raise typer.Exit(ExitCode.ERROR)

    explained(ask)


def key_of(option: str | None) -> str:
    """Return the Idempotency-Key that somebody gave, or a new one."""
    key = generate_secret() if option is None else option
    if not _KEY.fullmatch(key):
        fail("--idempotency-key is 1 to 255 visible ASCII characters", code=ExitCode.USAGE)
    return key


def wanted(
    to: str | None,
    amount: str | None,
    token: str | None,
    request: Path | None,
    reference: str | None,
) -> Json:
    """Return what the options ask for; whether it is a request, the daemon says."""
    asked = _asked(to, amount, token, request)
    return asked if reference is None else {**asked, "reference": reference}


def _asked(to: str | None, amount: str | None, token: str | None, request: Path | None) -> Json:
    if request is not None:
        if (to, amount, token) != (None, None, None):
            fail("--request stands in place of --to, --amount and --token", code=ExitCode.USAGE)
        return _read_request(request)
    if to is None or amount is None:
        fail("give --to and --amount, or --request", code=ExitCode.USAGE)
    payment: Json = {"to": to, "amount": amount}
    if token is not None:
        name = "assetId" if "/" in token else "address"
        payment |= {"type": "TOKEN_TRANSFER", "token": {name: token}}
    return payment


def _read_request(path: Path) -> Json:
    try:
        wanted = read_json(path)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror or error}", code=ExitCode.USAGE)
    except ValueError as error:
        fail(f"{path}: {error}", code=ExitCode.USAGE)
    if not isinstance(wanted, dict):
        fail(f"{path} holds no JSON object", code=ExitCode.USAGE)
    return wanted


@contextmanager
def _interrupts() -> Iterator[None]:
    """Take being told to end for Ctrl-C, which is answered with what is known of the payment."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _ask_for(client: Client, payment: Json, *, key: str) -> Json:
    """Ask; where it stays unknown whether the payment was accepted, say how to find out."""
    try:
        return client.post("/v1/transactions/send", payment, key=key)
    except (NoAnswer, KeyboardInterrupt) as error:
        fail(
            f"it is not known whether the payment was accepted: {_told(error)}",
            hint=f"Ask again with --idempotency-key {key}; it will not be paid twice.",
            code=ExitCode.TIMEOUT,
        )


def _wait_for(client: Client, accepted: Json, *, seconds: float) -> Json:
    try:
        with working("waiting for its end"):
            return wait_for_end(client, accepted["id"], seconds=seconds)
    except (NoAnswer, NotReachable, KeyboardInterrupt) as error:
        fail(
            f"payment {accepted['id']} was accepted, but then: {_told(error)}",
            hint=_where_to_look(accepted),
            code=ExitCode.TIMEOUT,
        )


def _told(error: BaseException) -> str:
    return "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error)


def _where_to_look(accepted: Json) -> str:
    return f"See what became of it with `waiaas tx show {accepted['id']}`."


@tx_app.command("simulate")
def simulate(
    context: typer.Context,
    *,
    token_file: TokenFileOption,
    to: ToOption = None,
    amount: AmountOption = None,
    token: TokenOption = None,
    request: RequestOption = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="As it would be given to `tx send`; else a new one.")
    ] = None,
    reference: ReferenceOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Ask what `tx send` would get now, and why. Nothing is sent, written or set aside."""
    session_token = read_token(token_file)
    asked = wanted(to, amount, token, request, reference)
    key = key_of(idempotency_key)

    def ask() -> None:
        with Client.to_daemon(directory_of(context), session_token) as client:
            show_verdict(client.post("/v1/transactions/simulate", asked, key=key), form=form)

    explained(ask)


def show_verdict(found: Json, *, form: Form) -> None:
    """Print what a request would get; quietly, its tier or the code of its denial."""
    if form is Form.QUIET and found["denial"] is not None:
        show(found["denial"], form=form, essential="code")
    else:
        show(found, form=form, essential="tier")


@tx_app.command("show")
def show_transaction(
    context: typer.Context,
    *,
    transaction: Annotated[str, typer.Argument(help="The transaction's id.")],
    token_file: Annotated[
        Path | None,
        typer.Option(
            parser=file_path,
            help="The agent's session token; without it you look as the operator.",
        ),
    ] = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Show how a payment stands."""
    token = None if token_file is None else read_token(token_file)

    def ask() -> None:
        client, root = _as_agent_or_operator(directory_of(context), token)
        with client:
            show(client.get(f"{root}/{segment(transaction)}"), form=form)

    explained(ask)


@tx_app.command("list")
def list_transactions(
    context: typer.Context,
    *,
    agent: Annotated[str | None, typer.Option(help="Of this agent; without it, of all.")] = None,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="Those before this one: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most.")] = 20,
    form: FormOption = AS_USUAL,
) -> None:
    """Show payments as the operator, the newest first."""
    directory = directory_of(context)
    asked = {"agentId": agent, "before": before, "limit": limit}
    query = urlencode({name: value for name, value in asked.items() if value is not None})

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            items = client.get(f"/v1/admin/transactions?{query}")["items"]
        show_list(items, form=form, columns=_COLUMNS)

    explained(ask)


@tx_app.command("cancel")
def cancel(
    context: typer.Context,
    *,
    transaction: Annotated[str, typer.Argument(help="The transaction's id.")],
    token_file: Annotated[
        Path | None,
        typer.Option(
            parser=file_path,
            help="The agent's session token; without it you cancel as the operator.",
        ),
    ] = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Call a payment off, as long as nothing of it was signed."""
    token = None if token_file is None else read_token(token_file)
    directory = directory_of(context)

    def ask() -> None:
        client, root = _as_agent_or_operator(directory, token)
        with client:
            show(client.post(f"{root}/{segment(transaction)}/cancel"), form=form)

    explained(ask)


def _as_agent_or_operator(directory: Path, token: str | None) -> tuple[Client, str]:
    """Return a client, and where the transactions are that it may see."""
    if token is None:
        return Client.with_cookie(directory), "/v1/admin/transactions"
    return Client.to_daemon(directory, token), "/v1/transactions"


def wait_for_end(client: Client, tx_id: str, *, seconds: float) -> Json:
    """Return the transaction once it has ended, or as it stands after *seconds*."""

    def look() -> Json | None:
        seen = client.get(f"/v1/transactions/{tx_id}")
        return None if seen["status"] in LIVE else seen

    return wait_for(look, seconds=seconds) or client.get(f"/v1/transactions/{tx_id}")
