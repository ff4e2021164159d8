"""The same misbehaving servers, and what two clients make of them: ours, and google-genai.

Ours names each fault, and waits for nothing without end; what google-genai does is its own business, but it shows that
each fault is real for a client that we have not written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from transports.cli.support import environment

from live_protocol import Endpoint, Limits, LiveProtocolError, StaleOperation, TextChunk, Timeouts, TurnComplete
from live_protocol.emulator import Emulator
from live_protocol.testing import Faults, FaultyConnection
from live_transports import asyncio as live
from live_transports.shared.certificate import local_certificate

pytest.importorskip("google.genai")
pytest.importorskip("trustme")

PROGRAM = Path(__file__).with_name("faulty.py")
TEXT = "one two three"


HURRY: Final = Timeouts(open=4.0, setup=4.0, ping_interval=1.5, ping_timeout=2.5, close=0.5)
"""For servers that do not answer at all; all others may take their time."""

LIMITS: Final = Limits(max_message=1 << 20)
"""That of the WebSocket library that google-genai uses."""

WAITS: Final = (None, "", "waits", None)


@attrs.frozen
class Case:
    """A fault, and what both clients tell.

    Attributes:
        faults: The fault.
        ours: Text, name of our error, close code; none where there never was a session.
        theirs: Where it ended, text, name of their error, close code.
        timeouts: Ours.
    """

    faults: str
    ours: tuple[str, str | None, int | None]
    theirs: tuple[str | None, str, str | None, int | None]
    timeouts: Timeouts = Timeouts()


FINE: Final = Case("", (TEXT, None, None), ("end", TEXT, None, None))
TWICE: Final = "one one two threetwo three"
CASES: Mapping[str, Case] = {
    "no fault": FINE,
    "bytes one by one": attrs.evolve(FINE, faults="split=1"),
    "late pieces": attrs.evolve(FINE, faults="split=7,delay=0.05,seed=3"),
    "cut in the upgrade": Case("cut=60", ("", "TransportFailed", None), ("connect", "", "InvalidMessage", None)),
    "cut in setupComplete": Case("cut=150", ("", "TransportFailed", None), ("connect", "", "APIError", 1006)),
    "cut in the turn": Case("cut=400", ("one ", "TransportFailed", 1006), ("turn", "one ", "APIError", 1006)),
    "changed upgrade": Case("corrupt=5", ("", "HandshakeFailed", None), ("connect", "", "InvalidMessage", None)),
    "changed frame": Case("corrupt=131", ("", "FrameViolation", None), ("connect", "", "APIError", 1006)),
    # Ours shows what it cannot read, and goes on.
    "cut message": Case("truncate=2", ("two three", None, None), ("turn", "", "ValueError", None)),
    "too large": Case("oversize=1100000", ("", "LimitExceeded", 1009), ("turn", "", "ConnectionClosedError", None)),
    "everything twice": Case("duplicate", (TWICE, None, None), ("end", TWICE, None, None)),
    "unknown message": Case("unknown", (TEXT, None, None), ("turn", "", "TypeError", None)),
    "muted in the turn": Case("mute=400", ("one ", "DeadlineExpired", 1011), WAITS, HURRY),
    "no pong": Case("no-pong", (TEXT, "DeadlineExpired", 1011), ("end", TEXT, None, None), HURRY),
    "no upgrade": Case("no-upgrade", ("", "DeadlineExpired", None), WAITS, HURRY),
    "no setupComplete": Case("no-setup-complete", ("", "DeadlineExpired", None), WAITS, HURRY),
    "deaf": Case("deaf", ("", "DeadlineExpired", None), WAITS, HURRY),
}


async def ours(url: str, case: Case, context: ssl.SSLContext) -> tuple[str, str | None, int | None]:
    endpoint = Endpoint.gemini(api_key="any", base_url=url)
    config = {"response_modalities": ["TEXT"]}
    text, session = "", None
    try:
        async with live.connect(
            endpoint, config, model="m", ssl=context, timeouts=case.timeouts, limits=LIMITS
        ) as session:
            with contextlib.suppress(StaleOperation):  # the fault may be faster
                await session.send_realtime_input(text=TEXT)
            async for event in session:
                if isinstance(event, TextChunk):
                    text += event.text
                if isinstance(event, TurnComplete) and "pong" not in case.faults:
                    return text, None, None
    except LiveProtocolError as error:
        info = session.close_info if session is not None else None
        return text, type(error).__name__, info and info.code
    return text, "ended", None


async def meet(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every server at once, and both clients at each."""
    context, ca = local_certificate(folder)
    async with contextlib.AsyncExitStack() as stack:
        urls = {}
        for name, case in CASES.items():
            faults = Faults.from_string(case.faults)

            def connection(faults: Faults = faults) -> Any:
                return FaultyConnection(Emulator().connection(), faults)

            server = await stack.enter_async_context(live.serve(None, ssl=context, connection_factory=connection))
            urls[name] = f"wss://localhost:{server.port}"
        trusting = ssl.create_default_context(cafile=ca)
        mine = asyncio.gather(*(ours(urls[name], case, trusting) for name, case in CASES.items()))
        items = [f"{name}{'?' * (CASES[name].theirs == WAITS)}={url}" for name, url in urls.items()]
        variables = environment(SSL_CERT_FILE=str(ca), no_proxy="localhost", PYTHONWARNINGS="ignore")
        program = await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), *items, env=variables, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await program.communicate()
        return dict(zip(CASES, await mine, strict=True)), json.loads(out)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    return asyncio.run(meet(tmp_path_factory.mktemp("ca")))


@pytest.mark.parametrize("name", CASES)
def test_our_client(told: tuple[dict[str, Any], dict[str, Any]], name: str) -> None:
    assert told[0][name] == CASES[name].ours


@pytest.mark.parametrize("name", CASES)
def test_google_genai(told: tuple[dict[str, Any], dict[str, Any]], name: str) -> None:
    theirs = told[1][name]
    assert (theirs["at"], theirs["text"], theirs["error"], theirs["code"]) == CASES[name].theirs
