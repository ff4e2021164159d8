"""How a wire field is declared: class decorators, field metadata and the annotations of the proto3 JSON formats.

The codec reads these declarations once and compiles them into cattrs hooks; nothing else interprets them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    # Freezing doubles what an instance costs, so the classes of the hot path are frozen for type checkers alone.
    from attrs import frozen as fast_define
else:
    from attrs import define as fast_define

__all__ = [
    "NO_EXTRA",
    "Backend",
    "Duration",
    "Extra",
    "Format",
    "Int64",
    "JsonObject",
    "JsonValue",
    "OpenEnum",
    "Timestamp",
    "fast_define",
    "wire",
]


class Backend(enum.StrEnum):
    """The two services that speak this protocol; each has a dialect of it (wire.md#backends)."""

    GEMINI = "gemini"
    VERTEX = "vertex"


class Format(enum.Enum):
    """The proto3 JSON forms that a Python annotation alone does not tell apart."""

    INT64 = "int64"
    DURATION = "duration"
    TIMESTAMP = "timestamp"
    JSON = "json"


Int64: TypeAlias = Annotated[int, Format.INT64]
"""A 64-bit integer: a decimal string on the wire, a number is accepted too."""

Duration: TypeAlias = Annotated[float, Format.DURATION]
"""Seconds; ``"9.5s"`` on the wire."""

Timestamp: TypeAlias = Annotated[datetime, Format.TIMESTAMP]
"""An aware point in time; RFC 3339 on the wire."""

JsonValue: TypeAlias = Annotated[Any, Format.JSON]
"""Any JSON value, passed through untouched."""

JsonObject: TypeAlias = Annotated[Mapping[str, Any], Format.JSON]
"""A free-form JSON object whose keys are data: never re-cased."""


class OpenEnum(enum.StrEnum):
    """A wire enum. A name that this version does not know decodes to a plain ``str``, so nothing is lost."""


class Extra(dict[str, Any]):
    """Unknown fields as they came; shows their names only, since nobody knows what they hold."""

    def __repr__(self) -> str:
        return f"{{{', '.join(str(key)[:40] for key in self)}}}"


class _NoExtra(Extra):
    """The shared, unchangeable empty mapping that stands for "no unknown fields"."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("the empty extra mapping is shared; build the message with extra={...} instead")

    __setitem__ = setdefault = update = __ior__ = _refuse  # pyright: ignore[reportAssignmentType] - refuses all alike

    def __reduce__(self) -> str:
        return "NO_EXTRA"


NO_EXTRA: Final[Mapping[str, Any]] = _NoExtra()
"""Default of every message's ``extra``: the unknown fields kept from the wire, by their wire key."""


def _size(data: object) -> str:
    """Stand in for a payload in ``repr``: media would flood a log, and nobody reads it there.

    Nothing checks what a caller puts into a message before it is sent, and ``repr`` must not fail.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return f"<{len(data)} bytes>"
    return "None" if data is None else f"<{type(data).__name__}>"


def wire(
    *,
    default: Any = None,
    json: str | None = None,
    json_vertex: str | None = None,
    only: Backend | None = None,
    required: bool = False,
    secret: bool = False,
    blob: bool = False,
) -> Any:
    """Declare a field that needs more than its name and its type.

    Args:
        default: Value when absent; ``None``, or ``()`` for a repeated field.
        json: Wire key where it is not the camelCase form of the name.
        json_vertex: Wire key that Vertex writes instead; both are read.
        only: The one backend that accepts the field from a client.
        required: Sending the message without it is refused.
        secret: Kept out of ``repr``.
        blob: Only its length shows in ``repr``.
    """
    metadata = {
        key: value
        for key, value in (
            ("json", json),
            ("json_vertex", json_vertex),
            ("only", only),
            ("required", required),
        )
        if value
    }
    return attrs.field(default=default, metadata=metadata, repr=_size if blob else not secret)
