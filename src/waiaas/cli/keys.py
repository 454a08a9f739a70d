"""`waiaas key`: in, an agent with a key that was made elsewhere; out, its key in a file.

No daemon may run.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from waiaas.cli.agents import first_rule
from waiaas.cli.client import explained
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    fail,
    file_path,
    loading,
    say_next,
    show,
)
from waiaas.cli.ending import answer_to
from waiaas.cli.layout import printable
from waiaas.cli.progress import working
from waiaas.cli.secret import read_key, read_password
from waiaas.directory import require_initialised
from waiaas.domain.assets import networks_of
from waiaas.domain.enums import ChainType, KeyFormat, NetworkType
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
    chain: Annotated[
        ChainType | None,
        typer.Option(help="Of a mnemonic, which is for any; other formats say it themselves."),
    ] = None,
    network: Annotated[
        NetworkType,
        typer.Option(help="Of the chain; cannot be changed later. Ethereum's testnet is Sepolia."),
    ],
    address: Annotated[
        str | None,
        typer.Option(help="Which the key must have: another passphrase is another key."),
    ] = None,
    profile: Annotated[
        ProfileName | None,
        typer.Option(
            help="Rules to begin with, as for `agent create`; without, none. Of Solana only."
        ),
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
        typer.Option(
            min=0,
            max=_ACCOUNT_MAX,
            help="Which of a mnemonic's keys: m/44'/501'/N'/0', of Ethereum m/44'/60'/0'/0/N.",
        ),
    ] = 0,
    file_password_file: Annotated[
        Path | None,
        typer.Option(
            parser=file_path,
            help="File with the password of a file of Web3 Secret Storage (mode 0600).",
        ),
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
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
    if file_password_file is not None and key_format is not KeyFormat.WEB3_SECRET_STORAGE:
        fail(f"--file-password-file is for {KeyFormat.WEB3_SECRET_STORAGE}", code=ExitCode.USAGE)
    of_chain = _chain_of(key_format, chain)
    _require_network(of_chain, network)
    if profile is not None and of_chain is not ChainType.SOLANA:
        fail(
            f"no profile has rules for {of_chain}: their amounts are of SOL",
            hint="Set rules with `waiaas policy set` once something can be paid there.",
            code=ExitCode.USAGE,
        )

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
        file_password = partial(_file_password, file_password_file, is_new=False)
        password = partial(read_password, file=password_file, descriptor=password_fd)
        with working("deriving the keys") as line:
            agent = make_agent(
                directory,
                Written(
                    key_format,
                    of_chain,
                    line.pausing(secret),
                    line.pausing(file_password),
                    line.pausing(read_passphrase),
                    account,
                ),
                name=name,
                network=network,
                profile=profile,
                address=address,
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
        show(facts, form=form)
        say_next(*_after_import(agent, file, has_rules=profile is not None), form=form)

    explained(work)


def _after_import(agent: AgentRecord, file: Path | None, *, has_rules: bool) -> Iterator[str]:
    """Yield what is left to do for an agent whose key somebody else may have."""
    if file is not None:
        yield f"# destroy {file} and every copy of it: who has the key pays past every limit"
    if agent.chain is ChainType.SOLANA:
        is_local = agent.network is NetworkType.LOCALNET
        yield "waiaas start --localnet" if is_local else "waiaas start"
        if not has_rules:
            yield first_rule(agent.id)
        yield f"waiaas session create --agent {agent.id} --token-file agent.token"


def _chain_of(key_format: KeyFormat, chain: ChainType | None) -> ChainType:
    """Return whose key it is, by its format or, of a mnemonic, by the operator's word."""
    said = {
        KeyFormat.SOLANA_KEYGEN: ChainType.SOLANA,
        KeyFormat.WEB3_SECRET_STORAGE: ChainType.ETHEREUM,
        KeyFormat.MNEMONIC: chain,
    }[key_format]
    if said is None:
        fail(
            "a mnemonic does not say of which chain its keys are",
            hint=f"Say --chain {' or --chain '.join(ChainType)}.",
            code=ExitCode.USAGE,
        )
    if chain not in {None, said}:
        fail(f"{key_format} is for keys of {said}, not of {chain}", code=ExitCode.USAGE)
    return said


def _require_network(chain: ChainType, network: NetworkType) -> None:
    known = networks_of(chain)
    if network not in known:
        fail(
            f"--network is to be one of {chain}'s: {', '.join(known)}",
            hint="It cannot be changed later.",
            code=ExitCode.USAGE,
        )


def _file_password(file: Path | None, *, is_new: bool) -> Guarded:
    """Return the password of a file of Web3 Secret Storage, which is not the master password."""
    return read_password(
        file=file,
        is_new=is_new,
        name="password of the file",
        hint="Use --file-password-file FILE (mode 0600).",
        may_be_empty=not is_new,  # Somebody else chose it, then.
    )


@key_app.command("export")
def export_key(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(help="The agent's id.")],
    *,
    file: Annotated[
        Path,
        typer.Option(parser=file_path, help="New file for the key, for you alone (mode 0600)."),
    ],
    as_format: Annotated[
        KeyFormat | None,
        typer.Option(
            "--format",
            help="How it is written; without, as wallets of the agent's chain do.",
        ),
    ] = None,
    file_password_file: Annotated[
        Path | None,
        typer.Option(
            parser=file_path,
            help="File with the password for the new file of Web3 Secret Storage (mode 0600).",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Without a question; then say where the password comes from."),
    ] = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Write an agent's key to a file, as solana-keygen or geth does. No daemon may run.

    Whoever has the file spends the agent's money past every limit, for ever.
    """
    directory = directory_of(context)
    if as_format is KeyFormat.MNEMONIC:
        fail("a mnemonic cannot be had back from a key", code=ExitCode.USAGE)
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
        if answer_to("Type its name to export it") not in {found.name, name}:
            fail("that is not its name: nothing was written")

    def work() -> None:
        require_initialised(directory)
        with loading():
            from waiaas.custody import EXPORTED_AS
            from waiaas.custody import export_key as write_key

        password = partial(read_password, file=password_file, descriptor=password_fd)
        file_password = partial(_file_password, file_password_file, is_new=True)
        with working("deriving the key") as line:
            exported = write_key(
                directory,
                agent,
                file=file,
                as_format=as_format,
                confirm=line.pausing(confirm),
                password=line.pausing(password),
                file_password=line.pausing(file_password),
                clock=SystemClock(),
            )
        facts = {
            "id": exported.id,
            "publicKey": exported.public_key,
            "format": EXPORTED_AS[exported.chain],
            "file": str(file),
        }
        show(facts, form=form, essential="file")

    explained(work)
