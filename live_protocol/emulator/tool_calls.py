"""Function calls on the wire: ids, messages, and which response belongs to which call (wire.md#function-calling)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from live_protocol.emulator.actions import Call, blocks
from live_protocol.emulator.audio_input import Refused
from live_protocol.emulator.context import Shared
from live_protocol.emulator.memory import Conversation, PendingCall
from live_protocol.emulator.turn_player import Performance
from live_protocol.emulator.validation import INVALID, thinks_on
from live_protocol.messages import (
    Backend,
    Content,
    ExecutableCode,
    FunctionCall,
    FunctionResponse,
    Language,
    LiveServerContent,
    LiveServerMessage,
    LiveServerToolCall,
    Part,
)

__all__ = ["called", "key_of"]


def called(
    calls: Sequence[Call], performance: Performance, conversation: Conversation, shared: Shared
) -> Iterator[LiveServerMessage]:
    """Enter calls into a conversation; gives the messages that make them.

    Args:
        calls: What to call.
        performance: The turn they belong to; it stays open for those that block.
        conversation: Where they are pending.
        shared: Ids and options.
    """
    turn = performance.turn
    waits = shared.options.blocking_calls and not thinks_on(turn.setup)
    made: list[FunctionCall] = []
    for call in calls:
        call_id = _new_id(turn.backend, shared)
        key = call_id or f"#{shared.ids.count('anonymous')}"
        entry = PendingCall(
            call=FunctionCall(id=call_id, name=call.name, args=call.args),
            blocking=blocks(turn.setup, call.name, otherwise=waits),
        )
        conversation.called(key, entry)
        if entry.blocking:
            performance.awaiting.add(key)
        made.append(entry.call)
        if turn.backend is Backend.GEMINI and shared.options.announce_calls:
            args = ", ".join(f"{name}={value!r}" for name, value in call.args.items())
            code = ExecutableCode(language=Language.PYTHON, code=f"print(default_api.{call.name}({args}))")
            content = Content(parts=[Part(executable_code=code)])
            yield LiveServerMessage(server_content=LiveServerContent(model_turn=content))
    yield LiveServerMessage(tool_call=LiveServerToolCall(function_calls=made))


def _new_id(backend: Backend, shared: Shared) -> str | None:
    if backend is Backend.GEMINI:
        return shared.ids.name("function-call")
    return shared.ids.uuid("function-call") if shared.options.vertex_call_ids else None


def key_of(response: FunctionResponse, conversation: Conversation, backend: Backend) -> str | None:
    """The pending call that a response answers; None where nobody asked, which Vertex takes (recorded).

    Raises:
        Refused: It names no pending call, or on Gemini no call at all.
    """
    if response.id in conversation.pending:
        return response.id
    if response.id or backend is Backend.GEMINI:
        raise Refused(INVALID)
    return next((key for key, entry in conversation.pending.items() if entry.call.name == response.name), None)
