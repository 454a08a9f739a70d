"""Where the data directory is. Every command asks, so this loads nothing else."""

import os
from pathlib import Path
from typing import Final

PREFIX: Final = "WAIAAS_"
"""Of every variable that is ours."""

DATA_DIR_VARIABLE: Final = "WAIAAS_DATA_DIR"
DATA_DIR_DEFAULT: Final = "~/.waiaas"


class ConfigError(Exception):
    """Settings are wrong; each argument is a sentence that names one, and says what is right."""

    def __str__(self) -> str:
        return "\n".join(self.args)


def data_directory(option: str | None) -> Path:
    """Return the data directory: the option, else WAIAAS_DATA_DIR, else ~/.waiaas.

    Raises:
        ConfigError: what says it is empty, as an unset shell variable makes it, or names no place,
            as a relative path does where the current directory was removed, or is not UTF-8.
    """
    named = os.environ.get(DATA_DIR_VARIABLE, DATA_DIR_DEFAULT) if option is None else option
    if not named:
        raise ConfigError(
            f"{DATA_DIR_VARIABLE if option is None else '--data-dir'} is empty: name a directory,"
            " or leave it out"
        )
    chosen = Path(named)
    try:
        directory = chosen.expanduser().absolute()
        str(directory).encode()
    except RuntimeError as error:  # No such user, or one without a home.
        raise ConfigError(f"{chosen}: {error}") from error
    except FileNotFoundError as error:
        raise ConfigError(
            f"{chosen}: the current directory is gone: change to another, or give an absolute path"
        ) from error
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{chosen}: its name is not UTF-8, as SQLite needs it: give another"
        ) from error
    return directory


def has_more_variables() -> bool:
    """Tell whether the environment has more of ours than the data directory: settings, or slips."""
    return any(name.startswith(PREFIX) and name != DATA_DIR_VARIABLE for name in os.environ)
