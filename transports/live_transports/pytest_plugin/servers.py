"""Real servers for sync and async tests: each runs in its own thread, with its own event loop."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, final

from live_protocol.connection import ByteServerConnection, HttpFallback
from live_protocol.emulator import EmulatedConnection, Emulator
from live_protocol.emulator.token_service import token_service
from live_protocol.endpoint import Endpoint
from live_protocol.errors import LiveProtocolError
from live_protocol.events import Event
from live_protocol.messages import Backend
from live_protocol.testing import Faults, FaultyConnection, Playbook, PlaybookConnection, PlaybookSequence
from live_transports import asyncio as live
from live_transports.shared.certificate import local_certificate
from live_transports.shared.playbook_files import load_playbook
from live_transports.shared.steps import GEMINI_PATH, answer_request

Script: TypeAlias = Playbook | Sequence[Any] | Mapping[str, Any] | str | Path
"""A playbook, its plain data, or the path of its file."""

STEP_TIMEOUT: Final = 10.0
"""Seconds of silence after which an expectation fails: a failure says more than a test that hangs."""

_GRACE: Final = 1.0
_TICK: Final = 0.005
_START_TIMEOUT: Final = 10.0

Handler: TypeAlias = Callable[[live.LiveServerSession], Awaitable[object]]


def as_playbook(script: Script) -> Playbook:
    """Return the playbook of a script."""
    if isinstance(script, Playbook):
        return script
    return load_playbook(Path(script)) if isinstance(script, (str, Path)) else Playbook.load(script)


def as_faults(faults: Faults | str | None) -> Faults | None:
    """Return faults; a line of text is parsed."""
    return Faults.from_string(faults) if isinstance(faults, str) else faults


@final
class LocalServer:
    """A server on this machine; the fixture ``live_server`` starts and stops it.

    Attributes:
        port: Its TCP port.
        ca: File of the certificate authority that clients must trust; None without TLS.
        backend: The dialect of `endpoint`.
    """

    def __init__(
        self,
        factory: Callable[[], ByteServerConnection],
        *,
        tls: bool = False,
        backend: Backend = Backend.GEMINI,
        handler: Handler | None = None,
        finished: Callable[[], bool] = lambda: True,
    ) -> None:
        self.port: int = 0
        self.ca: Path | None = None
        self.backend: Backend = backend
        self._factory = factory
        self._tls = tls
        self._handler = handler
        self._finished = finished
        self._machines: list[Any] = []
        self._events: list[Event] = []
        self._errors: list[BaseException] = []
        self._started: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread = threading.Thread(target=self._run, name="live-protocol test server", daemon=True)

    def __repr__(self) -> str:
        return f"<LocalServer {self.base_url}>"

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """URL without a path, for ``Endpoint.gemini(base_url=...)`` and, with ``https``, for google-genai."""
        return f"wss://localhost:{self.port}" if self._tls else f"ws://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL of the Gemini API's method."""
        return self.base_url + GEMINI_PATH

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint for a client, with a fake credential."""
        if self.backend is Backend.VERTEX:
            return Endpoint.vertex(
                access_token="not-a-token",  # noqa: S106 - fake
                project="project",
                location="us-central1",
                base_url=self.base_url,
            )
        return Endpoint.gemini(api_key="not-a-key", base_url=self.base_url)

    @property
    def ssl(self) -> ssl.SSLContext | None:
        """TLS context for a client that trusts this server; None without TLS."""
        return None if self.ca is None else ssl.create_default_context(cafile=self.ca)

    @property
    def events(self) -> Sequence[Event]:
        """Events of all connections so far."""
        return tuple(self._events)

    @property
    def connections(self) -> Sequence[EmulatedConnection | PlaybookConnection]:
        """All connections so far, for their state; the server's thread drives them."""
        return tuple(self._machines)

    # --- start and stop -----------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the server; return when clients can connect.

        Raises:
            ImportError: TLS needs trustme, which is not installed.
        """
        context: ssl.SSLContext | None = None
        if self._tls:
            self._folder = tempfile.TemporaryDirectory(prefix="live-protocol-")
            try:
                context, self.ca = local_certificate(Path(self._folder.name))
            except ImportError:
                self._folder.cleanup()
                raise
        self._context = context
        self._thread.start()
        self.port = self._started.result(_START_TIMEOUT)
        return self

    def stop(self) -> None:
        """Close every connection and stop; raise the first error of the server's thread."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._folder is not None:
            self._folder.cleanup()
        if self._errors:
            raise self._errors[0]

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                self._errors.append(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._failed)
        # A relay's connections do not answer the upgrade by themselves; all others do.
        process = answer_request if self._handler is not None else None
        serving = live.serve(
            self._handle, "127.0.0.1", 0, ssl=self._context, connection_factory=self._connect, process_request=process
        )
        async with serving as server:
            self._started.set_result(server.port)
            await self._stopping.wait()
            # The client's last messages may still be on their way.
            end = time.monotonic() + _GRACE
            while not self._finished() and time.monotonic() < end:  # noqa: ASYNC110 - some steps end by time alone
                await asyncio.sleep(_TICK)

    def _connect(self) -> ByteServerConnection:
        machine: ByteServerConnection = self._factory()
        inner: object = machine
        while isinstance(inner, (FaultyConnection, HttpFallback)):
            inner = inner.machine
        self._machines.append(inner)
        return machine

    async def _handle(self, session: live.LiveServerSession) -> None:
        if self._handler is not None:
            await self._handler(session)
            return
        async for event in session:
            self._events.append(event)

    def _failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, (LiveProtocolError, OSError)):
            self._errors.append(error)


@final
class Servers:
    """The servers of one test; call it to start one."""

    def __init__(self) -> None:
        self._servers: list[tuple[LocalServer, PlaybookSequence | None]] = []

    def __call__(
        self,
        *scripts: Script,
        emulator: Emulator | None = None,
        tls: bool = False,
        backend: Backend | str = Backend.GEMINI,
        faults: Faults | str | None = None,
        step_timeout: float | None = STEP_TIMEOUT,
        repeat: bool = False,
    ) -> LocalServer:
        """Start a server on a free port of this machine.

        Args:
            scripts: Playbooks, their plain data or files, one for each client; an emulator if left out.
            emulator: The emulator to use without scripts; by default one with default options.
            tls: Whether to use TLS, with a new certificate (needs trustme).
            backend: The dialect of `LocalServer.endpoint`; the server accepts both.
            faults: `Faults`, or a line for `Faults.from_string`.
            step_timeout: Seconds of silence after which an expectation fails.
            repeat: Whether to play the last script for every further client.

        Raises:
            InvalidPlaybook: A script is not a playbook.
            InvalidMessage: The faults are invalid.
            ImportError: An extra is missing.
        """
        sequence = PlaybookSequence(*(as_playbook(script) for script in scripts), repeat=repeat) if scripts else None
        faults = as_faults(faults)
        emulator = emulator or Emulator()
        tokens = token_service(emulator, lambda: datetime.now(UTC))

        def connect() -> ByteServerConnection:
            emulated = HttpFallback(emulator.connection(), tokens)
            machine: Any = emulated if sequence is None else sequence.connection(step_timeout=step_timeout)
            return machine if faults is None else FaultyConnection(machine, faults)

        def finished() -> bool:
            return sequence is None or sequence.finished

        server = LocalServer(connect, tls=tls, backend=Backend(backend), finished=finished).start()
        self._servers.append((server, sequence))
        return server

    def __enter__(self) -> Self:
        """Return the factory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Call `stop`."""
        self.stop()

    def stop(self) -> None:
        """Stop all servers, then check that the clients followed their playbooks.

        Raises:
            PlaybookMismatch: A client did not.
            Exception: A model or a predicate raised it.
        """
        failures: list[BaseException] = []
        servers, self._servers = self._servers, []
        for server, sequence in servers:
            try:
                server.stop()
                if sequence is not None:
                    sequence.check()
            except BaseException as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
