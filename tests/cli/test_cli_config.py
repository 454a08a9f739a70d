"""`waiaas config explain`: every value and where it was said, or everything that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from waiaas.cli.app import app
from waiaas.config.registry import SETTINGS


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with nothing in it, and an environment without settings."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    return tmp_path


def explain(data: Path, *arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["--data-dir", str(data), "config", "explain", *arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout) if code == 0 else done.stderr


def test_every_setting_is_shown_with_its_value_and_where_it_was_said(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "config.toml").write_text("[daemon]\nport = 1\n", encoding="ascii")
    monkeypatch.setenv("WAIAAS_BACKUP_KEEP", "2")
    rows = {row.pop("key"): row for row in explain(data)}
    assert list(rows) == [setting.name for setting in SETTINGS]
    assert rows["daemon.port"] == {"value": 1, "from": f"{data / 'config.toml'}:2"}
    assert rows["backup.keep"] == {"value": 2, "from": "WAIAAS_BACKUP_KEEP"}
    assert rows["backup.interval_hours"] == {"value": 24, "from": "default"}


def test_of_one_setting_everything_is_told(data: Path) -> None:
    assert explain(data, "backup.interval_hours", "--json") == {
        "key": "backup.interval_hours",
        "value": 24,
        "from": "default",
        "meaning": "Time between two of them; 0: none are made",
        "must be": "a whole number of hours from 0 to 8760",
        "default": 24,
        "variable": "WAIAAS_BACKUP_INTERVAL_HOURS",
        "secret": False,
        "read by": "waiaas.backups.schedule",
    }


def test_a_setting_that_there_is_not_is_refused_with_the_nearest(data: Path) -> None:
    told = explain(data, "daemon.prot", code=2)
    assert told == "waiaas: there is no setting daemon.prot: did you mean daemon.port?\n"


def test_no_secret_is_shown(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "config.toml").touch(mode=0o600)
    (data / "config.toml").write_text(
        '[rpc]\nsolana_devnet = "https://node.example/CANARY"', encoding="ascii"
    )
    monkeypatch.setenv("WAIAAS_RPC_SOLANA_MAINNET", "https://user:CANARY@node.example")
    rows = explain(data)
    one = explain(data, "rpc.solana_devnet")
    assert "CANARY" not in json.dumps([rows, one])
    assert one["value"] == "https://node.example/(withheld)"
    (data / "config.toml").chmod(0o644)
    monkeypatch.setenv("WAIAAS_RPC_SOLANA_MAINNET", "CANARY")
    told = explain(data, code=1)
    assert told.count("waiaas: ") == 2
    assert "CANARY" not in told


def test_everything_that_is_wrong_is_told_each_on_its_line(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "config.toml").write_text("[daemon]\nport = -1\nprot = 1\n", encoding="ascii")
    monkeypatch.setenv("WAIAAS_MASTER_PASSWORD", "CANARY")
    first, second, third = explain(data, code=1).splitlines()
    assert first.startswith(f"waiaas: {data / 'config.toml'}:2: daemon.port: it is too small: ")
    assert second.startswith(f"waiaas: {data / 'config.toml'}:3: daemon.prot: ")
    assert third.startswith("waiaas: WAIAAS_MASTER_PASSWORD: a password is never taken from ")
    assert "CANARY" not in third
