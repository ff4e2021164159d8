"""Our declarations beside those that the official SDK makes of the same functions."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Optional

import pytest

from live_protocol.codec import Codec
from live_protocol.tools import declare


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    lat: float
    lon: float


def plain(a: str, b: int, c: float, d: bool) -> None:
    """Of plain types."""


def defaults(a: int = 5, *, b: str = "q") -> None:
    """With defaults."""


def choices(a: Literal["x", "y"], b: Unit) -> None:
    """Of choices."""


def optional(a: Optional[int] = None, b: str | None = None) -> None:  # noqa: UP045
    """Of what may be left out."""


def nested(a: list[int], b: list[Optional[str]], c: dict[str, int], d: list[dict[str, str]], e: set[str]) -> None:  # noqa: UP045
    """Of what holds others."""


def places(a: Optional[list[Place]] = None) -> None:  # noqa: UP045
    """Of objects."""


def union(a: int | str, b: Literal["a"] | int) -> None:
    """Of alternatives."""


def moment(a: datetime) -> None:
    """Of a moment."""


def nothing() -> None:
    """Of nothing.

    More of it.
    """


def comparable(schema: Any) -> Any:
    """Without what only the SDK says: titles and defaults, which some models refuse, and a type beside alternatives."""
    if not isinstance(schema, dict):
        return schema
    found = {key: value for key, value in schema.items() if key not in ("title", "default") and value != []}
    if "anyOf" in found:
        found.pop("type", None)
        found["anyOf"] = [comparable(each) for each in found["anyOf"]]
    if "items" in found:
        found["items"] = comparable(found["items"])
    if "properties" in found:
        found["properties"] = {name: comparable(each) for name, each in found["properties"].items()}
    return found


@pytest.mark.parametrize(
    "function",
    [plain, defaults, choices, optional, nested, places, union, moment, nothing],
    ids=lambda function: function.__name__,
)
def test_the_same_function_is_told_alike(function: Callable[..., None]) -> None:
    types = pytest.importorskip("google.genai.types")
    theirs = types.FunctionDeclaration.from_callable_with_api_option(callable=function, api_option="GEMINI_API")
    told = theirs.model_dump(exclude_none=True, mode="json", by_alias=True)
    ours = Codec().to_dict(declare(function))
    assert ours["name"] == told["name"]
    assert ours["description"] == (told["description"] or "").strip().replace("\n    ", "\n")
    assert comparable(ours.get("parameters")) == comparable(told.get("parameters"))
