"""Client functions declared from Python functions, their calls taken apart and their results put together.

Nothing is run here (wire.md#schemas).
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, final
from uuid import UUID

import attrs
import cattrs
from cattrs.strategies import configure_union_passthrough

from live_protocol.codec.codec import Codec
from live_protocol.codec.schema import Mismatch, at
from live_protocol.errors import InvalidMessage, LiveProtocolError
from live_protocol.messages import (
    Behavior,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    FunctionResponsePart,
    FunctionResponseScheduling,
    Schema,
    Tool,
    Type,
)
from live_protocol.tools.docstrings import read_docstring
from live_protocol.tools.hints import Shape, described, is_alias, object_check, shape_of

__all__ = ["DeclaredFunction", "InvalidToolCall", "ToolRegistry", "declare", "respond"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


class InvalidToolCall(LiveProtocolError):
    """The model called a function that does not exist, or with arguments that do not fit. Nothing has changed.

    It is the model's mistake and no reason to end anything: `respond` turns it into a result from which the model can
    learn.

    Attributes:
        path: Where, for example ``args.places[0].name``; empty where it is the name of the function.
        why: What is wrong there.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path: str = path
        self.why: str = why


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(
        unstruct_collection_overrides={collections.abc.Set: list, frozenset: list, set: list, tuple: list},
    )
    configure_union_passthrough(str | bool | int | float | None, converter)
    converter.register_structure_hook_factory(
        is_alias, lambda alias: lambda value, _: converter.structure(value, alias.__value__)
    )
    for kind in (datetime, date, time):
        converter.register_structure_hook(kind, lambda value, found: found.fromisoformat(value))
        converter.register_unstructure_hook(kind, lambda moment: moment.isoformat())
    converter.register_structure_hook(UUID, lambda value, _: UUID(value))
    converter.register_unstructure_hook(UUID, str)
    converter.register_unstructure_hook(Decimal, str)
    return converter


@final
class DeclaredFunction:
    """A function the model may call: its declaration, the way from a call to its arguments, and back.

    Args:
        function: Any callable with a signature and type hints; a coroutine function too, as it is not called here.
        behavior: Whether the model waits for the result; the model's default if left out.
        name: Name to declare it by; its own if left out.

    Raises:
        InvalidMessage: The name does not fit, a parameter has no hint or one without a meaning for the model, or the
            function takes ``*args`` or ``**kwargs``; with the path of the parameter.

    Attributes:
        function: The callable.
        name: Name it is declared by.
        declaration: What goes into the setup.
    """

    __slots__ = ("_check", "_checks", "_hints", "_parameters", "declaration", "function", "name")

    def __init__(
        self, function: Callable[..., Any], *, behavior: Behavior | str | None = None, name: str | None = None
    ) -> None:
        self.function: Callable[..., Any] = function
        self.name: str = _checked_name(name or str(getattr(function, "__name__", "")))
        self._parameters, self._hints = _signature(function, self.name)
        documented = read_docstring(_documented(function).__doc__)
        shapes = {name: self._shape(name, documented.items.get(name, "")) for name in self._parameters}
        properties = {name: shape.schema for name, shape in shapes.items()}
        required = tuple(name for name, found in self._parameters.items() if found.default is found.empty)
        self._checks = {name: shape.check for name, shape in shapes.items()}
        self._check = object_check(self._checks, frozenset(required))
        self.declaration: FunctionDeclaration = FunctionDeclaration(
            name=self.name,
            description=documented.description or None,
            # An object without properties is refused, a function without parameters is not.
            parameters=Schema(type=Type.OBJECT, properties=properties, required=required) if properties else None,
            behavior=behavior,
        )

    def __repr__(self) -> str:
        return f"DeclaredFunction({self.name!r})"

    def _shape(self, parameter: str, text: str) -> Shape:
        path = f"{self.name}.parameters.{parameter}"
        if parameter not in self._hints:
            raise InvalidMessage(path, "a type hint is missing; the model must know what to pass")
        hint = self._hints[parameter]
        try:
            shape = shape_of(hint)
        except Mismatch as mismatch:
            failure = InvalidMessage(mismatch.path(path), mismatch.why)
        else:
            try:
                _converter().get_structure_hook(hint)
            except Exception:  # cattrs documents no common base for what it cannot do
                failure = InvalidMessage(path, "a union of these types cannot be told apart; use one of them")
            else:
                return described(hint, shape, text)
        raise failure

    def bind(self, call: FunctionCall) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Turn a call's arguments into those of the function: checked strictly, then built.

        A null for a parameter that has a default, but does not take None, counts as left out.

        Returns:
            Positional and keyword arguments for ``function``; what the call leaves out is left to the defaults.

        Raises:
            InvalidToolCall: An argument is missing, unknown, or does not fit; or the arguments come in pieces.
        """
        if call.partial_args:
            raise InvalidToolCall("partial_args", "the arguments come in pieces; put them together first")
        try:
            values = self._check(self._without_empty(call.args or {}))
        except Mismatch as mismatch:
            failure = InvalidToolCall(mismatch.path("args"), mismatch.why)
        else:
            built = {name: self._built(name, value) for name, value in values.items()}
            return self._arranged(built)
        raise failure

    def _without_empty(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in args.items() if value is not None or not self._left_out(name)}

    def _left_out(self, name: str) -> bool:
        found = self._parameters.get(name)
        if found is None or found.default is found.empty:
            return False
        try:
            self._checks[name](None)
        except Mismatch:
            return True
        return False

    def _built(self, name: str, value: Any) -> Any:
        try:
            return _converter().structure(value, self._hints[name])
        except Exception as error:  # validators of the caller's classes raise what they like
            mismatch = _cause(error)
            failure = InvalidToolCall(mismatch.path(f"args.{name}"), mismatch.why)
        raise failure

    def _arranged(self, built: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        positional: list[Any] = []
        for name, found in self._parameters.items():
            if found.kind is found.POSITIONAL_ONLY:
                # One that is left out must not shift those after it.
                positional.append(built.pop(name, found.default))
        return tuple(positional), built

    def respond(
        self,
        call: FunctionCall,
        result: Any,
        *,
        scheduling: FunctionResponseScheduling | str | None = None,
        will_continue: bool | None = None,
        parts: Sequence[FunctionResponsePart] = (),
    ) -> FunctionResponse:
        """The answer to a call of this function; see `respond`.

        Raises:
            InvalidMessage: The result has no form in JSON, with its path; nothing has changed.
        """
        call = attrs.evolve(call, name=self.name)
        return respond(call, result, scheduling=scheduling, will_continue=will_continue, parts=parts)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidMessage(
            "name", f"{name!r} is no function name: up to 64 letters, digits and '_.-:', beginning with a letter or '_'"
        )
    return name


def _documented(function: Callable[..., Any]) -> Any:
    """What carries the hints and the docstring of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__


def _signature(function: Callable[..., Any], name: str) -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    try:
        parameters = dict(inspect.signature(function).parameters)
        if isinstance(function, functools.partial):
            # What is bound already is not for the model to change.
            parameters = {name: found for name, found in parameters.items() if name not in function.keywords}
        hints = _hints_of(_documented(function))
    except (NameError, TypeError, ValueError) as error:
        failure = InvalidMessage(f"{name}.parameters", f"signature or type hints cannot be read: {error}")
    else:
        for found in parameters.values():
            if found.kind in (found.VAR_POSITIONAL, found.VAR_KEYWORD):
                raise InvalidMessage(f"{name}.parameters.{found.name}", "give every argument a name of its own")
        return parameters, hints
    raise failure


def _hints_of(documented: Any) -> dict[str, Any]:
    if isinstance(documented, type):
        return typing.get_type_hints(documented, include_extras=True)
    # What it returns may be known to type checkers alone, and is of no interest here.
    annotations = {name: hint for name, hint in getattr(documented, "__annotations__", {}).items() if name != "return"}
    known = getattr(inspect.unwrap(documented), "__globals__", {})
    return typing.get_type_hints(types.SimpleNamespace(__annotations__=annotations), known, include_extras=True)


def _cause(error: Exception) -> Mismatch:
    """What went wrong first while an object was built, and where."""
    if not isinstance(error, cattrs.BaseValidationError):
        return Mismatch(_text(error))
    first = error.exceptions[0]
    mismatch = _cause(first)
    for note in getattr(first, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            mismatch = at(note.name, mismatch)
        elif isinstance(note, cattrs.IterableValidationNote):
            mismatch = at(note.index, mismatch)
    return mismatch


def _text(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # of the caller's classes too
        text = ""
    return f"{name}: {text}" if text else name


def declare(
    function: Callable[..., Any], *, behavior: Behavior | str | None = None, name: str | None = None
) -> FunctionDeclaration:
    """Declare a Python function to the model.

    The description is the docstring up to its first section. Parameters become a schema by their hints: str, int,
    float, bool, date, datetime, time, UUID, Literal, Enum, lists and tuples of one type, dicts with string keys,
    TypedDict, dataclasses, attrs classes, unions and None. What a parameter means is taken from
    ``Annotated[..., "meaning"]``, or from the docstring, in Google, NumPy or reStructuredText style. A parameter with
    a default is not required; one that a `functools.partial` has bound by name does not show.

    Args:
        function: Any callable with a signature and type hints; it is not called.
        behavior: Whether the model waits for the result; the model's default if left out.
        name: Name to declare it by; its own if left out.

    Raises:
        InvalidMessage: As for `DeclaredFunction`.
    """
    return DeclaredFunction(function, behavior=behavior, name=name).declaration


def respond(
    call: FunctionCall,
    result: Any,
    *,
    scheduling: FunctionResponseScheduling | str | None = None,
    will_continue: bool | None = None,
    parts: Sequence[FunctionResponsePart] = (),
) -> FunctionResponse:
    """The answer to a call, under its id and name.

    Args:
        call: The call.
        result: What the function returned, or the exception it raised. Dataclasses, attrs classes, enums, sets, dates
            and times, UUIDs and Decimals become JSON. An object becomes the response itself, anything else its
            ``output``; an exception becomes its ``error``: class and text, which the model may repeat aloud.
        scheduling: How the result enters the conversation; non-blocking functions only.
        will_continue: Whether more results for this call follow; non-blocking functions only.
        parts: Media results.

    Raises:
        InvalidMessage: The result has no form in JSON, with its path; nothing has changed.
    """
    if isinstance(result, BaseException):
        response: Mapping[str, Any] = {"error": str(result) if isinstance(result, InvalidToolCall) else _text(result)}
    else:
        value = _unstructured(result)
        response = value if isinstance(value, Mapping) else {"output": value}
    answer = FunctionResponse(
        id=call.id,
        name=call.name,
        response=response,
        parts=parts,
        scheduling=scheduling,
        will_continue=will_continue,
    )
    Codec().to_dict(answer)  # better here, where the function is known, than when it is sent
    return answer


def _unstructured(result: Any) -> Any:
    try:
        return _converter().unstructure(result)
    except Exception as error:  # what contains itself, or has no values where it should
        failure = InvalidMessage("response", f"the result has no form in JSON: {_text(error)}")
    raise failure


@final
class ToolRegistry(Mapping[str, DeclaredFunction]):
    """Functions by the names they are declared by.

    Args:
        functions: Functions, or what `DeclaredFunction` made of them.

    Raises:
        InvalidMessage: As for `DeclaredFunction`, or two have one name.
    """

    __slots__ = ("_declared",)

    def __init__(self, *functions: Callable[..., Any] | DeclaredFunction) -> None:
        self._declared: dict[str, DeclaredFunction] = {}
        for function in functions:
            self.add(function)

    def add(
        self,
        function: Callable[..., Any] | DeclaredFunction,
        *,
        behavior: Behavior | str | None = None,
        name: str | None = None,
    ) -> DeclaredFunction:
        """Enter a function.

        Args:
            function: A function, or what `DeclaredFunction` made of it; that has its ``behavior`` and ``name`` already.
            behavior: Whether the model waits for the result.
            name: Name to declare it by; its own if left out.

        Raises:
            InvalidMessage: As for `DeclaredFunction`, or the name is taken; nothing has changed.
        """
        entry = (
            function
            if isinstance(function, DeclaredFunction)
            else DeclaredFunction(function, behavior=behavior, name=name)
        )
        if entry.name in self._declared:
            raise InvalidMessage(entry.name, "another function has this name; pass name=")
        self._declared[entry.name] = entry
        return entry

    def tool(self) -> Tool:
        """All of them as one entry of the setup's tool list."""
        return Tool(function_declarations=tuple(entry.declaration for entry in self._declared.values()))

    def find(self, call: FunctionCall) -> DeclaredFunction:
        """The function a call is for.

        Raises:
            InvalidToolCall: There is none of that name.
        """
        entry = self._declared.get(call.name or "")
        if entry is None:
            raise InvalidToolCall(
                "", f"there is no function {call.name!r}; known are {', '.join(self._declared) or 'none'}"
            )
        return entry

    def __getitem__(self, name: str) -> DeclaredFunction:
        return self._declared[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)
