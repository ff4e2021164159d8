"""The table of tool calls: which await a response, which were cancelled (wire.md#function-calling)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final, final

import attrs

from live_protocol.errors import IllegalInState, InvalidMessage, ToolCallOrphaned, ToolCallWasCancelled
from live_protocol.messages import Backend, FunctionCall, FunctionResponse
from live_protocol.states import TOOL_CALL_TRANSITIONS, ToolCallInput, ToolCallState

_OPEN: Final = (ToolCallState.PENDING, ToolCallState.STREAMING)
_REMEMBERED: Final = 1024
"""Finished calls kept to tell a late answer from a wrong one (a count)."""
# Shared by the tables that no call has entered: the tables of a session without calls would take 700 bytes.
_NO_ENTRIES: Final[Any] = MappingProxyType({})
_NO_CALLS: Final[Any] = ()


@final
@attrs.frozen(kw_only=True)
class TrackedToolCall:
    """One call and what became of it.

    Attributes:
        call: Id, name and arguments.
        state: What became of it.
        epoch: Number of the connection it arrived on; 0 without reconnecting.
    """

    call: FunctionCall
    state: ToolCallState = ToolCallState.PENDING
    epoch: int = 0


class ToolCallTracker:
    """Calls by id; those without an id (some Vertex models) are counted by name.

    On Vertex a response may leave the id out: it answers the oldest call of its name, and takes the id of that call,
    if it has one.

    Args:
        backend: Whether responses must carry an id.
        allow_unknown_ids: Whether calls of an earlier connection may be answered here, as after a resumption.
        scheduling: Whether the model takes the ``scheduling`` of a response; see `ModelProfile.scheduling`.

    Attributes:
        backend: As given.
        scheduling: As given.
        epoch: Number of the connection that new calls arrive on; stays 0 without reconnecting.
    """

    __slots__ = (
        "_allow_unknown_ids",
        "_anonymous",
        "_answered",
        "_finished",
        "_open",
        "_orphans",
        "_recent",
        "backend",
        "epoch",
        "scheduling",
    )  # fmt: skip

    def __init__(self, backend: Backend, *, allow_unknown_ids: bool = False, scheduling: bool = True) -> None:
        self.backend: Backend = backend
        self.scheduling: bool = scheduling
        self._allow_unknown_ids = allow_unknown_ids
        self._open: dict[str, TrackedToolCall] = _NO_ENTRIES
        self._answered: OrderedDict[str, None] = _NO_ENTRIES  # names of calls without an id
        self._finished: OrderedDict[str, TrackedToolCall] = _NO_ENTRIES
        self._anonymous: list[TrackedToolCall] = _NO_CALLS
        self._orphans: OrderedDict[str, TrackedToolCall] = _NO_ENTRIES
        self._recent: OrderedDict[str, None] = _NO_ENTRIES
        self.epoch: int = 0

    def _make_tables(self) -> None:
        """Called before the first entry; what is only asked about or removed needs none."""
        if self._open is _NO_ENTRIES:
            self._open = {}
            self._answered, self._finished, self._orphans, self._recent = (OrderedDict() for _ in range(4))
            self._anonymous = []

    def pending(self) -> tuple[FunctionCall, ...]:
        """The calls that still await a response, oldest first; those without an id last."""
        return tuple(entry.call for entry in self.open())

    def open(self) -> tuple[TrackedToolCall, ...]:
        """The same with all that is known about them."""
        return (*self._open.values(), *self._anonymous)

    def restore(self, calls: Iterable[TrackedToolCall]) -> None:
        """Enter open calls of earlier connections, as `open` gave them."""
        self._make_tables()
        for entry in calls:
            if entry.call.id:
                self._open[entry.call.id] = entry
            else:
                self._anonymous.append(entry)

    @property
    def recent(self) -> frozenset[str]:
        """Ids of the calls since the last `forget_recent`, answered or not; names of those without an id."""
        return frozenset(self._recent)

    def forget_recent(self) -> None:
        """The calls so far belong to what can be resumed."""
        if self._recent:
            self._recent.clear()

    def orphan(self, *, recent: bool = False) -> tuple[TrackedToolCall, ...]:
        """Nobody waits for the open calls any more: from now on answering one raises `ToolCallOrphaned`; gives them.

        Args:
            recent: Only those that were made since the last `forget_recent`.
        """
        orphans = tuple(entry for entry in self.open() if not recent or key_of(entry.call) in self._recent)
        for entry in orphans:
            self._orphans[key_of(entry.call)] = entry
            if entry.call.id:
                del self._open[entry.call.id]
            else:
                self._anonymous.remove(entry)
        while len(self._orphans) > _REMEMBERED:
            self._orphans.popitem(last=False)
        self.forget_recent()
        return orphans

    def get(self, call_id: str) -> TrackedToolCall | None:
        """The call with this id, or None."""
        return self._open.get(call_id) or self._finished.get(call_id)

    def requested(self, call: FunctionCall) -> bool:
        """Enter a call; False where its id is taken by a call that is still open."""
        self._make_tables()
        self._recent[key_of(call)] = None
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        if not call.id:
            self._anonymous.append(TrackedToolCall(call=call, epoch=self.epoch))
            return True
        self._finished.pop(call.id, None)
        previous = self._open.pop(call.id, None)
        self._open[call.id] = TrackedToolCall(call=call, epoch=self.epoch)
        return previous is None

    def cancelled(self, call_id: str) -> bool:
        """Enter a cancellation; return False if there was nothing left to cancel."""
        self._make_tables()
        entry = self.get(call_id)
        if entry is None:
            # Its answer may still be on its way from another task: remember that it must not go.
            entry = TrackedToolCall(call=FunctionCall(id=call_id))
            self._enter(call_id, entry, ToolCallState.CANCELLED)
            return False
        after = TOOL_CALL_TRANSITIONS.get((entry.state, ToolCallInput.CANCEL))
        if after is not None:
            self._enter(call_id, entry, after)
        return entry.state in _OPEN

    def _enter(self, call_id: str, entry: TrackedToolCall, state: ToolCallState) -> None:
        entry = attrs.evolve(entry, state=state)
        if state in _OPEN:
            self._open[call_id] = entry
            return
        self._open.pop(call_id, None)
        self._finished[call_id] = entry
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)

    def check(self, responses: Sequence[FunctionResponse], *, epoch: int | None = None) -> list[FunctionResponse]:
        """Check responses against the table and fill in names; nothing changes yet.

        Args:
            responses: The responses.
            epoch: Number of the connection that the calls arrived on, if the caller knows it.

        Returns:
            The responses as they should be sent.

        Raises:
            InvalidMessage: None given, an id is missing or unknown, or the model takes no scheduling.
            IllegalInState: The call has its final answer, perhaps from an earlier one of these.
            ToolCallWasCancelled: The server has cancelled the call.
            ToolCallOrphaned: The call belongs to a connection whose calls may not be answered any more, or to another
                one than ``epoch``.
        """
        if not responses:
            raise InvalidMessage("tool_response.function_responses", "give at least one response")
        checked: list[FunctionResponse] = []
        states: dict[str, ToolCallState] = {}
        taken: set[int] = set()
        for index, response in enumerate(responses):
            path = f"tool_response.function_responses[{index}]"
            for name, value in (("id", response.id), ("name", response.name)):
                if value is not None and not isinstance(value, str):
                    raise InvalidMessage(f"{path}.{name}", f"expected a string, got {type(value).__name__}")
            if response.scheduling is not None and not self.scheduling:
                raise InvalidMessage(f"{path}.scheduling", "this model accepts none; leave it out")
            if response.id:
                checked.append(self._check_by_id(path, response, epoch, states))
            else:
                checked.append(self._check_by_name(path, response, epoch, states, taken))
        return checked

    def _check_epoch(self, entry: TrackedToolCall | None, key: str, epoch: int | None) -> None:
        if entry is None and key in self._orphans:
            raise ToolCallOrphaned(key, self._orphans[key].epoch, self.epoch)
        if entry is not None and epoch is not None and entry.epoch != epoch:
            # An id can return in a new session: it may name another call by now.
            raise ToolCallOrphaned(key, epoch, self.epoch)

    def _check_by_id(
        self, path: str, response: FunctionResponse, epoch: int | None, states: dict[str, ToolCallState]
    ) -> FunctionResponse:
        call_id = response.id or ""
        entry = self.get(call_id)
        self._check_epoch(entry, call_id, epoch)
        if entry is None:
            if self._allow_unknown_ids:
                return response
            raise InvalidMessage(f"{path}.id", f"no call with id {call_id!r} was made on this connection")
        state = states.get(call_id, entry.state)
        if state is ToolCallState.CANCELLED:
            raise ToolCallWasCancelled(call_id)
        after = TOOL_CALL_TRANSITIONS.get((state, _input(response)))
        if after is None:
            raise _not_now(call_id, state)
        states[call_id] = after
        return response if response.name or not entry.call.name else attrs.evolve(response, name=entry.call.name)

    def _check_by_name(
        self,
        path: str,
        response: FunctionResponse,
        epoch: int | None,
        states: dict[str, ToolCallState],
        taken: set[int],
    ) -> FunctionResponse:
        name = response.name
        index = self._without_id(name, epoch, taken)
        if index is not None and self.backend is not Backend.GEMINI:
            taken.add(index)
            return response
        same = next((entry for entry in self._anonymous if entry.call.name == name), None)
        self._check_epoch(same, name or "", epoch)
        if self.backend is Backend.GEMINI:
            raise InvalidMessage(
                f"{path}.id",
                "the Gemini backend matches responses by id: pass the id of the function call",
            )
        if not name:
            raise InvalidMessage(f"{path}.name", "it is required if there is no id")
        # The call has an id and the response does not say which: the oldest one that waits, else how the newest ended.
        entries = [*self._open.values(), *reversed(self._finished.values())]
        candidates = [entry for entry in entries if entry.call.name == name]
        for entry in candidates:
            if states.get(entry.call.id or "", entry.state) in _OPEN:
                return self._check_by_id(path, attrs.evolve(response, id=entry.call.id), epoch, states)
        if self._allow_unknown_ids:
            return response
        if candidates:
            return self._check_by_id(path, attrs.evolve(response, id=candidates[0].call.id), epoch, states)
        if name in self._answered or any(self._anonymous[index].call.name == name for index in taken):
            raise _not_now(name, ToolCallState.ANSWERED)
        return response  # no call asked for it, but the service accepts it (recorded)

    def _without_id(self, name: str | None, epoch: int | None, taken: Collection[int] = ()) -> int | None:
        """Index of the oldest call of this name without an id, of one connection if ``epoch`` is given."""
        for index, entry in enumerate(self._anonymous):
            if index not in taken and entry.call.name == name and epoch in (None, entry.epoch):
                return index
        return None

    def responded(self, responses: Sequence[FunctionResponse], *, epoch: int | None = None) -> None:
        """Enter responses that are on their way, or that came; those the table does not have change nothing.

        Args:
            responses: As `check` gave them, or as they came.
            epoch: As for `check`.
        """
        for response in responses:
            if not response.id and (index := self._without_id(response.name, epoch)) is not None:
                del self._anonymous[index]
                self._answered[response.name or ""] = None
                if len(self._answered) > _REMEMBERED:
                    self._answered.popitem(last=False)
                continue
            # A client on Vertex may leave out the id that the call had.
            entry = self.get(response.id) if response.id else self._named(response.name)
            after = None if entry is None else TOOL_CALL_TRANSITIONS.get((entry.state, _input(response)))
            if entry is not None and after is not None:
                self._enter(entry.call.id or "", entry, after)

    def _named(self, name: str | None) -> TrackedToolCall | None:
        return next((entry for entry in self._open.values() if entry.call.name == name), None)


def key_of(call: FunctionCall | FunctionResponse) -> str:
    """The key that a call shares with its responses: its id, or its name if it has no id."""
    return call.id or call.name or ""


def _not_now(key: str, state: ToolCallState) -> IllegalInState:
    hint = "answer once, or stream with will_continue=True"
    return IllegalInState(f"a response to call {key!r}", f"it is {state}", hint)


def _input(response: FunctionResponse) -> ToolCallInput:
    return ToolCallInput.RESPOND_MORE if response.will_continue else ToolCallInput.RESPOND
