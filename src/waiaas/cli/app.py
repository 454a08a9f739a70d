"""The command line: `waiaas <resource> <verb>`. Most commands ask the daemon.

What only the daemon needs is imported by the commands that run it: a client starts twice as fast.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from waiaas.cli import doctor, health, locking
from waiaas.cli.client import Client, explained, wait_for
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    code_of,
    directory_of,
    fail,
    fail_as,
    file_path,
    is_for_people,
    loading,
    show,
    tell,
    told,
)
from waiaas.cli.lazy import RESOURCES, stand_in
from waiaas.cli.pasting import say_data_dir
from waiaas.cli.program import Program, describe_in_one_line
from waiaas.cli.progress import working
from waiaas.cli.values import read_plain_values
from waiaas.directory import (
    DaemonError,
    is_initialised,
    may_have_localnet,
    require_initialised,
    watch_daemon,
)
from waiaas.hardening import harden_process
from waiaas.place import ConfigError, data_directory

STOP_S_MAX = 35.0
_LOCALNET_GOES_ON = "Its local network goes on, so that the next start finds the chain as it was."
_OF_A_WORKER = ("name", "state", "nextAt", "failures", "problem")
"""What a person is shown; a program gets all."""

_STDOUT = 1
_STDERR = 2
_FULL = Path("/dev/full")

app = typer.Typer(
    help="A wallet for AI agents, within limits you set, on a machine you control.",
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode=None,  # What would draw the help takes as long to load as all the rest.
    pretty_exceptions_enable=False,  # A traceback with local variables could show a password.
)
for _name in RESOURCES:
    app.add_typer(stand_in(_name), name=_name)


def main() -> None:
    """Run the command line."""
    _open_standard_streams()
    harden_process()
    read_plain_values()
    describe_in_one_line(os.environ)  # noqa: TID251 -- of the shell, and no setting of ours
    app()


def _open_standard_streams() -> None:
    """Have streams 0 to 2, if only to nowhere: what is opened in their place gets our output.

    A closed standard output becomes one that takes nothing, where the system has such a thing:
    whoever is shown a token there has not got it, and is told.
    """
    closed = []
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        closed.append(descriptor)
    os.close(descriptor)
    if _STDOUT in closed and _FULL.exists():
        full = os.open(_FULL, os.O_WRONLY)
        os.dup2(full, _STDOUT)
        os.close(full)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 -- to the end
    if isinstance(sys.stdout, TextIOWrapper):  # A terminal may know fewer characters than we do.
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- Typer's shape for an eager option
    if wanted:
        from importlib.metadata import version

        typer.echo(version("waiaas"))
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    *,
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIRECTORY",
            help="Where everything is kept (else WAIAAS_DATA_DIR, else ~/.waiaas).",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 -- handled by its callback
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print which version this is, and end.",
        ),
    ] = False,
) -> None:
    try:
        context.obj = data_directory(data_dir)
    except ConfigError as error:
        fail(str(error), code=ExitCode.USAGE)
    if data_dir is not None:
        assert isinstance(context.command, Program)
        commands = context.command.list_commands(context)
        context.call_on_close(say_data_dir(context.obj, commands))


@app.command()
def init(
    context: typer.Context,
    *,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Make the data directory. It gets an empty ledger, and a keystore under a new password."""
    from waiaas.cli.secret import read_password  # Guarded memory is not for `--help`.

    directory = directory_of(context)
    try:
        made = not is_initialised(directory)
        if made:
            password = read_password(file=password_file, descriptor=password_fd, is_new=True)
            with loading():
                from waiaas.daemon import initialise

            with working("deriving the key"):
                made = initialise(directory, password)
        else:
            require_initialised(directory)
    except DaemonError as error:
        fail_as(error)
    facts = {"directory": str(directory), "made": made}
    if made:
        tell(
            facts,
            f"{directory} is ready. Keep the master password: nobody can recover it.",
            "Next, to try it with play money: waiaas start --localnet",
            "      or for a real network: set the URL of a node in"
            f" {directory}/config.toml, then: waiaas start",
            "and in another terminal: waiaas agent create --name NAME --network NETWORK"
            " --profile cautious",
            form=form,
        )
    else:
        tell(
            facts,
            f"{directory} was initialised before; nothing was changed.",
            f"Next: waiaas start --localnet  # or without, if {directory}/config.toml has a node",
            form=form,
        )


@app.command()
def start(
    context: typer.Context,
    *,
    localnet: Annotated[
        bool, typer.Option(help="Bring an embedded Solana network along, with play money.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Else from config.toml; 0: any free one.")
    ] = None,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked", help="Ask for no password: nothing is signed until `waiaas unlock`."
        ),
    ] = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
) -> None:
    """Run the daemon in the foreground. It runs until `waiaas stop` or Ctrl-C."""
    from waiaas.cli.secret import read_password

    directory = directory_of(context, reads_settings=True)
    if locked and (password_file, password_fd) != (None, None):
        fail("a start that is --locked takes no password", code=ExitCode.USAGE)
    try:
        require_initialised(directory)
        with loading():
            from msgspec.structs import replace

            from waiaas.config.reading import load_config

        config = load_config(directory)
        if port is not None:
            config = replace(config, daemon=replace(config.daemon, port=port))
        password = None if locked else read_password(file=password_file, descriptor=password_fd)
    except ConfigError as error:
        fail(*error.args)
    except DaemonError as error:
        fail_as(error)
    with loading():  # Now that what can be refused without it was not.
        from waiaas.daemon import run
        from waiaas.logs import STDERR, STDOUT

    try:
        run(
            directory,
            config=config,
            password=password,
            with_localnet=localnet,
            announce=lambda address: STDOUT.msg(f"waiaas is ready at {address.url}"),
        )
        _say_what_goes_on(directory)
    except DaemonError as error:
        STDERR.msg(f"waiaas: {told(str(error))}")  # Its reader may have stopped reading.
        raise typer.Exit(code_of(error)) from error


def _say_what_goes_on(directory: Path) -> None:
    """Tell a person who ended the daemon by Ctrl-C what still runs, and how to end that as well."""
    from waiaas.logs import STDERR
    from waiaas.offline import has_localnet

    if sys.stderr.isatty() and has_localnet(directory):
        STDERR.msg(_LOCALNET_GOES_ON)
        STDERR.msg(told("To end it, and with it its chain: waiaas stop"))


@app.command()
def stop(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Stop the daemon, and the local network it brought along."""
    directory = directory_of(context)

    def localnet_lives() -> bool:
        from waiaas.offline import has_localnet

        return has_localnet(directory)

    def end_localnet() -> bool:
        from waiaas.offline import stop_localnet

        return stop_localnet(directory)

    def ask() -> None:
        with watch_daemon(directory) as has_ended:
            if has_ended():
                ended = end_localnet()
                tell(
                    {"stopped": False, "localnetStopped": ended},
                    "no daemon runs" + (", its local network was stopped" if ended else ""),
                    form=form,
                )
                return
            had_localnet = may_have_localnet(directory) and localnet_lives()
            with Client.with_cookie(directory) as client:
                client.post("/v1/admin/shutdown")
            with working("stopping"):
                is_over = wait_for(lambda: has_ended() or None, seconds=STOP_S_MAX)
            if is_over is None:
                fail("the daemon is still stopping", code=ExitCode.TIMEOUT)
            if may_have_localnet(directory):  # It was brought along by one before.
                end_localnet()
            tell(
                {"stopped": True, "localnetStopped": had_localnet},
                "stopped" + (", with its local network" if had_localnet else ""),
                form=form,
            )

    explained(ask)


@app.command()
def status(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Show what the daemon is doing."""
    directory = directory_of(context)

    def ask() -> None:
        with Client.with_cookie(directory) as client:
            socket = None if client.socket is None else str(client.socket)
            found = client.get("/v1/admin/status")
            if is_for_people(form):
                found["workers"] = [
                    {name: each[name] for name in _OF_A_WORKER} for each in found["workers"]
                ]
            show({"url": client.url, "socket": socket, **found}, form=form)

    explained(ask)


@app.command()
def demo() -> None:
    """Show a first payment, and one that is denied. Both are checked against ledger and chain."""
    with loading():
        from waiaas.cli.demo import first_payment

    first_payment()


@app.command()
def localnet(
    state: Annotated[
        Path, typer.Option(parser=file_path, help="File to say in where the network is.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535)] = 0,
    slot_ms: Annotated[int, typer.Option(min=1, help="Time between two blocks.")] = 400,
) -> None:
    """Run the embedded Solana network by itself, until Ctrl-C. Its money is worth nothing."""
    from waiaas.local_network import run_localnet

    try:
        run_localnet(state, port=port, slot_ms=slot_ms, announce=typer.echo)
    except DaemonError as error:
        fail_as(error)


# Last, for the help lists commands in this order, and begins with what one begins with.
app.command()(locking.lock)
app.command()(locking.unlock)
app.command()(doctor.doctor)
app.command()(health.health)
