"""Types and functions to declare as tools."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Annotated, Any, NewType, NotRequired, Required, TypedDict

import attrs
from typing_extensions import TypeAliasType

from live_protocol.codec import Codec
from live_protocol.messages import FunctionCall
from live_protocol.tools import DeclaredFunction, declare

UserId = NewType("UserId", int)
Names = TypeAliasType("Names", list[str])


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Floor(enum.IntEnum):
    GROUND = 0
    FIRST = 1


@attrs.frozen
class Place:
    """A place on earth.

    Attributes:
        lat: Latitude in degrees.
        lon: Ignored, since the hint says more.
    """

    lat: float = attrs.field(validator=attrs.validators.le(90))
    lon: Annotated[float, "Longitude in degrees."] = 0.0
    known: bool = attrs.field(init=False, default=True)


@dataclasses.dataclass
class Trip:
    stops: list[Place]
    floor: Floor = Floor.GROUND
    tags: set[str] = dataclasses.field(default_factory=set)


class Options(TypedDict, total=False):
    depth: Required[int]
    name: str


class More(TypedDict):
    a: int
    b: NotRequired[str]


@attrs.frozen
class Tree:
    children: list[Tree]


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Disc:
    radius: float


@attrs.frozen
class Square:
    side: float


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    """The schema of the only parameter, as it goes over the wire."""
    declared = Codec().to_dict(declare(function))
    (found,) = declared["parameters"]["properties"].values()
    return found  # type: ignore[no-any-return]


def hinted(hint: Any) -> Callable[..., Any]:
    def f(x: Any) -> None: ...

    f.__annotations__ = {"x": hint}
    return f


def bound(hint: Any, value: Any) -> Any:
    args, kwargs = DeclaredFunction(hinted(hint)).bind(FunctionCall(args={"x": value}))
    assert args == ()
    return kwargs["x"]
