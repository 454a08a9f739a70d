"""Settings: the default, the file, the environment; whatever else is there is told, by its name."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import settings as some
from hypothesis import strategies as st

from waiaas.applied import admission_rules, session_rules, solana_urls
from waiaas.config.reading import (
    FILE_BYTES_MAX,
    MISTAKES_TOLD_MAX,
    File,
    Read,
    combine,
    config_of,
    in_environment,
    in_file,
    load_config,
    read_settings,
    suggestion,
)
from waiaas.config.registry import (
    SECTIONS,
    SETTINGS,
    BackupSettings,
    Config,
    DaemonSettings,
    RpcSettings,
    SecuritySettings,
    Setting,
    Value,
)
from waiaas.config.template import as_toml, template
from waiaas.config.values import from_text, problem_with
from waiaas.domain.enums import NetworkType
from waiaas.pipeline.admit import AdmissionRules
from waiaas.pipeline.sessions import SessionRules
from waiaas.place import ConfigError
from waiaas.policy.rule import WaitDefaults

PATH: Final = Path("/somewhere/config.toml")


def settings(
    content: str | bytes = "",
    environment: Mapping[str, str] | None = None,
    *,
    is_open: bool = False,
) -> list[Read]:
    raw = content if isinstance(content, bytes) else content.encode()
    return combine(in_file(File(PATH, raw, is_open)), in_environment(environment or {}))


def mistakes(
    content: str | bytes = "",
    environment: Mapping[str, str] | None = None,
    *,
    is_open: bool = False,
) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        settings(content, environment, is_open=is_open)
    assert str(refused.value) == "\n".join(refused.value.args)
    return refused.value.args


@pytest.mark.parametrize(
    ("toml", "environment", "wanted"),
    [
        ("", {}, Config()),
        (template(), {}, Config()),
        ("[daemon]\nport = 1", {}, Config(daemon=DaemonSettings(port=1))),
        ("daemon.port = 1", {}, Config(daemon=DaemonSettings(port=1))),
        ("daemon = {port = 1}", {}, Config(daemon=DaemonSettings(port=1))),
        ("", {"WAIAAS_DAEMON_PORT": "2"}, Config(daemon=DaemonSettings(port=2))),
        ("[daemon]\nport = 1", {"WAIAAS_DAEMON_PORT": "2"}, Config(DaemonSettings(port=2))),
        ("", {"WAIAAS_DATA_DIR": "/x", "WAIAASX": "1", "PORT": "1", "waiaas_x": "1"}, Config()),
        (
            '[rpc]\nsolana_devnet = "http://a"',
            {"WAIAAS_RPC_SOLANA_MAINNET": "https://b"},
            Config(rpc=RpcSettings(solana_devnet="http://a", solana_mainnet="https://b")),
        ),
        (
            '[rpc]\nsolana_devnet = "http://a"',
            {"WAIAAS_RPC_SOLANA_DEVNET": ""},
            Config(),
        ),
        (
            "[backup]\nkeep = 1",
            {"WAIAAS_BACKUP_INTERVAL_HOURS": "0"},
            Config(backup=BackupSettings(interval_hours=0, keep=1)),
        ),
        (
            "[security]\r\ndefault_delay_seconds = 1\r\n",
            {"WAIAAS_SECURITY_DEFAULT_APPROVAL_SECONDS": "604800"},
            Config(security=SecuritySettings(1, 604_800)),
        ),
    ],
)
def test_the_environment_wins_over_the_file(
    toml: str, environment: dict[str, str], wanted: Config
) -> None:
    assert config_of(settings(toml, environment)) == wanted


def test_each_value_is_said_with_its_place() -> None:
    read = settings("\n[daemon]\n\nport = 1\n[backup]\nkeep = 2", {"WAIAAS_BACKUP_KEEP": "3"})
    said = {each.setting.name: (each.value, each.origin) for each in read}
    assert said["daemon.port"] == (1, "/somewhere/config.toml:4")
    assert said["backup.keep"] == (3, "WAIAAS_BACKUP_KEEP")
    assert said["backup.interval_hours"] == (24, "default")


def test_what_holds_for_admissions_is_taken_from_the_settings() -> None:
    assert (
        admission_rules(SecuritySettings())
        == AdmissionRules()
        == AdmissionRules(WaitDefaults(), 1000, 10)
    )
    assert WaitDefaults() == WaitDefaults(300, 3600)
    rules = admission_rules(SecuritySettings(7, 8, 9, 10))
    assert rules == AdmissionRules(WaitDefaults(7, 8), 9, 10)


def test_what_holds_for_sessions_is_taken_from_the_settings() -> None:
    assert session_rules(SecuritySettings()) == SessionRules() == SessionRules(86_400, 5)
    given = SecuritySettings(session_ttl_seconds=301, max_sessions_per_agent=6)
    assert session_rules(given) == SessionRules(301, 6)


@pytest.mark.parametrize("network", NetworkType)
def test_every_network_is_known_once_it_has_a_url(network: NetworkType) -> None:
    assert solana_urls(RpcSettings(**{f"solana_{network}": "http://a"})) == {network: "http://a"}


# ── what is refused ────────────────────────────────────────────────────────────────────────────

MEAN: Final = "did you mean"
NO_SUCH: Final = "there is no such setting"
NO_SECTION: Final = "there is no such section"
NOWHERE: Final = "it stands below no [section]"
NO_TABLES: Final = "a section holds settings, and no tables or lists of its own"
LISTS: Final = "lists the settings"
URL: Final = "it must be a URL (http or https, port 1 to 65535), or empty"
PORT: Final = "it must be a whole number from 0 to 65535"
SECTIONS_ARE: Final = f"there are {', '.join(SECTIONS)}"

# fmt: off
IN_FILE = [
    ("[daemon]\nprot = 1",          f"2: daemon.prot: {NO_SUCH}: {MEAN} daemon.port?"),
    ("[daemon]\nPort = 1",          f"2: daemon.Port: {NO_SUCH}: {MEAN} daemon.port?"),
    ("[rpc]\nport = 1",             f"2: rpc.port: {NO_SUCH}: {MEAN} daemon.port?"),
    ("[rpc]\nqqq = 1",              f"2: rpc.qqq: {NO_SUCH}: `waiaas config explain` {LISTS}"),
    ("[deamon]\nport = 1\nx = 2",   f"1: [deamon]: {NO_SECTION}: {MEAN} [daemon]?"),
    ("[zzz]",                  f"1: [zzz]: {NO_SECTION}: {SECTIONS_ARE}"),
    ("x.y = 1",                     f"1: [x]: {NO_SECTION}: {SECTIONS_ARE}"),
    ("x = {}",                      f"1: [x]: {NO_SECTION}: {SECTIONS_ARE}"),
    ("port = 1",                    f"1: port: {NOWHERE}: {MEAN} daemon.port?"),
    ('"daemon.port" = 1',           f"1: daemon.port: {NOWHERE}: {MEAN} daemon.port?"),
    ("daemon = 1",                  "1: daemon: it is a section: begin it with a line [daemon]"),
    ("[[daemon]]\nport = 1",        "1: daemon: it is a section: begin it with a line [daemon]"),
    ("[daemon.tls]\na = 1\nb = 2",  f"1: daemon.tls: {NO_TABLES}"),
    ("[daemon]\nx = [1]",           f"2: daemon.x: {NO_TABLES}"),
    ("[daemon.port]",               f"1: daemon.port: it is a table: {PORT}"),
    ("[daemon]\nport.x = 1",        f"2: daemon.port: it is a table: {PORT}"),
    ("[daemon]\nport = true",       f"2: daemon.port: it is true or false: {PORT}"),
    ('[daemon]\nport = "1"',        f"2: daemon.port: it is text: {PORT}"),
    ("[daemon]\nport = 1.5",        f"2: daemon.port: it is a number with a fraction: {PORT}"),
    ("[daemon]\nport = nan",        f"2: daemon.port: it is a number with a fraction: {PORT}"),
    ("[daemon]\nport = 65536",      f"2: daemon.port: it is too large: {PORT}"),
    ("[daemon]\nport = -1",         f"2: daemon.port: it is too small: {PORT}"),
    ("[daemon]\nport = [1]",        f"2: daemon.port: it is a list: {PORT}"),
    ("[daemon]\nport = 2026-01-01", f"2: daemon.port: it is a date: {PORT}"),
    ('[rpc]\nsolana_devnet = "a"',  f"2: rpc.solana_devnet: it is not such a URL: {URL}"),
    ("[backup]\nkeep = 1001",       "2: backup.keep: it is too large: it must be a whole number "),
    (b"\xef\xbb\xbf[daemon]\n",     "1: it begins with a byte order mark: save it as UTF-8 with"),
    (b"[daemon]\n# \xff\n",         "2: it is not UTF-8: save it as UTF-8"),
    ("port = 1".encode("utf-16"),   "1: it is not UTF-8: save it as UTF-8"),
]
# fmt: on


@pytest.mark.parametrize(("toml", "mistake"), IN_FILE)
def test_a_mistake_in_the_file_is_named_with_its_line_and_what_is_right(
    toml: str | bytes, mistake: str
) -> None:
    [told] = mistakes(toml)
    assert told.startswith(f"/somewhere/config.toml:{mistake}")


@pytest.mark.parametrize(
    ("toml", "begins"),
    [
        (
            "[daemon]\nport = 1\nport = 2",
            "3: daemon.port: it is not TOML (it is there already, on l",
        ),
        ("[daemon]\n[daemon]", "2: daemon: it is not TOML (it is there already, on line 1): "),
        (
            "[rpc]\nsolana_devnet = http://a/KEY",
            "2: rpc.solana_devnet: it is not TOML (Invalid val",
        ),
        ("[daemon", "1: it is not TOML ("),
    ],
)
def test_what_is_not_toml_is_named_too(toml: str, begins: str) -> None:
    [mistake] = mistakes(toml)
    assert mistake.startswith(f"/somewhere/config.toml:{begins}")
    assert "KEY" not in mistake


def test_a_file_longer_than_any_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"#" * FILE_BYTES_MAX)
    assert load_config(tmp_path) == Config()
    path.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match=r"config\.toml: it is longer than 65536 bytes: "):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "mistake"),
    [
        ("WAIAAS_DAEMON_PORT", "many", f"it is text: {PORT}"),
        ("WAIAAS_DAEMON_PORT", "", f"it is text: {PORT}"),
        ("WAIAAS_DAEMON_PORT", "65536", f"it is too large: {PORT}"),
        (
            "WAIAAS_DAEMON_PROT",
            "1",
            "there is no setting of this name: did you mean WAIAAS_DAEMON_P",
        ),
        (
            "WAIAAS_Daemon_Port",
            "1",
            "there is no setting of this name: did you mean WAIAAS_DAEMON_P",
        ),
        ("WAIAAS_DATADIR", "1", "there is no setting of this name: did you mean WAIAAS_DATA_DIR?"),
        ("WAIAAS_", "1", "there is no setting of this name: "),
        ("WAIAAS_\udcff", "1", "there is no setting of this name: "),
        ("WAIAAS_MASTER_PASSWORD", "a secret", "a password is never taken from the environment"),
        ("WAIAAS_MASTER_PASSWORD_FILE", "/a", "a password is never taken from the environment"),
        ("WAIAAS_RPC_SOLANA_DEVNET", "a secret", "it is not such a URL: "),
    ],
)
def test_a_mistake_in_the_environment_is_named_without_its_value(
    variable: str, value: str, mistake: str
) -> None:
    [told] = mistakes("", {variable: value})
    name = variable if variable.isprintable() else ascii(variable)
    assert told.startswith(f"{name}: {mistake}")
    assert "secret" not in told


def test_all_mistakes_are_told_at_once() -> None:
    told = mistakes(
        "[daemon]\nport = 65536\n[rpc]\nsolana_devnet = http://a\nx = 1\n[backup]\nkeep = 0",
        {"WAIAAS_BACKUP_KEEP": "0", "WAIAAS_X": "1"},
    )
    # What is not TOML comes first: it may be why the rest is wrong.
    assert [re.split(r": it |: there ", each)[0] for each in told] == [
        "/somewhere/config.toml:4: rpc.solana_devnet",
        "/somewhere/config.toml:2: daemon.port",
        "/somewhere/config.toml:5: rpc.x",
        "/somewhere/config.toml:7: backup.keep",
        "WAIAAS_BACKUP_KEEP",
        "WAIAAS_X",
    ]


def test_no_more_mistakes_are_told_than_can_be_read() -> None:
    told = mistakes("[daemon]\n" + "".join(f"a{number} = 1\n" for number in range(5000)))
    assert len(told) == MISTAKES_TOLD_MAX + 1
    assert told[-1] == "more is wrong than is told here"
    assert len(mistakes("", {f"WAIAAS_{n}": "" for n in range(MISTAKES_TOLD_MAX)})) == len(told) - 1


def test_a_long_name_is_cut() -> None:
    [told] = mistakes(f"[daemon]\n{'a' * 60_000} = 1")
    assert f": daemon.{'a' * 73}...: there is no such setting: `waiaas config " in told


def test_a_name_is_suggested_by_what_it_is_most_like() -> None:
    assert suggestion("daemon.prt") == "did you mean daemon.port?"
    assert suggestion("port") == suggestion("wallet.port") == "did you mean daemon.port?"
    assert suggestion("zzz") == "`waiaas config explain` lists the settings"


# ── the file itself ────────────────────────────────────────────────────────────────────────────


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path) == load_config(tmp_path / "nowhere") == Config()


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml: it is no ordinary file: put a text"):
        load_config(tmp_path)
    monkeypatch.setenv("WAIAAS_X", "1")
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path)
    assert len(refused.value.args) == 2, "the environment is looked at all the same"
    monkeypatch.delenv("WAIAAS_X")
    path.rmdir()
    os.mkfifo(path)  # Nobody writes into it: whoever waited for that would wait for ever.
    with pytest.raises(ConfigError, match=r"config\.toml: it is no ordinary file: put a text"):
        load_config(tmp_path)


def test_no_link_is_followed_wherever_it_leads(tmp_path: Path) -> None:
    """Whoever made it wants other settings than the defaults, and may write where it leads."""
    path, real = tmp_path / "config.toml", tmp_path / "real.toml"
    real.write_text("[daemon]\nport = 1", encoding="utf-8")
    for target in (real, tmp_path / "gone", path, Path("/dev/zero")):
        path.symlink_to(target)
        with pytest.raises(ConfigError, match=r"config\.toml: it is a link, and none is followed"):
            load_config(tmp_path)
        path.unlink()


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_settings_that_others_may_write_are_not_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[daemon]\nport = 1", encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"config\.toml: others may write to it: .*chmod 600"):
        load_config(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_with_a_secret_is_for_its_owner_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[daemon]\nport = 1\n[rpc]\nsolana_devnet = "http://a/KEY"', encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(ConfigError) as refused:
        read_settings(tmp_path)
    assert str(refused.value) == (
        f"{path}:4: rpc.solana_devnet: it may hold a secret, and others may read it there:"
        f" run `chmod 600 {path}`"
    )
    path.chmod(0o600)
    assert load_config(tmp_path).rpc.solana_devnet == "http://a/KEY"
    path.write_text('[rpc]\nsolana_devnet = "http://127.0.0.1:8899"', encoding="utf-8")
    path.chmod(mode)
    assert load_config(tmp_path).rpc.solana_devnet == "http://127.0.0.1:8899"
    assert stat.S_IMODE(path.stat().st_mode) == mode


# ── any file, any environment ──────────────────────────────────────────────────────────────────


def right_values(setting: Setting) -> st.SearchStrategy[Value]:
    if setting.type is int:
        return st.integers(setting.entry.low, setting.entry.high)
    if setting.type is bool:
        return st.booleans()
    if setting.entry.choices:
        return st.sampled_from(setting.entry.choices)
    return st.sampled_from(["", "http://a", "https://u:p@b.c/d?e", "http://[::1]:1"])


def as_word(value: Value) -> str:
    """Return a value as the environment says it."""
    return value if isinstance(value, str) else as_toml(value)


SOME_RIGHT: Final = st.fixed_dictionaries(
    {}, optional={setting: right_values(setting) for setting in SETTINGS}
)
WRONG_VALUES: Final = st.sampled_from(
    ["true", "1.5", "'x'", "[]", "{}", "-1", "99999999", "1:00", ""]
)
NAMES: Final = st.sampled_from([setting.key for setting in SETTINGS] + ["x", "prot", "Port", "a.b"])
LINES: Final = st.one_of(
    st.sampled_from(
        [f"[{section}]" for section in SECTIONS] + ["[x]", "[daemon.x]", "[[rpc]]", "#"]
    ),
    st.builds("{} = {}".format, NAMES, WRONG_VALUES),
    st.builds("{} = {}".format, NAMES, st.integers(-9, 99)),
)


@given(SOME_RIGHT, SOME_RIGHT)
def test_the_value_that_is_explained_is_the_one_that_is_used(
    in_file: dict[Setting, Value], in_environment: dict[Setting, Value]
) -> None:
    toml = "".join(f"{each.name} = {as_toml(value)}\n" for each, value in in_file.items())
    words = {each.variable: as_word(value) for each, value in in_environment.items()}
    read = settings(toml, words)
    config = config_of(read)
    assert [each.setting for each in read] == list(SETTINGS)
    for each in read:
        setting = each.setting
        assert getattr(getattr(config, setting.section), setting.key) == each.value
        assert each.value == in_environment.get(setting, in_file.get(setting, setting.default))
        line = (
            f"/somewhere/config.toml:{list(in_file).index(setting) + 1}"
            if setting in in_file
            else ""
        )
        wanted = setting.variable if setting in in_environment else line or "default"
        assert each.origin == wanted


@some(max_examples=50)
@given(st.lists(LINES, max_size=8).map("\n".join))
def test_any_file_is_read_or_refused_with_a_name_that_stands_there_by_the_line_it_tells(
    toml: str,
) -> None:
    try:
        read = settings(toml)
    except ConfigError as error:
        lines = toml.split("\n")
        for told in error.args:
            place = re.match(r"/somewhere/config\.toml:(\d+): \[?(.*?)\]?: ", told)
            assert place, told
            until, parts = "\n".join(lines[: int(place[1])]), place[2].split(".")
            assert all(part in until for part in parts), told
    else:
        assert all(problem_with(each.setting, each.value) is None for each in read)


@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)))
def test_any_bytes_are_a_file_that_is_read_or_refused_by_its_name(content: bytes) -> None:
    try:
        settings(content)
    except ConfigError as error:
        unnamed = [told for told in error.args if not told.startswith("/somewhere/config.toml:")]
        assert unnamed == []


@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from([setting.variable for setting in SETTINGS]),
            st.text(max_size=9).map("WAIAAS_{}".format),
        ),
        st.one_of(st.text(max_size=9), st.integers().map(str), st.just("http://a")),
        max_size=9,
    )
)
def test_any_environment_is_taken_or_refused_with_the_names_of_its_variables(
    environment: dict[str, str],
) -> None:
    by_variable = {setting.variable: setting for setting in SETTINGS}
    try:
        read = settings("", environment)
    except ConfigError as error:
        for told in error.args:
            assert any(told.startswith((name, ascii(name))) for name in environment), told
    else:
        assert set(environment) <= {*by_variable, "WAIAAS_DATA_DIR"}
        for each in read:
            said = environment.get(each.setting.variable)
            assert said is None or each.value == from_text(each.setting, said)
