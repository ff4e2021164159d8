"""What the client says in one session: checked, kept while there is no connection, counted as it leaves."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import attrs

from live_protocol.codec.codec import Codec
from live_protocol.errors import IllegalInState, NotConnected
from live_protocol.events import InputLost, LossReason
from live_protocol.limits import Limits
from live_protocol.messages import LiveClientContextUpdate, LiveClientMessage, LiveClientRealtimeInput
from live_protocol.reconnect.outbox import MessageCounts, Outbox, OutboxEntry
from live_protocol.reconnect.policy import OfflinePolicy, ReconnectPolicy
from live_protocol.session.message_kinds import client_member, set_members
from live_protocol.session.requests import tool_responses
from live_protocol.session.sending import ClientMessageEncoder
from live_protocol.session.tool_calls import ToolCallTracker, key_of

__all__ = ["ClientInput"]

_MEDIA = frozenset({"realtime_input.audio", "realtime_input.video", "realtime_input.media_chunks"})


class ClientInput:
    """The input of one session, across its connections.

    Args:
        policy: What becomes of it between two connections.
        codec: Dialect.
        limits: Bounds.
        calls: Tool calls that responses are held against.
        manual: Whether automatic activity detection is off.
        transparent: Whether the session is in transparent mode.

    Attributes:
        outbox: The messages.
        away: Whether there is no connection to send on.
        context: Context updates in force, None without any.
        window_open: Whether the connection, as far as its bytes have left, is in an activity window.
    """

    def __init__(
        self,
        policy: ReconnectPolicy,
        codec: Codec,
        limits: Limits,
        calls: ToolCallTracker,
        *,
        manual: bool,
        transparent: bool,
        gate: Callable[[], None] | None = None,
    ) -> None:
        self.outbox = Outbox(transparent=transparent, max_sent=policy.outbox_bytes)
        self.offline = True
        self.context: LiveClientContextUpdate | None = None
        self.window_open = False
        self._manual = manual
        self._policy = policy
        self._encoder = ClientMessageEncoder(codec, limits, calls, manual=manual, admit=self._admit, gate=gate)
        self._losses: dict[LossReason, MessageCounts] = {}
        self._at_close = MessageCounts()
        self._mark: tuple[int, float] | None = None
        self._operation = ""
        self._media = False

    # --- commands -----------------------------------------------------------------------------------------------

    def add_audio(self, audio: bytes | bytearray | memoryview, rate: int, now: float) -> OutboxEntry:
        """Take in raw audio; see `ClientMessageEncoder.encode_audio`.

        Raises:
            NotConnected: There is no connection, and the policy keeps no (more) input.
        """
        self._begin_command("send_realtime_input", media=True)
        payload = self._encoder.encode_audio(audio, rate)
        return self._add("realtime_input.audio", payload, now)

    def add_message(self, operation: str, message: LiveClientMessage, now: float, *, epoch: int | None) -> OutboxEntry:
        """Take in a message; see `ClientMessageEncoder.message`.

        Raises:
            IllegalInState: It is a setup.
            NotConnected: There is no connection, and the policy keeps no (more) input.
        """
        kind = client_member(message)
        if kind == "setup":
            raise IllegalInState(operation, "the session exists", "setup is sent by itself")
        if isinstance(message.realtime_input, LiveClientRealtimeInput):
            kind = ".".join((kind, *set_members(message.realtime_input)))
        self._begin_command(operation, media=kind in _MEDIA)
        payload = self._encoder.encode_message(message, epoch=epoch)
        awaiting: bool | None = None
        calls: Sequence[str] = ()
        if message.client_content is not None:
            awaiting = bool(message.client_content.turn_complete)
        if message.tool_response is not None:
            calls = [key_of(item) for item in tool_responses(message.tool_response.function_responses)]
        if message.context_update is not None:
            self._merge_context(message.context_update)
        return self._add(kind, payload, now, awaiting=awaiting, calls=calls)

    def _begin_command(self, operation: str, *, media: bool) -> None:
        if self.offline and self._policy.offline is OfflinePolicy.RAISE:
            raise NotConnected(operation, "ReconnectPolicy.gap says that no input is kept")
        self._operation = operation
        self._media = media and not self.outbox.transparent

    def _admit(self, size: int) -> None:
        outbox, most = self.outbox, self._policy.offline_bytes
        if not self.offline or self._policy.offline is not OfflinePolicy.BUFFER or self._media:
            return
        if outbox.waiting_size - outbox.media_size + size > most:
            raise NotConnected(self._operation, f"the {most} bytes of ReconnectPolicy.offline_bytes are used up")

    def _add(
        self, kind: str, payload: bytes, now: float, *, awaiting: bool | None = None, calls: Sequence[str] = ()
    ) -> OutboxEntry:
        outbox, most = self.outbox, self._policy.offline_bytes
        entry = outbox.add(kind, payload, now, media=self._media, awaiting=awaiting, calls=calls, waits=self.offline)
        if self.offline:
            outbox.drop_expired(now - self._policy.media_max_age, self._loss(LossReason.STALE))
            full = self._loss(LossReason.OFFLINE_BUFFER_FULL)
            outbox.drop_oldest(most, full, media=True)
            if self._policy.offline is OfflinePolicy.DROP_OLDEST:
                outbox.drop_oldest(most, full, media=False)
        return entry

    def _merge_context(self, update: LiveClientContextUpdate) -> None:
        before = self.context or LiveClientContextUpdate()
        self.context = attrs.evolve(
            before,
            system_instruction=update.system_instruction or before.system_instruction,
            tools=before.tools if update.tools is None else update.tools,
        )

    # --- what happens on the connection -------------------------------------------------------------------------

    def bytes_sent(self, now: float) -> None:
        """The bytes of everything on the connection were handed out."""
        for entry in self.outbox.take(now):
            if entry.kind == "realtime_input.activity_start":
                self.window_open = True
            elif entry.kind == "realtime_input.activity_end":
                self.window_open = False

    def bytes_received(self, now: float) -> None:
        """Bytes arrived: what is read of them was said after what had left by now, or in answer to it."""
        if self._mark is None:
            self._mark = (self.outbox.newest_sent, now)

    def input_processed(self) -> None:
        """Everything that arrived was read."""
        self._mark = None

    def resumable(self, index: int | None) -> None:
        """A handle came.

        Args:
            index: Newest message of this connection that it includes, in transparent mode.
        """
        if self.outbox.transparent:
            if index is not None:
                self.outbox.acknowledge(index)
        else:
            last, at = self._mark or (0, 0.0)
            self.outbox.confirm(last, at - self._policy.in_flight_window)

    # --- between connections ------------------------------------------------------------------------------------

    def connection_lost(self, recent: Container[str], *, closing: bool) -> list[InputLost]:
        """The connection ended; gives what that has lost.

        Args:
            recent: Keys of the tool calls that were made after the newest handle.
            closing: Whether we wanted it so; then what has left has arrived, as far as anybody here needs to know.
        """
        self.offline = True
        self._mark = None
        lost = self.outbox.connection_lost()
        if self.outbox.transparent:
            # The handle is older than these calls: resumed from there, the model makes them again, under other ids.
            self.outbox.discard_answers(lost if closing else self._loss(LossReason.ORPHANED), recent)
        if closing:
            self._at_close.merge(lost)
            return []
        return [lost.report(LossReason.UNCONFIRMED, certain=False)] if lost.count else []

    def connection_ready(self, now: float, *, resumed: bool) -> None:
        """A connection is ready.

        Args:
            now: Clock reading.
            resumed: Whether the session goes on.
        """
        outbox = self.outbox
        if not resumed:
            self._loss(LossReason.NEW_SESSION).merge(outbox.session_abandoned())
            # Calls belong to the session that made them.
            outbox.discard_answers(self._loss(LossReason.ORPHANED))
        outbox.drop_expired(now - self._policy.media_max_age, self._loss(LossReason.STALE))

    def flush(self) -> Sequence[OutboxEntry]:
        """From now on there is a connection to send on; gives what has waited for it, in order."""
        self.offline = False
        return self.outbox.flush()

    @property
    def reopens_window(self) -> bool:
        """Whether the user was active when the connection ended, so that the start has to be marked anew."""
        return self._manual and self.window_open and not self.outbox.transparent

    def session_ended(self, *, closing: bool) -> list[InputLost]:
        """There will be no other connection; gives what that has lost.

        Args:
            closing: As for `connection_lost`.
        """
        unsent, sent = self.outbox.discard_all(sent=not closing)
        self._loss(LossReason.ENDED).merge(unsent)
        losses = self.losses()
        return [*losses, sent.report(LossReason.UNCONFIRMED, certain=False)] if sent.count else losses

    def export(self, recent: Container[str]) -> tuple[list[OutboxEntry], MessageCounts]:
        """What goes out where somebody else goes on with the session, and what it may lack there.

        Args:
            recent: As for `connection_lost`.
        """
        entries: list[OutboxEntry] = []
        missing = self.outbox.unconfirmed()
        missing.merge(self._at_close)
        for entry in self.outbox.pending():
            if any(key in recent for key in entry.calls):
                missing.add(entry)
            else:
                entries.append(attrs.evolve(entry))
        return entries, missing

    def losses(self) -> list[InputLost]:
        """What was lost since the last call, apart from what `connection_lost` has told."""
        losses, self._losses = self._losses, {}
        return [counts.report(reason) for reason, counts in losses.items() if counts.count]

    def _loss(self, reason: LossReason) -> MessageCounts:
        return self._losses.setdefault(reason, MessageCounts())
