"""How long is waited, and how many may: the bounds, and what holds where nobody says otherwise."""

from typing import Final

DELAY_S_MAX: Final = 7 * 86_400
DELAY_S_DEFAULT: Final = 300
"""How long a DELAY lasts where neither a rule nor a setting says."""

DELAY_S_FLOOR: Final = 60
"""What a shorter wait is raised to, except on a local network."""

APPROVAL_S_MAX: Final = 7 * 86_400
APPROVAL_S_DEFAULT: Final = 3600
"""How long a person has to answer where neither a rule nor a setting says."""

PENDING_MAX_DEFAULT: Final = 1000
"""How many transactions of one agent may have begun and not ended."""

WAITING_MAX_DEFAULT: Final = 10
"""How many of them may wait for their time or for a person."""
