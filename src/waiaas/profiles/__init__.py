"""Profiles, read from the documents beside this file: what an operator reads is what is set.

Amounts are of the network's own asset, in base units (1 SOL = 1000000000 lamports). A profile is
where an agent starts: its rules are the agent's own from then on, to be changed one by one.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from waiaas.domain.enums import PolicyType
from waiaas.domain.profile import Profile, ProfileName


def read_profiles() -> Mapping[ProfileName, Profile]:
    """Return every profile, least trusting first. An agent that gets none may spend nothing."""
    return MappingProxyType({name: _read(name) for name in ProfileName})


def _read(name: ProfileName) -> Profile:
    written = json.loads((files(__package__) / f"{name}.json").read_text(encoding="utf-8"))
    return Profile(
        name,
        written["purpose"],
        tuple((PolicyType(each["type"]), each["rules"]) for each in written["rules"]),
    )
