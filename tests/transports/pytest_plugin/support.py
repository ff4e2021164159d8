"""A client that asks one question, and pytest in its own process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from live_protocol import Endpoint, Event, TextChunk, TurnComplete
from live_protocol.testing import Playbook
from live_transports import asyncio as live

TEXT = {"response_modalities": ["TEXT"]}
GREETING = Playbook().expect_setup().send_setup_complete().expect_client_content("Hi").reply("Hello!")

OFFICIAL = """
import asyncio, sys
from google import genai

async def main(base_url, text):
    client = genai.Client(api_key="AIzaSyThisIsNoRealKey0123456789", http_options={"base_url": base_url})
    async with client.aio.live.connect(model="m", config={"response_modalities": ["TEXT"]}) as session:
        await session.send_client_content(turns={"role": "user", "parts": [{"text": text}]})
        print("".join([message.text or "" async for message in session.receive()]))

asyncio.run(main(*sys.argv[1:]))
"""


async def converse(endpoint: Endpoint, *texts: str, config: Any = None, **options: Any) -> list[Event]:
    """The events while a client sends these texts one after the other."""
    events: list[Event] = []
    connecting = live.connect(endpoint, TEXT if config is None else config, model="m", **options)
    async with asyncio.timeout(20), connecting as session:
        for text in texts:
            await session.send_client_content({"role": "user", "parts": [{"text": text}]})
            async for event in session:
                events.append(event)
                if isinstance(event, TurnComplete):
                    break
    return events


def ask(endpoint: Endpoint, *texts: str, **options: Any) -> str:
    """The text of the answer."""
    events = asyncio.run(converse(endpoint, *texts, **options))
    return "".join(event.text for event in events if isinstance(event, TextChunk))


def environment(**variables: str) -> dict[str, str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return os.environ | {"PYTHONPATH": path} | variables


def official(base_url: str, text: str, ca: Path) -> str:
    """The same with google-genai, in its own process because it warns."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OFFICIAL, base_url.replace("wss", "https"), text],
        env=environment(SSL_CERT_FILE=str(ca), PYTHONWARNINGS="ignore"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def run_pytest(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests, in a folder without configuration; warnings are errors."""
    (folder / "test_it.py").write_text(source, "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *arguments, "test_it.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
