"""Text and bytes that were a secret are zeros afterwards, wherever they are still referred to."""

from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import MARKER

from waiaas.api.operator import OperatorAccess
from waiaas.api.overwriting import encoded, overwrite
from waiaas.api.strict_json import decode
from waiaas.domain.errors import Refusal
from waiaas.wire.admin import Login

if TYPE_CHECKING:
    from tests.api.conftest import Desk

PASSWORD = f"{MARKER}-pa55word-é"
COOKIE = "wai_op_" + "C" * 43
LOGIN = "/v1/admin/login"


@pytest.mark.parametrize("letters", ["ab", "äb", "a€", "a😀"], ids=["ascii", "latin", "BMP", "all"])
@pytest.mark.parametrize("length", [12, 13, 64, 1024])
def test_text_of_any_width_is_zeros_and_as_long_as_before(letters: str, length: int) -> None:
    text = (letters * length)[:length]
    equal = (letters * length)[:length]
    overwrite(text)
    assert [ord(character) for character in text] == [0] * length
    assert equal == (letters * length)[:length], "what is equal and another's stays"


def test_bytes_are_zeros_and_as_long_as_before() -> None:
    secret = b"correct horse " * int("2")
    overwrite(secret)
    assert secret == bytes(28)


@pytest.mark.parametrize("length", [0, 1, 11])
def test_what_is_too_short_for_a_password_is_left_alone(length: int) -> None:
    for shared, letter in (("a" * length, "a"), (b"a" * length, b"a")):
        overwrite(shared)
        assert set(shared) <= set(letter), "the interpreter shares objects of one letter"


def test_an_encoded_password_is_lent() -> None:
    password = "correct horse battery stäple"
    with suppress(KeyError), encoded(password) as lent:
        assert lent == password.encode()
        raise KeyError  # Whatever happens.
    assert lent == bytes(len(password) + 1)
    assert password == "correct horse battery stäple"


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([b'{"password": "%s"}'], 200),
        ([b'{"password": "%s', b'"', b"}"], 200),
        ([b'{"password": "%s no"}'], 401),
        ([b'{"password": "%s", "more": 1}'], 400),
        ([b'{"password": "%s"'], 400),
    ],
    ids=["right", "in pieces", "wrong", "unknown member", "no JSON"],
)
def test_nothing_that_came_with_a_password_outlives_its_answer(
    pieces: list[bytes], status: int, desk: "Desk"
) -> None:
    sent = [piece.replace(b"%s", PASSWORD.encode()) for piece in pieces]
    assert desk.ask("POST", LOGIN, raw=sent).status == status
    assert [len(piece) for piece in desk.handed] == [len(piece) for piece in sent]
    assert not any(any(piece) for piece in desk.handed if len(piece) >= 12)
    assert len(desk.keystore.given) == (status < 400 or status == 401)
    assert not any(any(password) for password in desk.keystore.given)


def test_nothing_of_an_unlocking_is_left(desk: "Desk") -> None:
    desk.ask("POST", "/v1/admin/lock", token=COOKIE)
    assert desk.ask("POST", "/v1/admin/unlock", {"password": PASSWORD}, token=COOKIE).status == 200
    verified, unlocking = desk.keystore.given
    assert verified == unlocking == bytes(len(PASSWORD.encode()))


class Watchful:
    """Access for operators, that keeps the very text that it is given."""

    def __init__(self, operator: OperatorAccess) -> None:
        self._operator = operator
        self.given: list[str] = []

    async def log_in(self, password: str, **how: Any) -> tuple[str, int]:
        self.given.append(password)
        return await self._operator.log_in(password, **how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


@pytest.mark.parametrize("typed", [PASSWORD, PASSWORD + "x"], ids=["right", "wrong"])
def test_the_text_in_a_message_is_gone_with_its_answer(typed: str, desk: "Desk") -> None:
    watchful = Watchful(desk.services.operator)
    desk.rebuild(operator=watchful)
    desk.ask("POST", LOGIN, {"password": typed})
    assert [set(map(ord, given)) for given in watchful.given] == [{0}]


def test_what_a_message_was_made_of_is_gone_with_the_making() -> None:
    seen: list[str] = []

    class Tag:
        def __eq__(self, tag: object) -> bool:
            seen.append(str(tag))  # The very object, if it is text.
            return False

        __hash__ = object.__hash__

    other: Any = SimpleNamespace(__struct_config__=SimpleNamespace(tag=Tag()))
    with pytest.raises(Refusal):
        decode(b'{"type": "a password in the wrong place"}', Login, other)
    assert [set(map(ord, text)) for text in seen] == [{0}]
