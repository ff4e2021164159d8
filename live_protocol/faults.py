"""Faults on purpose: what a network, or a server that misbehaves, does to a client, on the clock and without chance.

`FaultyMachine` stands between a server's machine and whoever drives it, and disturbs what the machine says. It reads
the frames that pass, so faults of messages work with any machine; for them leave compression off.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Literal, Protocol, Self, TypeVar, final

import attrs

from live_protocol._fault_frames import BINARY, CLOSE, PONG, TEXT, Head, Item, Splitter, framed
from live_protocol._playbook_make import near
from live_protocol._tables import LinkState, Phase, TurnState
from live_protocol.closing import CloseInfo
from live_protocol.errors import InvalidMessage
from live_protocol.events import Event, Need
from live_protocol.link import Wants
from live_protocol.messages import FunctionCall

__all__ = ["Faults", "FaultyMachine", "ServerMachine"]


def _count(_: object, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InvalidMessage(f"faults.{attribute.name}", f"must be a whole number from 1, not {value!r}")


def _seconds(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise InvalidMessage(f"faults.{attribute.name}", f"must be a number of seconds, not {value!r}")


@final
@attrs.frozen(kw_only=True)
class Faults:
    """What goes wrong. Bytes are counted from 1 over all that the server sends, from its answer to the upgrade on.

    Attributes:
        cut: The connection ends after so many bytes, without a close frame, as a lost network does.
        mute: Nothing leaves after so many bytes; the connection stays open.
        corrupt: The byte of this number arrives changed.
        drop: The connection ends so many seconds after its beginning, without a close frame.
        split: Everything leaves in pieces of so many bytes.
        delay: Everything leaves so many seconds late; the order stays.
        seed: Makes what is regular irregular: pieces of 1 to ``split`` bytes, delays of 0 to ``delay`` seconds, and
            which bits are changed. The same seed gives the same run.
        truncate: The message of this number, setupComplete being 1, loses its second half; its frame is whole.
        oversize: A message of so many bytes comes right after setupComplete.
        duplicate: Every message comes twice.
        unknown: A message that nobody knows comes right after setupComplete.
        no_upgrade: The upgrade is never answered.
        no_setup_complete: The setup is never answered.
        no_pong: Pings are never answered.
        no_close: Close frames are neither sent nor answered, and the connection stays open until the client ends it,
            or until whoever runs the server closes it.
        deaf: What comes after the upgrade is never read.
    """

    cut: int | None = attrs.field(default=None, validator=_count)
    mute: int | None = attrs.field(default=None, validator=_count)
    corrupt: int | None = attrs.field(default=None, validator=_count)
    drop: float | None = attrs.field(default=None, validator=_seconds)
    split: int | None = attrs.field(default=None, validator=_count)
    delay: float = attrs.field(default=0.0, validator=_seconds)
    seed: int | None = None
    truncate: int | None = attrs.field(default=None, validator=_count)
    oversize: int | None = attrs.field(default=None, validator=_count)
    duplicate: bool = False
    unknown: bool = False
    no_upgrade: bool = False
    no_setup_complete: bool = False
    no_pong: bool = False
    no_close: bool = False
    deaf: bool = False

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Faults in one line, for example ``"cut=120, split=1, delay=0.5, no-pong"``.

        Args:
            text: Names of attributes, with hyphens or underscores, separated by commas; with a value unless they are
                switches. Nothing means no faults.

        Returns:
            The faults.

        Raises:
            InvalidMessage: A name is unknown or comes twice, or a value does not fit.
        """
        known = attrs.fields_dict(cls)
        found: dict[str, Any] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (part.strip() for part in item.partition("="))
            key = name.replace("-", "_").lower()
            if key not in known:
                raise InvalidMessage("faults", f"unknown fault {name!r}; {near(key, known)}")
            if key in found:
                raise InvalidMessage(f"faults.{key}", "is given twice")
            if known[key].default is False:
                if equals:
                    raise InvalidMessage(f"faults.{key}", "takes no value")
                found[key] = True
                continue
            try:
                found[key] = float(value) if key in ("delay", "drop") else int(value)
            except ValueError:
                failure = InvalidMessage(f"faults.{key}", f"needs a number, got {value!r}")
            else:
                continue
            raise failure
        return cls(**found)


class ServerMachine(Protocol):
    """What can be disturbed: a server's `LiveConnection`, or anything with its surface."""

    @property
    def wants(self) -> Wants: ...

    @property
    def state(self) -> LinkState: ...

    @property
    def phase(self) -> Phase: ...

    @property
    def turn(self) -> TurnState: ...

    @property
    def pending_tool_calls(self) -> tuple[FunctionCall, ...]: ...

    @property
    def close_info(self) -> CloseInfo | None: ...

    @property
    def buffered_in(self) -> int: ...

    @property
    def buffered_out(self) -> int: ...

    @property
    def latency(self) -> float | None: ...

    def advance(self, now: float) -> None: ...

    def receive_data(self, data: bytes) -> None: ...

    def receive_eof(self) -> None: ...

    def transport_failed(self, error: BaseException | str) -> None: ...

    def next_event(self) -> Event | Literal[Need.DATA]: ...

    def data_to_send(self) -> bytes: ...

    def next_deadline(self) -> float | None: ...

    def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None: ...

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> None: ...

    def send(self, message: Any) -> None: ...

    def ping(self, payload: bytes = b"") -> None: ...

    def close(self, code: int = 1000, reason: str = "") -> None: ...


M = TypeVar("M", bound=ServerMachine)
