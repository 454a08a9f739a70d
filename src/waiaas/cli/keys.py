"""`waiaas key`: in, an agent with a key that was made elsewhere; out, its key in a file.

No daemon may run.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from waiaas.cli.client import explained
from waiaas.cli.context import (
    ExitCode,
    JsonOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    fail,
    file_path,
    loading,
    printable,
    show,
)
from waiaas.cli.progress import working
from waiaas.cli.secret import read_key, read_password
from waiaas.directory import require_initialised
from waiaas.domain.enums import KeyFormat, NetworkType
from waiaas.domain.profile import ProfileName
from waiaas.domain.records import AgentRecord
from waiaas.keystore.guarded import Guarded
from waiaas.system import SystemClock

key_app = typer.Typer(help="Agents' keys.", no_args_is_help=True)

_ACCOUNT_MAX = 2**31 - 1
_NAME_CHARACTERS_MAX = 100


@key_app.command("import")
def import_key(
    context: typer.Context,
    *,
    key_format: Annotated[KeyFormat, typer.Option("--format", help="How the key is written.")],
    name: Annotated[str, typer.Option(help="Of the agent, for people; need not be unique.")],
    network: Annotated[NetworkType, typer.Option(help="Of Solana.")] = NetworkType.DEVNET,
    profile: Annotated[
        ProfileName | None,
        typer.Option(help="Rules to begin with, as for `agent create`; without, none."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(parser=file_path, help="File with the key (mode 0600)."),
    ] = None,
    descriptor: Annotated[
        int | None, typer.Option("--fd", help="Open file descriptor to read the key from.")
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="The mnemonic has a passphrase: ask for it.")
    ] = False,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(parser=file_path, help="File with the mnemonic's passphrase (mode 0600)."),
    ] = None,
    account: Annotated[
        int,
        typer.Option(min=0, max=_ACCOUNT_MAX, help="Which of a mnemonic's keys: m/44'/501'/N'/0'."),
    ] = 0,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an agent with a key that was made elsewhere. No daemon may run.

    Without --file and --fd the words of a mnemonic are asked for. Whoever else has the key can
    spend its money past every limit.
    """
    directory = directory_of(context)
    if not 0 < len(name) <= _NAME_CHARACTERS_MAX or not name.isprintable():
        fail(
            f"--name takes 1 to {_NAME_CHARACTERS_MAX} visible characters and spaces",
            code=ExitCode.USAGE,
        )
    is_mnemonic = key_format is KeyFormat.MNEMONIC
    has_passphrase = passphrase or passphrase_file is not None
    if not is_mnemonic and (has_passphrase or account):
        fail("--passphrase, --passphrase-file and --account are for mnemonics", code=ExitCode.USAGE)

    def read_passphrase() -> Guarded:
        if not has_passphrase:
            return Guarded(0)
        return read_password(
            file=passphrase_file,
            confirm=True,
            name="passphrase of the mnemonic",
            hint="Use --passphrase-file FILE (mode 0600).",
        )

    def work() -> None:
        require_initialised(directory)
        with loading():
            from waiaas.custody import Written
            from waiaas.custody import import_key as make_agent

        secret = partial(
            read_key, file=file, descriptor=descriptor, name="Mnemonic" if is_mnemonic else None
        )
        password = partial(read_password, file=password_file, descriptor=password_fd)
        with working("deriving the keys") as line:
            agent = make_agent(
                directory,
                Written(key_format, line.pausing(secret), line.pausing(read_passphrase), account),
                name=name,
                network=network,
                profile=profile,
                password=line.pausing(password),
                clock=SystemClock(),
            )
        facts = {
            "id": agent.id,
            "name": agent.name,
            "chain": agent.chain,
            "network": agent.network,
            "publicKey": agent.public_key,
            "status": agent.status,
        }
        show(facts, as_json=as_json)

    explained(work)


@key_app.command("export")
def export_key(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(help="The agent's id.")],
    *,
    file: Annotated[
        Path,
        typer.Option(parser=file_path, help="New file for the key, for you alone (mode 0600)."),
    ],
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Without a question; then say where the password comes from."),
    ] = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an agent's key to a file, as solana-keygen does. No daemon may run.

    Whoever has the file spends the agent's money past every limit, for ever.
    """
    directory = directory_of(context)
    has_password = password_file is not None or password_fd is not None
    if not sys.stdin.isatty() and not (yes and has_password):
        fail(
            "there is no terminal to confirm this on",
            hint="A person does this; or say --yes and --password-file FILE.",
            code=ExitCode.USAGE,
        )

    def confirm(found: AgentRecord) -> None:
        if yes:
            return
        name = printable(found.name)
        place = printable(str(file))
        typer.echo(f"The key of agent {name} ({found.public_key}) goes to {place}.", err=True)
        if typer.prompt("Type its name to export it", err=True) not in {found.name, name}:
            fail("that is not its name: nothing was written")

    def work() -> None:
        require_initialised(directory)
        with loading():
            from waiaas.custody import export_key as write_key

        password = partial(read_password, file=password_file, descriptor=password_fd)
        with working("deriving the key") as line:
            exported = write_key(
                directory,
                agent,
                file=file,
                confirm=line.pausing(confirm),
                password=line.pausing(password),
                clock=SystemClock(),
            )
        facts = {"id": exported.id, "publicKey": exported.public_key, "file": str(file)}
        show(facts, as_json=as_json)

    explained(work)
