"""What the client says in one session: checked, kept while there is no connection, counted as it leaves."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import attrs

from live_protocol.codec.codec import Codec
from live_protocol.errors import IllegalInState, NotConnected
from live_protocol.events import InputLost, LossReason
from live_protocol.limits import Limits
from live_protocol.messages import LiveClientContextUpdate, LiveClientMessage, LiveClientRealtimeInput
from live_protocol.reconnect.outbox import Entry, Outbox, Tally
from live_protocol.reconnect.policy import Gap, ReconnectPolicy
from live_protocol.session.message_kinds import client_member, given
from live_protocol.session.requests import tool_responses
from live_protocol.session.sending import ClientOutbound
from live_protocol.session.tool_calls import ToolCalls, key_of

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
        calls: ToolCalls,
        *,
        manual: bool,
        transparent: bool,
        gate: Callable[[], None] | None = None,
    ) -> None:
        self.outbox = Outbox(transparent=transparent, max_sent=policy.outbox_bytes)
        self.away = True
        self.context: LiveClientContextUpdate | None = None
        self.window_open = False
        self._manual = manual
        self._policy = policy
        self._checks = ClientOutbound(codec, limits, calls, manual=manual, admit=self._admit, gate=gate)
        self._losses: dict[LossReason, Tally] = {}
        self._at_close = Tally()
        self._mark: tuple[int, float] | None = None
        self._operation = ""
        self._media = False

    # --- commands -----------------------------------------------------------------------------------------------

    def pcm(self, audio: bytes | bytearray | memoryview, rate: int, now: float) -> Entry:
        """Take in raw audio; see `ClientOutbound.pcm`.

        Raises:
            NotConnected: There is no connection, and the policy keeps no (more) input.
        """
        self._about_to("send_realtime_input", media=True)
        payload = self._checks.pcm(audio, rate)
        return self._enter("realtime_input.audio", payload, now)

    def message(self, operation: str, message: LiveClientMessage, now: float, *, epoch: int | None) -> Entry:
        """Take in a message; see `ClientOutbound.message`.

        Raises:
            IllegalInState: It is a setup.
            NotConnected: There is no connection, and the policy keeps no (more) input.
        """
        kind = client_member(message)
        if kind == "setup":
            raise IllegalInState(operation, "the session exists", "setup is sent by itself")
        if isinstance(message.realtime_input, LiveClientRealtimeInput):
            kind = ".".join((kind, *given(message.realtime_input)))
        self._about_to(operation, media=kind in _MEDIA)
        payload = self._checks.message(message, epoch=epoch)
        awaiting: bool | None = None
        calls: Sequence[str] = ()
        if message.client_content is not None:
            awaiting = bool(message.client_content.turn_complete)
        if message.tool_response is not None:
            calls = [key_of(item) for item in tool_responses(message.tool_response.function_responses)]
        if message.context_update is not None:
            self._remember(message.context_update)
        return self._enter(kind, payload, now, awaiting=awaiting, calls=calls)

    def _about_to(self, operation: str, *, media: bool) -> None:
        if self.away and self._policy.gap is Gap.RAISE:
            raise NotConnected(operation, "ReconnectPolicy.gap says that no input is kept")
        self._operation = operation
        self._media = media and not self.outbox.transparent

    def _admit(self, size: int) -> None:
        outbox, most = self.outbox, self._policy.gap_bytes
        if not self.away or self._policy.gap is not Gap.BUFFER or self._media:
            return
        if outbox.waiting_size - outbox.media_size + size > most:
            raise NotConnected(self._operation, f"the {most} bytes of ReconnectPolicy.gap_bytes are used up")

    def _enter(
        self, kind: str, payload: bytes, now: float, *, awaiting: bool | None = None, calls: Sequence[str] = ()
    ) -> Entry:
        outbox, most = self.outbox, self._policy.gap_bytes
        entry = outbox.enter(kind, payload, now, media=self._media, awaiting=awaiting, calls=calls, waits=self.away)
        if self.away:
            outbox.expire(now - self._policy.media_max_age, self._loss(LossReason.STALE))
            full = self._loss(LossReason.GAP_FULL)
            outbox.shrink(most, full, media=True)
            if self._policy.gap is Gap.DROP_OLDEST:
                outbox.shrink(most, full, media=False)
        return entry

    def _remember(self, update: LiveClientContextUpdate) -> None:
        before = self.context or LiveClientContextUpdate()
        self.context = attrs.evolve(
            before,
            system_instruction=update.system_instruction or before.system_instruction,
            tools=before.tools if update.tools is None else update.tools,
        )

    # --- what happens on the connection -------------------------------------------------------------------------

    def left(self, now: float) -> None:
        """The bytes of everything on the connection were handed out."""
        for entry in self.outbox.take(now):
            if entry.kind == "realtime_input.activity_start":
                self.window_open = True
            elif entry.kind == "realtime_input.activity_end":
                self.window_open = False

    def heard(self, now: float) -> None:
        """Bytes arrived: what is read of them was said after what had left by now, or in answer to it."""
        if self._mark is None:
            self._mark = (self.outbox.left, now)

    def drained(self) -> None:
        """Everything that arrived was read."""
        self._mark = None

    def resumable(self, index: int | None) -> None:
        """A handle came.

        Args:
            index: Newest message of this connection that it includes, in transparent mode.
        """
        if self.outbox.transparent:
            if index is not None:
                self.outbox.acknowledged(index)
        else:
            last, at = self._mark or (0, 0.0)
            self.outbox.saved(last, at - self._policy.in_flight)

    # --- between connections ------------------------------------------------------------------------------------

    def dropped(self, recent: Container[str], *, closing: bool) -> list[InputLost]:
        """The connection ended; gives what that has lost.

        Args:
            recent: Keys of the tool calls that were made after the newest handle.
            closing: Whether we wanted it so; then what has left has arrived, as far as anybody here needs to know.
        """
        self.away = True
        self._mark = None
        lost = self.outbox.dropped()
        if self.outbox.transparent:
            # The handle is older than these calls: resumed from there, the model makes them again, under other ids.
            self.outbox.discard_answers(lost if closing else self._loss(LossReason.ORPHANED), recent)
        if closing:
            self._at_close.merge(lost)
            return []
        return [lost.report(LossReason.UNCONFIRMED, certain=False)] if lost.count else []

    def began(self, now: float, *, resumed: bool) -> None:
        """A connection is ready.

        Args:
            now: Clock reading.
            resumed: Whether the session goes on.
        """
        outbox = self.outbox
        if not resumed:
            self._loss(LossReason.NEW_SESSION).merge(outbox.abandoned())
            # Calls belong to the session that made them.
            outbox.discard_answers(self._loss(LossReason.ORPHANED))
        outbox.expire(now - self._policy.media_max_age, self._loss(LossReason.STALE))

    def flush(self) -> Sequence[Entry]:
        """From now on there is a connection to send on; gives what has waited for it, in order."""
        self.away = False
        return self.outbox.flush()

    @property
    def reopens_window(self) -> bool:
        """Whether the user was active when the connection ended, so that the start has to be marked anew."""
        return self._manual and self.window_open and not self.outbox.transparent

    def ended(self, *, closing: bool) -> list[InputLost]:
        """There will be no other connection; gives what that has lost.

        Args:
            closing: As for `dropped`.
        """
        unsent, sent = self.outbox.discard_all(sent=not closing)
        self._loss(LossReason.ENDED).merge(unsent)
        losses = self.losses()
        return [*losses, sent.report(LossReason.UNCONFIRMED, certain=False)] if sent.count else losses

    def hand_over(self, recent: Container[str]) -> tuple[list[Entry], Tally]:
        """What goes out where somebody else goes on with the session, and what it may lack there.

        Args:
            recent: As for `dropped`.
        """
        entries: list[Entry] = []
        missing = self.outbox.unconfirmed()
        missing.merge(self._at_close)
        for entry in self.outbox.pending():
            if any(key in recent for key in entry.calls):
                missing.add(entry)
            else:
                entries.append(attrs.evolve(entry))
        return entries, missing

    def losses(self) -> list[InputLost]:
        """What was lost since the last call, apart from what `dropped` has told."""
        losses, self._losses = self._losses, {}
        return [tally.report(reason) for reason, tally in losses.items() if tally.count]

    def _loss(self, reason: LossReason) -> Tally:
        return self._losses.setdefault(reason, Tally())
