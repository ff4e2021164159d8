"""The counts that valgrind takes: instructions, allocations, bytes copied."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path as File
from typing import Final

from benchmarks.guard.counts import ROOT, Figures

ALLOCATE: Final = frozenset({"_PyObject_Malloc", "_PyObject_Calloc", "_PyMem_RawMalloc", "_PyMem_RawCalloc"})
"""The functions of CPython that take new memory. An interpreter without symbols hides them."""
NAMED: Final = re.compile(r"(c?)fn=\((\d+)\)(?: (.*))?")
COPIED: Final = re.compile(r"Total: +([\d,]+) bytes in [\d,]+ blocks")


def available() -> bool:
    """Whether valgrind is installed."""
    return shutil.which("valgrind") is not None


def _watch(tool: Sequence[str], names: Sequence[str], folder: File) -> dict[str, dict[int, int]]:
    """Run the scripts under a tool; gives the process for each number of messages, by path."""
    command = ["valgrind", *tool, f"--log-file={folder}/log.%p", sys.executable, "-m", "benchmarks.guard.script"]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run([*command, *names], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    processes: dict[str, dict[int, int]] = {}
    for line in done.stdout.splitlines():
        count, process, name = line.split(" ", 2)
        processes.setdefault(name, {})[int(count)] = int(process)
    return processes


def _per_message(costs: dict[int, float]) -> float:
    few, many = sorted(costs)
    return (costs[many] - costs[few]) / (many - few)


def _instructions_and_allocations(file: File) -> tuple[int, int]:
    """Totals of a file that callgrind wrote: names are written once, with a number that stands for them later."""
    names: dict[str, str] = {}
    callee, instructions, allocations = "", 0, 0
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("calls="):
                if names.get(callee) in ALLOCATE:
                    allocations += int(line[6:].split()[0])
            elif match := NAMED.match(line):
                is_callee, number, name = match.groups()
                if name:
                    names[number] = name.strip()
                if is_callee:
                    callee = number
            elif line.startswith("totals:"):
                instructions = int(line.split()[1])
    return instructions, allocations


def figures(names: Sequence[str]) -> dict[str, Figures]:
    """The figures of each path, of a message each:

    - ``instructions``: of the processor, in this process, without the kernel.
    - ``allocations``: blocks of memory taken, freed again or not; left out if the interpreter has no symbols.
    - ``copied``: bytes that `memcpy` and its like moved; what arithmetic, base64 and JSON write is not in it.
    """
    found: dict[str, Figures] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as name:
        folder = File(name)
        tool = ("--tool=callgrind", f"--callgrind-out-file={folder}/out.%p")
        for path, processes in _watch(tool, names, folder).items():
            totals = {count: _instructions_and_allocations(folder / f"out.{pid}") for count, pid in processes.items()}
            found[path]["instructions"] = _per_message({count: total for count, (total, _) in totals.items()})
            if all(allocations for _, allocations in totals.values()):
                found[path]["allocations"] = _per_message({count: blocks for count, (_, blocks) in totals.items()})
        tool = ("--tool=dhat", "--mode=copy", f"--dhat-out-file={folder}/copies.%p")
        for path, processes in _watch(tool, names, folder).items():
            copied: dict[int, float] = {}
            for count, pid in processes.items():
                match = COPIED.search((folder / f"log.{pid}").read_text())
                if match is None:
                    raise RuntimeError("valgrind does not say how much was copied")
                copied[count] = int(match[1].replace(",", ""))
            found[path]["copied"] = _per_message(copied)
    return found
