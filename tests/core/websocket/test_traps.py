"""Every trap that was measured on the libraries below us has a test; its docstring names the trap.

W numbers are those of the reliability study (wsproto 1.3.2, frames and handshake), A numbers those of the study of the
libraries' own designs. What cannot happen here is shown by what makes it impossible: A9 by arguments that are checked.
"""

from __future__ import annotations

import ast
import re

from support.paths import TESTS

FILES = [*sorted((TESTS / "core" / "websocket").glob("test_*.py")), TESTS / "transports" / "runtimes" / "test_sync.py"]
EXPECTED = {f"W{number}" for number in range(1, 51)} | {f"A{number}" for number in range(1, 11)}


def test_every_trap_has_a_test_and_every_name_is_a_trap() -> None:
    named: dict[str, list[str]] = {}
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for trap in re.findall(r"\b[WA][0-9]+\b", ast.get_docstring(node) or ""):
                    named.setdefault(trap, []).append(f"{file.name}::{node.name}")
    assert named.keys() == EXPECTED, sorted(EXPECTED ^ named.keys())
