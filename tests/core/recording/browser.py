"""A headless Chromium, driven over its debugging protocol: loads one local page and reports what went wrong in it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


class Page:
    """One page, and what was seen of it: requests, console messages, exceptions."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> Any:
        self._count += 1
        self._link.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            message = json.loads(self._link.recv(timeout=20))
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def js(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def frame(self) -> None:
        """Wait for what was asked to be drawn."""
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def open(self, path: Path) -> None:
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(200):
            if self.js("document.readyState === 'complete' && location.protocol === 'file:'"):
                break
            time.sleep(0.02)
        self.frame()

    def size(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.frame()

    def media(self, scheme: str = "light", media: str = "") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.frame()

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1 and kind == "keyDown" else ""
            )
        self.frame()

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.frame()

    def centre(self, selector: str) -> tuple[float, float]:
        box = self.js(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        return box[0], box[1]

    def click(self, selector: str) -> None:
        x, y = self.centre(selector)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def picture(self, path: Path) -> bytes:
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return data

    def faults(self) -> list[str]:
        """Errors and console messages, and everything that was fetched but the page itself."""
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                found.append(f"{method}: {json.dumps(params)[:300]}")
            elif method == "Network.requestWillBeSent" and params.get("type") != "Document":
                found.append(f"fetched {params['request']['url']}")
        return found


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            port = _port(process)
            target = _until(lambda: _first_page(port))
            with connect(target, max_size=None, proxy=None) as link:
                yield Page(link)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stderr is not None
            process.stderr.close()


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(rb"ws://127\.0\.0\.1:(\d+)/", line):
            return int(match[1])
    raise AssertionError("chromium did not start")


def _first_page(port: int) -> str | None:
    from urllib.request import ProxyHandler, build_opener

    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/json", timeout=10) as reply:
        pages = [page for page in json.load(reply) if page["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"]) if pages else None


def _until(ask: Callable[[], str | None]) -> str:
    for _ in range(100):
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.05)
    raise AssertionError("chromium shows no page")
