"""The client's messages in one session: checked, kept while there is no connection, counted as they leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from live_protocol.codec.codec import Codec
from live_protocol.errors import IllegalInState, InvalidMessage, NotConnected, RemoteProtocolError
from live_protocol.events import InputLost, LossReason
from live_protocol.limits import Limits
from live_protocol.messages import LiveClientContextUpdate, LiveClientMessage, LiveClientRealtimeInput
from live_protocol.reconnect.outbox import MessageCounts, Outbox, OutboxEntry
from live_protocol.reconnect.policy import OfflinePolicy, ReconnectPolicy
from live_protocol.reconnect.snapshot import Snapshot
from live_protocol.session.message_kinds import client_member, set_members
from live_protocol.session.requests import tool_responses
from live_protocol.session.sending import ClientMessageEncoder
from live_protocol.session.tool_calls import ToolCallTracker, key_of

_MEDIA = frozenset({"realtime_input.audio", "realtime_input.video", "realtime_input.media_chunks"})


class ClientInput:
    """The client's messages in one session, across its connections.

    Args:
        policy: What happens to messages between two connections.
        codec: The dialect.
        limits: Bounds.
        calls: The tool calls of the session, against which responses are checked.
        manual: Whether automatic activity detection is off.
        transparent: Whether the session is in transparent mode.
        gate: Called before audio; may raise to refuse it.

    Attributes:
        calls: As given.
        outbox: The messages.
        encoder: Checks and encodes the messages; the sessions of all connections share it.
        offline: Whether there is no connection to send on; it begins so.
        context: The context updates in force, merged; None without any.
    """

    __slots__ = (
        "_at_close",
        "_losses",
        "_manual",
        "_policy",
        "calls",
        "context",
        "encoder",
        "offline",
        "outbox",
    )

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
        self.calls: ToolCallTracker = calls
        self.outbox: Outbox = Outbox(transparent=transparent, max_sent=policy.outbox_bytes)
        self.offline: bool = True
        self.context: LiveClientContextUpdate | None = None
        self._manual = manual
        self._policy = policy
        self.encoder: ClientMessageEncoder = ClientMessageEncoder(codec, limits, calls, manual=manual, gate=gate)
        self._losses: dict[LossReason, MessageCounts] | None = None
        self._at_close: MessageCounts | None = None

    # --- commands -----------------------------------------------------------------------------------------------

    def add_audio(self, audio: bytes | bytearray | memoryview, rate: int, now: float) -> OutboxEntry:
        """Take in raw audio; see `ClientMessageEncoder.encode_audio`.

        Raises:
            NotConnected: There is no connection, and the policy keeps no more messages.
        """
        admit = self._admission("send_realtime_input", media=True) if self.offline else None
        payload = self.encoder.encode_audio(audio, rate, admit=admit)
        if self.offline:
            return self._add_offline("realtime_input.audio", payload, now, media=True)
        return self.outbox.add("realtime_input.audio", payload, now, media=True, waits=False)

    def add_message(self, operation: str, message: LiveClientMessage, now: float, *, epoch: int | None) -> OutboxEntry:
        """Take in a message; see `ClientMessageEncoder.encode_message`.

        Raises:
            IllegalInState: It is a setup.
            NotConnected: There is no connection, and the policy keeps no more messages.
        """
        kind = client_member(message)
        if kind == "setup":
            raise IllegalInState(operation, "the session exists", "setup is sent by itself")
        if isinstance(message.realtime_input, LiveClientRealtimeInput):
            kind = ".".join((kind, *set_members(message.realtime_input)))
        media = kind in _MEDIA
        admit = self._admission(operation, media=media) if self.offline else None
        payload = self.encoder.encode_message(message, epoch=epoch, admit=admit)
        awaiting: bool | None = None
        calls: Sequence[str] = ()
        if message.client_content is not None:
            awaiting = bool(message.client_content.turn_complete)
        if message.tool_response is not None:
            calls = [key_of(item) for item in tool_responses(message.tool_response.function_responses)]
        if message.context_update is not None:
            self._merge_context(message.context_update)
        if self.offline:
            return self._add_offline(kind, payload, now, media=media, awaiting=awaiting, calls=calls)
        return self.outbox.add(kind, payload, now, awaiting=awaiting, calls=calls, media=media, waits=False)

    def _admission(self, operation: str, *, media: bool) -> Callable[[int], None] | None:
        """What has to admit a message by its size while there is no connection, if anything has.

        Raises:
            NotConnected: The policy keeps none.
        """
        outbox, most = self.outbox, self._policy.offline_bytes
        if self._policy.offline is OfflinePolicy.RAISE:
            raise NotConnected(operation, "ReconnectPolicy.offline says that no input is kept")
        if self._policy.offline is OfflinePolicy.DROP_OLDEST or (media and not outbox.transparent):
            return None

        def admit(size: int) -> None:
            if outbox.waiting_size - outbox.media_size + size > most:
                raise NotConnected(operation, f"the {most} bytes of ReconnectPolicy.offline_bytes are used up")

        return admit

    def _add_offline(
        self,
        kind: str,
        payload: bytes,
        now: float,
        *,
        media: bool,
        awaiting: bool | None = None,
        calls: Sequence[str] = (),
    ) -> OutboxEntry:
        outbox, most = self.outbox, self._policy.offline_bytes
        entry = outbox.add(kind, payload, now, media=media, awaiting=awaiting, calls=calls, waits=True)
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

    def resumable(self, index: int | None, sent: int, arrived: float) -> None:
        """A handle came.

        Args:
            index: Newest message of this connection that it includes, in transparent mode.
            sent: Number of the newest message that had left when its bytes arrived.
            arrived: Clock reading at which they arrived.
        """
        if not self.outbox.transparent:
            self.outbox.confirm(sent, arrived - self._policy.in_flight_window)
        elif index is not None:
            self.outbox.acknowledge(index)

    # --- between connections ------------------------------------------------------------------------------------

    def connection_lost(self, *, closing: bool) -> list[InputLost]:
        """The connection ended; gives the losses.

        Args:
            closing: Whether this end asked for it. Then what has left counts as delivered.
        """
        self.offline = True
        lost = self.outbox.connection_lost()
        if self.outbox.transparent:
            # The handle is older than these calls: resumed from there, the model makes them again, under other ids.
            self.outbox.discard_answers(lost if closing else self._loss(LossReason.ORPHANED), self.calls.recent)
        if closing:
            self._at_close = lost
            return []
        return [lost.report(LossReason.UNCONFIRMED, certain=False)] if lost.count else []

    def connection_ready(self, now: float, *, resumed: bool) -> None:
        """A connection is ready.

        Args:
            now: Clock reading.
            resumed: Whether it continues the session.
        """
        outbox = self.outbox
        if not resumed:
            self._loss(LossReason.NEW_SESSION).merge(outbox.session_abandoned())
            # Calls belong to the session that made them.
            outbox.discard_answers(self._loss(LossReason.ORPHANED))
        outbox.drop_expired(now - self._policy.media_max_age, self._loss(LossReason.STALE))

    def flush(self) -> Sequence[OutboxEntry]:
        """From now on there is a connection to send on; gives the messages that waited for it, in order."""
        self.offline = False
        return self.outbox.flush()

    @property
    def reopens_window(self) -> bool:
        """Whether the next connection has to begin with an activity start, because the last one broke in a window."""
        return self._manual and self.outbox.window_open and not self.outbox.transparent

    def session_ended(self, *, closing: bool) -> list[InputLost]:
        """There will be no other connection; gives the losses.

        Args:
            closing: As for `connection_lost`.
        """
        unsent, sent = self.outbox.discard_all(sent=not closing)
        self._loss(LossReason.ENDED).merge(unsent)
        losses = self.losses()
        return [*losses, sent.report(LossReason.UNCONFIRMED, certain=False)] if sent.count else losses

    # --- moving -------------------------------------------------------------------------------------------------

    def restore(self, snapshot: Snapshot, codec: Codec) -> None:
        """Take over the messages and calls of a snapshot.

        Raises:
            InvalidMessage: Its context is not a message.
        """
        if snapshot.context is not None:
            try:
                self.context = codec.decode_client(snapshot.context).context_update
            except RemoteProtocolError:
                raise InvalidMessage("snapshot.context", "is no message") from None
        outbox = self.outbox
        outbox.accepted = snapshot.accepted
        outbox.kept.merge(snapshot.kept)
        outbox.restore(attrs.evolve(entry) for entry in snapshot.outbox)
        self.calls.restore(snapshot.calls)

    def export(self, recent: frozenset[str]) -> tuple[list[OutboxEntry], MessageCounts]:
        """The messages that the next process has to send, and those that the session may lack there.

        Args:
            recent: Keys of calls that the model will make again, so that their answers must not go out.
        """
        entries: list[OutboxEntry] = []
        missing = self.outbox.unconfirmed()
        if self._at_close is not None:
            missing.merge(self._at_close)
        for entry in self.outbox.pending():
            if recent.isdisjoint(entry.calls):
                entries.append(attrs.evolve(entry))
            else:
                missing.add(entry)
        return entries, missing

    def losses(self) -> list[InputLost]:
        """The losses since the last call, except those that `connection_lost` gave."""
        losses, self._losses = self._losses or {}, None
        return [counts.report(reason) for reason, counts in losses.items() if counts.count]

    def _loss(self, reason: LossReason) -> MessageCounts:
        if self._losses is None:
            self._losses = {}
        return self._losses.setdefault(reason, MessageCounts())
