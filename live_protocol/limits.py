"""Every bound of the library in one place. All are on by default; all are bytes unless the name says otherwise."""

from __future__ import annotations

from typing import final

import attrs

__all__ = ["Limits"]


def _positive(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Limits.{attribute.name} must be a positive integer, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class Limits:
    """Bounds on what one connection may cost.

    A bound that the peer breaks ends the connection with `LimitExceeded`; a bound that a command breaks raises
    `MessageTooLarge` and changes nothing.

    Attributes:
        max_message: Largest incoming message, after inflation. Python clients of the service stop at 1 MiB
            (wire.md#frame-sizes), the service itself has sent 16 KB at most; 16 MiB leaves room for both.
        max_send: Largest outgoing message; the service has accepted 151,526 bytes, its bound is unknown.
        max_fragments: Number of frames that one message may be split into.
        max_handshake: Request or response head of the opening handshake.
        max_headers: Header lines in that head (a count).
        max_body: Body of a refused upgrade that is kept.
        max_json_depth: Nesting of one JSON message (levels).
        max_buffered_in: Received but not yet pulled; above it ``wants.read`` turns false.
        max_buffered_out: Queued control answers (pongs) above which the peer is flooding us.
    """

    max_message: int = attrs.field(default=16 * 1024 * 1024, validator=_positive)
    max_send: int = attrs.field(default=16 * 1024 * 1024, validator=_positive)
    max_fragments: int = attrs.field(default=4096, validator=_positive)
    max_handshake: int = attrs.field(default=64 * 1024, validator=_positive)
    max_headers: int = attrs.field(default=128, validator=_positive)
    max_body: int = attrs.field(default=64 * 1024, validator=_positive)
    max_json_depth: int = attrs.field(default=128, validator=_positive)
    max_buffered_in: int = attrs.field(default=4 * 1024 * 1024, validator=_positive)
    max_buffered_out: int = attrs.field(default=1024 * 1024, validator=_positive)
