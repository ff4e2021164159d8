"""Folders of a checkout."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"  # recordings of the real service; not part of the distribution
RECORDINGS = SHARED / "recordings" / "js"
