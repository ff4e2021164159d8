"""A non-blocking socket with or without TLS, and waiting for it. This module knows no machine and no lock.

TLS runs over memory (`ssl.MemoryBIO`) and never touches the socket. So no call has to be repeated with the very same
arguments, and another TLS session or a proxy's tunnel may lie below it.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, final

_CHUNK: Final = 64 * 1024

READ: Final = 1
"""Bytes can be read."""
WRITE: Final = 2
"""Bytes can be written."""
WOKEN: Final = 4
"""The waker was used."""


class WaitInterrupted(Exception):
    """The result of a wait is not wanted any more."""


class WaitExpired(Exception):
    """The deadline of a `SocketWaiter` has passed. TimeoutError would not do: TCP raises it too."""


@final
class SelectorWaker:
    """Ends the wait of a selector, from any thread or signal handler; waking twice is waking once."""

    __slots__ = ("_signaled", "_writer", "reader")

    def __init__(self) -> None:
        self.reader: socket.socket
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        self._signaled = False

    def wake(self) -> None:
        """Wake; after `close` this does nothing."""
        if not self._signaled:
            self._signaled = True
            with contextlib.suppress(OSError):
                self._writer.send(b"!")

    def clear(self) -> None:
        """Forget the wake-ups so far; after `close` this does nothing."""
        with contextlib.suppress(OSError):
            self.reader.recv(64)
        self._signaled = False

    def close(self) -> None:
        """Free the sockets."""
        self.reader.close()
        self._writer.close()


@final
class Bell:
    """Ends the sleep of one thread, from any thread or finalizer; ringing twice is ringing once."""

    __slots__ = ("_silent",)

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake, now or at the beginning of the next sleep."""
        with contextlib.suppress(RuntimeError):  # it has been rung
            self._silent.release()

    def wait(self, timeout: float) -> None:
        """Sleep until it rings, for ``timeout`` seconds at most."""
        self._silent.acquire(timeout=timeout)


class _Poll:
    """What `select.poll` does, by `select.select`, for Windows."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}

    def register(self, fd: int, mask: int) -> None:
        self._wanted[fd] = mask

    def unregister(self, fd: int) -> None:
        del self._wanted[fd]

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        reading = [fd for fd, mask in self._wanted.items() if mask & READ]
        writing = [fd for fd, mask in self._wanted.items() if mask & WRITE]
        seconds = None if timeout is None else timeout / 1000
        readable, writable, failed = select.select(reading, writing, writing, seconds)  # failed: a refused connect
        return [(fd, READ) for fd in readable] + [(fd, WRITE) for fd in {*writable, *failed}]


@final
class Watch:
    """Waits for one socket and a waker, in one thread at a time. `selectors` would run three functions more a wait."""

    __slots__ = ("_events", "_fd", "_masks", "_poll")

    def __init__(self, sock: socket.socket, waker: SelectorWaker) -> None:
        self._fd = sock.fileno()
        self._events = 0
        poll: Callable[[], Any] | None = getattr(select, "poll", None)
        self._poll: Any = (poll or _Poll)()
        reading, writing = (select.POLLIN, select.POLLOUT) if poll is not None else (READ, WRITE)
        self._masks = {READ: reading, WRITE: writing, READ | WRITE: reading | writing}
        self._poll.register(waker.reader.fileno(), reading)

    def wait(self, events: int, timeout: float | None) -> int:
        """Wait for some of `READ` and `WRITE`, or for the waker.

        Args:
            events: What to wait for on the socket.
            timeout: Most seconds to wait, None for no bound.

        Returns:
            What has come, `WOKEN` among it. A socket that failed has all that was waited for.
        """
        if events != self._events:
            if events:
                self._poll.register(self._fd, self._masks[events])
            else:
                self._poll.unregister(self._fd)
            self._events = events
        ready = 0
        for fd, mask in self._poll.poll(None if timeout is None else timeout * 1000):
            if fd != self._fd:
                ready |= WOKEN
            elif mask == self._masks[READ]:
                ready |= READ
            elif mask == self._masks[WRITE]:
                ready |= WRITE
            else:
                ready |= events
        return ready


@final
class SocketWaiter:
    """Waits for sockets, again and again, up to one deadline or until it is cancelled.

    Args:
        timeout: Seconds from now on, None for no bound.
        waker: Is woken when ``cancelled`` may have changed.
        cancelled: Whether to give up.
    """

    def __init__(self, timeout: float | None, waker: SelectorWaker, cancelled: Callable[[], bool]) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._waker = waker
        self._cancelled = cancelled

    def wait(self, wanted: Mapping[socket.socket, int], limit: float | None = None) -> list[Any]:
        """The sockets that are ready; none if ``limit`` seconds have passed.

        Raises:
            WaitInterrupted: The wait was cancelled.
            WaitExpired: The deadline has passed.
        """
        now = time.monotonic()
        until = None if limit is None else now + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self._waker.reader, selectors.EVENT_READ)
            for sock, events in wanted.items():
                selector.register(sock, events)
            while True:
                times = [moment - now for moment in (self._deadline, until) if moment is not None]
                ready = [key.fileobj for key, _ in selector.select(min(times, default=None))]
                if self._waker.reader in ready:
                    self._waker.clear()
                    ready.remove(self._waker.reader)
                if self._cancelled():
                    raise WaitInterrupted
                now = time.monotonic()
                if ready or (until is not None and now >= until):
                    return ready
                if self._deadline is not None and now >= self._deadline:
                    raise WaitExpired


# --- one stream -------------------------------------------------------------------------------------------------


@final
class _Tls:
    """One TLS session over memory."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._plain = b""  # bytes that TLS does not take while it renegotiates
        self.ended: bool = False
        self.error: ssl.SSLError | None = None

    def handshake(self) -> bool:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)

    def receive(self) -> bytes:
        """All that can be read by now. `ended` and `error` tell whether more can come."""
        chunks: list[bytes] = []
        try:
            while not self.ended and self.error is None:
                chunks.append(self._session.read(_CHUNK))
                self.ended = not chunks[-1]  # close_notify
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.ended = True
        except ssl.SSLError as error:
            self.error = error
        return b"".join(chunks)

    def send(self, data: bytes) -> None:
        view = memoryview(self._plain + data)
        with contextlib.suppress(ssl.SSLWantReadError):
            while view:
                view = view[self._session.write(view) :]
        self._plain = bytes(view)

    def close_notify(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._session.unwrap()

    def take(self) -> bytes:
        """Bytes for the peer's TLS."""
        return self._outgoing.read()


@final
class Stream:
    """One connected socket, owned by one thread at a time. No method waits, or raises for what the peer did.

    Args:
        sock: The socket. The stream owns it from now on.

    Attributes:
        ended: Whether the peer sends no more.
        error: The error that broke reading.
        broken: The error that broke writing. The peer's last words may still be there to be read.
        unsent: Bytes that the system has not taken yet.
        layers: Sessions of TLS, the outermost first.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.ended: bool = False
        self.error: OSError | None = None
        self.broken: OSError | None = None
        self.unsent: bytearray = bytearray()
        self.layers: list[_Tls] = []
        self._discard_input = False
        self._eof_queued = False  # the unsent bytes are the last
        self._eof_sent = False

    # --- reading ------------------------------------------------------------------------------------------------

    def read(self) -> bytes:
        """The bytes that have come, possibly none. `ended` and `error` tell whether more can come."""
        data = self.receive_now()
        return self.decrypt(data) if self.layers else data

    def receive_now(self) -> bytes:
        """What has come on the socket, for `decrypt`; other threads may write meanwhile."""
        try:
            data = self.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            self.error = error
            return b""
        if not data:
            self.ended = True
        return data

    def decrypt(self, data: bytes) -> bytes:
        """The bytes of the connection in what has come on the socket."""
        if self._discard_input:
            return b""
        for layer in self.layers:
            layer.feed(data)
            data = layer.receive()
            self.ended = self.ended or layer.ended
            self.error = self.error or layer.error
        if self.layers:
            self.write(b"")  # TLS itself may have to answer
        return data

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send as much as the system takes now, after the unsent bytes. `flush` sends the rest."""
        if self.broken is not None or self._eof_queued:
            return
        if self.layers:
            try:
                for layer in reversed(self.layers):
                    layer.send(data)
                    data = layer.take()
            except ssl.SSLError as error:
                self.broken = error
                return
        if self.unsent or not data:
            self.unsent += data
            self.flush()
            return
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.broken = error
            return
        if sent < len(data):
            self.unsent += memoryview(data)[sent:]

    def flush(self) -> None:
        """Send more of the unsent bytes, then the end of the stream if it is due."""
        unsent = self.unsent
        try:
            while unsent:
                del unsent[: self.socket.send(memoryview(unsent)[:_CHUNK])]
            if self._eof_queued and not self._eof_sent:
                self._eof_sent = True
                self.socket.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.broken = self.broken or error
            unsent.clear()

    def write_eof(self) -> None:
        """Send no more. TLS has no half-closed state, so input is read and dropped from here on."""
        for layer in reversed(self.layers):
            layer.close_notify()
            self._discard_input = True
        self.write(b"")
        self._eof_queued = True
        self.flush()

    def close(self) -> None:
        """Free the socket."""
        if self.layers and not self.unsent and not self._eof_queued:
            self.write_eof()
        self.socket.close()

    # --- TLS ----------------------------------------------------------------------------------------------------

    def secure(self, context: ssl.SSLContext, waiter: SocketWaiter, *, server_hostname: str | None = None) -> None:
        """Speak TLS from here on: with a name as the client, without one as the server.

        Raises:
            OSError, ValueError: The handshake failed.
            WaitInterrupted, WaitExpired: See `SocketWaiter`.
        """
        layer = _Tls(context, server_side=server_hostname is None, server_hostname=server_hostname)
        done = False
        while not done:
            try:
                done = layer.handshake()
            finally:  # on failure this is the alert
                self.write(layer.take())
            if not done:
                layer.feed(self.receive(waiter))
        self.layers.append(layer)

    def receive(self, waiter: SocketWaiter) -> bytes:
        """Wait for bytes.

        Raises:
            OSError: The stream is broken or has ended.
            WaitInterrupted, WaitExpired: See `SocketWaiter`.
        """
        while not (data := self.read()):
            if self.error is not None:
                raise self.error
            if self.ended:
                raise self.broken or ConnectionResetError()
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
            waiter.wait({self.socket: events})
            self.flush()
        return data
