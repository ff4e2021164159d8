"""Python functions as tools: calls and results."""

from __future__ import annotations

import collections.abc
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.declared import Circle, Floor, Names, Options, Place, Square, Trip, Unit, UserId, bound, hinted

from live_protocol.errors import InvalidMessage, LiveProtocolError
from live_protocol.messages import Behavior, FunctionCall, FunctionResponsePart, FunctionResponseScheduling, Type
from live_protocol.tools import DeclaredFunction, InvalidToolCall, ToolRegistry, respond


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
            (datetime, "2026-01-31T15:30:00Z", datetime(2026, 1, 31, 15, 30, tzinfo=UTC)),
            (datetime, "2026-01-31", datetime(2026, 1, 31)),
            (date | None, "2026-01-31", date(2026, 1, 31)),
            (list[time], ["15:30"], [time(15, 30)]),
            (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID(int=0x12345678123456781234567812345678)),
        ],
    )
    def test_values_are_converted_to_their_hints(self, hint: Any, value: Any, expected: Any) -> None:
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
            (Trip, {"stops": [], "stop": 1}, "args.x.stop", "unknown name; known names are stops"),
            (Place, {"lat": 91}, "args.x", "ValueError"),
            (Trip, {"stops": [{"lat": 1}, {"lat": 91}]}, "args.x.stops[1]", "ValueError: 'lat' must be"),
            (date, "31.1.2026", "args.x", "the form 2026-01-31, got '31.1.2026'"),
            (time, 5, "args.x", "a string, got a number"),
            (list[uuid.UUID], ["x" * 100], "args.x[0]", "got 'x{40}'"),
            (Options, {"depth": 1, "nam": ""}, "args.x.nam", "unknown name"),
        ],
    )
    def test_errors_name_the_path(self, hint: Any, value: Any, path: str, why: str) -> None:
        with pytest.raises(InvalidToolCall, match=why) as caught:
            bound(hint, value)
        assert caught.value.path == path
        assert str(caught.value) == f"{path}: {caught.value.why}"
        assert isinstance(caught.value, LiveProtocolError)

    def test_errors_of_application_classes(self) -> None:
        def check(_: object, __: object, value: int) -> None:
            error = ValueError(f"{value} is odd")
            error.add_note("even numbers only")
            raise error

        @attrs.frozen
        class Even:
            number: int = attrs.field(validator=check)

        with pytest.raises(InvalidToolCall, match=r"args\.x: ValueError: 3 is odd"):
            bound(Even, {"number": 3})

    def test_names(self) -> None:
        declared = DeclaredFunction(hinted(int))
        with pytest.raises(InvalidToolCall, match=r"args\.x: it is required"):
            declared.bind(FunctionCall())
        with pytest.raises(InvalidToolCall, match=r"args\.y: unknown name"):
            declared.bind(FunctionCall(args={"x": 1, "y": None}))

    def test_null_for_a_parameter_with_a_default_is_left_out(self) -> None:
        def f(a: int = 1, b: int | None = 2, c: int = 3) -> None: ...

        assert DeclaredFunction(f).bind(FunctionCall(args={"a": None, "b": None, "c": 4})) == ((), {"b": None, "c": 4})
        with pytest.raises(InvalidToolCall, match="got null"):
            bound(int, None)

    def test_positional_only(self) -> None:
        def f(a: int, b: int = 7, c: int = 8, /, d: int = 9) -> tuple[int, ...]:
            return a, b, c, d

        args, kwargs = DeclaredFunction(f).bind(FunctionCall(args={"c": 3, "a": 1, "d": 4}))
        assert (args, kwargs) == ((1, 7, 3), {"d": 4})
        assert f(*args, **kwargs) == (1, 7, 3, 4)

    def test_arguments_in_pieces_are_refused(self) -> None:
        from live_protocol.messages import PartialArg

        with pytest.raises(InvalidToolCall, match="in pieces"):
            DeclaredFunction(hinted(int)).bind(FunctionCall(partial_args=[PartialArg(json_path="$.x")]))

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
    def test_any_arguments_are_bound_or_refused(self, value: Any, hint: Any) -> None:
        refused: list[str] = []
        try:
            bound(hint, value)
        except InvalidToolCall as error:
            refused.append(error.path)
        assert all(path.startswith("args.x") for path in refused)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


circular: list[Any] = []
circular.append(circular)


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
            ({"at": time(3, 4), "id": uuid.UUID(int=1)}, {"at": "03:04:00", "id": str(uuid.UUID(int=1))}),
            (Decimal("1.10"), {"output": "1.10"}),
            (ValueError("no"), {"error": "ValueError: no"}),
            (Mute(), {"error": "Mute"}),
            (KeyError(), {"error": "KeyError"}),
            (InvalidToolCall("args.x", "why"), {"error": "args.x: why"}),
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
            (circular, "response"),
        ],
    )
    def test_results_that_cannot_become_json(self, result: Any, path: str) -> None:
        with pytest.raises(InvalidMessage) as caught:
            respond(self.CALL, result)
        assert caught.value.path == path

    def test_other_fields_of_a_response(self) -> None:
        part = FunctionResponsePart()
        answer = DeclaredFunction(hinted(int), name="g").respond(
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


class TestRegistry:
    def test_a_registry_is_a_mapping_and_a_tool(self) -> None:
        def f() -> None: ...
        def g(x: int) -> None: ...

        registry = ToolRegistry(f, DeclaredFunction(g, name="h"))
        added = registry.add(g, behavior=Behavior.BLOCKING)
        assert list(registry) == ["f", "h", "g"]
        assert len(registry) == 3
        assert registry["g"] is added
        assert repr(added) == "DeclaredFunction('g')"
        declarations = registry.tool().function_declarations
        assert [one.name for one in declarations] == ["f", "h", "g"]
        assert declarations[2].behavior is Behavior.BLOCKING
        assert declarations[1].parameters is not None
        assert declarations[1].parameters.type is Type.OBJECT
        assert registry.find(FunctionCall(name="g")) is added
        for name in (None, "k"):
            with pytest.raises(InvalidToolCall, match=r"there is no function .*; known are f, h, g") as caught:
                registry.find(FunctionCall(name=name))
            assert caught.value.path == ""

    def test_names_are_unique(self) -> None:
        registry = ToolRegistry(hinted(int))
        with pytest.raises(InvalidMessage, match="another function has this name"):
            registry.add(hinted(str))
        assert len(registry) == 1
