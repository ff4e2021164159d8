"""Helpers for what only threads have."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import tls
from support.patience import PATIENCE
from transports.runtimes.kit.kit_sync import settle
from transports.runtimes.kit.peer import Conn, Gone, Peer

from live_transports.sync import LiveClientSession, connect


def text(value: str) -> dict[str, Any]:
    return {"serverContent": {"modelTurn": {"parts": [{"text": value}]}}}


def polite(conn: Conn) -> None:
    conn.open()
    with contextlib.suppress(Gone):
        conn.farewell()


def deaf(conn: Conn) -> None:
    conn.open()
    conn.until_gone()


release = threading.Event()
"""Lets scripts go on; cleared before each test that uses `fresh`."""


@pytest.fixture
def fresh() -> Iterator[None]:
    release.clear()
    yield
    release.set()


class Running:
    """A function on a thread."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.run, args=(function, args), name="job", daemon=True)
        self.thread.start()

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self.value = function(*args)
        except BaseException as error:
            self.error = error

    def join(self) -> Running:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "it hangs"
        return self


def open_to(peer: Peer, **options: Any) -> LiveClientSession:
    if peer.tls is not None:
        options.setdefault("ssl", tls.client_context())
    return connect(peer.endpoint(), model="test", **options)


@contextlib.contextmanager
def interrupted() -> Iterator[None]:
    """Ctrl-C as soon as the main thread waits."""

    def strike() -> None:
        settle(threading.main_thread())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.05, strike)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        timer.join()
