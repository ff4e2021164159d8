"""What a connection can be told when it is made: the options of `LiveConnection`, `MessageConnection` and adapters."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypedDict, final

import attrs

from live_protocol.codec.codec import Codec
from live_protocol.limits import Limits
from live_protocol.messages import Backend
from live_protocol.messages.fields import fast_define
from live_protocol.session.profiles import ModelProfile
from live_protocol.timing import Timeouts
from live_protocol.websocket.link_core import Observer


class ConnectionOptions(TypedDict, total=False):
    """Options of every connection, in either role.

    Attributes:
        limits: Bounds on what the peer may cost and on what is sent; `Limits` with its defaults if left out.
        timeouts: How long each phase may take; `Timeouts` with its defaults if left out. Where another library has
            the WebSocket, those of pings have no effect.
        codec: The dialect; that of the endpoint, or of the path that a client asks for, if left out.
        strict: In the client role, end the connection at the first server message that is unknown, undecodable or out
            of place, instead of reporting it; for tests, off by default. In the server role, end it as the service
            does at such a client message; on by default.
        observer: Called with everything that passes, for example a `live_protocol.recording.Recorder`.
    """

    limits: Limits | None
    timeouts: Timeouts | None
    codec: Codec | None
    strict: bool
    observer: Observer | None


class SessionOptions(ConnectionOptions, total=False):
    """Options of every client.

    Attributes:
        model: The model; needed unless the configuration is a whole `LiveClientSetup` that names it.
        profile: What the model is known to refuse, so that it is refused here; see `live_protocol.session.PROFILES`.
    """

    model: str | None
    profile: ModelProfile | None


class ServeOptions(ConnectionOptions, total=False):
    """Options of a server that runs the WebSocket itself.

    Attributes:
        compression: Agree on permessage-deflate (RFC 7692): a client offers it, a server accepts it. Off by default.
    """

    compression: bool


class ConnectOptions(SessionOptions, ServeOptions, total=False):
    """Options of a client that runs the WebSocket itself.

    Attributes:
        entropy: Source of unpredictable bytes for the handshake's key and the masks (RFC 6455 section 10.3);
            `os.urandom` if left out.
    """

    entropy: Callable[[int], bytes]


_LIMITS: Final = Limits()
_TIMEOUTS: Final = Timeouts()


@functools.lru_cache(maxsize=16)
def _codec(backend: Backend, max_depth: int) -> Codec:
    """A codec, which connections share, as it is stateless."""
    return Codec(backend, max_depth=max_depth)


def _limits(value: Limits | None) -> Limits:
    return value or _LIMITS


def _timeouts(value: Timeouts | None) -> Timeouts:
    return value or _TIMEOUTS


@final
@fast_define(kw_only=True)
class ConnectionSettings:
    """The options above with their defaults; see there for each."""

    limits: Limits = attrs.field(default=None, converter=_limits)
    timeouts: Timeouts = attrs.field(default=None, converter=_timeouts)
    codec: Codec | None = None
    strict: bool = False
    observer: Observer | None = None
    model: str | None = None
    profile: ModelProfile | None = None
    compression: bool = False
    entropy: Callable[[int], bytes] = os.urandom

    @classmethod
    def read(cls, kind: type[Any], options: Mapping[str, Any], **defaults: Any) -> Self:
        """The settings that options of one kind make.

        Args:
            kind: The class of the options.
            options: The options.
            **defaults: Defaults other than the fields have.

        Raises:
            TypeError: An option is unknown.
        """
        for name in options:
            if name not in kind.__optional_keys__:
                raise TypeError(f"unexpected keyword argument {name!r}")
        return cls(**{**defaults, **options})

    def codec_for(self, backend: Backend) -> Codec:
        """The codec that was given, or that of a backend."""
        return self.codec or _codec(backend, self.limits.max_json_depth)
