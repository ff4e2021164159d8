"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import benchmarks
from benchmarks import report, runner
from benchmarks.voice import options as voice_options


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, wider spread")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample to FILE")
    parser.add_argument(
        "--only",
        choices=("core", "loopback", "footprint", "voice"),
        help="one part of the table; voice is a report of its own, made only when it is named",
    )
    voice_options.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.only == "voice":
        from benchmarks.voice import command

        command.main(arguments)
        return
    plan = runner.QUICK if arguments.quick else runner.FULL

    # Footprint first and without the parts below imported: its processes share the cores with this one.
    rows: list[runner.Row] = []
    if arguments.only in (None, "footprint"):
        from benchmarks import footprint

        rows += footprint.rows(plan)
    if arguments.only in (None, "core"):
        from benchmarks import core

        rows += core.rows(plan)
    if arguments.only in (None, "loopback"):
        from benchmarks import loopback

        rows += loopback.rows(plan)
    runner.progress("")
    report.print_table(rows)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(rows, plan), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
