"""Declares a Python function to the model and turns the model's calls into arguments for it (wire.md#schemas).

Theory of operation. `DeclaredFunction` reads a function once, when it is declared:

1. `_signature` finds its parameters and their type hints. Bound parameters of a `functools.partial` are left out.
2. ``hints.shape_of`` turns each hint into a `Shape`: the schema that the model sees, and a check for a JSON value.
3. cattrs is asked for a hook for each hint, so that a hint that cannot be built later fails now.
4. The descriptions come from ``Annotated`` or from the docstring.

`DeclaredFunction.bind` converts one call in two steps. The checks validate the arguments and name the path of the first
mistake, in words that the model can act on. Only valid arguments reach cattrs, which builds dates, enums and classes
from them; it fails only if a class of the application refuses its values. Nothing here calls the function.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import attrs

from live_protocol.codec.schema import Mismatch
from live_protocol.errors import InvalidMessage
from live_protocol.messages import (
    Behavior,
    FunctionCall,
    FunctionDeclaration,
    FunctionResponse,
    FunctionResponsePart,
    FunctionResponseScheduling,
    Schema,
    Type,
)
from live_protocol.tools.converting import first_cause, value_converter
from live_protocol.tools.docstrings import read_docstring
from live_protocol.tools.hints import Shape, described, object_check, shape_of
from live_protocol.tools.respond import InvalidToolCall, respond

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


@final
class DeclaredFunction:
    """A function that the model may call: its declaration, and the conversion of calls and results.

    Args:
        function: Any callable with a signature and type hints, a coroutine function too; it is not called here.
        behavior: Whether the model waits for the result; the model's default if left out.
        name: Name to declare it under; the function's own by default.

    Raises:
        InvalidMessage: The name is not allowed, a parameter has no hint or an unsupported one, or the function takes
            ``*args`` or ``**kwargs``. The error has the path of the parameter.

    Attributes:
        function: The callable.
        name: Name it is declared under.
        declaration: The declaration for the setup.
    """

    __slots__ = ("_check", "_checks", "_hints", "_parameters", "declaration", "function", "name")

    def __init__(
        self, function: Callable[..., Any], *, behavior: Behavior | str | None = None, name: str | None = None
    ) -> None:
        self.function: Callable[..., Any] = function
        self.name: str = _checked_name(name or str(getattr(function, "__name__", "")))
        self._parameters, self._hints = _signature(function, self.name)
        docstring = read_docstring(_annotated(function).__doc__)
        shapes = {name: self._shape(name, docstring.items.get(name, "")) for name in self._parameters}
        properties = {name: shape.schema for name, shape in shapes.items()}
        required = tuple(name for name in self._parameters if self._is_required(name))
        self._checks = {name: shape.check for name, shape in shapes.items()}
        self._check = object_check(self._checks, frozenset(required))
        self.declaration: FunctionDeclaration = FunctionDeclaration(
            name=self.name,
            description=docstring.description or None,
            # The service refuses an object without properties, but takes a function without parameters.
            parameters=Schema(type=Type.OBJECT, properties=properties, required=required) if properties else None,
            behavior=behavior,
        )

    def __repr__(self) -> str:
        return f"DeclaredFunction({self.name!r})"

    def _is_required(self, name: str) -> bool:
        return self._parameters[name].default is inspect.Parameter.empty

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
                value_converter().get_structure_hook(hint)
            except Exception:  # cattrs documents no base class for hints it cannot handle
                failure = InvalidMessage(path, "a union of these types cannot be told apart; use one of them")
            else:
                return described(hint, shape, text)
        raise failure

    def bind(self, call: FunctionCall) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Convert a call's arguments to those of the function.

        A null for a parameter that has a default but does not accept None counts as left out.

        Returns:
            Positional and keyword arguments for ``function``. Arguments that the call leaves out are left to the
            function's defaults.

        Raises:
            InvalidToolCall: An argument is missing, unknown or does not fit, or the arguments come in pieces.
        """
        if call.partial_args:
            raise InvalidToolCall("partial_args", "the arguments come in pieces; put them together first")
        try:
            values = self._check(
                {
                    name: value
                    for name, value in (call.args or {}).items()
                    if value is not None or self._takes_null(name)
                }
            )
        except Mismatch as mismatch:
            failure = InvalidToolCall(mismatch.path("args"), mismatch.why)
        else:
            built = {name: self._built(name, value) for name, value in values.items()}
            # A positional argument that is left out must not shift those after it.
            positional = [
                built.pop(name, parameter.default)
                for name, parameter in self._parameters.items()
                if parameter.kind is parameter.POSITIONAL_ONLY
            ]
            return tuple(positional), built
        raise failure

    def _takes_null(self, name: str) -> bool:
        """Whether a null is passed to the check, which may refuse it."""
        if name not in self._parameters or self._is_required(name):
            return True
        try:
            self._checks[name](None)
        except Mismatch:
            return False
        return True

    def _built(self, name: str, value: Any) -> Any:
        try:
            return value_converter().structure(value, self._hints[name])
        except Exception as error:  # validators of an application's class may raise anything
            mismatch = first_cause(error)
            failure = InvalidToolCall(mismatch.path(f"args.{name}"), mismatch.why)
        raise failure

    def respond(
        self,
        call: FunctionCall,
        result: Any,
        *,
        scheduling: FunctionResponseScheduling | str | None = None,
        will_continue: bool | None = None,
        parts: Sequence[FunctionResponsePart] = (),
    ) -> FunctionResponse:
        """Answer a call of this function; see `respond`.

        Raises:
            InvalidMessage: The result cannot be converted to JSON; the error has its path. Nothing changed.
        """
        call = attrs.evolve(call, name=self.name)
        return respond(call, result, scheduling=scheduling, will_continue=will_continue, parts=parts)


def declare(
    function: Callable[..., Any], *, behavior: Behavior | str | None = None, name: str | None = None
) -> FunctionDeclaration:
    """Declare a Python function to the model.

    The docstring up to its first section becomes the description. Type hints become the schema of the parameters:
    str, int, float, bool, date, datetime, time, UUID, Literal, Enum, lists and tuples of one type, dicts with string
    keys, TypedDict, dataclasses, attrs classes, unions and None. The description of a parameter comes from
    ``Annotated[..., "meaning"]``, or from the docstring in Google, NumPy or reStructuredText style. A parameter with
    a default is not required. Parameters that a `functools.partial` binds by name are hidden.

    Args:
        function: Any callable with a signature and type hints; it is not called.
        behavior: Whether the model waits for the result; the model's default if left out.
        name: Name to declare it under; the function's own by default.

    Raises:
        InvalidMessage: As for `DeclaredFunction`.
    """
    return DeclaredFunction(function, behavior=behavior, name=name).declaration


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidMessage(
            "name",
            f"{name!r} is not a function name: up to 64 letters, digits and '_.-:', beginning with a letter or '_'",
        )
    return name


def _annotated(function: Callable[..., Any]) -> Any:
    """The object that has the hints and the docstring of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__


def _signature(function: Callable[..., Any], name: str) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    try:
        parameters = dict(inspect.signature(function).parameters)
        if isinstance(function, functools.partial):
            parameters = {key: value for key, value in parameters.items() if key not in function.keywords}
        hints = _hints_of(_annotated(function))
    except (NameError, TypeError, ValueError) as error:
        failure = InvalidMessage(f"{name}.parameters", f"signature or type hints cannot be read: {error}")
    else:
        for parameter in parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise InvalidMessage(f"{name}.parameters.{parameter.name}", "give every argument a name of its own")
        return parameters, hints
    raise failure


def _hints_of(annotated: Any) -> dict[str, Any]:
    if isinstance(annotated, type):
        return typing.get_type_hints(annotated, include_extras=True)
    # The return type is not needed, and its name may exist for type checkers only.
    annotations = {name: hint for name, hint in getattr(annotated, "__annotations__", {}).items() if name != "return"}
    namespace = getattr(inspect.unwrap(annotated), "__globals__", {})
    return typing.get_type_hints(types.SimpleNamespace(__annotations__=annotations), namespace, include_extras=True)
