"""Where the data directory is: as the option says, else the environment, else at home."""

from pathlib import Path

import pytest

from waiaas.place import ConfigError, data_directory, has_more_variables


def test_the_data_directory_is_the_option_else_the_environment_else_at_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("WAIAAS_DATA_DIR", "/from/environment")
    assert data_directory("~/here") == Path("/home/somebody/here")
    assert data_directory(None) == Path("/from/environment")
    monkeypatch.delenv("WAIAAS_DATA_DIR")
    assert data_directory(None) == Path("/home/somebody/.waiaas")
    assert data_directory("relative").is_absolute()
    with pytest.raises(ConfigError):
        data_directory("~nobody-of-this-name/x")


def test_an_empty_name_is_refused_whoever_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what a shell makes of a variable that was to hold the name, and does not."""
    with pytest.raises(ConfigError, match=r"^--data-dir is empty"):
        data_directory("")
    monkeypatch.setenv("WAIAAS_DATA_DIR", "")
    with pytest.raises(ConfigError, match=r"^WAIAAS_DATA_DIR is empty"):
        data_directory(None)
    assert data_directory("/there") == Path("/there")


def test_what_is_in_the_environment_beside_the_data_directory_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAIAAS_DATA_DIR", "/there")
    assert not has_more_variables()
    monkeypatch.setenv("WAIAAS_DATADIR", "/there")
    assert has_more_variables()


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


def test_a_name_that_sqlite_could_not_be_given_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not UTF-8"):
        data_directory("/there/\udcff")
    assert data_directory("/th\u00e9re") == Path("/th\u00e9re")
