"""The footprint rows: what importing costs and what an idle session holds; a fresh process per sample."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.loopback_server import running
from benchmarks.runner import Plan, Row, Side, turns

IMPORTS: dict[str, dict[Side, str]] = {
    "core": {
        "peer": "import google.genai; google.genai.Client(api_key='benchmark')",
        "ours": "import live_protocol",
    },
    "with asyncio": {
        "peer": "import google.genai; google.genai.Client(api_key='benchmark')",
        "ours": "import live_protocol, live_transports.asyncio",
    },
}
MEASURE_IMPORT = """
import json, time
from benchmarks.memory import resident
before = resident()
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
print(json.dumps([seconds * 1000, (resident() - before) / 1024 / 1024]))
"""


def _run(*arguments: str) -> list[float]:
    done = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, check=True)
    return [float(figure) for figure in json.loads(done.stdout)]


def _import_rows(plan: Plan, name: str) -> list[Row]:
    took, held = Row("import", f"{name}, time", "ms"), Row("import", f"{name}, memory", "MiB")
    programs = {side: MEASURE_IMPORT.format(statement=statement) for side, statement in IMPORTS[name].items()}
    for program in programs.values():
        _run("-c", program)  # bytecode and page cache
    for side in turns(plan.fresh, f"import: {name}"):
        milliseconds, mebibytes = _run("-c", programs[side])
        took.samples[side].append(milliseconds)
        held.samples[side].append(mebibytes)
    return [took, held]


def _idle_rows(plan: Plan) -> list[Row]:
    opened, held = Row("session", "open, CPU", "us"), Row("session", "idle, memory", "KiB")
    with running() as url:
        for side in turns(plan.fresh, opened.group):
            microseconds, kibibytes = _run("-m", "benchmarks.idle", side, url, str(plan.idle))
            opened.samples[side].append(microseconds)
            held.samples[side].append(kibibytes)
    return [opened, held]


def rows(plan: Plan) -> list[Row]:
    return [*_import_rows(plan, "core"), *_import_rows(plan, "with asyncio"), *_idle_rows(plan)]
