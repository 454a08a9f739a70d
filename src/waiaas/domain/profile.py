"""The names of the profiles: sets of rules with which an agent may begin."""

from enum import StrEnum


class ProfileName(StrEnum):
    """The profiles there are, least trusting first. `waiaas.policy.profiles` has their rules."""

    CAUTIOUS = "cautious"
    STANDARD = "standard"
    OPEN = "open"
