"""The page of the policies tells every rule of every profile, as the daemon sets it."""

from pathlib import Path

from waiaas.cli.policies import with_coins
from waiaas.profiles import read_profiles

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


def test_the_page_tells_whom_each_profile_is_for() -> None:
    for name, profile in read_profiles().items():
        assert f"- [`{name}`](../src/waiaas/profiles/{name}.json): {profile.purpose}" in PAGE


def test_the_page_tells_every_member_of_every_rule_and_no_other() -> None:
    profiles = [
        {
            (kind, member): with_coins(value)
            for kind, document in profile.documents
            for member, value in document.items()
        }
        for profile in read_profiles().values()
    ]
    rows = []
    for kind, member in set().union(*profiles):
        cells = (each.get((kind, member), "none") for each in profiles)
        rows.append(f"| `{kind}` | `{member}` | {' | '.join(cells)} |")
    section = PAGE.partition("## Profiles")[2].partition("\n## ")[0]
    head, rule, *shown = [line for line in section.splitlines() if line.startswith("|")]
    assert head == f"| Rule | Member | {' | '.join(f'`{name}`' for name in read_profiles())} |"
    assert set(rule) <= set("|-")
    assert sorted(shown) == sorted(rows)
