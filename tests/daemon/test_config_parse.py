"""Settings: the file, then the environment, coerced by type; an unknown name is an error."""

from pathlib import Path

import pytest

from waiaas.config import (
    TEMPLATE,
    BackupSettings,
    Config,
    DaemonSettings,
    RpcSettings,
    SecuritySettings,
    load_config,
    parse_config,
)
from waiaas.domain.enums import NetworkType
from waiaas.pipeline.admit import AdmissionRules
from waiaas.place import ConfigError, data_directory
from waiaas.policy.rule import WaitDefaults

FILE = Path("/somewhere/config.toml")


@pytest.mark.parametrize(
    ("toml", "environment", "wanted"),
    [
        ("", {}, Config()),
        (TEMPLATE, {}, Config()),
        ("[daemon]\nport = 1", {}, Config(daemon=DaemonSettings(port=1))),
        ("", {"WAIAAS_DAEMON_PORT": "2"}, Config(daemon=DaemonSettings(port=2))),
        ("[daemon]\nport = 1", {"WAIAAS_DAEMON_PORT": "2"}, Config(DaemonSettings(port=2))),
        ("", {"WAIAAS_DATA_DIR": "/x", "WAIAASX": "1", "PORT": "1"}, Config()),
        (
            '[rpc]\nsolana_devnet = "http://a"',
            {"WAIAAS_RPC_SOLANA_MAINNET": "https://b"},
            Config(rpc=RpcSettings(solana_devnet="http://a", solana_mainnet="https://b")),
        ),
        (
            "[backup]\nkeep = 1",
            {"WAIAAS_BACKUP_INTERVAL_HOURS": "0"},
            Config(backup=BackupSettings(interval_hours=0, keep=1)),
        ),
        (
            "[security]\ndefault_delay_seconds = 1",
            {"WAIAAS_SECURITY_DEFAULT_APPROVAL_SECONDS": "604800"},
            Config(security=SecuritySettings(1, 604_800)),
        ),
    ],
)
def test_the_environment_wins_over_the_file(
    toml: str, environment: dict[str, str], wanted: Config
) -> None:
    assert parse_config(toml.encode(), environment, file=FILE) == wanted


def test_what_holds_for_admissions_is_taken_from_the_settings() -> None:
    assert (
        Config().security.admission()
        == AdmissionRules()
        == AdmissionRules(WaitDefaults(), 1000, 10)
    )
    assert WaitDefaults() == WaitDefaults(300, 3600)
    assert SecuritySettings(7, 8, 9, 10).admission() == AdmissionRules(WaitDefaults(7, 8), 9, 10)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        (b"[daemon]\nprot = 1", "prot"),
        (b"[deamon]\nport = 1", "deamon"),
        (b"port = 1", "port"),
        (b"[daemon]\nport = true", "$.daemon.port"),
        (b'[daemon]\nport = "1"', "$.daemon.port"),
        (b"[daemon]\nport = 1.5", "$.daemon.port"),
        (b"[daemon]\nport = 65536", "$.daemon.port"),
        (b"[daemon]\nport = -1", "$.daemon.port"),
        (b"[daemon]\nport = 1\nport = 2", "config.toml"),
        (b"[rpc]\nsolana_devnet = 1", "$.rpc.solana_devnet"),
        (b"[backup]\ninterval_hours = -1", "$.backup.interval_hours"),
        (b"[backup]\ninterval_hours = 8761", "$.backup.interval_hours"),
        (b"[backup]\ninterval_hours = 1.5", "$.backup.interval_hours"),
        (b"[backup]\ninterval = 1", "interval"),
        (b"[backup]\nkeep = 0", "$.backup.keep"),
        (b"[backup]\nkeep = 1001", "$.backup.keep"),
        (b"[security]\ndefault_delay_seconds = 0", "$.security.default_delay_seconds"),
        (b"[security]\ndefault_delay_seconds = 604801", "$.security.default_delay_seconds"),
        (b"[security]\ndefault_approval_seconds = 0", "$.security.default_approval_seconds"),
        (b"[security]\ndefault_approval_seconds = 604801", "$.security.default_approval_seconds"),
        (b"[daemon", "config.toml"),
        (b"\xff", "config.toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(toml: bytes, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(toml, {}, file=FILE)
    assert named in str(refused.value)
    assert str(refused.value).startswith("/somewhere/config.toml: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WAIAAS_DAEMON_PORT", "many"),
        ("WAIAAS_DAEMON_PORT", ""),
        ("WAIAAS_DAEMON_PORT", "65536"),
        ("WAIAAS_BACKUP_INTERVAL_HOURS", "daily"),
        ("WAIAAS_BACKUP_KEEP", "0"),
        ("WAIAAS_BACKUP_INTERVAL", "1"),
        ("WAIAAS_DAEMON", "1"),
        ("WAIAAS_", "1"),
        ("WAIAAS_DAEMON_", "1"),
        ("WAIAAS_PORT", "1"),
        ("WAIAAS_DAEMON_PROT", "1"),
        ("WAIAAS_PASSWORD", "secret of a hurried person"),
    ],
)
def test_a_mistake_in_the_environment_is_named_without_its_value(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(b"", {variable: value}, file=FILE)
    assert variable in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_first_of_two_mistakes_is_not_blamed_on_a_good_variable() -> None:
    with pytest.raises(ConfigError, match="WAIAAS_DAEMON_PORT"):
        parse_config(
            b"", {"WAIAAS_RPC_SOLANA_DEVNET": "http://a", "WAIAAS_DAEMON_PORT": "x"}, file=FILE
        )


@pytest.mark.parametrize("network", NetworkType)
def test_every_network_is_known_once_it_has_a_url(network: NetworkType) -> None:
    settings = RpcSettings(**{f"solana_{network}": "http://a"})
    assert settings.solana_urls() == {network: "http://a"}


def test_no_file_means_the_defaults_and_an_unreadable_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml: Is a directory"):
        load_config(tmp_path)


def test_the_data_directory_is_the_option_else_the_environment_else_at_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("WAIAAS_DATA_DIR", "/from/environment")
    assert data_directory("~/here") == Path("/home/somebody/here")
    assert data_directory(None) == Path("/from/environment")
    monkeypatch.setenv("WAIAAS_DATA_DIR", "")
    assert data_directory(None) == Path("/home/somebody/.waiaas")
    assert data_directory("relative").is_absolute()
    for bad in ("", "~nobody-of-this-name/x"):
        with pytest.raises(ConfigError):
            data_directory(bad)


def test_a_relative_data_directory_where_there_is_no_current_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match=r"^rel: the current directory is gone: "):
        data_directory("rel")
    assert data_directory("/there") == Path("/there")
