"""One session on threads: a thread that looks after the socket, and threads that send, receive and close.

Theory of operation
-------------------

One lock guards the machine, the stream and the event queue. Nobody holds it while waiting, and no event is handed out
under it.

Each socket has an I/O thread. It reads, fires deadlines, and writes what the system did not take at once. It runs no
code of the application, so pings are answered while the application is slow.

Any thread that changes the machine also writes what that left behind, as far as the system takes it (`flush`). So a
send is one system call in the thread that sends, and the I/O thread sleeps on.

A thread that waits for events reads the socket itself while the session is in its plain course: then a message costs no
switch from one thread to another. The I/O thread lends it the socket and sleeps on a bell, until the next deadline but
`_LOAN` seconds at most. If nobody is receiving by then, it takes the socket back. It also does so, at once, when there
is more to do than to read: unsent bytes, a pause, an error, closing. A receiver that sits in a system call is woken and
hands the socket back. The main thread is lent nothing: a signal handler may raise there at any moment, even between
reading bytes and using them.

Before the owner of the socket sleeps, it notes what it waits for: events of the socket, and a moment. A thread that
changes the machine compares with that note, and wakes it through a socket pair if it waits for the wrong events or too
long. An I/O thread that is awake needs no such call: it looks at everything anew, under the lock, before it sleeps.

Two conditions on the same lock stand for the two waits of an application: for events, and for room to write. One thread
at a time waits for events. It also begins a reconnect: it starts the next I/O thread, which dials first.

The end: the I/O thread leaves its loop, closes the socket, tells the machine, sets `closed`, and wakes everybody. If it
crashed, every wait ends with its error.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from threading import get_ident
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar, cast, final

from live_protocol.connection import ByteConnection
from live_protocol.errors import IllegalInState, InvalidMessage, LiveProtocolError, TransportFailed
from live_protocol.states import ConnectionState
from live_protocol.websocket import Wants
from live_transports.shared.dialing import DialPlan
from live_transports.shared.event_queue import EventQueue, send_error
from live_transports.shared.reconnecting import ByteClientConnection, Redialer
from live_transports.shared.steps import HIGH_WATER, LOW_WATER, MAX_TIMER_DELAY
from live_transports.shared.timeouts import Countdown, WaitTimeout
from live_transports.sync.sockets import (
    READ,
    WOKEN,
    WRITE,
    Bell,
    SelectorWaker,
    SocketWaiter,
    Stream,
    WaitInterrupted,
    Watch,
)

OpenSocket: TypeAlias = Callable[[DialPlan, SocketWaiter], Stream]
"""Opens a stream; the waiter does its waiting."""
T = TypeVar("T")

_JOIN_TIMEOUT: Final = 1.0
"""Seconds to wait for an I/O thread that only has to leave."""
_LOAN: Final = 0.1
"""Seconds after which the I/O thread looks whether the socket is still being read; a pong is at most that late."""


@final
class SyncDriver:
    """The one driver of a machine and the owner of its sockets, one after the other.

    Args:
        machine: The machine.
        redialer: Says where further connections go to, if there are any. The thread that waits for events has them
            opened.
        open: Opens them.

    Attributes:
        machine: As given. Use it under `lock` only.
        event_queue: The machine's events. Use it under `lock` only.
        lock: Guards both.
        closed: Set while there is no socket, and none is being opened.
        full: Senders have to wait. Use it under `lock` only.
    """

    def __init__(
        self,
        machine: ByteConnection,
        *,
        redialer: Redialer | None = None,
        open: OpenSocket | None = None,  # noqa: A002 - it is what it does
    ) -> None:
        self.machine = machine
        self.event_queue: EventQueue[Any] = EventQueue(machine, self.flush)
        self.lock: threading.Lock = threading.Lock()
        self.closed: threading.Event = threading.Event()
        self._new_events = threading.Condition(self.lock)
        self._writable = threading.Condition(self.lock)
        self._waker = SelectorWaker()  # of the owner of the socket, while it waits for it
        self._bell = Bell()  # of the I/O thread, while the socket is lent
        self._thread: threading.Thread | None = None
        self._stream: Stream | None = None
        self._connected = False  # the stream can be used
        self._watch: Watch | None = None
        self._redialer = redialer
        self._open = open
        if redialer is not None:
            redialer.callback_context = self._unlocked
        self._dialing = False
        self._receiving = False
        self._candidate = 0  # the thread that receives, while it waits and may be lent the socket
        self._borrower = 0  # the thread that the socket is lent to
        self._polling = False  # the receiver waits for the socket that it was lent
        self._recalled = False  # and is to hand it back
        self.full: bool = False
        self._applied: Wants | None = None
        self._reading = True
        self._half_closed = False
        self._closing = False  # the socket is closed as soon as everything is written
        self._close_now = False  # the socket is closed at once
        self._aborted = False
        self._crash: BaseException | None = None
        # What the I/O thread waits for.
        self._awake = True
        self._selected = 0
        self._wakes_at = math.inf

    # --- opening ------------------------------------------------------------------------------------------------

    def waiter(self, timeout: float | None) -> SocketWaiter:
        """Waits in the steps of a dial. `abort` ends the wait."""
        return SocketWaiter(timeout, self._waker, lambda: self._aborted or self.machine.state is ConnectionState.CLOSED)

    def start(self, stream: Stream) -> None:
        """Let the machine speak.

        Raises:
            WaitInterrupted: `abort` was called; the stream is closed.
        """
        with self.lock:
            if self._aborted:
                stream.close()
                raise WaitInterrupted
            self._begin(stream)
        thread = threading.Thread(target=self._run, args=(stream,), name="live connection", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            with self.lock:
                self._end(stream)
            raise
        self._thread = thread

    def _begin(self, stream: Stream) -> None:
        self._stream = stream
        self._connected = True
        self._reading = True
        self._half_closed = self._closing = self._close_now = False
        self._borrower = 0
        self._recalled = False
        self._applied = None
        self._awake = True
        self.machine.advance(monotonic())
        self.flush()

    # --- the next connection, all but the dial under the lock ---------------------------------------------------

    @contextlib.contextmanager
    def _unlocked(self) -> Iterator[None]:
        self.lock.release()
        try:
            yield
        finally:
            self.lock.acquire()

    def _reconnect_if_due(self, redialer: Redialer) -> bool:
        """Open the next stream if it is due; whether there may be events instead."""
        if self._dialing:
            return False
        if self.closed.is_set():
            self.machine.advance(monotonic())  # no I/O thread does
        dial, has_news = redialer.next()
        if dial is None:
            return has_news
        if self._connected:
            self._close_now = True
            self._wake()
            return False
        self._stream = None
        self._dialing = True
        self.closed.clear()
        thread = threading.Thread(target=self._dial, args=(redialer, dial), name="live connection", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more threads
            self._dialing = False
            self.closed.set()
            raise
        self._thread = thread
        return False

    def _dial(self, redialer: Redialer, dial: DialPlan) -> None:
        """The I/O thread of a further connection. Closing interrupts the dial."""
        assert self._open is not None  # noqa: S101 - comes with the rest
        stream = failure = None
        try:
            with contextlib.suppress(WaitInterrupted):
                stream = self._open(dial, self.waiter(dial.timeout))
        except LiveProtocolError as error:
            failure = error
        except BaseException as error:
            self._crash = error
            raise
        finally:
            with self.lock:
                started = self._dial_finished(redialer, stream, failure)
        if started and stream is not None:
            self._run(stream)

    def _dial_finished(self, redialer: Redialer, stream: Stream | None, failure: LiveProtocolError | None) -> bool:
        self._dialing = False
        self.tick()
        if stream is not None and redialer.wanted and not self._aborted:
            redialer.machine.dial_succeeded()
            self._begin(stream)
            return True
        if stream is not None:
            stream.close()
        if failure is not None:
            redialer.failed(failure)
        self._mark_closed()
        return False

    # --- the I/O thread -----------------------------------------------------------------------------------------

    def _run(self, stream: Stream) -> None:
        try:
            self._serve_stream(stream)
        except BaseException as error:
            self._crash = error  # a bug, here or in a machine that is not ours; nobody may wait forever
            raise
        finally:
            with self.lock:
                self._end(stream)

    def _serve_stream(self, stream: Stream) -> None:
        watch = Watch(stream.socket, self._waker)
        late = False
        with self.lock:
            self._watch = watch
            self._read(stream)  # the TLS handshake may have brought bytes along
        while True:
            with self.lock:
                if self._borrower and not self._is_plain(stream):
                    self._wake()
                lent = self._borrower != 0
                if not lent and self._is_done(stream):
                    return
                due = self._wakes_at = self._due()
                now = monotonic()
                if lent:
                    # If it is late, the borrower gets a moment to read what may settle it.
                    self._wakes_at = now + MAX_TIMER_DELAY / 2 if late else min(due, now + _LOAN)
                events = self._selected = (READ if self._reading else 0) | (WRITE if stream.unsent else 0)
                wakes_at = self._wakes_at
                self._awake = False
            if lent:
                self._bell.wait(max(0.0, wakes_at - now))
                ready = 0
            else:
                ready = watch.wait(events, None if due == math.inf else max(0.0, due - now))
            with self.lock:
                self._awake = True
                if self._crash is not None:
                    raise self._crash  # it happened in the thread that the socket was lent to
                if self._borrower and not self._receiving:
                    self._borrower = 0
                    ready = READ  # what has waited for the receiver may settle a deadline
                if ready & WOKEN:
                    self._waker.clear()
                if ready & WRITE:
                    stream.flush()
                if ready & READ:
                    self._read(stream)
                if self.full:
                    self._resume_senders(stream)
                now = monotonic()
                if now < due:
                    late = False
                elif now - due > MAX_TIMER_DELAY and not late:
                    late = True  # look at the socket once more before giving up on the peer
                else:
                    late = False
                    self.machine.advance(now)
                    self.flush(force=True)
                    self._tell_receiver()
                if self._candidate and self._is_plain(stream):
                    self._borrower = self._candidate
                    self._candidate = 0
                    self._new_events.notify_all()

    def _is_plain(self, stream: Stream) -> bool:
        """Whether there is nothing to do with the socket but to read it."""
        return (
            self._reading
            and not stream.unsent
            and not stream.ended
            and (stream.error or stream.broken) is None
            and not (self._closing or self._close_now or self._aborted)
            and self.machine.state is ConnectionState.OPEN
        )

    def _due(self) -> float:
        due = self.machine.next_deadline()
        return math.inf if due is None else due

    def _read(self, stream: Stream) -> None:
        if self._reading:
            self._receive(stream, stream.read())

    def _receive(self, stream: Stream, data: bytes) -> None:
        if data:
            self.machine.tick(monotonic())
            self.machine.receive_data(data)
        if stream.error is not None:
            self._fail(stream.error)
        elif stream.ended:
            self.tick()
            self.machine.receive_eof()
            self._closing = True
        self._received()

    def _received(self) -> None:
        self.flush()
        if not self._reading:
            self.event_queue.make_room()
        self._tell_receiver()

    def _tell_receiver(self) -> None:
        """There may be events."""
        if self._polling:
            self._waker.wake()
        else:
            self._new_events.notify_all()

    def _fail(self, error: OSError) -> None:
        self.tick()
        self.event_queue.cause = error
        self.machine.transport_failed(error)
        self._close_now = True

    def _resume_senders(self, stream: Stream) -> None:
        """Let senders go on if there is room again."""
        if len(stream.unsent) <= LOW_WATER:
            self.full = False
            self.flush()
            if not self.full:
                self._writable.notify_all()

    def _is_done(self, stream: Stream) -> bool:
        if stream.broken is not None and not self._aborted and not self._close_now:
            self._write_failed(stream, stream.broken)
        if self._aborted or self._close_now:
            return True
        # If nothing bounds the wait for a peer that does not read, the bytes that it has not taken are dropped.
        return self._closing and (not stream.unsent or self.machine.next_deadline() is None)

    def _write_failed(self, stream: Stream, broken: OSError) -> None:
        """Writing is over, but the peer's last words may lie unread."""
        while self._reading and not stream.ended and stream.error is None:
            data = stream.read()
            if not data:
                break
            self.machine.tick(monotonic())
            self.machine.receive_data(data)
            self.flush()
        self._fail(stream.error or broken)

    def _end(self, stream: Stream) -> None:
        stream.close()
        try:
            if self._crash is None:
                self.tick()
                self.machine.receive_eof()
            else:
                self.event_queue.cause = self._crash
                self.machine.transport_failed("the I/O thread failed")
        finally:
            self._mark_closed()

    def _mark_closed(self) -> None:
        self.full = self._connected = False
        self._borrower = 0
        self.closed.set()
        self._tell_receiver()
        self._release()
        self._writable.notify_all()

    @property
    def finished(self) -> bool:
        """Whether there is no socket, and none will come."""
        return self.closed.is_set() and (
            self._redialer is None
            or self._crash is not None
            or self._aborted
            or self.machine.state is ConnectionState.CLOSED
        )

    def _release(self) -> None:
        if self.finished:
            self._waker.close()

    # --- steps, all under the lock ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Tell the machine the time, before a command or a pull."""
        self.machine.tick(monotonic())

    def flush(self, *, force: bool = False) -> None:
        """Write the machine's bytes, apply its wants, and wake the I/O thread if it has to wait for something else."""
        stream = self._stream
        if stream is None or not self._connected:
            return
        machine = self.machine
        wants = machine.wants
        if wants.write and (force or not self.full):
            stream.write(machine.data_to_send())
            if stream.unsent or self.full:
                self.full = len(stream.unsent) > HIGH_WATER
            wants = machine.wants
        if wants is not self._applied:
            self._apply_wants(wants, stream)
        if not self._awake:
            due = machine.next_deadline()
            if stream.unsent or stream.broken is not None or (due is not None and due < self._wakes_at):
                self._wake_if_needed(stream)

    def send_pcm(self, machine: ByteClientConnection, audio: bytes, rate: int) -> None:
        """Send raw audio, and write it at once where the socket has room.

        Raises:
            LiveProtocolError: As for the command of the machine.
        """
        stream = self._stream
        if stream is None or not self._connected or self.full:
            machine.send_realtime_input(audio=audio, rate=rate)
        else:
            stream.write(machine.pcm_to_send(audio, rate))
            if stream.unsent:
                self.full = len(stream.unsent) > HIGH_WATER
        self.flush()

    def _apply_wants(self, wants: Wants, stream: Stream) -> None:
        """Do what the machine wants of the transport."""
        self._applied = wants
        if wants.half_close:
            if not self._half_closed:
                self._half_closed = True
                stream.write_eof()
        elif wants.close:
            self._closing = True
        self._reading = (wants.read or wants.half_close) and not self._closing
        if not self._awake:
            self._wake_if_needed(stream)

    def _wake_if_needed(self, stream: Stream) -> None:
        """Wake the owner of the socket if it waits for the wrong thing, or too long."""
        events = (READ if self._reading else 0) | (WRITE if stream.unsent else 0)
        if self._closing or stream.broken is not None or events != (READ if self._borrower else self._selected):
            self._wake()
        elif self._due() < self._wakes_at:
            if self._borrower:
                self._awake = True
                self._bell.ring()
            else:
                self._wake()

    def _wake(self) -> None:
        """Have the I/O thread look at everything anew, and take back the socket if it is lent."""
        if not self._borrower:
            self._awake = True
            self._waker.wake()
        elif self._polling:
            self._recalled = True
            self._waker.wake()
        else:
            self._hand_back()

    def _hand_back(self) -> None:
        self._borrower = 0
        self._recalled = False
        self._awake = True
        self._bell.ring()

    # --- called by any thread -----------------------------------------------------------------------------------

    def take(self, operation: str, take: Callable[[], T | None], timeout: float | None) -> T:
        """Wait until ``take`` returns an item.

        Raises:
            IllegalInState: Another thread waits.
            WaitTimeout: There was none in time.
        """
        left = None if timeout is None else Countdown(timeout)
        with self.lock:
            if self._receiving:
                raise IllegalInState(operation, "another thread is receiving", "let one receive and pass the events on")
            self._receiving = True
            try:
                idle = self.event_queue.idle()
                if not idle:
                    self.machine.tick(monotonic())
                while idle or (item := take()) is None:
                    idle = False
                    if self._borrower == get_ident():  # 0 is no thread
                        self._read_borrowed(operation, left)
                    else:
                        self._wait_for_events(operation, left)
                if not self._awake:
                    due = self.machine.next_deadline()  # a pull may arm one
                    if due is not None and due < self._wakes_at and self._connected:
                        self._wake_if_needed(cast("Stream", self._stream))
                return item
            finally:
                self._receiving = False
                if not self._connected:
                    self._release()

    def _wait_for_events(self, operation: str, left: Countdown | None) -> None:
        if not self._connected and self.finished:
            raise TransportFailed("the I/O thread failed") from self._crash
        if self._redialer is not None and self._reconnect_if_due(self._redialer):
            return
        if self._borrower:
            self._hand_back()
        elif not self._awake and self._connected and self._due() < self._wakes_at:
            self._wake()
        due = self._due() if self.closed.is_set() else math.inf  # nobody else looks at the clock
        me = get_ident()
        self._candidate = 0 if me == threading.main_thread().ident else me
        try:
            if left is None and due == math.inf:
                self._new_events.wait()
            elif not (left or Countdown(None)).wait(self._new_events, due):
                raise WaitTimeout(operation, queued=False)
        finally:
            self._candidate = 0

    def _read_borrowed(self, operation: str, left: Countdown | None) -> None:
        """Wait for the socket, and give the machine what comes."""
        stream, watch, lock = self._stream, self._watch, self.lock
        assert stream is not None  # noqa: S101 - what is lent is there
        assert watch is not None  # noqa: S101
        timeout = None if left is None else left.left
        data = b""
        self._polling = True
        lock.release()
        try:
            ready = watch.wait(READ, timeout)
            if ready & READ:
                data = stream.receive_now()
        finally:
            lock.acquire()
            self._polling = False
        if ready & WOKEN:
            self._waker.clear()
        if not self._borrower:
            return  # the I/O thread crashed
        try:
            if data and not stream.layers:
                machine = self.machine
                machine.tick(monotonic())
                machine.receive_data(data)
                if machine.wants is self._applied and not self._recalled:
                    return
                self._received()
            elif ready & READ:
                self._receive(stream, stream.decrypt(data))
        except BaseException as error:
            self._crash = error  # as in `_run`
            self._recalled = True
        if self._recalled or (self._borrower and not self._is_plain(stream)):
            self._wake()
        elif timeout == 0 and not ready:
            raise WaitTimeout(operation, queued=False)

    def call(self, operation: str, command: Callable[[], None], timeout: float | None) -> None:
        """Run a command on the machine, write what it leaves behind, then wait while the transport is full.

        Raises:
            WaitTimeout: It stayed full. The command took effect.
            LiveProtocolError: The command was refused, or the connection ended while this waited.
        """
        with self.lock:
            self.machine.tick(monotonic())
            command()
            self.flush()
            if self.full:
                self.wait_for_room(operation, timeout)

    def wait_for_room(self, operation: str, timeout: float | None) -> None:
        """Wait while the transport is full, under the lock; see `call`."""
        left = Countdown(timeout)
        while self.full and not self.closed.is_set():
            if not left.wait(self._writable):
                raise WaitTimeout(operation, queued=True)
        if self.finished:
            raise send_error(self.event_queue)

    # --- the end ------------------------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str) -> None:
        """Close in order, without waiting.

        Raises:
            InvalidMessage: Code or reason may not be sent. Nothing has changed.
        """
        with self.lock:
            self.tick()
            self.machine.close(code, reason)
            self.event_queue.begin_close()
            if self._stream is None and self._redialer is None:
                self._abort()
            else:
                self._received()
                self._wake()
                self._interrupt()

    def close(self, code: int, reason: str, timeout: float | None = None) -> None:
        """`begin_close`, then wait for the end. On an interrupt or after the timeout, `abort`."""
        try:
            self.begin_close(code, reason)
            if not self.closed.wait(timeout):
                raise WaitTimeout("close", cost="the connection was cut off")
        except InvalidMessage:
            raise
        except BaseException:
            self.abort()
            raise
        self.join(_JOIN_TIMEOUT)
        with self.lock:
            self.event_queue.drain()

    def abort(self) -> None:
        """End the connection at once, without waiting for the peer."""
        with self.lock:
            self._abort()
        self.join(_JOIN_TIMEOUT)

    def _abort(self) -> None:
        if self.finished or self._aborted:
            return
        self._aborted = True
        if self._stream is not None or self._redialer is not None:
            self.tick()
            self.machine.close()
            self.flush()
        self._wake()
        self._interrupt()

    def _interrupt(self) -> None:
        """End a dial under way; its connection is not wanted any more."""
        if self._dialing:
            self._waker.wake()
        self._tell_receiver()
        self._release()

    def discard(self) -> None:
        """No stream will come: free the sockets of the waker."""
        with self.lock:
            if self._stream is None and not self.closed.is_set():
                self._aborted = True
                self._mark_closed()

    def abort_from_finalizer(self) -> None:
        """`abort` for the garbage collector. It may strike while we hold the lock, so this takes none."""
        self._aborted = True
        self._waker.wake()
        self._bell.ring()
        if self.closed.is_set():
            self._waker.close()

    def join(self, timeout: float) -> None:
        """Wait for the I/O thread, unless this is it."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
