"""Recording a session while it runs: an observer that writes a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from live_protocol import Observation
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

__all__ = ["Recorder"]


@final
class Recorder:
    """An observer that writes a trace: pass it as ``observer=`` to one connection, or to several in a row.

    The times are those of the machine's clock: of a message sent, when it was queued; of anything else, when
    ``next_event()`` gave it. A sink that fails ends the recording, never the session. What opens a connection, its URL
    and its headers, is not recorded.

    Attributes:
        error: What the sink raised, after which nothing more is written; None while all is well.
    """

    __slots__ = ("_writer", "error")

    def __init__(
        self,
        sink: SupportsWrite,
        *,
        redact: bool = True,
        secrets: Iterable[str] = (),
        info: Mapping[str, object] | None = None,
    ) -> None:
        """Write the header line; the arguments and what is raised are those of `TraceWriter`."""
        self._writer = TraceWriter(sink, redact=redact, secrets=secrets, info=info)
        self.error: Exception | None = None

    def __call__(self, seen: Observation) -> None:
        """Record one thing; never raises.

        Args:
            seen: What passed; before there was a clock it counts as having passed at 0.
        """
        if self.error is not None:
            return
        at, what = seen.at or 0.0, seen.what
        try:
            if isinstance(what, bytes | str):
                self._writer.record(at, seen.from_client, what)
            else:
                self._note(at, what)
        except Exception as error:
            self.error = error

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
                pass  # the request holds credentials; a failure comes again with the end


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
