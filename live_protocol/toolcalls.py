"""The table of tool calls: which await a response, which were cancelled (wire.md section 9)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, final

import attrs

from live_protocol._tables import TOOL_CALL, ToolCallInput, ToolCallState
from live_protocol.errors import IllegalInState, InvalidMessage, ToolCallWasCancelled
from live_protocol.messages import Backend, FunctionCall, FunctionResponse

__all__ = ["ToolCall", "ToolCalls"]

_OPEN: Final = (ToolCallState.PENDING, ToolCallState.STREAMING)
_REMEMBERED: Final = 1024
"""Finished calls kept to tell a late answer from a wrong one (a count)."""


@final
@attrs.frozen(kw_only=True)
class ToolCall:
    """One call and what became of it.

    Attributes:
        call: Id, name and arguments.
        state: What became of it.
    """

    call: FunctionCall
    state: ToolCallState = ToolCallState.PENDING


class ToolCalls:
    """Calls by id; those without an id (some Vertex models) are counted by name.

    Args:
        backend: Whether responses must carry an id.
        foreign: Whether calls of an earlier connection may be answered here, as after a resumption.
    """

    __slots__ = ("_anonymous", "_backend", "_by_id", "_foreign")

    def __init__(self, backend: Backend, *, foreign: bool = False) -> None:
        self._backend = backend
        self._foreign = foreign
        self._by_id: OrderedDict[str, ToolCall] = OrderedDict()
        self._anonymous: list[FunctionCall] = []

    def pending(self) -> tuple[FunctionCall, ...]:
        """The calls that still await a response, oldest first; those without an id last."""
        return (*(entry.call for entry in self._by_id.values() if entry.state in _OPEN), *self._anonymous)

    def get(self, call_id: str) -> ToolCall | None:
        """The call with this id, or None."""
        return self._by_id.get(call_id)

    def requested(self, call: FunctionCall) -> bool:
        """Enter a call; False where its id is taken by a call that is still open."""
        if not call.id:
            self._anonymous.append(call)
            return True
        known = self._by_id.pop(call.id, None)
        self._by_id[call.id] = ToolCall(call=call)
        self._forget()
        return known is None or known.state not in _OPEN

    def cancelled(self, call_id: str) -> bool:
        """Enter a cancellation; False where there was nothing left to cancel."""
        entry = self._by_id.get(call_id)
        if entry is None:
            # Its answer may still be on its way from another task: remember that it must not go.
            entry = ToolCall(call=FunctionCall(id=call_id))
            self._by_id[call_id] = attrs.evolve(entry, state=ToolCallState.CANCELLED)
            self._forget()
            return False
        after = TOOL_CALL.get((entry.state, ToolCallInput.CANCEL))
        if after is None:
            return False
        self._by_id[call_id] = attrs.evolve(entry, state=after)
        return entry.state in _OPEN

    def _forget(self) -> None:
        if len(self._by_id) > _REMEMBERED:
            for call_id, entry in list(self._by_id.items())[: len(self._by_id) - _REMEMBERED]:
                if entry.state not in _OPEN:
                    del self._by_id[call_id]

    def check(self, responses: Sequence[FunctionResponse]) -> list[FunctionResponse]:
        """Check responses against the table and fill in names; nothing changes yet.

        Returns:
            The responses as they should be sent.

        Raises:
            InvalidMessage: None given, an id is missing or unknown, or two are final for one call.
            IllegalInState: The call was answered for good.
            ToolCallWasCancelled: The server has cancelled the call.
        """
        if not responses:
            raise InvalidMessage("tool_response.function_responses", "give one response at least")
        checked: list[FunctionResponse] = []
        states: dict[str, ToolCallState] = {}
        for index, response in enumerate(responses):
            path = f"tool_response.function_responses[{index}]"
            if response.id:
                checked.append(self._check_by_id(path, response, states))
            elif self._backend is Backend.GEMINI:
                raise InvalidMessage(
                    f"{path}.id",
                    "the Gemini backend matches responses by id: pass the id of the function call",
                )
            else:
                checked.append(response)
        return checked

    def _check_by_id(self, path: str, response: FunctionResponse, states: dict[str, ToolCallState]) -> FunctionResponse:
        call_id = response.id or ""
        entry = self._by_id.get(call_id)
        if entry is None:
            if self._foreign:
                return response
            raise InvalidMessage(f"{path}.id", f"no call with id {call_id!r} was made on this connection")
        state = states.get(call_id, entry.state)
        if state is ToolCallState.CANCELLED:
            raise ToolCallWasCancelled(call_id)
        after = TOOL_CALL.get((state, _input(response)))
        if after is None:
            raise IllegalInState(
                f"a response to call {call_id!r}",
                f"it is {state}",
                "answer once, or stream with will_continue=True",
            )
        states[call_id] = after
        return response if response.name or not entry.call.name else attrs.evolve(response, name=entry.call.name)

    def responded(self, responses: Sequence[FunctionResponse]) -> None:
        """Enter responses that are on their way, or that came; those the table does not have change nothing."""
        for response in responses:
            entry = self._by_id.get(response.id or "")
            if entry is not None:
                after = TOOL_CALL.get((entry.state, _input(response)), entry.state)
                self._by_id[entry.call.id or ""] = attrs.evolve(entry, state=after)
            elif not response.id:
                _drop_by_name(self._anonymous, response.name)


def _input(response: FunctionResponse) -> ToolCallInput:
    return ToolCallInput.RESPOND_MORE if response.will_continue else ToolCallInput.RESPOND


def _drop_by_name(calls: list[FunctionCall], name: str | None) -> None:
    for index, call in enumerate(calls):
        if call.name == name:
            del calls[index]
            return
