"""A set of declared functions, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

from live_protocol.errors import InvalidMessage
from live_protocol.messages import Behavior, FunctionCall, Tool
from live_protocol.tools.declare import DeclaredFunction
from live_protocol.tools.respond import InvalidToolCall


@final
class ToolRegistry(Mapping[str, DeclaredFunction]):
    """Functions by the names they are declared under.

    Args:
        functions: Functions or `DeclaredFunction` objects.

    Raises:
        InvalidMessage: As for `DeclaredFunction`, or two functions have the same name.
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
        """Add a function.

        Args:
            function: A function, or a `DeclaredFunction`, which has its own ``behavior`` and ``name``.
            behavior: Whether the model waits for the result.
            name: Name to declare it under; the function's own by default.

        Raises:
            InvalidMessage: As for `DeclaredFunction`, or the name is taken. Nothing changed.
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
        """All functions, as one entry of the setup's tool list."""
        return Tool(function_declarations=tuple(entry.declaration for entry in self._declared.values()))

    def find(self, call: FunctionCall) -> DeclaredFunction:
        """Return the function that a call names.

        Raises:
            InvalidToolCall: The registry has no function of that name.
        """
        entry = self._declared.get(call.name or "")
        if entry is None:
            names = ", ".join(self._declared) or "none"
            raise InvalidToolCall("", f"there is no function {call.name!r}; known are {names}")
        return entry

    def __getitem__(self, name: str) -> DeclaredFunction:
        return self._declared[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)
