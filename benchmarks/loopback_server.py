"""The server both sides talk to over loopback TCP; a process of its own so that its time is nobody's figure.

``python -m benchmarks.loopback_server`` prints its port and serves until its standard input ends. It speaks
just enough of the Live API: ``setup`` is answered, then the text of each ``clientContent`` is a command that
ends with ``turnComplete``:

    down MS COUNT   COUNT frames of MS milliseconds of audio, as fast as the client reads them
    up COUNT        read COUNT messages without looking into them
    echo MS COUNT   COUNT times: read one message, send one frame of MS milliseconds
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks import wire

SLICE = 16
"""Frames per write of ``down``: the server must never be the slower end."""


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A server process; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.loopback_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.stdin.close()


def _command(message: str | bytes) -> tuple[str, list[int]]:
    content = json.loads(message)
    content = content.get("clientContent") or content["client_content"]
    name, *numbers = content["turns"][0]["parts"][0]["text"].split()
    return name, [int(number) for number in numbers]


async def _down(websocket: ServerConnection, milliseconds: int, count: int) -> None:
    # Below the frame engine on purpose: one frame made once, written in slices, is cheaper than any reader.
    # The bytes are those that websocket.send() would give.
    frame = wire.audio_frame(milliseconds)
    for start in range(0, count, SLICE):
        websocket.transport.write(frame * min(SLICE, count - start))
        await websocket.drain()


async def _up(websocket: ServerConnection, count: int) -> None:
    for _ in range(count):
        await websocket.recv(decode=False)


async def _echo(websocket: ServerConnection, milliseconds: int, count: int) -> None:
    payload = wire.server_text(wire.model_message(wire.pcm(milliseconds, wire.OUTPUT_RATE)))
    for _ in range(count):
        await websocket.recv(decode=False)
        await websocket.send(payload)


async def _session(websocket: ServerConnection) -> None:
    try:
        if "setup" not in json.loads(await websocket.recv()):
            await websocket.close(1007, "setup must be the first message and only the first")
            return
        await websocket.send(wire.server_text(wire.SETUP_COMPLETE))
        async for message in websocket:
            match _command(message):
                case "down", [milliseconds, count]:
                    await _down(websocket, milliseconds, count)
                case "up", [count]:
                    await _up(websocket, count)
                case "echo", [milliseconds, count]:
                    await _echo(websocket, milliseconds, count)
                case name, numbers:
                    await websocket.close(1007, f"unknown command {name} {numbers}")
                    return
            await websocket.send(wire.server_text(wire.TURN_COMPLETE))
    except ConnectionClosed:
        pass  # the client has seen enough


async def _main() -> None:
    # No compression: whether the service accepts it is unknown, and inflating would drown what is measured.
    # No pings: the service sends none.
    async with serve(_session, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        (listener,) = server.sockets
        print(listener.getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_main())
