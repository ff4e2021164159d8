"""What google-genai makes of servers that misbehave, told as JSON: ``python faulty.py NAME=URL ...``.

Of each: what a turn brought, or which error came where. Those whose name ends with a question mark are not waited for:
when all others are done, the SDK still waits, which it does without a limit of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from google import genai
from google.genai import errors, types

WAITS = {"at": None, "text": "", "error": "waits", "code": None}


async def meet(url: str) -> dict[str, Any]:
    client = genai.Client(
        vertexai=False, api_key="any", http_options=types.HttpOptions(base_url=url.replace("wss://", "https://"))
    )
    told: dict[str, Any] = {"at": "connect", "text": "", "error": None, "code": None}
    config = types.LiveConnectConfig(response_modalities=[types.Modality.TEXT])
    try:
        async with client.aio.live.connect(model="gemini-live-2.5-flash-preview", config=config) as session:
            told["at"] = "turn"
            await session.send_realtime_input(text="one two three")
            async for message in session.receive():
                told["text"] += message.text or ""
            told["at"] = "end"
    except errors.APIError as error:
        told |= {"error": "APIError", "code": error.code}
    except Exception as error:
        told["error"] = type(error).__name__
    return told


async def main() -> None:
    named = [item.split("=", 1) for item in sys.argv[1:]]
    tasks = {name.strip("?"): asyncio.create_task(meet(url)) for name, url in named}
    await asyncio.wait([tasks[name] for name, _ in named if not name.endswith("?")])
    told = {name: task.result() if task.done() else WAITS for name, task in tasks.items()}
    print(json.dumps(told), flush=True)
    os._exit(0)  # the WebSocket library would wait ten more seconds for servers that say nothing


asyncio.run(main())
