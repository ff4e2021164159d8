"""Python functions as tools: what the model is told, what it may answer with, what it gets back."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, Required, TypedDict

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from live_protocol.codec import Codec
from live_protocol.declare import BadToolCall, Declared, ToolRegistry, declare, respond
from live_protocol.errors import InvalidMessage, LiveProtocolError
from live_protocol.messages import Behavior, Blob, FunctionCall, FunctionResponsePart, FunctionResponseScheduling, Type

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
    args, kwargs = Declared(hinted(hint)).bind(FunctionCall(args={"x": value}))
    assert args == ()
    return kwargs["x"]


class TestSchema:
    @pytest.mark.parametrize(
        ("hint", "expected"),
        [
            (str, {"type": "STRING"}),
            (int, {"type": "INTEGER"}),
            (float, {"type": "NUMBER"}),
            (bool, {"type": "BOOLEAN"}),
            (UserId, {"type": "INTEGER"}),
            (Names, {"type": "ARRAY", "items": {"type": "STRING"}}),
            (Literal["a", "b"], {"type": "STRING", "enum": ["a", "b"]}),
            (Literal["a", None], {"type": "STRING", "enum": ["a"], "nullable": True}),  # noqa: PYI061
            (Literal[1, 2], {"type": "INTEGER", "description": "One of 1, 2."}),
            (Unit, {"type": "STRING", "enum": ["c", "f"]}),
            (Floor, {"type": "INTEGER", "description": "One of 0, 1."}),
            (list[int], {"type": "ARRAY", "items": {"type": "INTEGER"}}),
            (Sequence[str], {"type": "ARRAY", "items": {"type": "STRING"}}),
            (set[str], {"type": "ARRAY", "items": {"type": "STRING"}}),
            (tuple[float, ...], {"type": "ARRAY", "items": {"type": "NUMBER"}}),
            (tuple[int, int], {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2", "maxItems": "2"}),
            (dict, {"type": "OBJECT"}),
            (dict[str, Any], {"type": "OBJECT"}),
            (Mapping[str, int], {"type": "OBJECT"}),
            (Optional[int], {"type": "INTEGER", "nullable": True}),  # noqa: UP045
            (int | None, {"type": "INTEGER", "nullable": True}),
            (int | str, {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]}),
            (int | str | None, {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}], "nullable": True}),
            (Annotated[int, "How many."], {"type": "INTEGER", "description": "How many."}),
            (Annotated[int, 5], {"type": "INTEGER"}),
            (Annotated[Literal[1, 2], "Which."], {"type": "INTEGER", "description": "Which. One of 1, 2."}),
            (
                Options,
                {
                    "type": "OBJECT",
                    "properties": {"depth": {"type": "INTEGER"}, "name": {"type": "STRING"}},
                    "required": ["depth"],
                },
            ),
            (
                More,
                {
                    "type": "OBJECT",
                    "properties": {"a": {"type": "INTEGER"}, "b": {"type": "STRING"}},
                    "required": ["a"],
                },
            ),
        ],
    )
    def test_hints(self, hint: Any, expected: dict[str, Any]) -> None:
        assert schema(hinted(hint)) == expected

    def test_classes_nest(self) -> None:
        place = {
            "type": "OBJECT",
            "description": "A place on earth.",
            "properties": {
                "lat": {"type": "NUMBER", "description": "Latitude in degrees."},
                "lon": {"type": "NUMBER", "description": "Longitude in degrees."},
            },
            "required": ["lat"],
        }
        assert schema(hinted(Place)) == place
        assert schema(hinted(Trip)) == {
            "type": "OBJECT",
            "properties": {
                "stops": {"type": "ARRAY", "items": place},
                "floor": {"type": "INTEGER", "description": "One of 0, 1."},
                "tags": {"type": "ARRAY", "items": {"type": "STRING"}},
            },
            "required": ["stops"],
        }

    def test_no_schema_key_that_old_models_refuse(self) -> None:
        assert "additionalProperties" not in str(schema(hinted(dict[str, list[int]])))
        assert "default" not in str(declare(lambda: None, name="f"))

    @pytest.mark.parametrize(
        ("hint", "path", "why"),
        [
            (Any, "f.parameters.x", "cannot be described"),
            (bytes, "f.parameters.x", "bytes cannot be described"),
            (Callable[[int], int], "f.parameters.x", "Callable cannot be described"),
            (list, "f.parameters.x", "list\\[str\\]"),
            (tuple[()], "f.parameters.x", "list\\[str\\]"),
            (tuple[int, str], "f.parameters.x", "one type for all"),
            (list[bytes], "f.parameters.x.items", "bytes"),
            (dict[int, str], "f.parameters.x", "strings"),
            (dict[str, bytes], "f.parameters.x", "bytes"),
            (Literal[1, "a"], "f.parameters.x", "all strings, or all integers"),
            (Literal[True], "f.parameters.x", "all strings, or all integers"),
            (Tree, "f.parameters.x.children.items", "contains itself"),
            (Circle | Disc, "f.parameters.x", "cannot be told apart"),
            (list[Unit | Floor], "f.parameters.x", "cannot be told apart"),
        ],
    )
    def test_what_cannot_be_declared(self, hint: Any, path: str, why: str) -> None:
        with pytest.raises(InvalidMessage, match=why) as caught:
            declare(hinted(hint))
        assert caught.value.path == path
        assert caught.value.__context__ is None

    def test_hints_that_cannot_be_resolved(self) -> None:
        @attrs.frozen
        class Local:
            other: Elsewhere  # type: ignore[name-defined]  # noqa: F821

        with pytest.raises(InvalidMessage, match="Local cannot be resolved"):
            declare(hinted(Local))

        def f(x: Elsewhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

        with pytest.raises(InvalidMessage, match="Elsewhere") as caught:
            declare(f)
        assert caught.value.path == "f.parameters"


class TestFunctions:
    def test_description_and_defaults(self) -> None:
        def weather(city: str, days: int = 3) -> str:
            """Tell the weather.

            It is a forecast.

            Args:
                city: Name of the city.
                days: How far ahead.
            """
            return city * days

        assert Codec().to_dict(declare(weather, behavior=Behavior.NON_BLOCKING, name="forecast")) == {
            "name": "forecast",
            "description": "Tell the weather.\n\nIt is a forecast.",
            "parameters": {
                "type": "OBJECT",
                "properties": {
                    "city": {"type": "STRING", "description": "Name of the city."},
                    "days": {"type": "INTEGER", "description": "How far ahead."},
                },
                "required": ["city"],
            },
            "behavior": "NON_BLOCKING",
        }

    def test_annotated_wins_over_the_docstring(self) -> None:
        def f(x: Annotated[int, "hint"], y: Annotated[int, "hint"] | None = None) -> None:
            """Do.

            Args:
                x: docstring
                y: docstring
            """

        declared = declare(f)
        assert declared.parameters is not None
        properties = declared.parameters.properties or {}
        assert [properties[name].description for name in "xy"] == ["hint", "hint"]

    def test_without_parameters(self) -> None:
        def f() -> None: ...

        assert Codec().to_dict(declare(f)) == {"name": "f"}
        assert Declared(f).bind(FunctionCall()) == ((), {})

    def test_callables_of_all_kinds(self) -> None:
        class Tool:
            def method(self, x: int) -> None:
                """Of a method."""

            def __call__(self, x: int) -> None:
                """Of an object."""

        async def coroutine(x: int) -> None:
            """Of a coroutine."""

        @functools.wraps(coroutine)
        def wrapper(*args: Any) -> Any:
            return args

        partial = functools.partial(Tool().method)
        found = [
            declare(function, name=name)
            for name, function in {
                "a": Tool().method,
                "b": Tool(),
                "c": coroutine,
                "d": wrapper,
                "e": partial,
                "g": Circle,
            }.items()
        ]
        assert [one.description for one in found] == [
            "Of a method.",
            "Of an object.",
            "Of a coroutine.",
            "Of a coroutine.",
            "Of a method.",
            None,
        ]
        assert all(one.parameters is not None and len(one.parameters.properties or {}) == 1 for one in found)

    @pytest.mark.parametrize("name", ["1f", "a b", "x" * 65, "<lambda>", "ä"])
    def test_names(self, name: str) -> None:
        with pytest.raises(InvalidMessage, match="no function name") as caught:
            declare(hinted(int), name=name)
        assert caught.value.path == "name"

    def test_a_name_is_needed(self) -> None:
        with pytest.raises(InvalidMessage, match="no function name"):
            declare(functools.partial(hinted(int)))
        with pytest.raises(InvalidMessage, match="no function name"):
            declare(lambda: None)

    def test_every_argument_is_named_and_typed(self) -> None:
        def args(*x: int) -> None: ...
        def kwargs(**x: int) -> None: ...
        def untyped(x) -> None: ...  # type: ignore[no-untyped-def]

        for function, why in ((args, "a name of its own"), (kwargs, "a name of its own"), (untyped, "type hint")):
            with pytest.raises(InvalidMessage, match=why) as caught:
                declare(function)
            assert caught.value.path == f"{function.__name__}.parameters.x"

    def test_without_a_signature(self) -> None:
        with pytest.raises(InvalidMessage, match="cannot be read"):
            declare(min)

    def test_a_docstring_that_is_none(self) -> None:
        assert declare(int.from_bytes.__class__, name="f").description is None


DOCSTRINGS = {
    "google": """Do it.

    More.

    Args:
        x (int, optional): The first
            of them.
        *y: The second: with colon.

        not an item
    Back to prose.

    Returns:
        x: nothing.
    """,
    "numpy": """Do it.

    More.

    Parameters
    ----------
    x : int, optional
        The first
        of them.
    y
        The second: with colon.
        not an item

    Returns
    -------
    x : int
        Nothing.
    """,
    "rest": """Do it.

    More.

    :param int x: The first
        of them.

    :parameter y: The second: with colon.
        not an item
    :returns: nothing
    :raises ValueError: never
    """,
}


class TestDocstrings:
    @pytest.mark.parametrize("style", sorted(DOCSTRINGS))
    def test_styles(self, style: str) -> None:
        def f(x: int, y: int) -> None: ...

        f.__doc__ = DOCSTRINGS[style]
        declared = declare(f)
        assert declared.parameters is not None
        found = {name: one.description for name, one in (declared.parameters.properties or {}).items()}
        assert found == {"x": "The first of them.", "y": "The second: with colon. not an item"}
        prose = "\n\nBack to prose." if style == "google" else ""
        assert (declared.description or "").replace("\n\n\n", "\n\n") == f"Do it.\n\nMore.{prose}"

    def test_numpy_names_may_share_a_text(self) -> None:
        def f(x: int, y: int) -> None:
            """Do.

            Parameters
            ----------
            x, y : int
                Both.

            ?
            """

        parameters = declare(f).parameters
        assert parameters is not None
        assert [one.description for one in (parameters.properties or {}).values()] == ["Both.", "Both."]

    def test_prose_after_fields(self) -> None:
        def f(x: int) -> None:
            """Do.

            :param x: It.

            Prose.
            :unknown: skipped
              and this
            """

        assert declare(f).description == "Do.\n\nProse."

    @given(
        st.lists(
            st.sampled_from(
                [
                    "Args:",
                    "Returns:",
                    "Parameters",
                    "---",
                    "----",
                    "x: y",
                    "    x: y",
                    "        z",
                    "",
                    ":param x: y",
                    "a",
                ]
            ),
            max_size=12,
        )
    )
    def test_no_docstring_is_wrong(self, lines: list[str]) -> None:
        function = hinted(int)
        function.__doc__ = "\n".join(lines)
        declare(function)


class TestBinding:
    @pytest.mark.parametrize(
        ("hint", "value", "expected"),
        [
            (int, 5.0, 5),
            (float, 5, 5.0),
            (bool, True, True),
            (UserId, 5, 5),
            (Names, ["a"], ["a"]),
            (Unit, "f", Unit.FAHRENHEIT),
            (Floor, 1.0, Floor.FIRST),
            (Literal[1, 2], 2.0, 2),
            (Literal["a", None], None, None),  # noqa: PYI061
            (Literal["a", None], "a", "a"),  # noqa: PYI061
            (int | None, None, None),
            (int | str, "5", "5"),
            (int | str, 5.0, 5),
            (int | str | None, None, None),
            (list[int], [1.0, 2], [1, 2]),
            (set[str], ["a", "a"], {"a"}),
            (tuple[float, float], [1, 2], (1.0, 2.0)),
            (dict[str, Any], {"a": [1, None]}, {"a": [1, None]}),
            (dict[str, int], {"a": 2.0}, {"a": 2}),
            (Options, {"depth": 3.0}, {"depth": 3}),
            (Place, {"lat": 1}, Place(1.0)),
            (Trip, {"stops": [{"lat": 1}], "tags": ["a"]}, Trip([Place(1.0)], tags={"a"})),
            (Circle | Square, {"side": 2}, Square(2.0)),
            (Circle | str, {"radius": 2}, Circle(2.0)),
            (Circle | str, "one", "one"),
            (Annotated[Circle, "which"] | None, {"radius": 2}, Circle(2.0)),
            (collections.abc.Sequence[Place], [{"lat": 1}], (Place(1.0),)),
        ],
    )
    def test_values_become_what_the_hint_says(self, hint: Any, value: Any, expected: Any) -> None:
        found = bound(hint, value)
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("hint", "value", "path", "why"),
        [
            (int, 5.5, "args.x", "an integer"),
            (int, "5", "args.x", "an integer, got a string"),
            (int, True, "args.x", "got a boolean"),
            (int, None, "args.x", "got null"),
            (float, True, "args.x", "a number"),
            (bool, "false", "args.x", "true or false"),
            (str, 5, "args.x", "a string"),
            (Unit, "k", "args.x", "one of 'c', 'f'"),
            (Literal[1, 2], 3, "args.x", "one of 1, 2"),
            (list[str], "ab", "args.x", "a list, got a string"),
            (list[str], ["a", 1], "args.x[1]", "a string"),
            (tuple[int, int], [1], "args.x", "2 items, got 1"),
            (dict[str, bool], {"a": 1}, "args.x.a", "true or false"),
            (dict[str, Any], [], "args.x", "an object, got a list"),
            (int | str, [], "args.x", "none of the alternatives"),
            (Trip, {"stops": [{}]}, "args.x.stops[0].lat", "required"),
            (Trip, {"stops": [], "stop": 1}, "args.x.stop", "no such name; known are stops"),
            (Place, {"lat": 91}, "args.x", "ValueError"),
            (Options, {"depth": 1, "nam": ""}, "args.x.nam", "no such name"),
        ],
    )
    def test_what_does_not_fit_says_where(self, hint: Any, value: Any, path: str, why: str) -> None:
        with pytest.raises(BadToolCall, match=why) as caught:
            bound(hint, value)
        assert caught.value.path == path
        assert str(caught.value) == f"{path}: {caught.value.why}"
        assert isinstance(caught.value, LiveProtocolError)

    def test_names(self) -> None:
        declared = Declared(hinted(int))
        with pytest.raises(BadToolCall, match=r"args\.x: it is required"):
            declared.bind(FunctionCall())
        with pytest.raises(BadToolCall, match=r"args\.y: there is no such name"):
            declared.bind(FunctionCall(args={"x": 1, "y": None}))

    def test_null_for_what_has_a_default_is_left_out(self) -> None:
        def f(a: int = 1, b: int | None = 2, c: int = 3) -> None: ...

        assert Declared(f).bind(FunctionCall(args={"a": None, "b": None, "c": 4})) == ((), {"b": None, "c": 4})
        with pytest.raises(BadToolCall, match="got null"):
            bound(int, None)

    def test_positional_only(self) -> None:
        def f(a: int, b: int = 7, c: int = 8, /, d: int = 9) -> tuple[int, ...]:
            return a, b, c, d

        args, kwargs = Declared(f).bind(FunctionCall(args={"c": 3, "a": 1, "d": 4}))
        assert (args, kwargs) == ((1, 7, 3), {"d": 4})
        assert f(*args, **kwargs) == (1, 7, 3, 4)

    def test_arguments_in_pieces_are_refused(self) -> None:
        from live_protocol.messages import PartialArg

        with pytest.raises(BadToolCall, match="in pieces"):
            Declared(hinted(int)).bind(FunctionCall(partial_args=[PartialArg(json_path="$.x")]))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text("xstopa", max_size=5), inner, max_size=3)
            ),
            max_leaves=10,
        ),
        st.sampled_from([int, Trip, Options, int | str, list[Place], Circle | Square, dict[str, int], Unit]),
    )
    def test_whatever_comes_is_bound_or_refused(self, value: Any, hint: Any) -> None:
        refused: list[str] = []
        try:
            bound(hint, value)
        except BadToolCall as error:
            refused.append(error.path)
        assert all(path.startswith("args.x") for path in refused)


class TestResponse:
    CALL = FunctionCall(id="call-1", name="f", args={})

    @pytest.mark.parametrize(
        ("result", "response"),
        [
            ({"a": 1}, {"a": 1}),
            (None, {"output": None}),
            (5, {"output": 5}),
            ([1, (2, 3)], {"output": [1, [2, 3]]}),
            (frozenset({1}), {"output": [1]}),
            (Place(1.0), {"lat": 1.0, "lon": 0.0}),
            ({"t": Trip([], Floor.FIRST, {"a"})}, {"t": {"stops": [], "floor": 1, "tags": ["a"]}}),
            (Unit.CELSIUS, {"output": "c"}),
            (date(2026, 1, 2), {"output": "2026-01-02"}),
            ([datetime(2026, 1, 2, 3, tzinfo=UTC)], {"output": ["2026-01-02T03:00:00+00:00"]}),
            (ValueError("no"), {"error": "ValueError: no"}),
            (KeyError(), {"error": "KeyError"}),
            (BadToolCall("args.x", "why"), {"error": "args.x: why"}),
        ],
    )
    def test_results_become_an_object(self, result: Any, response: dict[str, Any]) -> None:
        answer = respond(self.CALL, result)
        assert answer.response == response
        assert (answer.id, answer.name) == ("call-1", "f")

    @pytest.mark.parametrize(
        ("result", "path"),
        [
            (object(), "response.output"),
            ({"a": [float("nan")]}, "response.a[0]"),
            ({1: 2}, "response"),
            (b"x", "response.output"),
        ],
    )
    def test_what_has_no_form_in_json(self, result: Any, path: str) -> None:
        with pytest.raises(InvalidMessage) as caught:
            respond(self.CALL, result)
        assert caught.value.path == path

    def test_everything_else_goes_along(self) -> None:
        part = FunctionResponsePart()
        answer = Declared(hinted(int), name="g").respond(
            FunctionCall(id="call-2"),
            1,
            scheduling=FunctionResponseScheduling.SILENT,
            will_continue=True,
            parts=[part],
        )
        assert (answer.id, answer.name, answer.scheduling, answer.will_continue, list(answer.parts)) == (
            "call-2",
            "g",
            FunctionResponseScheduling.SILENT,
            True,
            [part],
        )
        assert Blob  # the media of a part is the caller's affair


class TestRegistry:
    def test_is_a_mapping_and_a_tool(self) -> None:
        def f() -> None: ...
        def g(x: int) -> None: ...

        registry = ToolRegistry(f, Declared(g, name="h"))
        added = registry.add(g, behavior=Behavior.BLOCKING)
        assert list(registry) == ["f", "h", "g"]
        assert len(registry) == 3
        assert registry["g"] is added
        assert repr(added) == "Declared('g')"
        declarations = registry.tool().function_declarations
        assert [one.name for one in declarations] == ["f", "h", "g"]
        assert declarations[2].behavior is Behavior.BLOCKING
        assert declarations[1].parameters is not None
        assert declarations[1].parameters.type is Type.OBJECT
        assert registry.find(FunctionCall(name="g")) is added
        for name in (None, "k"):
            with pytest.raises(BadToolCall, match=r"there is no function .*; known are f, h, g") as caught:
                registry.find(FunctionCall(name=name))
            assert caught.value.path == ""

    def test_names_are_taken_once(self) -> None:
        registry = ToolRegistry(hinted(int))
        with pytest.raises(InvalidMessage, match="another function has this name"):
            registry.add(hinted(str))
        assert len(registry) == 1
