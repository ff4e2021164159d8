"""A non-blocking socket with or without TLS, and how to open one. No machine and no lock in here.

TLS runs over memory (`ssl.MemoryBIO`): it never touches the socket, so it never has to be asked again with the very
same arguments, and another TLS session or a proxy's tunnel may lie below it.
"""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

from live_protocol.timing import Deadline
from live_transports.shared import steps
from live_transports.shared.steps import DialPlan

__all__ = ["SelectorWaker", "SocketWaiter", "Stream", "WaitExpired", "WaitInterrupted", "open_stream"]

_CHUNK: Final = 64 * 1024


class WaitInterrupted(Exception):
    """Whoever the wait was for wants it no more."""


class WaitExpired(Exception):
    """The deadline of a `SocketWaiter` has passed; not TimeoutError, which TCP raises on its own account."""


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
        """Forget the wake-ups so far."""
        with contextlib.suppress(BlockingIOError):
            self.reader.recv(64)
        self._signaled = False

    def close(self) -> None:
        """Free the sockets."""
        self.reader.close()
        self._writer.close()


# --- one stream -------------------------------------------------------------------------------------------------


@final
class _Tls:
    """One TLS session over memory."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._plain = b""  # what TLS does not take while it waits for the peer, in a renegotiation
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
        """All that can be read by now; then `ended` and `error` say whether more can."""
        chunks: list[bytes] = []
        try:
            while not self.ended and self.error is None:
                chunks.append(self._session.read(_CHUNK))
                self.ended = not chunks[-1]  # the peer's TLS has said goodbye
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
        """What is to be sent to the peer's TLS."""
        return self._outgoing.read()


@final
class Stream:
    """One connected socket, owned by one thread at a time; no method waits or raises for what the peer did.

    Args:
        sock: The socket; belongs to the stream from now on.

    Attributes:
        ended: Whether the peer sends no more.
        error: What broke reading.
        broken: What broke writing; what the peer said before may still be there to be read.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.ended: bool = False
        self.error: OSError | None = None
        self.broken: OSError | None = None
        self._layers: list[_Tls] = []
        self._unsent = bytearray()
        self._discard_input = False
        self._eof_queued = False  # nothing may follow what is unsent
        self._eof_sent = False

    # --- reading ------------------------------------------------------------------------------------------------

    def read(self) -> bytes:
        """What has come, possibly nothing; `ended` and `error` say whether more can come behind it."""
        try:
            data = self.socket.recv(_CHUNK)
            self.ended = not data
        except (BlockingIOError, InterruptedError):
            data = b""
        except OSError as error:
            self.error = error
            return b""
        if self._discard_input:
            return b""
        for layer in self._layers:
            layer.feed(data)
            data = layer.receive()
            self.ended = self.ended or layer.ended
            self.error = self.error or layer.error
        if self._layers:
            self.write(b"")  # what TLS itself has to say
        return data

    # --- writing ------------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes that the system has not taken yet."""
        return len(self._unsent)

    def write(self, data: bytes) -> None:
        """Send what the system takes now; `flush` sends the rest."""
        if self.broken is not None or self._eof_queued:
            return
        try:
            for layer in reversed(self._layers):
                layer.send(data)
                data = layer.take()
        except ssl.SSLError as error:
            self.broken = error
            return
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send more of what waits, and the end of the stream behind it."""
        unsent = self._unsent
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
        """Send no more. Under TLS, which knows no such state, what still comes is read and dropped."""
        for layer in reversed(self._layers):
            layer.close_notify()
            self._discard_input = True
        self.write(b"")
        self._eof_queued = True
        self.flush()

    def close(self) -> None:
        """Free the socket."""
        if self._layers and not self._unsent and not self._eof_queued:
            self.write_eof()
        self.socket.close()

    # --- TLS ----------------------------------------------------------------------------------------------------

    def secure(self, context: ssl.SSLContext, waiter: SocketWaiter, *, server_hostname: str | None = None) -> None:
        """Speak TLS from here on: as the client where a name is given, as the server otherwise.

        Raises:
            OSError, ValueError: It failed.
            WaitInterrupted: See `SocketWaiter`.
        """
        layer = _Tls(context, server_side=server_hostname is None, server_hostname=server_hostname)
        done = False
        while not done:
            try:
                done = layer.handshake()
            finally:  # an alert says why it failed
                self.write(layer.take())
            if not done:
                layer.feed(self.receive(waiter))
        self._layers.append(layer)

    def receive(self, waiter: SocketWaiter) -> bytes:
        """Wait for bytes.

        Raises:
            OSError: None will come.
        """
        while not (data := self.read()):
            if self.error is not None:
                raise self.error
            if self.ended:
                raise self.broken or ConnectionResetError()
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            waiter.wait({self.socket: events})
            self.flush()
        return data


# --- opening one ------------------------------------------------------------------------------------------------


@final
class SocketWaiter:
    """Waiting for sockets, up to one deadline, unless whoever waits is wanted elsewhere.

    Args:
        timeout: Seconds from now on, None for no bound.
        waker: Woken when ``cancelled`` is worth another look.
        cancelled: Whether to give up.
    """

    def __init__(self, timeout: float | None, waker: SelectorWaker, cancelled: Callable[[], bool]) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._waker = waker
        self._cancelled = cancelled

    def wait(self, wanted: Mapping[socket.socket, int], limit: float | None = None) -> list[Any]:
        """The sockets that are ready; none if ``limit`` seconds have passed.

        Raises:
            WaitInterrupted: It was given up.
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


def open_stream(
    dial: DialPlan, waiter: SocketWaiter, local_addr: tuple[str, int] | None = None, sock: socket.socket | None = None
) -> Stream:
    """Name, TCP, proxy and TLS under one deadline; every failure is one of ours, and names the step.

    Args:
        dial: Where.
        waiter: What waits, with the deadline.
        local_addr: Address to dial from.
        sock: A connected socket to use instead; it is closed where the rest fails.

    Raises:
        TransportFailed: A step failed.
        DeadlineExpired: It took too long.
        WaitInterrupted: See `SocketWaiter`.
    """
    step = Deadline.DIAL
    try:
        hop = dial.hop
        if sock is None:
            sock = _connect_tcp(hop.host, hop.port, waiter, local_addr)
        stream = Stream(sock)
        if dial.proxy is not None:
            step = Deadline.PROXY
            _tunnel(stream, dial, waiter)
        if dial.tls is not None:
            step = Deadline.TLS
            stream.secure(dial.tls, waiter, server_hostname=dial.server_hostname)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, WaitExpired):
            raise steps.dial_expired(step, dial) from None
        if isinstance(error, (OSError, ValueError)):  # ValueError: a name that the resolver cannot encode
            raise steps.step_failed(step, error, dial) from error
        raise
    return stream


def _tunnel(stream: Stream, dial: DialPlan, waiter: SocketWaiter) -> None:
    hop = dial.hop
    if hop.tls is not None:
        stream.secure(hop.tls, waiter, server_hostname=hop.server_hostname)
    tunnel = dial.tunnel()
    stream.write(tunnel.data_to_send())
    while not tunnel.receive_data(stream.receive(waiter)):
        pass


def _connect_tcp(host: str, port: int, waiter: SocketWaiter, local_addr: tuple[str, int] | None) -> socket.socket:
    """A connected socket (RFC 8305)."""
    addresses = steps.ip_address(host, port) or _interleave_families(_resolve(host, port, waiter))
    errors: list[OSError] = []
    waiting: dict[socket.socket, int] = {}
    winner: socket.socket | None = None
    try:
        while winner is None and (addresses or waiting):
            if addresses:
                family, _, _, _, address = addresses.pop(0)
                sock = socket.socket(family, socket.SOCK_STREAM)
                waiting[sock] = selectors.EVENT_WRITE
                try:
                    sock.setblocking(False)
                    if local_addr is not None:
                        sock.bind(local_addr)
                    with contextlib.suppress(BlockingIOError):
                        sock.connect(address)
                except OSError as error:
                    errors.append(error)
                    del waiting[sock]
                    sock.close()
                    continue
            for sock in waiter.wait(waiting, steps.ATTEMPT_DELAY if addresses else None):
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                del waiting[sock]
                if not code and winner is None:
                    winner = sock
                    continue
                sock.close()
                if code:
                    errors.append(OSError(code, ""))
    finally:
        for sock in waiting:
            sock.close()
    if winner is None:
        raise errors[0]
    return winner


def _interleave_families(found: Sequence[steps.AddressInfo]) -> list[steps.AddressInfo]:
    """Addresses in the order to try them: as resolved, the families taking turns (RFC 8305 section 4)."""
    families: dict[int, list[steps.AddressInfo]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


def _resolve(host: str, port: int, waiter: SocketWaiter) -> list[tuple[Any, Any, Any, Any, Any]]:
    """The system's resolver knows no deadline, so a thread asks it; if given up, that ends when the resolver does."""
    done = SelectorWaker()
    outcome: list[Any] = []

    def ask() -> None:
        try:
            outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            outcome.append(error)
        done.wake()

    thread = threading.Thread(target=ask, name=f"resolver of {host}", daemon=True)
    thread.start()
    try:
        waiter.wait({done.reader: selectors.EVENT_READ})
    finally:
        done.close()
    thread.join()
    (found,) = outcome
    if isinstance(found, Exception):
        raise found
    return list(found)
