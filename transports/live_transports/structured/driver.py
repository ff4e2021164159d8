"""One connection over a byte stream under structured concurrency; trio and anyio differ in their `Runtime` only.

Three tasks carry a connection: one owns what is read and runs no code of the user's, one owns what is written, one
waits for the deadlines. They are shielded from the cancellation of whoever holds the session, so that no frame is ever
torn and the end is an orderly one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, final

from live_protocol.errors import LiveProtocolError
from live_protocol.states import LinkState
from live_protocol.websocket import Wants
from live_transports.shared import steps as _driver
from live_transports.shared.async_sessions import AsyncWire
from live_transports.shared.reconnecting import Redial
from live_transports.shared.steps import Carried, Dial, Inbox
from live_transports.structured.runtime import Bell, Event, Link, Runtime, Scope, unwrapped

__all__ = ["Open", "StreamWire"]

Open: TypeAlias = Callable[[Dial], Awaitable[Link]]
"""Opens a stream."""

LAST_WORDS: Final = 0.05
"""Seconds that bytes get to leave where nothing else bounds the wait: plenty, unless the peer does not read."""
_CHUNK: Final = 64 * 1024
_ROUNDS: Final = 4
"""Turns of the loop that a sender waits for its bytes to leave, below the high-water mark."""


# --- one stream -------------------------------------------------------------------------------------------------


@final
class Carrier:
    """One stream under a wire, from its first byte to its last: what waits to be written, and how it ends.

    Args:
        link: The stream.
        wire: Whom it tells what arrives.
        runtime: Where.

    Attributes:
        full: Whether senders have to wait.
        closing: Whether the stream is closed as soon as everything is written.
        last_moment: When it ends, whatever is still to be written.
    """

    def __init__(self, link: Link, wire: StreamWire, runtime: Runtime) -> None:
        self.full = False
        self.closing = False
        self.last_moment = math.inf
        self._link = link
        self._wire = wire
        self._rt = runtime
        self._life: Scope = runtime.scope()
        self._outgoing = bytearray()
        self._sending = 0
        self._broken: BaseException | None = None
        self._listening = True
        self._reading = True
        self._half_close = False
        self._writable, self._readable = Bell(runtime.event), Bell(runtime.event)

    async def run(self) -> BaseException | None:
        """Carry bytes until it ends, then free the socket; gives what broke it, if it broke."""
        try:
            with self._life:
                async with self._rt.nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
        finally:
            await self._link.drop()
        return self._broken

    async def _read(self) -> None:
        try:
            while data := await self._link.receive():
                self._wire.receive_data(data)
                while not self._reading:
                    await self._readable.wait()
            self._listening = False
            self._writable.ring()
            self._wire.receive_eof()
        except Exception as error:
            self.fail(error)

    async def _write(self) -> None:
        half_closed = False
        try:
            while not self.closing or self._outgoing:
                if self._outgoing:
                    if self._may_learn_more():
                        await self._writable.wait()
                    else:
                        await self._write_some()
                elif self._half_close and not half_closed:
                    half_closed = True
                    await self._link.send_eof()
                else:
                    await self._writable.wait()
            await self._link.close()
            self._life.cancel()
        except Exception as error:
            # What the peer said last may lie unread, and says more than a broken pipe: the reader has a moment.
            self._broken = unwrapped(error)
            self._outgoing.clear()
            self.end_soon()

    def _may_learn_more(self) -> bool:
        """Whether the peer is gone and its last words are still to be read; then a write would fail and lose them."""
        return self._listening and self._reading and self._link.peer_left()

    async def _write_some(self) -> None:
        data = bytes(self._outgoing[:_CHUNK])
        del self._outgoing[:_CHUNK]
        self._sending = len(data)
        await self._link.send(data)
        self._sending = 0
        if self.full and len(self._outgoing) <= _driver.LOW_WATER:
            self.full = False
            self._wire.settle()
            self._wire.admit()

    # --- told by the wire ---------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Have it written, after what waits already."""
        if data and not self.closing and self._broken is None:
            self._outgoing += data
            if self._sending + len(self._outgoing) > _driver.HIGH_WATER:
                self.full = True
            self._writable.ring()

    def heed(self, wants: Wants, *, bounded: bool) -> None:
        """Do what the machine wants; ``bounded`` says whether a deadline of it ends a slow close."""
        if self.closing:
            return
        if wants.close and not (wants.half_close and self._link.can_half_close):
            self.hang_up()
            if not bounded:
                self.end_soon()
            return
        self._reading = wants.read or wants.half_close
        if self._reading:
            self._readable.ring()
        if wants.half_close and not self._half_close:
            self._half_close = True
            self._writable.ring()

    @property
    def idle(self) -> bool:
        """Whether all has been written."""
        return not self._outgoing and not self._sending

    @property
    def paused(self) -> bool:
        """Whether the machine wants nothing to be read."""
        return not self._reading

    def hang_up(self) -> None:
        """Close in order."""
        self.closing = True
        self._writable.ring()

    def end_soon(self) -> None:
        """What still waits to be written has a moment."""
        self.last_moment = min(self.last_moment, self._rt.now() + LAST_WORDS)
        self._wire.wake_by(self.last_moment)

    def end(self) -> None:
        """End now."""
        self._life.cancel()

    def fail(self, error: Exception) -> None:
        """End now, because of this."""
        self._broken = unwrapped(error)
        self._life.cancel()


# --- the wire ---------------------------------------------------------------------------------------------------


@final
class StreamWire(AsyncWire):
    """The one driver of a machine: its timer, its waiters, and the stream in hand.

    Args:
        machine: What it drives.
        runtime: Where.
        redial: Where further connections go to, if there are to be any; whoever waits for events opens them.
        open: How to open one.

    Attributes:
        machine: As given.
        gone: Set while there is no stream, and none is being opened.
        spawn: Starts a task that carries a connection.
    """

    def __init__(
        self,
        machine: Carried,
        runtime: Runtime,
        *,
        redial: Redial | None = None,
        open: Open | None = None,  # noqa: A002 - it is what it does
    ) -> None:
        self.inbox: Inbox[Any] = Inbox(machine, self.settle)
        self.machine = machine
        self.gone = runtime.event()
        self.spawn: Callable[[Callable[[], Awaitable[None]]], object] | None = None
        self._rt = runtime
        self._token = runtime.token()
        self._redial = redial
        self._open = open
        self._dialling: Scope | None = None
        self._carrier: Carrier | None = None
        self._alarm: Scope | None = None
        self._arrival = Bell(runtime.event)
        self._senders: deque[Event] = deque()

    def start(self, link: Link) -> None:
        """Let the machine speak; `run` has to follow."""
        self._carrier = Carrier(link, self, self._rt)
        self.machine.advance(self._rt.now())
        self.settle()

    async def run(self) -> None:
        """Carry the connection to its end, and close the stream. It takes no cancellation: `abort` it instead."""
        carrier = self._carrier
        assert carrier is not None  # noqa: S101 - start() was called
        try:
            with self._rt.scope(shield=True):
                async with self._rt.nursery() as nursery:
                    nursery.start_soon(self._watch, carrier)
                    self.inbox.cause = await carrier.run()
                    nursery.cancel_scope.cancel()
        finally:
            self._alarm = None
            self._ended()

    def _ended(self) -> None:
        self.tick()
        if self.inbox.cause is None:
            self.machine.receive_eof()
        else:
            self.machine.transport_failed(self.inbox.cause)
        self.gone.set()
        self._arrival.ring()
        self.admit()

    async def _watch(self, carrier: Carrier) -> None:
        """The timer. Its alarm is only ever moved forward; a deadline that moved back is found out when it rings."""
        try:
            while True:
                alarm = self._alarm = self._rt.scope(deadline=min(self._due(), carrier.last_moment))
                with alarm:
                    await self._rt.forever()
                if self._rt.now() >= carrier.last_moment:
                    carrier.end()
                    return
                if self._rt.now() - alarm.deadline > _driver.LATE:
                    await self._rt.sleep(0.001)  # so that the reader looks at what came meanwhile, once
                self._advance(carrier)
        except Exception as error:
            carrier.fail(error)

    def _advance(self, carrier: Carrier) -> None:
        was_closing = carrier.closing
        self.machine.advance(self._rt.now())
        carrier.write(self.machine.data_to_send())
        if was_closing and self.machine.next_deadline() is None:
            carrier.end()  # it had its time to leave in order
        self.settle()
        self._arrival.ring()

    def _due(self) -> float:
        due = self.machine.next_deadline()
        return math.inf if due is None else due

    def wake_by(self, moment: float) -> None:
        """Move the alarm forward."""
        if self._alarm is not None and moment < self._alarm.deadline:
            self._alarm.deadline = moment

    # --- steps --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Bytes arrived."""
        _driver.arrived(self.machine, self._rt.now(), data)
        self._received()

    def receive_eof(self) -> None:
        """The peer sends no more."""
        self.tick()
        self.machine.receive_eof()
        self._received()

    def _received(self) -> None:
        self.settle()
        if self._carrier is not None and self._carrier.paused:
            self.inbox.make_room()
        self._arrival.ring()

    def tick(self) -> None:
        _driver.tick(self.machine, self._rt.now())

    def settle(self) -> None:
        carrier = self._carrier
        if carrier is None or self.gone.is_set():
            return
        if not carrier.full:
            carrier.write(self.machine.data_to_send())
        due = self._due()
        carrier.heed(self.machine.wants, bounded=due < math.inf)
        self.wake_by(due)

    # --- waiting ------------------------------------------------------------------------------------------------

    async def arrival(self) -> None:
        if self._redial is not None and await self._go_on(self._redial):
            return
        due = self._due()
        self.wake_by(due)  # what was pulled meanwhile may have been what the session waited for
        if self.gone.is_set():  # nobody else looks at the clock
            with self._rt.scope(deadline=due):
                await self._arrival.wait()
        else:
            await self._arrival.wait()

    async def room(self) -> None:
        if not self._waits():
            for _ in range(_ROUNDS):
                await self._rt.checkpoint()
                if self._carrier is None or self._carrier.idle or self._carrier.full:
                    break
            return
        ticket = self._rt.event()
        self._senders.append(ticket)
        try:
            await ticket.wait()
        except BaseException:
            if ticket.is_set():
                self.admit()
            else:
                self._senders.remove(ticket)
            raise
        self.admit()
        if self._over:
            raise _driver.cut_off(self.inbox)

    def _waits(self) -> bool:
        return self._carrier is not None and self._carrier.full and not self.gone.is_set()

    def admit(self) -> None:
        """Let the sender go on that waits longest; it admits the next one, so that they go on in their order."""
        if self._senders and not self._waits():
            self._senders.popleft().set()

    async def breathe(self) -> None:
        await self._rt.checkpoint()

    # --- the next connection ------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        """Whether there is no stream and will be none."""
        return self.gone.is_set() and (self._redial is None or self.machine.state is LinkState.CLOSED)

    async def _go_on(self, redial: Redial) -> bool:
        """Open the next stream if it is time for that; whether there may be something to tell then."""
        if self.gone.is_set():
            self.machine.advance(self._rt.now())
        where, told = redial.next()
        if where is None:
            return told
        if self._carrier is not None and not self.gone.is_set():
            self._carrier.end()
            await self.gone.wait()
        self._carrier = None
        self.gone = self._rt.event()
        try:
            await self._renew(redial, where)
        except LiveProtocolError as error:
            self.tick()
            redial.failed(error)
        finally:
            self._dialling = None
            if self._carrier is None:
                self.gone.set()
        return True

    async def _renew(self, redial: Redial, where: Dial) -> None:
        """Whoever closes interrupts it."""
        assert self._open is not None  # noqa: S101 - comes with the rest
        assert self.spawn is not None  # noqa: S101 - likewise
        link: Link | None = None
        self._dialling = self._rt.scope()
        with self._dialling:
            link = await self._open(where)
        if link is None:
            return
        self.tick()
        if not redial.wanted:
            await link.drop()
            return
        redial.machine.dialled()
        self.start(link)
        self.spawn(self.run)

    def _interrupt(self) -> None:
        """Nobody wants the connection any more that is being opened."""
        if self._dialling is not None:
            self._dialling.cancel()
        self._arrival.ring()

    # --- the end ------------------------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str) -> None:
        """Close in order, and wait for nothing.

        Raises:
            InvalidMessage: Code or reason may not be sent; nothing has changed.
        """
        self.tick()
        self.machine.close(code, reason)
        self.inbox.begin_close()
        self._received()
        self._interrupt()

    async def close(self, code: int, reason: str) -> None:
        if not self._rt.is_here(self._token):
            await self._rt.reenter(self._token, lambda: self.close(code, reason))
            return
        self.begin_close(code, reason)
        try:
            await self.gone.wait()
        except BaseException:
            self.abort()
            raise
        self.inbox.drain()

    def abort(self) -> None:
        carrier = self._carrier
        if self._over or (carrier is None and self._redial is None):
            return
        self.tick()
        self.machine.close()
        self._interrupt()
        if carrier is None or self.gone.is_set():
            return
        if carrier.full:
            carrier.end()  # the peer does not read
            return
        carrier.write(self.machine.data_to_send())
        carrier.hang_up()
        carrier.end_soon()
