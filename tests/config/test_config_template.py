"""The file that `waiaas init` writes: it changes nothing, and says all there is to say."""

import re
import tomllib
from pathlib import Path

from waiaas.config.reading import File, combine, config_of, in_file
from waiaas.config.registry import SECTIONS, SETTINGS, Config
from waiaas.config.template import template

PATH = Path("/x/config.toml")


def test_as_it_is_written_nothing_is_said_by_it() -> None:
    read = combine(in_file(File(PATH, template().encode(), is_open_to_others=True)))
    assert {each.origin for each in read} == {"default"}
    assert set(tomllib.loads(template())) == set(SECTIONS)


def test_with_every_line_in_force_it_says_the_default_of_each_setting_once() -> None:
    whole = re.sub(r"^# (\w+ = )", r"\1", template(), flags=re.MULTILINE)
    read = combine(in_file(File(PATH, whole.encode(), is_open_to_others=True)))
    assert config_of(read) == Config()
    lines = whole.split("\n")
    for each in read:
        assert each.origin.startswith("/x/config.toml:")
        assert lines[int(each.origin.split(":")[1]) - 1].startswith(f"{each.setting.key} = ")
    assert len(read) == len(SETTINGS)


def test_it_fits_a_terminal_and_names_what_is_right() -> None:
    assert max(map(len, template().split("\n"))) <= 100
    for setting in SETTINGS:
        assert f"# {setting.right}\n" in template()
