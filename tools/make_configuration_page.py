"""Write docs/configuration.md from the registry of settings.

A test compares the page with the registry, so that neither changes alone:
`python tools/make_configuration_page.py` in the project's environment writes it anew.
"""

import inspect
from pathlib import Path
from typing import Final

from waiaas.config.registry import SECTIONS, SETTINGS, VARIABLES, Setting
from waiaas.config.template import as_toml

PAGE: Final = Path(__file__).resolve().parents[1] / "docs/configuration.md"

HEAD: Final = """\
# Configuration

Written by `tools/make_configuration_page.py` from
[config/registry.py](../src/waiaas/config/registry.py): change the registry, not this page.

`waiaas init` writes `config.toml` into the data directory, with every setting in it as a comment.
The daemon reads it once, when it starts. A setting is what the environment says, else what the file
says, else its default. In the environment it is called `WAIAAS_<SECTION>_<KEY>` in capitals, and
its value is what the type of the setting makes of it.

```console
$ waiaas config explain
$ waiaas config explain daemon.port
```

shows what each setting is, and which line of the file or which variable said so. Nothing is passed
over: an unknown section, key or variable, a wrong type, a value out of bounds, a key that is there
twice, or a file that is not plain UTF-8 keeps the daemon from starting. `waiaas config explain`
then tells all of it, each with file, line and what would be right, and ends with exit code 1.

The file must be an ordinary one of at most 64 KiB, no link, yours or root's, and nobody else may
have leave to write to it; else neither a start nor a backup reads it.

The URL of a node may hold a key. Of one that says more than a host, only the host is ever shown,
and a `config.toml` with such a URL must be for its owner alone (`chmod 600`), as `waiaas init`
makes it.
"""

BESIDES: Final = """\
## In the environment, and no settings

| Variable | What it is |
|---|---|"""

FOOT: Final = """\

Every other variable that begins with `WAIAAS_` is an error, of every command that uses the data
directory: with a slip in `WAIAAS_DATA_DIR` it would use another one. (Kubernetes makes such
variables in the pods beside a service that is called waiaas: `enableServiceLinks: false`.) So is
one for a password: whoever may look at a process can read its environment. Give the master password
on the terminal, or with `--password-file` or `--password-fd`.
"""


def configuration_page() -> str:
    """Return the page as it has to be."""
    lines = [HEAD]
    for name, section in SECTIONS.items():
        lines += [f"## {name}", "", inspect.getdoc(section) or "", ""]
        lines += ["| Setting | Default | It must be | What it is |", "|---|---|---|---|"]
        lines += [_row(setting) for setting in SETTINGS if setting.section == name]
        lines.append("")
    lines += [BESIDES, *(f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()), FOOT]
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    default = as_toml(setting.default)
    return f"| `{setting.name}` | `{default}` | {setting.right} | {setting.entry.meaning} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(configuration_page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
