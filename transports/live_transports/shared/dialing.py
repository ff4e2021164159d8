"""Where and how to connect, and the errors of a dial that fails; no I/O."""

from __future__ import annotations

import functools
import math
import os
import socket
import ssl
from typing import Any, Final, TypeAlias, final

import attrs

from live_protocol.endpoint import Endpoint
from live_protocol.errors import DeadlineExpired, InvalidMessage, TransportFailed
from live_protocol.timing import Deadline
from live_transports.shared.proxy import ConnectTunnel, Proxy, ProxyFailed, authority, choose

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
"""One item of what ``getaddrinfo()`` gives."""


@functools.lru_cache(maxsize=1)
def _verified() -> ssl.SSLContext:
    """The default context; loading the certificates of the system takes some 20 ms, so once is enough."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@final
@attrs.frozen(kw_only=True)
class DialPlan:
    """Where and how to connect.

    Attributes:
        host: Name or address.
        port: TCP port.
        tls: The context, None for plain TCP.
        server_hostname: Name that the certificate must be for, None for plain TCP.
        timeout: Seconds for name, TCP, proxy and TLS together; None for no bound.
        proxy: What opens a tunnel to there; see `hop`.
        what: What is dialed, for messages; ends with a blank unless empty.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_hostname: str | None
    timeout: float | None
    proxy: Proxy | None = None
    what: str = ""

    @classmethod
    def plan(
        cls,
        endpoint: Endpoint,
        *,
        context: ssl.SSLContext | None,
        server_hostname: str | None,
        timeout: float | None,
        proxy: Proxy | str | None = None,
    ) -> DialPlan:
        """Check the parameters of ``connect()``.

        Raises:
            InvalidMessage: TLS is asked for on a ``ws://`` endpoint, the timeout is no positive number, or the proxy no
                HTTP proxy.
        """
        if timeout is not None and not 0 < timeout < math.inf:
            raise InvalidMessage("dial_timeout", "must be a positive number of seconds or None")
        host, port, via = endpoint.host, endpoint.port, choose(proxy, endpoint)
        if not endpoint.secure:
            if context is not None or server_hostname is not None:
                raise InvalidMessage("ssl", "the endpoint is ws://; dial wss:// or leave ssl and server_hostname out")
            return cls(host=host, port=port, tls=None, server_hostname=None, timeout=timeout, proxy=via)
        context, name = context or _verified(), server_hostname or host
        return cls(host=host, port=port, tls=context, server_hostname=name, timeout=timeout, proxy=via)

    def within(self, timeout: float | None) -> DialPlan:
        """The same plan in ``timeout`` seconds at most; None adds no bound."""
        bounds = [bound for bound in (self.timeout, timeout) if bound is not None]
        return attrs.evolve(self, timeout=min(bounds, default=None))

    @property
    def hop(self) -> DialPlan:
        """The plan of the TCP connection: to the proxy if there is one, which may have TLS of its own."""
        proxy = self.proxy
        if proxy is None:
            return self
        context, name = (proxy.ssl or _verified(), proxy.host) if proxy.secure else (None, None)
        return DialPlan(
            host=proxy.host, port=proxy.port, tls=context, server_hostname=name, timeout=self.timeout, what="the proxy "
        )

    def tunnel(self) -> ConnectTunnel:
        """The dialogue with the proxy."""
        assert self.proxy is not None  # noqa: S101 - the adapter has looked
        return ConnectTunnel(self.proxy, self.host, self.port)

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return self.what + authority(self.host, self.port)


def _tcp_failed(error: OSError | ValueError, dial: DialPlan) -> TransportFailed:
    """The error to raise where name resolution or TCP failed, chained from its cause."""
    if isinstance(error, socket.gaierror):
        failed = TransportFailed(f"could not resolve {dial.what}{dial.host}: {error.strerror}")
    else:
        if isinstance(error, OSError) and error.errno:
            why = os.strerror(error.errno)
        else:  # a plain OSError lists what happened at each address
            why = str(error) if type(error) is OSError else type(error).__name__
        failed = TransportFailed(f"could not connect to {dial.name}: {why}")
    failed.__cause__ = error
    return failed


# OpenSSL's numbers of the commonest verdicts; its own text serves for the others.
_VERDICTS: Final = {
    9: "it is not valid yet; check the clock",
    10: "it has expired",
    18: "it is self-signed",
    19: "it was issued by an authority that is not trusted here",
    20: "it was issued by an authority that is not trusted here",
    62: "it is for another host",
    64: "it is for another address",
}


def _tls_failed(error: OSError | ValueError, dial: DialPlan) -> TransportFailed:
    """The error to raise where TLS failed, chained from its cause; it says what was wrong with the certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        verdict = _VERDICTS.get(error.verify_code, error.verify_message)
        why = f"the certificate for {dial.server_hostname} was refused: {verdict}"
    elif isinstance(error, ssl.SSLError):
        why = f"the TLS handshake with {dial.name} failed: {error.reason or type(error).__name__}"
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
            why += "; the other end seems not to speak TLS there"
    else:
        why = f"the connection to {dial.name} broke in the TLS handshake"
    failed = TransportFailed(why)
    failed.__cause__ = error
    return failed


def step_failed(which: Deadline, error: OSError | ValueError, dial: DialPlan) -> TransportFailed:
    """The error to raise where a step of a dial failed, chained from its cause.

    Args:
        which: `Deadline.DIAL` before TCP was up, then `Deadline.PROXY` if there is one, then `Deadline.TLS`.
        error: What happened.
        dial: What was dialed.
    """
    if which is Deadline.DIAL:
        return _tcp_failed(error, dial.hop)
    if which is Deadline.TLS:
        return _tls_failed(error, dial)
    if isinstance(error, ssl.SSLError):
        return _tls_failed(error, dial.hop)
    failed = ProxyFailed("it broke the connection")
    failed.__cause__ = error
    return failed


def dial_expired(which: Deadline, dial: DialPlan) -> DeadlineExpired:
    """The error to raise where the dial took too long; ``which`` is as for `step_failed`."""
    if which is Deadline.TLS:
        what = f"the TLS handshake was not finished with {dial.name}"
    elif which is Deadline.PROXY:
        what = f"no tunnel to {dial.name} was opened by {dial.hop.name}"
    else:
        what = f"no TCP connection was made with {dial.hop.name}"
    return DeadlineExpired(which, dial.timeout or 0.0, what)


def ip_address(host: str, port: int) -> list[AddressInfo]:
    """What resolving gives for an address that needs none, empty for a name."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except OSError:
        return []
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
