"""Makes the pictures of the README from real runs: `python scripts/pictures.py [timeline] [demo] [ratios] [sessions]`.

- ``timeline.png``: the page of a session that the demo recorded, as headless Chromium shows it.
- ``demo.svg``: what the demo prints on a terminal.
- ``ratios.svg``: medians of `python -m benchmarks`, about two minutes; run it on a quiet machine.
- ``sessions-a-core.svg``: the run of paced voice sessions that is committed beside the benchmark; it measures nothing.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PICTURES: Final = ROOT / "docs" / "pictures"
WIDTH: Final = 110  # columns of the terminal
CHROMIUM: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--window-size=1280,860",
)

# The rows of the chart, as benchmarks name them, and what a reader calls them.
ROWS: Final[Mapping[str, str]] = {
    "decode 40 ms": "receive 40 ms of audio",
    "decode 200 ms": "receive 200 ms of audio",
    "decode transcript": "receive a transcript",
    "encode 20 ms": "send 20 ms of audio",
    "encode 100 ms": "send 100 ms of audio",
    "loopback down 40 ms, CPU": "40 ms down, over TCP",
    "loopback up 20 ms, CPU": "20 ms up, over TCP",
    "session open, CPU": "open a session",
    "import with asyncio, time": "import",
}


def _run(*command: str, **options: Any) -> str:
    out: str = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout  # noqa: S603
    return out


def _demo(folder: Path) -> str:
    environment = os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    return _run(sys.executable, "-m", "live_transports.cli", "demo", "--out", str(folder), env=environment)


def timeline() -> None:
    """Draw the page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("timeline: no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder:
        _demo(Path(folder))
        (page,) = Path(folder).glob("*.html")
        target = PICTURES / "timeline.png"
        options = [*CHROMIUM, f"--user-data-dir={folder}/profile", f"--screenshot={target}", page.as_uri()]
        _run(chromium, *options, stderr=subprocess.DEVNULL)


def demo() -> None:
    """Draw the terminal."""
    from rich.console import Console  # noqa: PLC0415 - each picture needs its own library only
    from rich.text import Text  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        text = _demo(Path(folder)).replace(folder, "demo")
    acts = text.split("\n\n")
    shown = [act for act in acts if not re.match(r"\s*[1246]\. ", act)]  # the tool call, the resumption and the end
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("$ live-protocol demo --out demo\n" + "\n\n".join(shown)))
    svg = console.export_svg(title="live-protocol demo", unique_id="demo")
    # A picture of a README may load nothing: the reader's own monospace font has to do.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    (PICTURES / "demo.svg").write_text(svg, encoding="utf-8")


def ratios() -> None:
    """Draw the chart."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "live-protocol"
    from matplotlib import pyplot  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        _run(sys.executable, "-m", "benchmarks", "--json", str(out), cwd=ROOT)
        document: Mapping[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    measured = {f"{row['group']} {row['name']}": row["ratio"]["median"] for row in document["rows"]}
    rows = [(label, measured[case]) for case, label in ROWS.items()]
    figure, axes = pyplot.subplots(figsize=(7.6, 0.36 * len(rows) + 0.9))
    labels = [label for label, _ in reversed(rows)]
    values = [value for _, value in reversed(rows)]
    bars = axes.barh(labels, values, color="#1f6f8b", height=0.62)
    axes.bar_label(bars, labels=[f"{value:.1f}x" for value in values], padding=4)
    axes.axvline(1, color="#888888", linewidth=1)
    axes.set_xlim(0, max(values) * 1.12)
    axes.set_xlabel(f"how many times less than google-genai {document['environment']['packages']['google-genai']}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURES / "ratios.svg", bbox_inches="tight", metadata={"Date": None})


def sessions() -> None:
    """Draw the committed run of paced sessions."""
    committed = ROOT / "benchmarks" / "voice" / "figures.json"
    _run(sys.executable, "-m", "benchmarks", "--only", "voice", "--from-json", str(committed), "--page", cwd=ROOT)


def main() -> None:
    """Make the pictures that are named, or all."""
    makers: dict[str, Callable[[], None]] = {"timeline": timeline, "demo": demo, "ratios": ratios, "sessions": sessions}
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or makers:
        makers[name]()
        print(f"{name}: done")


if __name__ == "__main__":
    main()
