"""Python functions as tools: declarations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.declared import (
    Circle,
    Disc,
    Floor,
    More,
    Names,
    Options,
    Place,
    Tree,
    Trip,
    Unit,
    UserId,
    hinted,
    schema,
)

from live_protocol.codec import Codec
from live_protocol.errors import InvalidMessage
from live_protocol.messages import Behavior, FunctionCall
from live_protocol.tools import DeclaredFunction, declare


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
            (datetime, {"type": "STRING", "format": "date-time"}),
            (date, {"type": "STRING", "description": "A date, for example 2026-01-31."}),
            (time | None, {"type": "STRING", "description": "A time of day, for example 15:30:00.", "nullable": True}),
            (
                Annotated[date, "When."] | None,
                {"type": "STRING", "description": "When. A date, for example 2026-01-31.", "nullable": True},
            ),
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

    def test_no_schema_key_is_refused_by_old_models(self) -> None:
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
    def test_functions_that_cannot_be_declared(self, hint: Any, path: str, why: str) -> None:
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

        def g(x: int) -> Elsewhere: ...  # type: ignore[name-defined]  # noqa: F821

        assert schema(g) == {"type": "INTEGER"}  # what it returns is of no interest

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
        assert DeclaredFunction(f).bind(FunctionCall()) == ((), {})

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
        functions: list[Callable[..., Any]] = [Tool().method, Tool(), coroutine, wrapper, partial, Circle]
        found = [declare(function, name="f") for function in functions]
        assert [one.description for one in found] == [
            "Of a method.",
            "Of an object.",
            "Of a coroutine.",
            "Of a coroutine.",
            "Of a method.",
            None,
        ]
        assert all(one.parameters is not None and len(one.parameters.properties or {}) == 1 for one in found)

    def test_bound_parameters_are_hidden(self) -> None:
        def find(database: object, word: str, most: int = 3) -> list[str]:
            """Find."""
            return [word] * most

        for partial in (functools.partial(find, database=1), functools.partial(find, object())):
            declared = DeclaredFunction(partial, name="find")
            assert declared.declaration.parameters is not None
            assert sorted(declared.declaration.parameters.properties or {}) == ["most", "word"]
            args, kwargs = declared.bind(FunctionCall(args={"word": "a", "most": 2}))
            assert partial(*args, **kwargs) == ["a", "a"]

    @pytest.mark.parametrize("name", ["1f", "a b", "x" * 65, "<lambda>", "ä"])
    def test_names(self, name: str) -> None:
        with pytest.raises(InvalidMessage, match="not a function name") as caught:
            declare(hinted(int), name=name)
        assert caught.value.path == "name"

    def test_a_function_needs_a_name(self) -> None:
        with pytest.raises(InvalidMessage, match="not a function name"):
            declare(functools.partial(hinted(int)))
        with pytest.raises(InvalidMessage, match="not a function name"):
            declare(lambda: None)

    def test_every_argument_needs_a_name_and_a_type(self) -> None:
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

    def test_an_object_as_docstring(self) -> None:
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
