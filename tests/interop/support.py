"""Runs what an SDK has to tell, several stories at once: what they take is the time in which the model speaks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import attrs
from transports.cli.support import environment

SPEECH = files("live_transports.cli") / "speech.wav"
TIMEOUT = 60

Stories = dict[str, dict[str, Any]]


@attrs.frozen
class Server:
    """A running server: its URL, and the file of its certificate authority where it has one."""

    url: str
    ca: str


def tell(commands: Mapping[str, Sequence[str]], **variables: str) -> Stories:
    """Run programs that print one JSON object for each chapter.

    Args:
        commands: Their command lines by the name of the story.
        variables: Environment.

    Returns:
        By name: the chapters, ``status`` and ``err``.
    """
    # The proxies of the machine are not for this machine, and no setting of it counts.
    kept = environment(no_proxy="localhost,127.0.0.1", **variables)
    processes = {
        name: subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={key: value for key, value in kept.items() if not key.startswith("GOOGLE_")},
        )
        for name, command in commands.items()
    }
    told: Stories = {}
    try:
        for name, process in processes.items():
            out, err = process.communicate(timeout=TIMEOUT)
            told[name] = {"status": process.returncode, "err": err}
            for chapter in out.splitlines():
                told[name] |= json.loads(chapter)
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    return told
