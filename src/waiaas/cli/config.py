"""`waiaas config`: what the settings are, and where each was said. No daemon is asked."""

import json
from typing import Annotated

import typer

from waiaas.cli.context import (
    AS_USUAL,
    ExitCode,
    FormOption,
    directory_of,
    fail,
    is_for_people,
    show,
    show_list,
)
from waiaas.place import ConfigError

config_app = typer.Typer(
    help="The settings: what holds, and where it was said.", no_args_is_help=True
)


@config_app.callback()
def _config() -> None:
    pass  # With a callback, a single command keeps its name.


def _names() -> list[str]:
    """Return what can be explained, for who presses the tabulator."""
    from waiaas.config.registry import SETTINGS

    return [each.name for each in SETTINGS]


@config_app.command()
def explain(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(
            autocompletion=_names, help="One setting, like daemon.port, with all there is to say."
        ),
    ] = None,
    *,
    form: FormOption = AS_USUAL,
) -> None:
    """Show every setting, and where it was said. File and line, environment, or default.

    If anything is wrong with them, that is told instead, all of it, and the exit code is 1. Of what
    may be secret, only the host is shown.
    """
    from waiaas.config.reading import DEFAULT, read_settings, suggestion
    from waiaas.config.values import shown

    try:
        settings = read_settings(directory_of(context, reads_settings=True))
    except ConfigError as error:
        fail(*error.args)
    rows = [
        {"key": each.setting.name, "value": shown(each.setting, each.value), "from": each.origin}
        for each in settings
    ]
    if is_for_people(form):
        rows = [row | {"value": _as_written(row["value"])} for row in rows]
    if key is None:
        show_list(rows, form=form)
        return
    for each, row in zip(settings, rows, strict=True):
        setting = each.setting
        if setting.name == key:
            more = {
                "meaning": setting.entry.meaning,
                "must be": setting.right,
                DEFAULT: _as_written(setting.default) if is_for_people(form) else setting.default,
                "variable": setting.variable,
                "secret": setting.entry.is_secret,
                "read by": setting.entry.read_by,
            }
            show(row | more, form=form, essential="value")
            return
    fail(f"there is no setting {key}: {suggestion(key)}", code=ExitCode.USAGE)


def _as_written(value: object) -> str:
    """Return a value as it stands in config.toml."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
