from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from transports.cli.support import call, command, environment, line, on_terminal, run, running

from live_protocol import __version__
from live_protocol.recording import TraceFrame, write_websocket_log
from live_transports.cli.commands import COMMANDS


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.status == 0
    assert all(name in result.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = call(name, "--help")
    assert result.status == 0
    assert f"live-protocol {name}" in result.out


def test_version() -> None:
    assert run("--version").out == f"live-protocol {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("replay",), ("chat", "--modality", "SMELL"), ("serve", "--port", "70000")]
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.status == 2
    assert result.err.startswith("usage: live-protocol")


def test_help_imports_neither_the_core_nor_an_event_loop() -> None:
    code = "import sys; from live_transports.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(any(name in sys.modules for name in ('attrs', 'asyncio', 'h11', 'orjson', 'live_protocol')))"
    done = subprocess.run([*command()[:1], "-c", code], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0


def test_an_error_is_one_line_and_debug_adds_the_traceback() -> None:
    plain = run("replay", "/nowhere/at/all")
    assert (plain.status, plain.err) == (3, "error: /nowhere/at/all: No such file or directory\n")
    debug = run("replay", "/nowhere/at/all", "--debug")
    assert debug.status == 3
    assert "Traceback" in debug.err
    assert run("--debug", "replay", "/nowhere/at/all").err.count("Traceback") == debug.err.count("Traceback")


def test_interrupt_ends_an_interactive_chat_quietly() -> None:
    with running("chat", "-v") as process:
        while "setup complete" not in line(process.stdout):
            pass
        process.send_signal(signal.SIGINT)
        process.wait(10)  # before communicate() closes its input, which ends it as well
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert re.fullmatch(r"no key in the environment: .*\n", err)


def test_a_closed_pipe_does_not_crash(tmp_path: Path) -> None:
    recording = tmp_path / "long.websocket.log"
    frames = [TraceFrame(sent=False, data=b'{"serverContent": {"modelTurn": {"parts": [{"text": "x"}]}}}')] * 2000
    with recording.open("wb") as sink:
        write_websocket_log(frames, sink)
    with running("replay", str(recording), "--json") as process:
        assert process.stdout is not None
        line(process.stdout)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(10)
    assert process.returncode == 141
    assert err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full is Linux's")
@pytest.mark.parametrize("arguments", [("chat", "hi"), ("demo", "--out", "{folder}"), ("check", "-")])
def test_a_full_disk_does_not_crash(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*(argument.format(folder=tmp_path) for argument in arguments)),
            input=b"{}",
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "error: No space left on device"
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a shell's way to close streams")
@pytest.mark.parametrize(("closed", "out"), [("<&-", "hi\n"), (">&-", ""), ("2>&-", "hi\n"), ("<&- >&- 2>&-", "")])
def test_standard_streams_may_be_closed(closed: str, out: str) -> None:
    script = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command("chat", "hi")],
        capture_output=True,
        env=environment(),
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, out)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "status", "last"),
    [
        ([(b"> ", b"hi\n"), (b"\nhi\r\n> ", b"\x04")], 0, b"> \r\n"),
        ([(b"> ", b"\x03")], 130, b"> ^C\r\n"),
        ([(b"> ", b"/stall\n"), (b"/stall", b"\x03")], 130, b"^C\r\n"),
    ],
)
def test_the_prompt_of_the_shell_gets_a_line_of_its_own(
    typed: list[tuple[bytes, bytes]], status: int, last: bytes
) -> None:
    ended, seen = on_terminal(command("chat", "--modality", "TEXT"), typed=typed)
    assert ended == status
    assert seen.endswith(last)
    assert b"Traceback" not in seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chat", "--timeout", "nan"), "--timeout: must be a number above 0, not 'nan'"),
        (("talk", "x.wav", "--timeout", "0"), "--timeout: must be a number above 0, not '0'"),
        (("trace", "x", "--gap", "long"), "--gap: must be a number above 0, not 'long'"),
        (("serve", "--port", "x"), "--port: must be a whole number from 0 to 65535, not 'x'"),
        (("serve", "--setup-delay", "-0.5"), "--setup-delay: must be a number from 0, not '-0.5'"),
        (("token", "--uses", "1.5"), "--uses: must be a whole number from 0, not '1.5'"),
    ],
)
def test_invalid_numbers(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.status == 2
    assert result.err.endswith(f"error: argument {message}\n")
