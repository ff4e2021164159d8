"""Records a session while it runs: an observer of the connection that writes a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from live_protocol.close_info import CloseInfo
from live_protocol.events import (
    Connected,
    ConnectionClosed,
    ConnectionEvent,
    PingReceived,
    PongReceived,
    UpgradeRejected,
)
from live_protocol.recording.trace import SupportsWrite, TraceWriter
from live_protocol.websocket import Observation


@final
class Recorder:
    """Writes a trace of a connection that has it as ``observer=``, or of several connections that follow one another.

    Times are readings of the machine's clock: a sent message has the time when it was queued, anything else the time
    when ``next_event()`` returned it. A failing sink ends the recording and never the session. The URL and the headers
    that open a connection are not recorded.

    Attributes:
        error: The exception of the sink that ended the recording, or None.
    """

    __slots__ = ("_batch", "_held", "_size", "_writer", "error")

    def __init__(
        self,
        sink: SupportsWrite,
        *,
        redact: bool = True,
        secrets: Iterable[str] = (),
        info: Mapping[str, object] | None = None,
        batch: int = 0,
    ) -> None:
        """Write the header line; see `TraceWriter` for the other arguments and exceptions.

        Args:
            sink: A binary file-like object; the caller flushes and closes it.
            redact: Take secrets out.
            secrets: Further exact strings to take out.
            info: A JSON object that describes the recording.
            batch: Bytes of messages to hold and then write together, which takes half the time: code that runs for one
                message in the middle of others finds cold caches. Call `flush` at the end. 0 writes each at once.
        """
        self._writer = TraceWriter(sink, redact=redact, secrets=secrets, info=info)
        self._batch = batch
        self._held: list[tuple[float, bool, bytes, bool]] = []
        self._size = 0
        self.error: Exception | None = None

    def __call__(self, observation: Observation) -> None:
        """Record one message or event; never raises.

        Args:
            observation: What passed; before the first reading of the clock it counts as having passed at 0.
        """
        self.flush()
        if self.error is not None:
            return
        at, what = observation.at or 0.0, observation.what
        try:
            if isinstance(what, (bytes, str)):
                self._writer.record(at, observation.from_client, what)
            else:
                self._note(at, what)
        except Exception as error:
            self.error = error

    def observe_message(self, at: float | None, from_client: bool, data: bytes, text: bool) -> None:
        """Record one message; never raises. A connection calls this, see `Observer`.

        Args:
            at: Reading of the clock, in seconds; None counts as 0.
            from_client: Whether it comes from the client's end.
            data: The whole message.
            text: Whether it is a text message.
        """
        self._held.append((float(at or 0.0), from_client, data, text))
        self._size += len(data)
        if self._size >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write the messages that are held; never raises."""
        held = self._held
        if not held:
            return
        try:
            if self.error is None:
                self._writer._record_all(held)
        except Exception as error:
            self.error = error
        held.clear()
        self._size = 0

    def _note(self, now: float, event: ConnectionEvent) -> None:
        match event:
            case Connected():
                self._writer.note(now, "connected", {"compression": event.compression})
            case UpgradeRejected():
                self._writer.note(now, "rejected", {"status": event.status})
            case PingReceived():
                self._writer.note(now, "ping")
            case PongReceived():
                self._writer.note(now, "pong", {} if event.rtt is None else {"rtt": event.rtt})
            case ConnectionClosed():
                self._writer.note(now, "closed", _facts(event.info))
            case _:
                pass  # the request holds credentials, and the end reports a failure again


def _facts(info: CloseInfo) -> dict[str, object]:
    facts: dict[str, object] = {
        "code": info.code,
        "reason": info.reason,
        "clean": info.clean,
        "initiator": info.initiator.value,
        "retryable": info.retryable,
        "hint": info.hint,
    }
    if info.error is not None:
        facts["error"] = {"class": type(info.error).__name__, "text": str(info.error)}
    return facts
