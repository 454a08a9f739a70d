"""A value of a setting: which are right, what a word of the environment means, what is withheld."""

import datetime as dt
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.chains.solana.rpc import JsonRpc
from waiaas.config.registry import SETTINGS, Entry, Setting, Value
from waiaas.config.values import from_text, problem_with, shown


def setting(default: Value, **more: object) -> Setting:
    entry = Entry("What it means", read_by="a.module", **more)  # type: ignore[arg-type]  # -- rows
    return Setting("section", "key", type(default), default, entry)


NUMBER: Final = setting(1, low=-1, high=9, unit="hours")
FLAG: Final = setting(default=False)
WORD: Final = setting("info", choices=("info", "debug"))
URL: Final = setting("", is_secret=True)
SECRET_WORD: Final = setting("none", choices=("none", "more"), is_secret=True)

# fmt: off
VALUES = [
    (NUMBER, -1,                     None),
    (NUMBER, 9,                      None),
    (NUMBER, -2,                     "is too small"),
    (NUMBER, 10,                     "is too large"),
    (NUMBER, 10**400,                "is too large"),
    (NUMBER, True,                   "is true or false"),
    (NUMBER, 1.0,                    "is a number with a fraction"),
    (NUMBER, "1",                    "is text"),
    (NUMBER, [1],                    "is a list"),
    (NUMBER, {},                     "is a table"),
    (NUMBER, dt.date(2026, 1, 1),    "is a date"),
    (NUMBER, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "is a date"),
    (NUMBER, dt.time(1),             "is a time"),
    (FLAG,   True,                   None),
    (FLAG,   1,                      "is a number"),
    (FLAG,   "true",                 "is text"),
    (WORD,   "debug",                None),
    (WORD,   "Debug",                "is none of them"),
    (WORD,   "",                     "is none of them"),
    (URL,    "",                     None),
    (URL,    "http://a",             None),
    (URL,    "https://u:p@a.b-c_d:1/e?f#g", None),
    (URL,    "http://[::1]:8899",    None),
    (URL,    "ftp://a",              "is not such a URL"),
    (URL,    "HTTP://a",             "is not such a URL"),
    (URL,    "a",                    "is not such a URL"),
    (URL,    " http://a",            "is not such a URL"),
    (URL,    "http://a b",           "is not such a URL"),
    (URL,    "http://a/\n",          "is not such a URL"),
    (URL,    "http://",              "is not such a URL"),
    (URL,    "http:///a",            "is not such a URL"),
    (URL,    "http://a:",            "is not such a URL"),
    (URL,    "http://a:x",           "is not such a URL"),
    (URL,    "http://é",             "is not such a URL"),
    (URL,    "http://a:65535",       None),
    (URL,    "http://a:0",           "is not such a URL"),
    (URL,    "http://a:65536",       "is not such a URL"),
    (URL,    "http://a:99999",       "is not such a URL"),
    (URL,    "http://[::::]:8899",   "is not such a URL"),
    (URL,    "http://[1.2.3.4]",     "is not such a URL"),
    (URL,    "http://[::1.2.3.4]",   None),
    (URL,    "http://127.0.0.1",     None),
    (URL,    "http://999.1.1.1",     "is not such a URL"),
    (URL,    "http://127.1",         "is not such a URL"),
    (URL,    "http://1.2.3.4.",      "is not such a URL"),
    (URL,    "http://...",           "is not such a URL"),
    (URL,    "http://a..b",          "is not such a URL"),
    (URL,    "http://.a",            "is not such a URL"),
    (URL,    "http://a.b.",          None),
    (URL,    "http://-a",            "is not such a URL"),
    (URL,    "http://a-.b",          "is not such a URL"),
    (URL,    "http://_a.b_",         None),
    (URL,    "http://" + "a" * 63,   None),
    (URL,    "http://" + "a" * 64,   "is not such a URL"),
    (URL,    "http://" + "a." * 126 + "a",  None),
    (URL,    "http://" + "a." * 126 + "ab", "is not such a URL"),
    (URL,    "http://a/" + "x" * 4087, None),
    (URL,    "http://a/" + "x" * 4088, "is not such a URL"),
    (URL,    5,                      "is a number"),
]

TEXTS = [
    (NUMBER, "5",      5),
    (NUMBER, "-1",     -1),
    (NUMBER, "+5",     5),
    (NUMBER, "007",    7),
    (NUMBER, "",       ""),
    (NUMBER, " 5",     " 5"),
    (NUMBER, "5\n",    "5\n"),
    (NUMBER, "1_0",    "1_0"),
    (NUMBER, "1e3",    "1e3"),
    (NUMBER, "0x1",    "0x1"),
    (NUMBER, "5.0",    "5.0"),
    (NUMBER, "\u0665", "\u0665"),
    (NUMBER, "9" * 18, 10**18 - 1),
    (NUMBER, "9" * 19, "9" * 19),
    (NUMBER, "true",   "true"),
    (FLAG,   "true",   True),
    (FLAG,   "false",  False),
    (FLAG,   "True",   "True"),
    (FLAG,   "1",      "1"),
    (WORD,   "5",      "5"),
    (URL,    "true",   "true"),
]

SHOWN = [
    (NUMBER,      5,                         5),
    (URL,         "",                        ""),
    (URL,         "http://a:1",              "http://a:1"),
    (URL,         "http://a/",               "http://a/"),
    (URL,         "https://a/key",           "https://a/(withheld)"),
    (URL,         "https://a?key",           "https://a/(withheld)"),
    (URL,         "https://a#key",           "https://a/(withheld)"),
    (URL,         "https://key@a",           "https://a/(withheld)"),
    (URL,         "https://x@key@a:1/",      "https://a:1/(withheld)"),
    (URL,         "https://key#@a",          "(withheld)"),
    (URL,         "key",                     "(withheld)"),
    (SECRET_WORD, "more",                    "(withheld)"),
    (SECRET_WORD, "none",                    "none"),
]
# fmt: on


@pytest.mark.parametrize(("what", "value", "problem"), VALUES)
def test_a_value_is_of_its_type_and_within_its_bounds(
    what: Setting, value: object, problem: str | None
) -> None:
    assert problem_with(what, value) == problem


@pytest.mark.parametrize(("what", "text", "value"), TEXTS)
def test_a_word_of_the_environment_means_what_the_type_of_its_setting_says(
    what: Setting, text: str, value: object
) -> None:
    found = from_text(what, text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(("what", "value", "wanted"), SHOWN)
def test_of_what_may_be_secret_the_host_is_shown(
    what: Setting, value: int | str, wanted: int | str
) -> None:
    assert shown(what, value) == wanted


@given(
    st.from_regex(r"https?://([!-~]{0,9}@)?[a-z]{1,9}(:[0-9]{1,4})?[/?#]?", fullmatch=True),
    st.from_regex(r"CANARY[!-~]{0,9}", fullmatch=True),
)
def test_what_stands_beside_the_host_of_a_url_is_never_shown(start: str, secret: str) -> None:
    for url in (start + "/" + secret, start.replace("://", f"://{secret}@", 1)):
        if problem_with(URL, url) is None:
            assert "CANARY" not in str(shown(URL, url))


@given(st.from_regex(r"https?://[a-z@:/?#.\[\]0-9-]{1,12}", fullmatch=True))
def test_what_is_shown_of_a_url_names_the_node_that_is_asked(url: str) -> None:
    if problem_with(URL, url) is None:
        node = JsonRpc(url).node  # It can be asked, or a start would end where this is fine.
        assert str(shown(URL, url)).removesuffix("/(withheld)").rstrip("/") in {
            node,
            url.rstrip("/"),
            "(withheld)",
        }


def test_what_is_right_is_said_in_words() -> None:
    assert NUMBER.right == "a whole number of hours from -1 to 9"
    assert FLAG.right == "true or false"
    assert WORD.right == "one of info, debug"
    assert URL.right == "a URL (http or https, port 1 to 65535), or empty"


@pytest.mark.parametrize("each", SETTINGS, ids=lambda each: each.name)
def test_every_setting_is_declared_in_full(each: Setting) -> None:
    assert problem_with(each, each.default) is None
    assert each.type is not int or (each.entry.low is not None and each.entry.high is not None)
    assert each.entry.meaning
    assert "\n" not in each.entry.meaning
    assert not each.entry.meaning.endswith(".")
    assert each.key.isidentifier()
    assert "_" not in each.section, "or its variable could be another's"
