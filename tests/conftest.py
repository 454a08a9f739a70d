"""What every test shares: how hard Hypothesis tries, and that it never fails for being slow."""

import os

from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")  # noqa: TID251 -- not a setting of ours
