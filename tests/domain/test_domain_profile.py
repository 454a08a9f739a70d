"""The names of the profiles."""

from waiaas.domain.profile import ProfileName


def test_profiles_have_the_names_an_operator_types() -> None:
    assert [*ProfileName] == ["cautious", "standard", "open"]
