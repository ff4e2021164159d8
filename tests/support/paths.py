"""Where things stand in a checkout."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"  # real recordings; not part of the distribution
RECORDINGS = SHARED / "recordings" / "js"
