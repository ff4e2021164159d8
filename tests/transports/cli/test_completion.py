"""``live-protocol completion``: scripts that the shells accept, and that complete."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from transports.cli.support import call

from live_transports.cli.commands import COMMANDS


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    result = call("completion", shell)
    assert (result.status, result.err) == (0, "")
    path = tmp_path / f"completion.{shell}"
    path.write_text(result.out, "utf-8")
    return path


def shell(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


BASH = """
set -u
source "$1"
complete -p live-protocol
shift
COMP_WORDS=(live-protocol "$@")
COMP_CWORD=$#
_live_protocol
printf '%s\\n' "${COMPREPLY[@]}"
"""

only = pytest.mark.parametrize


@only("script", ["bash"], indirect=True)
@only(
    ("words", "offered"),
    [
        (("",), {*COMMANDS, "-h", "--help", "--version", "--debug"}),
        (("ch",), {"chat", "check"}),
        (("chat", "--mod"), {"--modality", "--model"}),
        (("chat", "--modality", ""), {"AUDIO", "TEXT"}),
        (("--debug", "chat", "--modality", "A"), {"AUDIO"}),
        (("completion", "f"), {"fish"}),
        (("talk", "an"), {"an-utterance.wav"}),
        (("talk", "-o", "an"), {"an-utterance.wav"}),
        (("talk", "--o"), {"--out"}),
        (("talk", "two"), {"two words.wav"}),
        (("talk", "-o", "two"), {"two words.wav"}),
        (("chat", "--model", ""), {""}),
    ],
)
def test_bash(script: Path, tmp_path: Path, words: tuple[str, ...], offered: set[str]) -> None:
    for name in ("an-utterance.wav", "two words.wav"):
        (tmp_path / name).touch()
    registered, *replies = shell("bash", "--norc", "-c", BASH, "bash", script, *words, cwd=tmp_path).splitlines()
    assert registered == "complete -o filenames -F _live_protocol live-protocol"
    assert set(replies) == offered


@only("script", ["zsh"], indirect=True)
def test_zsh(script: Path) -> None:
    shell("zsh", "-n", script)
    load = f"autoload -Uz compinit; compinit -u -D; source {script}; print $_comps[live-protocol]"
    assert shell("zsh", "-fc", load) == "_live_protocol\n"


@only("script", ["fish"], indirect=True)
def test_fish(script: Path) -> None:
    shell("fish", "--no-execute", script)

    def complete(text: str) -> set[str]:
        lines = shell("fish", "--no-config", "-c", f"source {script}; complete -C '{text}'").splitlines()
        return {line.partition("\t")[0] for line in lines}

    assert complete("live-protocol ch") == {"chat", "check"}
    assert complete("live-protocol chat --modality ") == {"AUDIO", "TEXT"}
    assert complete("live-protocol completion ") == {"bash", "fish", "zsh"}


def test_another_shell() -> None:
    result = call("completion", "csh")
    assert result.status == 2
    assert "invalid choice: 'csh'" in result.err
