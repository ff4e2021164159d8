"""A session over a WebSocket that another library runs on asyncio.

The machine works on whole messages. It asks for actions (send this message, close, accept, refuse) and is told what
the library received and how the WebSocket ended. `BridgeDriver` keeps the order of steps and the timer. `picows` calls
back, so its driver is a `BridgeDriver` without a task. The other libraries have coroutines: `TaskDriver` has one task
that awaits the library's receive and one that takes the machine's actions, one at a time. Neither runs code of users.

The end has one owner. The reader outlives the writer and reports the `WebSocketEnd` to the machine, once. A send that
fails only sets the reader free to read on, because the peer's last words say more than a broken pipe; `_END_TIMEOUT`
bounds that. An abort cancels the reader, which then ends the WebSocket at once and sends the close frame if that does
not cut a message in two.
"""

from __future__ import annotations

import abc
import asyncio
import math
from typing import Final, assert_never, final

import attrs

from live_protocol.connection import (
    AcceptUpgrade,
    CloseWebSocket,
    MessageServerConnection,
    RefuseUpgrade,
    WebSocketAction,
)
from live_protocol.errors import LiveProtocolError
from live_transports.shared.loop_driver import LoopDriver
from live_transports.shared.steps import HIGH_WATER, LOW_WATER, MAX_TIMER_DELAY


@final
@attrs.frozen(kw_only=True)
class WebSocketEnd:
    """How a WebSocket ended.

    Attributes:
        code: Code of the peer's close frame; 1005 for one without a code, 1006 without one.
        reason: Its reason.
        fault: The peer's violation that made the library end it, if any.
        cause: The exception of the library if the transport failed; the code says nothing then.
    """

    code: int = 1006
    reason: str = ""
    fault: LiveProtocolError | None = None
    cause: BaseException | None = None


LOST: Final = WebSocketEnd()
_READ_FIRST: Final = 0.001
"""Seconds that a late timer waits."""
_END_TIMEOUT: Final = 1.0  # seconds after a send failed for the library to say how the WebSocket ended


class BridgeDriver(LoopDriver):
    """One connection over messages. A subclass moves them between the machine and a library.

    Args:
        machine: The connection to drive.
    """

    machine: MessageServerConnection

    # --- what a subclass supplies -------------------------------------------------------------------------------

    @abc.abstractmethod
    def _perform(self) -> None:
        """Have the machine's actions taken, and messages read if it wants them."""

    @abc.abstractmethod
    def _drop(self) -> None:
        """End the WebSocket at once; `_ended` follows. Called more than once."""

    # --- steps --------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if self.closed.is_set():
            return
        self._perform()
        if self.machine.wants.close:
            self._drop()
        due = self.machine.next_deadline()
        if due is not None and due < self._due:
            self._arm(due)

    def _arrived(self, data: bytes | str) -> None:
        """A message came."""
        self.tick()
        self.machine.receive_message(data)
        self._burst = 0
        self.flush()
        if not self.machine.wants.read:
            self.event_queue.make_room()
        self._wake()

    def _ended(self, end: WebSocketEnd) -> None:
        """The WebSocket has ended: report it to the machine, and wake every task."""
        if self.closed.is_set():
            return
        self.tick()
        if end.fault is not None:
            self.machine.fail(end.fault)
        if end.cause is not None:
            self.event_queue.cause = end.cause
            self.machine.transport_failed(end.cause)
        else:
            self.machine.closed(end.code, end.reason)
        self.closed.set()
        self._disarm()
        self._wake()
        self._wake_senders()

    def _on_timer(self) -> None:
        """Before a program that was held up gives up on the peer, the library's tasks read what has waited."""
        if self._loop.time() - self._due > MAX_TIMER_DELAY:
            self._due = -math.inf
            self._timer = self._loop.call_later(_READ_FIRST, super()._on_timer)
        else:
            super()._on_timer()

    def _on_deadline(self) -> None:
        self.machine.advance(self._loop.time())
        self.flush()
        self._wake()

    # --- the end ------------------------------------------------------------------------------------------------

    async def _close(self, code: int, reason: str) -> None:
        try:
            await super()._close(code, reason)
        except asyncio.CancelledError:
            await self.closed.wait()  # a few steps of the loop
            raise

    def abort(self) -> None:
        if not self.closed.is_set():
            self.tick()
            self.machine.close()
            self._drop()


class WebSocket(abc.ABC):
    """The operations of a library that `TaskDriver` needs. An exception from one of them ends the WebSocket."""

    @abc.abstractmethod
    async def receive(self) -> bytes | str | WebSocketEnd:
        """The next whole message, or the end."""

    @abc.abstractmethod
    async def send(self, message: bytes) -> None:
        """Send a message; back-pressure is to wait in here."""

    @abc.abstractmethod
    async def close(self, code: int, reason: str) -> WebSocketEnd | None:
        """Close in order; gives the end, unless `receive` will tell it."""

    @abc.abstractmethod
    async def drop(self, close_frame: CloseWebSocket | None) -> None:
        """End the transport at once; send the close frame if that takes no waiting. Never fails."""

    async def accept(self, action: AcceptUpgrade) -> None:
        """Server role: accept."""
        raise NotImplementedError

    async def refuse(self, action: RefuseUpgrade) -> None:
        """Server role: refuse."""
        raise NotImplementedError


@final
class TaskDriver(BridgeDriver):
    """A driver for a library with coroutines: one task reads, one writes."""

    def __init__(self, machine: MessageServerConnection, socket: WebSocket) -> None:
        super().__init__(machine)
        self._socket = socket
        self._in_hand = 0  # bytes of the message being sent
        self._broken = False  # a send has failed; the reader reads on
        self._close_sent: CloseWebSocket | None = None  # handed to the library
        self._begun = False
        self._stopped = False  # the reader reads no more
        self._dropped = False
        self._end = LOST
        self._end_timer: asyncio.TimerHandle | None = None
        self._to_read = asyncio.Event()
        self._to_write = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Let the machine speak."""
        self._writer = self._loop.create_task(self._write())
        self._reader = self._loop.create_task(self._read(self._writer))
        self.machine.advance(self._loop.time())
        self.flush()

    def _perform(self) -> None:
        self._update_full()
        if self.machine.wants.write:
            self._to_write.set()
        if self.machine.wants.read:
            self._to_read.set()

    def _update_full(self) -> None:
        waiting = self.machine.buffered_out + self._in_hand
        if waiting > HIGH_WATER:
            self._full = True
        elif self._full and waiting <= LOW_WATER:
            self._full = False
            self._wake_senders()

    def _drop(self) -> None:
        if not self._dropped:
            self._dropped = True
            self._stop()

    def _stop(self) -> None:
        """Let the reader read no more."""
        if not self._stopped:
            self._stopped = True
            if self._begun and self._reader is not None:  # one that was cancelled before would never run
                self._reader.cancel()

    # --- tasks --------------------------------------------------------------------------------------------------

    async def _read(self, writer: asyncio.Task[None]) -> None:
        self._begun = True
        try:
            self._end = await self._receive()
        except asyncio.CancelledError:
            self._dropped = self._dropped or not self._stopped  # the loop is being shut down
        except Exception as error:
            self._end = WebSocketEnd(cause=error)
        try:
            close_frame = self._final_close()
            writer.cancel()
            await asyncio.wait([writer])
            if self._dropped:
                await self._socket.drop(close_frame)
        finally:
            if self._end_timer is not None:
                self._end_timer.cancel()
            self._ended(self._end)

    def _final_close(self) -> CloseWebSocket | None:
        """The close frame that an abort may still send, if it does not cut a message in two."""
        if not self._dropped or self._in_hand:
            return None
        left = [self._close_sent, *iter(self.machine.next_action, None)]
        return left[-1] if isinstance(left[-1], CloseWebSocket) else None

    async def _receive(self) -> WebSocketEnd:
        while not self._stopped:
            if self.machine.wants.read or self._broken:
                received = await self._socket.receive()
                if isinstance(received, WebSocketEnd):
                    return received
                self._arrived(received)
            else:
                self._to_read.clear()
                await self._to_read.wait()
        return self._end

    async def _write(self) -> None:
        try:
            while True:
                while (action := self.machine.next_action()) is not None:
                    await self._take(action)
                    self._in_hand = 0
                    self.flush()
                self._to_write.clear()
                await self._to_write.wait()
        except Exception as error:
            # The reader reports this, after what it can still read.
            self._end = WebSocketEnd(cause=error)
            self._broken = True
            self._to_read.set()
            self._end_timer = self._loop.call_later(_END_TIMEOUT, self._drop)

    async def _take(self, action: WebSocketAction) -> None:
        match action:
            case bytes():
                self._in_hand = len(action)
                await self._socket.send(action)
            case CloseWebSocket():
                self._close_sent = action
                end = await self._socket.close(action.code, action.reason)
                if end is not None:
                    self._end = end
                    self._stop()
            case AcceptUpgrade():
                await self._socket.accept(action)
            case RefuseUpgrade():
                await self._socket.refuse(action)
                self._stop()
            case _:
                assert_never(action)
