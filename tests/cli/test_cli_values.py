"""An option that is read without Typer means what Typer would have made of it."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from waiaas.cli.app import app
from waiaas.cli.values import NotPlain, plain_value

ODD: Final[tuple[object, ...]] = (
    *(None, "", " ", " 1", "1 ", "٣", "²"),
    *("0", "7", "007", "-1", "+1", "1_000", "1.0", "1e3", "true"),
    *("99999", "123456789", "1234567890", "9" * 30, "a/b", "localnet", "LOCALNET", "cautious"),
    *("SPENDING_LIMIT", "json", 0, -1, 7, 99_999, 2.5, True, False, [], ["a"], ()),
)
"""What the forms of a number, a name and nothing could be mistaken for."""


def parameters_of(command: Any) -> Iterator[Any]:
    yield from command.params
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from parameters_of(command.get_command(None, name))


@pytest.fixture(scope="module")
def parameters() -> list[Any]:
    """Return every option and argument of the program, each name once for each type."""
    every = parameters_of(typer.main.get_group(app))
    return list(
        {(str(each.type_descriptor.annotation), each.name): each for each in every}.values()
    )


def outcome(read: Any) -> tuple[str, Any]:
    """Return what is read, with its type, or how it is refused."""
    try:
        value = read()
    except typer.BadParameter as refused:
        return "refused", refused.message
    return type(value).__name__, value


def by_typer(parameter: Any, value: object) -> tuple[str, Any]:
    def read() -> object:
        if parameter.type_descriptor.annotation is bool and isinstance(value, bool):
            return value
        return parameter.get_runtime_param().coerce(value, param=parameter, ctx=None)

    return outcome(read)


def is_alike_or_left_to_typer(parameter: Any, value: object) -> bool:
    """Tell whether a value was read here; then as Typer does."""
    try:
        read = outcome(lambda: plain_value(parameter, value))
    except NotPlain:
        return False
    assert read == by_typer(parameter, value), (parameter.name, value)
    return True


def test_every_option_means_what_typer_would_make_of_it(parameters: list[Any]) -> None:
    for parameter in parameters:
        for value in ODD:
            is_alike_or_left_to_typer(parameter, value)


@given(value=st.text() | st.integers() | st.floats(allow_nan=False), which=st.data())
def test_whatever_is_given_means_what_typer_would_make_of_it(
    parameters: list[Any], value: object, which: Any
) -> None:
    is_alike_or_left_to_typer(which.draw(st.sampled_from(parameters)), value)


def test_what_is_usual_needs_no_typer(parameters: list[Any]) -> None:
    usual = {str: "a", int: "1", bool: True}
    for parameter in parameters:
        kind = parameter.type_descriptor
        value = "a" if kind.parameter_info.parser else usual.get(kind.annotation)
        assert value is None or is_alike_or_left_to_typer(parameter, value), parameter.name


def test_what_is_not_there_and_must_be_is_left_to_typer(parameters: list[Any]) -> None:
    required = [parameter for parameter in parameters if parameter.required]
    assert required
    assert not any(is_alike_or_left_to_typer(parameter, None) for parameter in required)


def test_control_a_number_that_is_not_read_as_one_would_be_noticed(parameters: list[Any]) -> None:
    numbers = [each for each in parameters if each.type_descriptor.annotation is int]
    assert numbers
    assert all(by_typer(each, "7") == ("int", 7) for each in numbers)
