"""A resource's commands are imported when one of them is asked for: the others cost no time.

The help of the program lists the resources with these sentences, and so imports none of them.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from waiaas.cli.context import loading
from waiaas.cli.metavars import name_values


class Resource(NamedTuple):
    """Where the commands of a resource are, and what its help says."""

    module: str
    application: str
    help: str


RESOURCES: Final[Mapping[str, Resource]] = MappingProxyType(
    {
        # Of these two, `stopping` has the verbs that stop.
        "agent": Resource("stopping", "agent_app", "Agents and their wallets."),
        "session": Resource("stopping", "session_app", "An agent's permission to ask."),
        "policy": Resource("policies", "policy_app", "What agents may do."),
        "tx": Resource(
            "transactions", "tx_app", "Payments: ask for them, look at them, call them off."
        ),
        "approval": Resource("approvals", "approval_app", "Payments that wait for a person."),
        "notification": Resource("notifications", "notification_app", "What owners are told."),
        "kill-switch": Resource("stopping", "kill_switch_app", "Stop everything, now."),
        "clock": Resource("clock", "clock_app", "Is the machine's clock believed?"),
        "owner": Resource("owners", "owner_app", "Whose wallet approves."),
        "audit": Resource("audit", "audit_app", "The audit log and its chain of hashes."),
        "backup": Resource(
            "backups", "backup_app", "Encrypted backups of the ledger, the keys and the settings."
        ),
        "config": Resource(
            "config", "config_app", "The settings: what holds, and where it was said."
        ),
        "key": Resource("keys", "key_app", "Agents' keys."),
        "password": Resource("passwords", "password_app", "The master password."),
    }
)


def load(name: str) -> typer.Typer:
    """Import the commands of a resource."""
    resource = RESOURCES[name]
    with loading():
        module = import_module(f"waiaas.cli.{resource.module}")
    loaded = getattr(module, resource.application)
    assert isinstance(loaded, typer.Typer)
    return loaded


def stand_in(name: str) -> typer.Typer:
    """Return what stands for a resource until it is asked for a command."""

    class Unloaded(TyperGroup):
        """Has the resource's commands once somebody asks for them."""

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 -- Typer's own classes are not public
            self._load()
            return super().list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 -- as above
            self._load()
            return super().get_command(ctx, cmd_name)

        def _load(self) -> None:
            if not self.commands:
                # Below this one, so that their help is plain text as well.
                program = typer.Typer(rich_markup_mode=None)
                program.add_typer(load(name), name=name)
                loaded: Any = typer.main.get_group(program).commands[name]
                for command in loaded.commands.values():
                    name_values(command)
                self.commands.update(loaded.commands)

    return typer.Typer(cls=Unloaded, help=RESOURCES[name].help, no_args_is_help=True)
