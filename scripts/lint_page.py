"""Lints and formats the timeline page's script and style with Biome: `python scripts/lint_page.py [--write]`.

On first use it installs the version that package.json pins. Without npm it checks nothing and says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIOME = ROOT / "node_modules" / "@biomejs" / "biome" / "package.json"
INSTALL = ("install", "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")


def main(*, write: bool) -> int:
    """Check the files, after rewriting them if ``write``; returns the exit status."""
    npm = shutil.which("npm")
    if npm is None:
        sys.stderr.write(
            "skipped: npm is not installed, so nothing checks live_protocol/recording/page/*.js and *.css\n"
        )
        return 0
    if not BIOME.exists():
        subprocess.run([npm, *INSTALL, "--loglevel", "error"], cwd=ROOT, check=True)  # noqa: S603
    script = "format" if write else "lint"
    return subprocess.run([npm, "run", "--silent", script], cwd=ROOT, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(write="--write" in sys.argv[1:]))
