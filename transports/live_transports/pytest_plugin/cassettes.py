"""Cassettes in tests: a relay that records, or a playbook of the recording."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from live_protocol.close_info import Initiator
from live_protocol.connection import ByteServerConnection, LiveConnection
from live_protocol.endpoint import Endpoint, credentials
from live_protocol.errors import InvalidMessage, LiveProtocolError, ServerClosed
from live_protocol.messages import LiveServerMessage
from live_protocol.testing import PlaybookSequence
from live_protocol.timing import Timeouts
from live_protocol.websocket import Observation
from live_transports import asyncio as live
from live_transports.pytest_plugin.cassette_files import (
    Recording,
    cassette_files,
    load_cassette,
    save_cassette,
)
from live_transports.pytest_plugin.servers import STEP_TIMEOUT, LocalServer

_KEEP: Final = 960
_LOST: Final = 1006


@final
class Cassettes:
    """The cassettes of one test; calling it opens one.

    Attributes:
        folder: The folder of the files.
        rerecord: Whether to record even if there is a cassette.
    """

    def __init__(self, folder: Path, name: str, *, rerecord: bool = False) -> None:
        self.folder: Path = folder
        self.rerecord: bool = rerecord
        self._name = name

    @contextmanager
    def __call__(
        self,
        name: str | None = None,
        *,
        endpoint: Endpoint | None = None,
        ssl: tls.SSLContext | None = None,
        tls: bool = False,
        keep: int = _KEEP,
        step_timeout: float | None = STEP_TIMEOUT,
    ) -> Iterator[LocalServer]:
        """Record or replay; the client dials the yielded server in both cases.

        Args:
            name: Name of the cassette; the test's name by default.
            endpoint: The real server, for recording; replaying does not need it.
            ssl: TLS context for dialing it.
            tls: Whether to serve the client over TLS, which google-genai requires (needs trustme).
            keep: Bytes to record of each piece of media; replay pads them with silence.
            step_timeout: Seconds of silence after which a replay fails.

        Yields:
            The server; see `LocalServer.endpoint` and `LocalServer.base_url`.

        Raises:
            PlaybookMismatch: In replay, a message of the client was missing or differed from the recording.
            FileNotFoundError: There is no cassette, and no endpoint to record from.
            LiveProtocolError: The real server could not be reached. Nothing was recorded.
            InvalidTrace: The cassette is damaged.
        """
        name = name or self._name
        files = cassette_files(self.folder, name)
        if endpoint is None or (files and not self.rerecord):
            if not files:
                raise FileNotFoundError(f"there is no cassette {name!r} in {self.folder}; give endpoint= to record it")
            with _replayed(files, tls=tls, step_timeout=step_timeout) as server:
                yield server
            return
        relay = _Relay(endpoint, ssl)
        server = LocalServer(relay.connection, tls=tls, backend=endpoint.backend, handler=relay.handle).start()
        try:
            yield server
        finally:
            server.stop()
        if relay.failure is not None:
            raise relay.failure
        secret = credentials(endpoint.target, endpoint.headers).value
        save_cassette(
            self.folder,
            name,
            relay.recordings,
            backend=endpoint.backend,
            secrets=(secret,) if secret else (),
            keep=keep,
        )


@contextmanager
def _replayed(files: list[Path], *, tls: bool, step_timeout: float | None) -> Iterator[LocalServer]:
    playbooks, backend = load_cassette(files)
    sequence = PlaybookSequence(*playbooks)

    def connect() -> ByteServerConnection:
        return sequence.connection(step_timeout=step_timeout)

    server = LocalServer(connect, tls=tls, backend=backend, finished=lambda: sequence.finished).start()
    try:
        yield server
    finally:
        server.stop()
        sequence.check()


class _Relay:
    """Relays messages between clients and the real server, and records them.

    Attributes:
        recordings: One for each connection of a client.
        failure: Why the real server could not be reached, or None.
    """

    def __init__(self, endpoint: Endpoint, context: tls.SSLContext | None) -> None:
        self.recordings: list[Recording] = []
        self.failure: LiveProtocolError | None = None
        self._endpoint = endpoint
        self._context = context
        self._by_machine: dict[int, Recording] = {}

    def connection(self) -> LiveConnection:
        recording = Recording()
        self.recordings.append(recording)

        def observer(seen: Observation) -> None:
            if isinstance(seen.what, (bytes, str)):
                recording.frames.append((seen.at or 0.0, seen.from_client, seen.what))

        # Judging messages and sending pings is left to the real server.
        machine = LiveConnection.server(strict=False, timeouts=Timeouts(ping_interval=None), observer=observer)
        self._by_machine[id(machine)] = recording
        return machine

    async def handle(self, session: live.LiveServerSession) -> None:
        recording = self._by_machine[id(session.connection)]
        first = await session.receive()
        if first is None:
            return
        if first.setup is None:
            await session.close(1007, "setup must be the first message and only the first")
            return
        try:
            upstream = await live.connect(self._endpoint, first.setup, ssl=self._context)
        except ServerClosed as refused:
            recording.code, recording.reason = refused.code, refused.reason
            await session.close(refused.code, refused.reason)
            return
        except LiveProtocolError as error:
            self.failure = error
            await session.close(1011, "the recorded endpoint cannot be reached")
            return
        async with upstream:
            upward = asyncio.create_task(self._relay_client(session, upstream))
            await self._relay_server(upstream, session)
            info = upstream.close_info
            if info is not None and info.initiator is not Initiator.LOCAL:
                recording.code, recording.reason = info.code, info.reason
                if info.code == _LOST:
                    session.connection.transport_failed("the recorded endpoint was lost")  # sends no close frame
                    session.abort()
                else:
                    await session.close(1000 if info.code == 1005 else info.code, info.reason)
            await upward

    async def _relay_client(self, client: live.LiveServerSession, upstream: live.LiveClientSession) -> None:
        try:
            while (message := await client.receive()) is not None:
                await upstream.send(message)
        except InvalidMessage as error:
            # The real server would refuse it too, only later.
            await client.close(1007, str(error).encode()[:123].decode(errors="ignore"))
        except LiveProtocolError:
            pass  # the recording ends with the client, for whatever reason
        await upstream.close()

    async def _relay_server(self, upstream: live.LiveClientSession, client: live.LiveServerSession) -> None:
        try:
            async for event in upstream:
                message = getattr(event, "message", None) if getattr(event, "last", False) else None
                if isinstance(message, LiveServerMessage):
                    await client.send(message)
        except LiveProtocolError:
            pass  # close_info has the close code
