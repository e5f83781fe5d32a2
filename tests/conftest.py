"""For all tests: in CI the properties take the same examples each time, so that a change is judged by itself.

Elsewhere they take new ones with each run, and keep what failed.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
