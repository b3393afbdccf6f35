"""How many cases a property is tried on: `@cases(200)` is 200 in the default profile and 2,000 in the thorough one.

    default     the same cases on every run and every machine
    thorough    ten times as many, from a fresh seed; a failure prints the blob that reproduces it

HYPOTHESIS_PROFILE=thorough or pytest --hypothesis-profile=thorough chooses; the option wins over the variable.
"""

from __future__ import annotations

import os

from hypothesis import settings

UNIT = 100  # max_examples of the default profile, against which cases() measures

settings.register_profile("default", max_examples=UNIT, derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile(
    "thorough", max_examples=10 * UNIT, derandomize=False, deadline=None, database=None, print_blob=True
)


def load() -> None:
    """Select the profile that HYPOTHESIS_PROFILE names."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def cases(n: int, thorough: int = 0) -> settings:
    """n examples in the default profile, and in the thorough one `thorough`, 10 n if it is not given."""
    times = settings.get_profile(settings.get_current_profile_name()).max_examples // UNIT
    return settings(max_examples=thorough if thorough and times > 1 else n * times)
