"""The way from every released schema to today's: frozen steps, forward only.

Nothing in this folder imports anything of ours from outside it, and no step is edited once it was
released: a step that read today's tables or enums would build something else every year. What runs
the steps, and checks them, is `waiaas.database.upgrade`.
"""

from typing import Final

from waiaas.database.migrations.step import Step

STEPS: Final[tuple[Step, ...]] = ()
"""In order. The schema of version 1 is the first to be released, so no step leads to it."""
