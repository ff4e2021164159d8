"""``live-protocol completion``: what the shells offer when the user presses Tab."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from transports.cli.support import call, on_terminal

from live_transports.cli.commands import COMMANDS

Complete = Callable[[str], list[str]]
SHELLS = ("bash", "zsh", "fish")


def script(shell: str, folder: Path) -> Path:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    result = call("completion", shell)
    assert (result.status, result.err) == (0, "")
    path = folder / f"completion.{shell}"
    path.write_text(result.out, "utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with files to find."""
    folder = tmp_path / "files"
    (folder / "annex").mkdir(parents=True)
    for name in ("utterance.wav", "two words.wav", "unrelated.txt"):
        (folder / name).touch()
    return folder


# --- as typed ---------------------------------------------------------------------------------------------------

# The command shows what it is called with, so the screen tells what Tab made of the line.
STARTUP = {
    "bash": """PS1='ready> '; live-protocol() { printf '<%s>' "$@"; echo; }; eval "$(<SCRIPT)" """,
    "zsh": """PS1='ready> '; autoload -Uz compinit; compinit -u -D; live-protocol() { printf '<%s>' "$@"; echo; }
               eval "$(<SCRIPT)" """,
    "fish": """function fish_prompt; echo -n 'ready> '; end; function fish_greeting; end
               set fish_autosuggestion_enabled 0
               function live-protocol; printf '<%s>' $argv; echo; end; source SCRIPT""",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_tab(shell: str, tmp_path: Path, files: Path) -> None:
    startup = tmp_path / ".zshrc"
    startup.write_text(f"cd {files}; {STARTUP[shell].replace('SCRIPT', str(script(shell, tmp_path)))}\n")
    command = {
        "bash": ["bash", "--rcfile", str(startup), "-i"],
        "zsh": ["zsh", "-d", "-i"],
        "fish": ["fish", "--no-config", "-i", "-C", f"source {startup}"],
    }[shell]
    lines = {
        "live-protocol tal\t": ["talk"],
        "live-protocol --deb\t chec\t": ["--debug", "check"],
        "live-protocol chat --modal\t A\t": ["chat", "--modality", "AUDIO"],
        "live-protocol completion z\t": ["completion", "zsh"],
        "live-protocol talk ut\t -o tw\t": ["talk", "utterance.wav", "-o", "two words.wav"],
        "live-protocol demo --out a\t": ["demo", "--out", "annex"],
    }
    typed = [(b"ready> ", f"{line}\r".encode()) for line in lines]
    status, screen = on_terminal(
        ["/usr/bin/env", f"ZDOTDIR={tmp_path}", *command], typed=[*typed, (b"ready> ", b"exit\r")]
    )
    assert status == 0
    shown = [re.findall(r"<(.*?)>", line) for line in screen.decode().splitlines() if line.startswith("<")]
    assert [[word.rstrip("/") for word in words] for words in shown] == list(lines.values())


# --- all that is offered ----------------------------------------------------------------------------------------

OFFERED = {
    "bash": """
        source "$1"; shift
        COMP_WORDS=(live-protocol "$@"); COMP_CWORD=$#
        $(complete -p live-protocol | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": """source $argv[1]; complete -C "live-protocol $argv[2..]" """,
}


@pytest.mark.parametrize("shell", OFFERED)
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("",), {*COMMANDS}),
        (("ch",), {"chat", "check"}),
        (("--",), {"--help", "--version", "--debug"}),
        (("chat", "--mod"), {"--modality", "--model"}),
        (("chat", "--modality", ""), {"AUDIO", "TEXT"}),
        (("--debug", "chat", "--modality", "A"), {"AUDIO"}),
        (("completion", ""), {"bash", "zsh", "fish"}),
        (("talk", "u"), {"utterance.wav", "unrelated.txt"}),
        (("talk", "-o", "tw"), {"two words.wav"}),
        (("talk", "--o"), {"--out"}),
        (("serve", "--record", "a"), {"annex"}),
        (("chat", "--model", ""), set()),
    ],
)
def test_offers(shell: str, words: tuple[str, ...], offered: set[str], tmp_path: Path, files: Path) -> None:
    options = ["--norc", "-c", OFFERED[shell], "bash"] if shell == "bash" else ["--no-config", "-c", OFFERED[shell]]
    done = subprocess.run(
        [shell, *options, script(shell, tmp_path), *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=files,
    )
    assert (done.returncode, done.stderr) == (0, "")
    replies = {line.partition("\t")[0].rstrip("/").replace("\\", "") for line in done.stdout.splitlines()} - {""}
    assert replies == offered


# --- errors -----------------------------------------------------------------------------------------------------


def test_an_unknown_shell() -> None:
    result = call("completion", "csh")
    assert result.status == 2
    assert "invalid choice: 'csh'" in result.err


def test_shtab_is_an_extra() -> None:
    with patch.dict("sys.modules", {"shtab": None}):
        result = call("completion", "bash")
        assert (result.status, "pip install 'live-protocol[completion]'" in result.err) == (2, True)
        assert call("completion", "--help").status == 0
