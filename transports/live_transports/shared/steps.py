"""The order of steps and the decisions that every adapter shares: no I/O, no clock, no event loop.

The order of steps, which each adapter keeps:

1. Before bytes that arrived, a command or a pull of events: ``tick()``. Only the timer calls ``advance()``, and only if
   it is on time (`MAX_TIMER_DELAY`): a program that was held up reads what has waited before it gives up on the peer.
2. After every input, command and pull: write what ``data_to_send()`` gives, unless the transport holds more than
   `HIGH_WATER` already; the timer writes even then, or a ping to a dead peer would never leave and never be missed.
3. Then look at ``wants``: read while ``read`` or ``half_close``; close only the sending side on ``half_close`` where
   that can be done; close the transport on ``close``, and drop it where ``next_deadline()`` has become None meanwhile.
4. Then wake the task that waits for events, and arm the one timer at ``next_deadline()``.

A server's connection, in ``_serve`` of each colour's server session: answer the upgrade if the plan has a
``process_request``, run the handler, report its `handler_fault`, and close with `close_arguments`.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast, final

import attrs

from live_protocol.close_info import CloseInfo
from live_protocol.endpoint import match_target
from live_protocol.errors import InvalidMessage, StaleOperation
from live_protocol.events import UpgradeRequested
from live_protocol.timing import Timeouts

HIGH_WATER: Final = 64 * 1024
"""Bytes waiting in the transport above which senders wait."""
LOW_WATER: Final = 16 * 1024
"""Bytes waiting in the transport below which they go on."""
DIAL_TIMEOUT: Final = 10.0
"""Seconds for name, TCP and TLS together."""
ATTEMPT_DELAY: Final = 0.25
"""Seconds after which the next address is tried beside the ones before (RFC 8305 section 5)."""
MAX_TIMER_DELAY: Final = 0.05
"""Seconds of delay from which a timer is no evidence: the program was held up and the answer may wait to be read."""
BURST: Final = 64
"""Sends in a row after which a sender lets others run, even though there was room all the time."""

GEMINI_PATH: Final = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"

T = TypeVar("T")


# --- serving ----------------------------------------------------------------------------------------------------

Response: TypeAlias = tuple[int, Sequence[tuple[str, str]], bytes]
"""A refusal of the upgrade: status, header fields, body."""


@final
@attrs.frozen(kw_only=True)
class ServePlan:
    """What a server does with each connection. Handlers and ``process_request`` have the adapter's colour.

    Attributes:
        handler: Called with each session whose upgrade was accepted.
        connection_factory: Makes the state machine.
        process_request: Answers the upgrade; None if the machine does so itself.
        handshake_timeout: Seconds for TLS; None for no bound.
    """

    handler: Callable[[Any], Any]
    connection_factory: Callable[[], Any]
    process_request: Callable[[UpgradeRequested], Any] | None
    handshake_timeout: float | None

    @classmethod
    def make(
        cls,
        handler: Callable[[Any], Any] | None,
        process_request: Callable[[UpgradeRequested], Any] | None,
        connection_factory: Callable[[], Any] | None,
        *,
        drain: Callable[[Any], Any],
        default_connection: Callable[[], Any],
        timeouts: Timeouts | None,
    ) -> ServePlan:
        """The plan for the arguments of a ``serve()``.

        Args:
            handler: As given; None if the machine drives itself.
            process_request: As given.
            connection_factory: As given.
            drain: The handler that only takes events.
            default_connection: The ``connection_factory`` if none is given.
            timeouts: As given.

        Raises:
            InvalidMessage: Neither ``handler`` nor ``connection_factory`` is given.
        """
        if handler is None and connection_factory is None:
            raise InvalidMessage("handler", "nothing answers clients: pass a handler or a connection_factory")
        if process_request is None and connection_factory is None:
            process_request = answer_request
        return cls(
            handler=handler or drain,
            connection_factory=connection_factory or default_connection,
            process_request=process_request,
            handshake_timeout=(timeouts or Timeouts()).open,
        )


def answer_request(request: UpgradeRequested) -> Response | None:
    """The default answer to an upgrade: accept every method that `match_target` knows, 404 for the rest."""
    if match_target(request.target) is not None:
        return None
    return 404, (("content-type", "text/plain; charset=utf-8"),), b"no such method\n"


def handler_fault(error: Exception, info: CloseInfo | None) -> Exception | None:
    """The error that a handler raised, or None if it is only the end of the handler's own connection."""
    return None if _is_own_end(error, info) else error


def _is_own_end(error: BaseException, info: CloseInfo | None) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of the handler's task group
        return all(_is_own_end(one, info) for one in error.exceptions)
    return isinstance(error, StaleOperation) or (info is not None and error is info.error)


def close_arguments(fault: Exception | None) -> tuple[int, str]:
    """Code and reason to close a connection with after its handler has ended."""
    return (1000, "") if fault is None else (1011, "Internal error encountered.")


def ws_url(host: str, port: int, *, secure: bool, path: str) -> str:
    """URL of a server that listens there; a wildcard address becomes the loopback one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"{'wss' if secure else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}{path}"


# --- classes ----------------------------------------------------------------------------------------------------


class NoPublicConstructor(ABCMeta):
    """Metaclass of handles that only ``connect()`` and ``serve()`` make."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        """Refuse."""
        raise TypeError(f"{cls.__qualname__} has no public constructor; use connect() or serve()")

    def _create(cls: type[T], *args: Any, **kwargs: Any) -> T:
        return cast("T", type.__call__(cls, *args, **kwargs))
