"""Runs the real command in its own process."""

from __future__ import annotations

import io
import json
import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import attrs
import pytest

from live_transports.cli import main

TIMEOUT = 30.0
_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_CLOUD_PROJECT")


@attrs.frozen
class Result:
    status: int
    out: str
    err: str

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def types(self, source: str | None = None) -> list[str]:
        return [shown["type"] for shown in self.objects() if source in (None, shown["from"])]


def environment(**variables: str) -> dict[str, str]:
    """The import path of this process, UTF-8, and no credentials of the machine."""
    kept = {name: value for name, value in os.environ.items() if name not in _KEYS}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return kept | {"PYTHONPATH": path, "PYTHONWARNINGS": "error", "PYTHONUTF8": "1"} | variables


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "live_transports.cli", *map(str, arguments)]


def run(*arguments: str | Path, stdin: str | bytes = "", **variables: str) -> Result:
    done = subprocess.run(
        command(*arguments),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env=environment(**variables),
        timeout=TIMEOUT,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def call(*arguments: str | Path, stdin: str | bytes = "") -> Result:
    """The same in this process, which saves half a second per case."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    source = io.TextIOWrapper(io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin))
    with redirect_stdout(out), redirect_stderr(err), patch("sys.stdin", source), patch.dict(os.environ):
        for name in _KEYS:
            os.environ.pop(name, None)
        try:
            status: object = main(list(map(str, arguments)))
        except SystemExit as exit_:
            status = exit_.code
    written = []
    for stream in (out, err):
        stream.flush()
        written.append(cast("io.BytesIO", stream.buffer).getvalue().decode())
    return Result(cast("int", status), *written)


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until it is stopped; always killed at the end."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment(**variables)
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# What opens a terminal first in a session of its own gets its Ctrl-C, unless it inherited to ignore that.
_OPENING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.open(sys.argv[1], os.O_RDWR)
os.execv(sys.argv[2], sys.argv[2:])
"""


def on_terminal(
    arguments: list[str], *, columns: int = 80, typed: Iterable[tuple[bytes, bytes]] = (), stdout: int | None = None
) -> tuple[int, bytes]:
    """A command on a terminal of its own.

    Args:
        arguments: The command line.
        columns: Width of the terminal.
        typed: What to wait for on the screen, and what to type then.
        stdout: Standard output, where that is not the terminal.

    Returns:
        The exit status, and all that was on the screen.
    """
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _OPENING, os.ttyname(theirs), *arguments],
        env=environment(TERM="xterm"),
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen, waiting, position = b"", list(typed), 0
    try:
        while select.select([ours], [], [], TIMEOUT)[0] and (data := os.read(ours, 65536)):
            seen += data
            while waiting and (found := seen.find(waiting[0][0], position)) >= 0:
                position = found + len(waiting[0][0])
                os.write(ours, waiting.pop(0)[1])
    except OSError:
        pass  # how Linux says that the other end is closed
    finally:
        os.close(ours)
        try:
            status = process.wait(TIMEOUT)
        finally:
            process.kill()
    return status, seen


def line(stream: Any) -> str:
    """The next line of a process, which must write one."""
    text: str = stream.readline()
    assert text, "the process has ended instead"
    return text.rstrip("\n")
