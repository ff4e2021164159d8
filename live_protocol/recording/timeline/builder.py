"""Builds a timeline record by record.

This half follows time, connections and the client's messages; ``server_side`` follows the server's. Both share the
state in ``drafts``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from live_protocol.close_info import diagnose
from live_protocol.codec.codec import Codec
from live_protocol.errors import RemoteProtocolError
from live_protocol.events import (
    ClientContentReceived,
    ContextUpdateReceived,
    RealtimeInputReceived,
    SessionEvent,
    SetupReceived,
    ToolResponseReceived,
    UnknownMessage,
)
from live_protocol.messages import Blob, Content, FunctionResponse, LiveClientRealtimeInput, LiveClientSetup
from live_protocol.messages.audio_format import INPUT_RATE, AudioFormat
from live_protocol.recording.timeline.drafts import SPACING, ConnectionDraft
from live_protocol.recording.timeline.server_side import ServerSide
from live_protocol.recording.timeline.spans import Gap, GapKind, Ping, TranscriptKind, TranscriptSpan
from live_protocol.recording.timeline.strips import AUDIBLE
from live_protocol.recording.timeline.texts import describe_setup
from live_protocol.recording.trace import TraceNote, TraceRecord
from live_protocol.session.receiving import client_message_events

_MAX_RTT: Final = 86_400.0
_MAX_CODE: Final = 4999


class Builder(ServerSide):
    """Takes the records in order.

    Args:
        timed: Whether the records have times; otherwise they are spaced evenly.
        gap: Silence that counts as a gap, in seconds.

    Attributes:
        messages: Number of messages from the client and from the server.
        size: Their bytes.
        gaps: Gaps, in the order of their ends.
        pings: Answered pings.
    """

    now: float
    connection: ConnectionDraft | None

    def __init__(self, *, timed: bool, gap: float) -> None:
        super().__init__(timed=timed)
        self.messages: list[int] = [0, 0]
        self.size: list[int] = [0, 0]
        self.pings: list[Ping] = []
        self._gap = gap
        self._lazy_message: float | None = None
        self._heard: float | None = None  # when the last message passed
        self._codec = Codec()

    def feed(self, record: TraceRecord) -> None:
        """Take in one record."""
        self._advance(record.at)
        if isinstance(record, TraceNote):
            self._note(record)
            return
        self._passed()
        index = 0 if record.sent else 1
        self.messages[index] += 1
        self.size[index] += len(record.data)
        try:
            if record.sent:
                self._from_client(record.data)
            else:
                message = self._codec.decode_server(record.data)
                self.from_server(message, self.connection or self._connect())
        except RemoteProtocolError as error:
            self.mark("undecodable", f"{len(record.data)} bytes: {error}", sent=record.sent, problem=True)

    # --- time ---------------------------------------------------------------------------------------------------

    def _advance(self, at: float | None) -> None:
        if not self.timed or at is None:
            # Only traces have notes, and traces have times.
            self.now += 0.0 if self._lazy_message is None else SPACING
            self._lazy_message = 0.0
            return
        if self._lazy_message is None:
            self._lazy_message = at
        since = at - self._lazy_message
        if math.isfinite(since):
            self.now = max(self.now, since)

    def _passed(self) -> None:
        """A message passes or the connection ends, which may end a silence."""
        if self.timed and self._heard is not None and self.now - self._heard > self._gap:
            self.gaps.append(Gap(kind=GapKind.SILENCE, start=self._heard, end=self.now))
        self._heard = self.now

    # --- the link -----------------------------------------------------------------------------------------------

    def _connect(self) -> ConnectionDraft:
        before = self.connection
        if before is not None:
            self.lose_turn()
            if self.timed and before.end is not None:
                self.gaps.append(Gap(kind=GapKind.OUTAGE, start=before.end, end=self.now))
                self._heard = self.now
        draft = ConnectionDraft(number=len(self.connections) + 1, start=self.now)
        self.connection = draft
        self.connections.append(draft)
        self.fresh()
        return draft

    def _note(self, note: TraceNote) -> None:
        facts = note.facts
        if note.kind == "connected":
            connection = self.connection
            # The client queues its setup before the note says that the connection is open.
            if connection is None or connection.linked or connection.end is not None:
                connection = self._connect()
            connection.linked = True
            self.mark("connected", "compressed" if facts.get("compression") is True else "")
        elif note.kind == "rejected":
            self.mark("rejected", f"HTTP {facts.get('status')}", problem=True)
        elif note.kind == "ping":
            self.mark("ping", "from the other end")
        elif note.kind == "pong":
            rtt = _number(facts, "rtt", _MAX_RTT)
            if rtt is not None:
                self.pings.append(Ping(at=self.now, rtt=rtt))
        elif note.kind == "closed":
            self._closed(facts)

    def _closed(self, facts: Mapping[str, Any]) -> None:
        connection = self.connection
        if connection is None or connection.end is not None:
            connection = self._connect()  # it failed before anything was recorded of it
        self._passed()
        text, code, error = self.texts.detail, _number(facts, "code", _MAX_CODE), facts.get("error")
        connection.end = self.now
        connection.code = None if code is None else int(code)
        connection.reason = text(_text(facts, "reason"))
        connection.clean = facts.get("clean") is True
        connection.initiator = text(_text(facts, "initiator"))
        if isinstance(error, dict):
            connection.error = text(": ".join(filter(None, (_text(error, "class"), _text(error, "text")))))
        connection.hint = text(_text(facts, "hint") or diagnose(connection.code or 1006, connection.reason)[1])
        detail = " ".join(filter(None, (str(connection.code or ""), connection.reason)))
        by = f"by {connection.initiator}" if connection.initiator else ""
        detail = ", ".join(filter(None, (detail, by, connection.error)))
        self.mark("closed", detail, problem=not connection.clean)
        self.lose_turn()

    # --- what the client sends ----------------------------------------------------------------------------------

    def _from_client(self, data: bytes) -> None:
        for event in client_message_events(self._codec.decode_client(data), index=0, unexpected=False):
            self._client_event(event)

    def _client_event(self, event: SessionEvent) -> None:
        match event:
            case SetupReceived():
                self._setup(event.setup)
            case ClientContentReceived():
                self._content(event.content.turns, asks=bool(event.content.turn_complete))
            case RealtimeInputReceived():
                self._realtime(event.input)
            case ToolResponseReceived():
                for response in event.responses:
                    self._answered(response)
            case ContextUpdateReceived():
                parts = {"instruction": event.update.system_instruction, "tools": event.update.tools}
                changed = ", ".join(name for name, part in parts.items() if part is not None)
                self.mark("context update", changed, sent=True)
            case _:
                fields = cast("UnknownMessage", event).fields
                self.mark("unknown message", ", ".join(fields), sent=True, problem=True)

    def _setup(self, setup: LiveClientSetup) -> None:
        connection = self.connection
        if connection is None or connection.set_up or connection.end is not None:
            connection = self._connect()
        handle = setup.session_resumption.handle if setup.session_resumption is not None else None
        self.texts.handle(handle)
        connection.set_up = True
        connection.resumes = bool(handle)
        connection.model = self.texts.detail(setup.model or "")
        self.mark("setup", describe_setup(setup) + ("; resumes" if handle else ""), sent=True)

    def _content(self, turns: Sequence[Content], *, asks: bool) -> None:
        for content in turns:
            text = " ".join(part.text for part in content.parts if part.text)
            blobs = [part.inline_data for part in content.parts if part.inline_data is not None]
            if text:
                self._written(text, model=content.role == "model")
            for blob in blobs:
                self._media(blob)
        if asks:
            self.asked("text")
        if not turns:
            self.mark("client content", "go on" if asks else "", sent=True)

    def _written(self, text: str, *, model: bool = False) -> None:
        if model:  # history: an earlier turn of the model
            self.mark("history", text, sent=True)
        else:
            self.written.append(
                TranscriptSpan(kind=TranscriptKind.WRITTEN, start=self.now, end=self.now, text=self.texts.whole(text))
            )

    def _realtime(self, sent: LiveClientRealtimeInput) -> None:
        for blob in (sent.audio, *sent.media_chunks, sent.video):
            if blob is not None:
                self._media(blob)
        if sent.text is not None:
            self._written(sent.text)
            self.asked("text")
        if sent.activity_start is not None:
            self.mark("activity start", sent=True)
        if sent.activity_end is not None:
            self.mark("activity end", sent=True)
            self.asked("activity end")
        if sent.audio_stream_end:
            self.mark("audio stream end", sent=True)
            self.asked("audio stream end")

    def _media(self, blob: Blob) -> None:
        form = AudioFormat.parse(blob.mime_type or "", default_rate=INPUT_RATE)
        data = blob.data or b""
        if form is None:
            self.mark("media", f"{blob.mime_type or 'no type'}, {len(data)} bytes", sent=True)
        elif self.user_audio.add(self.now, data, form) >= AUDIBLE:
            self.asked("audio")

    def _answered(self, response: FunctionResponse) -> None:
        call = self.call_of(response.id, response.name, done=not response.will_continue)
        shown = self.texts.json(dict(response.response or {}))
        if call is None:
            self.mark("tool response", f"to an unknown call: {response.name or ''} {shown}", sent=True, problem=True)
        else:
            call.answered = self.now
            call.response = shown
        self.asked("tool response")


def _number(facts: Mapping[str, Any], name: str, most: float) -> float | None:
    value = facts.get(name)
    # Any number can be compared; converting a huge one raises.
    return float(value) if isinstance(value, int | float) and 0 <= value <= most else None


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else ""
