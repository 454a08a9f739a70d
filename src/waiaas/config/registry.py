"""Every setting there is. To add one, write its field into a section here, and use it.

    idle_minutes: Annotated[
        int, Entry("Minutes without a signature until …", unit="minutes", low=1, high=1440,
                   read_by="waiaas.daemon")
    ] = 30

From this one place come how `config.toml` and the environment are read (`reading`), the file that
`waiaas init` writes (`template`), `waiaas config explain`, and docs/configuration.md, which
`python tools/make_configuration_page.py` writes anew. To use it: the module that `read_by` names
reads `config.<section>.<key>`, or `.<key>` of a parameter of the section's class; a test fails
while it does not. A new section is a class like those below, and a field of `Config`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from waiaas.domain.access import (
    SESSION_TTL_S_DEFAULT,
    SESSION_TTL_S_MAX,
    SESSION_TTL_S_MIN,
    SESSIONS_PER_AGENT_DEFAULT,
    SESSIONS_PER_AGENT_MAX,
)
from waiaas.domain.waiting import (
    APPROVAL_S_DEFAULT,
    APPROVAL_S_MAX,
    DELAY_S_DEFAULT,
    DELAY_S_MAX,
    PENDING_MAX_DEFAULT,
    WAITING_MAX_DEFAULT,
)
from waiaas.place import DATA_DIR_DEFAULT, DATA_DIR_VARIABLE, PREFIX

CONFIG_NAME: Final = "config.toml"

Value = int | bool | str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of a setting where it is declared, beside its name, type and default."""

    meaning: str
    """One line, for people."""
    read_by: str
    """The module that reads it; a test looks."""
    low: int | None = None
    high: int | None = None
    unit: str | None = None
    choices: tuple[str, ...] = ()
    """A text without choices is the URL of a node, or empty."""
    is_secret: bool = False
    """It may hold one: it is shown to nobody, and a file that holds it is for its owner alone."""


def _node(whose: str) -> Entry:
    """Return what is said of the URL of a node. Providers put their keys into it."""
    return Entry(f"JSON-RPC of a node {whose}", read_by="waiaas.applied", is_secret=True)


class DaemonSettings(msgspec.Struct, frozen=True):
    """How the daemon is reached, and what it tells."""

    port: Annotated[
        int,
        Entry(
            "TCP port on 127.0.0.1; 0 lets the system choose one",
            read_by="waiaas.daemon",
            low=0,
            high=65_535,
        ),
    ] = 3100
    log_level: Annotated[
        str,
        Entry(
            "The least that is logged; debug has a line for each request",
            read_by="waiaas.daemon",
            choices=("debug", "info", "warning", "error"),
        ),
    ] = "info"


class KeystoreSettings(msgspec.Struct, frozen=True):
    """How long keys stay in memory."""

    auto_lock_seconds: Annotated[
        int,
        Entry(
            "Without a signature for so long keys are dropped from memory, and payments wait,"
            " until `waiaas unlock`; 0: never",
            read_by="waiaas.daemon",
            low=0,
            high=31_536_000,
            unit="seconds",
        ),
    ] = 0


class RpcSettings(msgspec.Struct, frozen=True):
    """Where the node of each network is. A network without one is not known."""

    solana_mainnet: Annotated[str, _node("of Solana's main network")] = ""
    solana_devnet: Annotated[str, _node("of Solana's network for developers")] = ""
    solana_testnet: Annotated[str, _node("of Solana's network for validators")] = ""
    solana_localnet: Annotated[
        str, _node("of your own; `waiaas start --localnet` brings one along")
    ] = ""


class BackupSettings(msgspec.Struct, frozen=True):
    """The backups that the daemon makes by itself; the master password opens them."""

    interval_hours: Annotated[
        int,
        Entry(
            "Time between two of them; 0: none are made",
            read_by="waiaas.backups.schedule",
            low=0,
            high=8760,
            unit="hours",
        ),
    ] = 24
    keep: Annotated[
        int,
        Entry(
            "How many of them are kept; yours are never removed",
            read_by="waiaas.backups.schedule",
            low=1,
            high=1000,
        ),
    ] = 7


class SecuritySettings(msgspec.Struct, frozen=True):
    """What holds where a policy does not say, and for the kill switch."""

    default_delay_seconds: Annotated[
        int,
        Entry(
            "How long a payment of tier DELAY waits where its policy does not say;"
            " less than 60 counts as 60, except on localnet",
            read_by="waiaas.applied",
            low=1,
            high=DELAY_S_MAX,
            unit="seconds",
        ),
    ] = DELAY_S_DEFAULT
    default_approval_seconds: Annotated[
        int,
        Entry(
            "How long a person has to answer for one of tier APPROVAL, likewise",
            read_by="waiaas.applied",
            low=1,
            high=APPROVAL_S_MAX,
            unit="seconds",
        ),
    ] = APPROVAL_S_DEFAULT
    max_pending_transactions: Annotated[
        int,
        Entry(
            "How many transactions of one agent may be under way or waiting",
            read_by="waiaas.applied",
            low=1,
            high=100_000,
        ),
    ] = PENDING_MAX_DEFAULT
    max_waiting_transactions: Annotated[
        int,
        Entry(
            "How many of them may wait for their time or for a person",
            read_by="waiaas.applied",
            low=1,
            high=100_000,
        ),
    ] = WAITING_MAX_DEFAULT
    session_ttl_seconds: Annotated[
        int,
        Entry(
            "How long a session lives where it is made without `--ttl`",
            read_by="waiaas.applied",
            low=SESSION_TTL_S_MIN,
            high=SESSION_TTL_S_MAX,
            unit="seconds",
        ),
    ] = SESSION_TTL_S_DEFAULT
    max_sessions_per_agent: Annotated[
        int,
        Entry(
            "How many sessions of one agent may live at once",
            read_by="waiaas.applied",
            low=1,
            high=SESSIONS_PER_AGENT_MAX,
        ),
    ] = SESSIONS_PER_AGENT_DEFAULT
    kill_switch_recovery_seconds: Annotated[
        int,
        Entry(
            "Time between the two steps of turning the kill switch off, at least",
            read_by="waiaas.daemon",
            low=0,
            high=604_800,
            unit="seconds",
        ),
    ] = 1800


class Config(msgspec.Struct, frozen=True):
    """The value of every setting, by section."""

    daemon: DaemonSettings = DaemonSettings()
    keystore: KeystoreSettings = KeystoreSettings()
    rpc: RpcSettings = RpcSettings()
    backup: BackupSettings = BackupSettings()
    security: SecuritySettings = SecuritySettings()


VARIABLES: Final = {
    DATA_DIR_VARIABLE: (
        f"where the data directory is, unless --data-dir says so; else {DATA_DIR_DEFAULT}"
    ),
}
"""What begins like a setting in the environment, is read, and is none."""


# ── the same as a table ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, with all that is declared of it."""

    section: str
    key: str
    type: type[Value]
    default: Value
    entry: Entry

    @property
    def name(self) -> str:
        """Return what it is called in messages: `daemon.port`."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """Return what it is called in the environment: `WAIAAS_DAEMON_PORT`."""
        return f"{PREFIX}{self.section}_{self.key}".upper()

    @property
    def right(self) -> str:
        """Return what it may be, in words."""
        if self.type is int:
            unit = f" of {self.entry.unit}" if self.entry.unit else ""
            return f"a whole number{unit} from {self.entry.low} to {self.entry.high}"
        if self.type is bool:
            return "true or false"
        if self.entry.choices:
            return f"one of {', '.join(self.entry.choices)}"
        return "a URL (http or https, port 1 to 65535), or empty"


def settings_of(config: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """Return every setting that the sections of *config* declare, in their order."""
    return tuple(
        _setting(section.name, field)
        for section in msgspec.structs.fields(config)
        for field in msgspec.structs.fields(section.type)
    )


def _setting(section: str, field: msgspec.structs.FieldInfo) -> Setting:
    annotation: Any = field.type
    assert get_origin(annotation) is Annotated, f"{section}.{field.name} has no Entry"
    kind, entry = get_args(annotation)
    assert isinstance(entry, Entry), f"{section}.{field.name} has no Entry"
    return Setting(section, field.name, kind, field.default, entry)


SETTINGS: Final = settings_of(Config)

SECTIONS: Final = {field.name: field.type for field in msgspec.structs.fields(Config)}
