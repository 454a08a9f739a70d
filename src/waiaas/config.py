"""Settings: read once, into one frozen value, from the file and then the environment.

`config.toml` in the data directory has flat sections; `WAIAAS_<SECTION>_<KEY>` overrides a key and
is coerced by the key's declared type. A name that nobody reads is an error that names it: a
mistyped limit must not be a missing limit.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from waiaas.domain.enums import NetworkType
from waiaas.pipeline.admit import PENDING_MAX_DEFAULT, WAITING_MAX_DEFAULT, AdmissionRules
from waiaas.place import DATA_DIR_VARIABLE, ConfigError
from waiaas.policy.rule import (
    APPROVAL_S_DEFAULT,
    APPROVAL_S_MAX,
    DELAY_S_DEFAULT,
    DELAY_S_MAX,
    WaitDefaults,
)

CONFIG_NAME: Final = "config.toml"

PREFIX: Final = "WAIAAS_"

PORT_DEFAULT: Final = 3100
KILL_SWITCH_RECOVERY_S_DEFAULT: Final = 1800
BACKUP_INTERVAL_HOURS_DEFAULT: Final = 24
BACKUP_KEEP_DEFAULT: Final = 7

TEMPLATE: Final = f"""# waiaas: every setting and its default. Unknown names are errors.

[daemon]
# port = {PORT_DEFAULT}            # on 127.0.0.1; 0 lets the system choose

[rpc]
# A network is known when it has a URL (http or https).
# solana_mainnet = ""
# solana_devnet = ""
# solana_testnet = ""
# solana_localnet = ""     # a validator of your own; `waiaas start --localnet` brings one along

[backup]
# The daemon makes backups by itself; the master password opens them.
# interval_hours = {BACKUP_INTERVAL_HOURS_DEFAULT}      # 1 to 8760; 0: none
# keep = {BACKUP_KEEP_DEFAULT}                 # how many of them; yours are never removed

[security]
# How long is waited where a policy asks for a wait and does not say for how long; up to a week.
# default_delay_seconds = {DELAY_S_DEFAULT}       # less than 60 counts as 60, except on localnet
# default_approval_seconds = {APPROVAL_S_DEFAULT}   # after which nobody can approve any more
# Of one agent's payments: how many may be under way or waiting, and how many may wait.
# max_pending_transactions = {PENDING_MAX_DEFAULT}   # 1 to 100000
# max_waiting_transactions = {WAITING_MAX_DEFAULT}     # 1 to 100000
# Between the two steps of turning the kill switch off, at least; 0 to a week.
# kill_switch_recovery_seconds = {KILL_SWITCH_RECOVERY_S_DEFAULT}
"""
"""What `waiaas init` writes."""


class DaemonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the daemon is reached."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = PORT_DEFAULT
    """On 127.0.0.1; 0 lets the system choose."""


class RpcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The node of each network; empty means that the network is not known."""

    solana_mainnet: str = ""
    """The URL (http or https) of a node of mainnet."""
    solana_devnet: str = ""
    """Of devnet."""
    solana_testnet: str = ""
    """Of testnet."""
    solana_localnet: str = ""
    """Of a validator of your own; `waiaas start --localnet` brings one along."""

    def solana_urls(self) -> Mapping[NetworkType, str]:
        """Return the URL of each known Solana network."""
        urls = {
            NetworkType.MAINNET: self.solana_mainnet,
            NetworkType.DEVNET: self.solana_devnet,
            NetworkType.TESTNET: self.solana_testnet,
            NetworkType.LOCALNET: self.solana_localnet,
        }
        return {network: url for network, url in urls.items() if url}


class BackupSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The backups that the daemon makes by itself."""

    interval_hours: Annotated[int, msgspec.Meta(ge=0, le=8760)] = BACKUP_INTERVAL_HOURS_DEFAULT
    """Between two of them; 0: none are made."""
    keep: Annotated[int, msgspec.Meta(ge=1, le=1000)] = BACKUP_KEEP_DEFAULT
    """How many of them are kept; nobody else's are ever removed."""


class SecuritySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds where a policy does not say, and for the kill switch."""

    default_delay_seconds: Annotated[int, msgspec.Meta(ge=1, le=DELAY_S_MAX)] = DELAY_S_DEFAULT
    """How long a payment of tier DELAY waits."""
    default_approval_seconds: Annotated[int, msgspec.Meta(ge=1, le=APPROVAL_S_MAX)] = (
        APPROVAL_S_DEFAULT
    )
    """How long a person has to answer for one of tier APPROVAL."""
    max_pending_transactions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = PENDING_MAX_DEFAULT
    """How many transactions of one agent may have begun and not ended."""
    max_waiting_transactions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = WAITING_MAX_DEFAULT
    """How many of them may wait for their time or for a person."""
    kill_switch_recovery_seconds: Annotated[int, msgspec.Meta(ge=0, le=604_800)] = (
        KILL_SWITCH_RECOVERY_S_DEFAULT
    )
    """From the first step of turning the kill switch off to the second, at least."""

    def admission(self) -> AdmissionRules:
        """Return what holds for the admission of requests."""
        return AdmissionRules(
            WaitDefaults(self.default_delay_seconds, self.default_approval_seconds),
            pending_max=self.max_pending_transactions,
            waiting_max=self.max_waiting_transactions,
        )


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting."""

    daemon: DaemonSettings = DaemonSettings()
    rpc: RpcSettings = RpcSettings()
    backup: BackupSettings = BackupSettings()
    security: SecuritySettings = SecuritySettings()


def load_config(directory: Path) -> Config:
    """Read the settings of a data directory and this process's environment.

    Raises:
        ConfigError: names the key that is unknown, or whose value is not of its type.
    """
    file = directory / CONFIG_NAME
    return parse_config(_read_file(file), os.environ, file=file)


def parse_config(toml: bytes, environment: Mapping[str, str], *, file: Path) -> Config:
    """Return the settings in *toml*, the content of *file*, overridden by *environment*.

    Raises:
        ConfigError: names the key that is unknown, or whose value is not of its type, and where.
    """
    try:
        config = msgspec.toml.decode(toml, type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    settings = msgspec.to_builtins(config)
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != DATA_DIR_VARIABLE:
            section, _, key = variable.removeprefix(PREFIX).lower().partition("_")
            if key not in settings.get(section, {}):
                raise ConfigError(f"{variable}: there is no setting of this name")
            settings[section][key] = value
            try:
                config = msgspec.convert(settings, Config, strict=False)
            except msgspec.ValidationError as error:
                raise ConfigError(f"{variable}: {error}") from error
    return config


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
