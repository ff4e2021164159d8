"""Real servers for tests that need not be async: each runs in a thread of its own, with an event loop of its own."""

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

__all__ = ["STEP_TIMEOUT", "LocalServer", "Script", "Servers", "as_faults", "as_playbook"]

Script: TypeAlias = Playbook | Sequence[Any] | Mapping[str, Any] | str | Path
"""A playbook, its plain data, or the path of its file."""

STEP_TIMEOUT: Final = 10.0
"""Seconds of silence after which an expectation has failed: a test that hangs tells nothing."""

_GRACE: Final = 1.0
_TICK: Final = 0.005
_STARTS: Final = 10.0

Handler: TypeAlias = Callable[[live.LiveServerSession], Awaitable[object]]


def as_playbook(script: Script) -> Playbook:
    """The playbook of a script."""
    if isinstance(script, Playbook):
        return script
    return load_playbook(Path(script)) if isinstance(script, (str, Path)) else Playbook.load(script)


def as_faults(faults: Faults | str | None) -> Faults | None:
    """Faults, of a line of text too."""
    return Faults.from_string(faults) if isinstance(faults, str) else faults


@final
class LocalServer:
    """A server on this machine; a fixture makes it, starts it and stops it.

    Attributes:
        port: Its TCP port.
        ca: File of the authority that clients have to trust; None without TLS.
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
        """The whole URL of the method of the Gemini API."""
        return self.base_url + GEMINI_PATH

    @property
    def endpoint(self) -> Endpoint:
        """Where a client dials; its credential is none."""
        if self.backend is Backend.VERTEX:
            return Endpoint.vertex(
                access_token="not-a-token",  # noqa: S106 - nobody's
                project="project",
                location="us-central1",
                base_url=self.base_url,
            )
        return Endpoint.gemini(api_key="not-a-key", base_url=self.base_url)

    @property
    def ssl(self) -> ssl.SSLContext | None:
        """TLS context of a client that trusts this server; None without TLS."""
        return None if self.ca is None else ssl.create_default_context(cafile=self.ca)

    @property
    def events(self) -> Sequence[Event]:
        """What all connections have told so far."""
        return tuple(self._events)

    @property
    def connections(self) -> Sequence[EmulatedConnection | PlaybookConnection]:
        """The machines of all connections so far, for their facts; they live in another thread."""
        return tuple(self._machines)

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start; returns when clients can connect.

        Raises:
            ImportError: TLS was asked for, and trustme is not installed.
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
        self.port = self._started.result(_STARTS)
        return self

    def stop(self) -> None:
        """Close every connection and stop; what went wrong inside comes out here."""
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
        # Given in any case, for a relay's machines do not answer by themselves; those that do are not asked.
        process = answer_request if self._handler is not None else None
        serving = live.serve(
            self._handle, "127.0.0.1", 0, ssl=self._context, connection_factory=self._connect, process_request=process
        )
        async with serving as server:
            self._started.set_result(server.port)
            await self._stopping.wait()
            # The client may have said its last words a moment ago.
            end = time.monotonic() + _GRACE
            while not self._finished() and time.monotonic() < end:  # noqa: ASYNC110 - time alone ends some steps
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
    """The servers of one test; calling it starts one more."""

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
            scripts: Playbooks, their plain data or files; the first for the first client, and so on. None means an
                emulator.
            emulator: Another emulator than one of all defaults; without scripts.
            tls: Whether to speak TLS, with a certificate of its own (needs trustme).
            backend: The dialect of `LocalServer.endpoint`; the server itself takes both.
            faults: What goes wrong: `Faults`, or a line for `Faults.from_string`.
            step_timeout: Seconds of silence after which an expectation has failed.
            repeat: Play the last script for every further client too.

        Returns:
            The running server.

        Raises:
            InvalidPlaybook: A script is none.
            InvalidMessage: The faults are none.
            ImportError: An extra is missing.
        """
        sequence = PlaybookSequence(*(as_playbook(script) for script in scripts), repeat=repeat) if scripts else None
        wrong = as_faults(faults)
        emulator = emulator or Emulator()
        tokens = token_service(emulator, lambda: datetime.now(UTC))

        def connect() -> ByteServerConnection:
            emulated = HttpFallback(emulator.connection(), tokens)
            machine: Any = emulated if sequence is None else sequence.connection(step_timeout=step_timeout)
            return machine if wrong is None else FaultyConnection(machine, wrong)

        def finished() -> bool:
            return sequence is None or sequence.finished

        server = LocalServer(connect, tls=tls, backend=Backend(backend), finished=finished).start()
        self._servers.append((server, sequence))
        return server

    def __enter__(self) -> Self:
        """The factory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`stop`."""
        self.stop()

    def stop(self) -> None:
        """Stop all servers, then see whether the playbooks were followed.

        Raises:
            PlaybookMismatch: One was not.
            Exception: What a model or a predicate raised.
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
