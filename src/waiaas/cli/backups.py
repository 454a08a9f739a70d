"""`waiaas backup`: one encrypted file with everything, and the way back.

Only `create` needs the daemon, and only while one runs; the others work on files.
"""

from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from waiaas.cli.client import Client, explained, wait_for
from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    FormOption,
    PasswordFdOption,
    PasswordFileOption,
    directory_of,
    fail,
    file_path,
    say_next,
    show,
    show_list,
    told,
)
from waiaas.cli.ending import YesOption, confirm, confirm_end
from waiaas.cli.progress import working
from waiaas.cli.secret import as_text, read_password
from waiaas.directory import BACKUPS_NAME, find_daemon, is_initialised, require_initialised
from waiaas.domain.backup import Backup, BackupMode
from waiaas.keystore.guarded import Guarded
from waiaas.system import SystemClock

if TYPE_CHECKING:
    from waiaas.backups.file import OpenedBackup
    from waiaas.backups.verify import Verified

backup_app = typer.Typer(
    help="Encrypted backups of the ledger, the keys and the settings.", no_args_is_help=True
)

CREATE_S_MAX: Final = 3600.0
"""How long the daemon may take for one: a large ledger is copied, encrypted and read back."""

RECONCILE_S_MAX: Final = 600.0
"""How long to wait for old blocks to become final: 214 of them, 90 s on a public network."""

BLOCK_S: Final = 0.4
"""How often there is a block on Solana, if no leader leaves one out."""

RECONCILE_PAUSE_S: Final = 2.0

_UNCHANGED: Final = "Nothing was changed."

_LOOK_AT_CLOCK: Final = (
    "The clock is in doubt: start, look whether it is right, and say so (`waiaas clock accept`)"
    " before you reconcile."
)

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", parser=file_path, help="A backup: a path, or a name that `list` shows."
    ),
]
BackupPasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file", parser=file_path, help="File with the backup's password (mode 0600)."
    ),
]
BackupPasswordFdOption = Annotated[
    int | None,
    typer.Option("--password-fd", help="Open file descriptor to read the backup's password from."),
]


@backup_app.command("create")
def create(
    context: typer.Context,
    *,
    keystore_key: Annotated[
        bool,
        typer.Option(
            "--keystore-key",
            help="Use the keystore's backup key, not a password: the master password opens it.",
        ),
    ] = False,
    backup_password_file: Annotated[
        Path | None,
        typer.Option(parser=file_path, help="File with the password for this backup (mode 0600)."),
    ] = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Make a backup, with a daemon or without. It is in the data directory's folder `backups`."""
    directory = directory_of(context)
    master_password = partial(read_password, file=password_file, descriptor=password_fd)

    def new_password() -> Guarded | None:
        if keystore_key:
            return None
        return read_password(
            file=backup_password_file,
            is_new=True,
            name="password for this backup",
            hint="Use --backup-password-file FILE (mode 0600), or --keystore-key.",
        )

    def ask() -> None:
        if find_daemon(directory) is None:
            from waiaas.backups.create import make_offline
            from waiaas.daemon import VERSION

            password = new_password()
            with working("making the backup") as line:
                made = make_offline(
                    directory,
                    password=password,
                    master_password=line.pausing(master_password),
                    clock=SystemClock(),
                    version=VERSION,
                )
            show(_shown(made), form=form, essential="name")
            return
        with Client.logged_in(directory, master_password) as client:
            password = new_password()
            body: dict[str, Any] = (
                {"mode": BackupMode.KEYSTORE}
                if password is None
                else {"mode": BackupMode.PASSWORD, "password": as_text(password)}
            )
            with working("making the backup"):
                made_there = client.post("/v1/admin/backups", body, seconds=CREATE_S_MAX)
            show(made_there, form=form, essential="name")

    _told(ask, interrupted="`waiaas backup list` shows whether it was made.")


@backup_app.command("list")
def show_backups(context: typer.Context, *, form: FormOption = AS_USUAL) -> None:
    """Show the backups in the data directory, newest first."""
    from waiaas.backups.create import list_backups

    directory = directory_of(context)

    def look() -> None:
        if not (directory / BACKUPS_NAME).is_dir():  # They outlive a keystore that was lost.
            require_initialised(directory)
        backups, problems = list_backups(directory)
        show_list([_shown(backup) for backup in backups], form=form, essential="name")
        for problem in problems:
            typer.echo(told(f"waiaas: {problem}"), err=True)

    explained(look)


@backup_app.command("verify")
def verify(
    context: typer.Context,
    file: FileArgument,
    *,
    password_file: BackupPasswordFileOption = None,
    password_fd: BackupPasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Decrypt a backup, check all of it, and leave nothing behind. Needs no daemon."""
    from waiaas.backups.create import find_backup
    from waiaas.backups.verify import verify_backup

    directory = directory_of(context)

    def look() -> None:
        opened = _opened(find_backup(directory, file), password_file, password_fd)
        try:
            with working("verifying"):
                verified = verify_backup(opened, directory=directory)
        finally:
            opened.close()
        facts = {"file": str(opened.path), "whole": True, **_facts(verified)}
        show(facts, form=form, essential="file")

    _told(look, interrupted=_UNCHANGED)


@backup_app.command("restore")
def restore(
    context: typer.Context,
    file: FileArgument,
    *,
    yes: YesOption = False,
    password_file: BackupPasswordFileOption = None,
    password_fd: BackupPasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Put a backup in the place of what is there. Those files are kept. No daemon may run.

    The restored ledger pays nothing until `waiaas backup reconcile` (docs/backups.md).
    """
    from waiaas.backups.create import find_backup
    from waiaas.backups.file import describe
    from waiaas.backups.restore import restore_backup

    directory = directory_of(context)

    def work() -> None:
        backup = find_backup(directory, file)
        describe(backup)  # Nobody is asked about what is no backup.
        if is_initialised(directory):
            confirm(f"What is in {directory} gives place to the backup.", yes=yes)
        opened = _opened(backup, password_file, password_fd)
        try:
            with working("restoring"):
                restored = restore_backup(opened, directory, clock=SystemClock())
        finally:
            opened.close()
        replaced = None if restored.replaced is None else str(restored.replaced)
        place = {"directory": str(directory), "replacedFiles": replaced}
        show({**place, **_facts(restored.verified)}, form=form, essential="directory")
        typer.echo("The ledger is marked as restored: it pays nothing until reconciled.", err=True)
        if restored.is_clock_in_doubt:
            typer.echo(told(_LOOK_AT_CLOCK), err=True)
        say_next(
            "waiaas start  # not while the daemon runs of which the backup is: both would pay",
            "waiaas backup reconcile  # in another terminal: what was paid since the backup?",
            form=form,
        )

    _told(work, interrupted=_UNCHANGED)


@backup_app.command("reconcile")
def reconcile(
    context: typer.Context,
    *,
    accept: Annotated[
        int | None,
        typer.Option(min=0, help="How many transactions you have seen; needed to pay again."),
    ] = None,
    without_agent: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Do not compare this agent: terminate it."),
    ] = None,
    yes: YesOption = False,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    form: FormOption = AS_USUAL,
) -> None:
    """Compare a restored ledger with the chain. It pays again then. The daemon has to run.

    Shows what was paid between backup and restore; with the right --accept the ledger pays again.
    """
    directory = directory_of(context)
    master_password = partial(read_password, file=password_file, descriptor=password_fd)
    ended = without_agent or []
    body = {"accept": accept, "withoutAgents": ended, "force": True}

    def work() -> None:
        with Client.with_cookie(directory) as local_user:
            for agent_id in ended if accept is not None and not yes else ():
                confirm_end(local_user, agent_id)
        with Client.logged_in(directory, master_password) as client:

            def compared() -> dict[str, Any] | None:
                answer = client.post("/v1/admin/reconcile", body, seconds=CREATE_S_MAX)
                if answer["blocksLeft"]:
                    typer.echo(_how_long(answer["blocksLeft"]), err=True)
                    return None
                return answer

            answer = wait_for(compared, seconds=RECONCILE_S_MAX, pause_s=RECONCILE_PAUSE_S)
        if answer is None:
            fail("the chain is too slow: nothing was decided", hint="Do it again later.")
        show(answer, form=form, essential="movementCount")
        if not answer["reconciled"]:
            if answer["unread"]:
                hint = "Nothing pays until every history was read: see `unread`."
            else:
                again = f"waiaas backup reconcile --accept {answer['movementCount']}"
                hint = f"If you have seen these: `{again}`"
            fail("the ledger still pays nothing", hint=hint)

    _told(work, interrupted="What was found is kept; do it again.")


def _how_long(blocks: int) -> str:
    seconds = ceil(blocks * BLOCK_S)
    return f"{blocks} blocks until nothing old can land any more: about {seconds} s"


def _told(work: Callable[[], None], *, interrupted: str) -> None:
    """Run *work*; who interrupts it is told what that means, by it or else by *interrupted*."""
    try:
        explained(work)
    except KeyboardInterrupt as error:
        typer.echo(told(f"waiaas: interrupted. {str(error) or interrupted}"), err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _opened(path: Path, file: Path | None, descriptor: int | None) -> "OpenedBackup":
    """Look at the backup before anybody is asked for a password."""
    from waiaas.backups.file import describe, open_backup

    mode = describe(path).mode
    name = {
        BackupMode.PASSWORD: "password of this backup",
        BackupMode.KEYSTORE: "master password of the daemon that made it",
    }[mode]
    password = read_password(file=file, descriptor=descriptor, name=name)
    with working("decrypting"):
        return open_backup(path, password)


def _shown(backup: Backup) -> dict[str, object]:
    return {
        "id": backup.id,
        "name": backup.name,
        "createdAt": backup.created_at,
        "size": backup.size_bytes,
        "mode": backup.mode,
    }


def _facts(verified: "Verified") -> dict[str, object]:
    manifest = verified.manifest
    head = manifest.audit_head
    return {
        "createdAt": manifest.created_at,
        "madeBy": manifest.program_version,
        "daemonId": manifest.daemon_id,
        "schemaVersion": manifest.schema_version,
        "auditHead": None if head is None else f"{head.sequence}:{head.hash}",
        "files": len(manifest.files),
        "agentsWithoutKey": list(verified.agents_without_key),
    }
