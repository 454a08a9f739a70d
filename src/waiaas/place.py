"""Where the data directory is. Every command asks, so this loads nothing else."""

import os
from pathlib import Path
from typing import Final

DATA_DIR_VARIABLE: Final = "WAIAAS_DATA_DIR"
DATA_DIR_DEFAULT: Final = "~/.waiaas"


class ConfigError(Exception):
    """Settings are wrong; each argument is a sentence that names one, and says what is right."""

    def __str__(self) -> str:
        return "\n".join(self.args)


def data_directory(option: str | None) -> Path:
    """Return the data directory: the option, else WAIAAS_DATA_DIR, else ~/.waiaas.

    Raises:
        ConfigError: the option is empty, as an unset shell variable makes it, or names no place,
            as a relative path does where the current directory was removed, or is not UTF-8.
    """
    if option is not None and not option:
        raise ConfigError("--data-dir is empty")
    chosen = Path(option or os.environ.get(DATA_DIR_VARIABLE) or DATA_DIR_DEFAULT)
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
