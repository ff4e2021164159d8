"""Function calls on the wire: ids, messages, and which response belongs to which call (wire.md#function-calling)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from live_protocol.emulator.actions import Call, blocks
from live_protocol.emulator.audio_input import SessionRefused
from live_protocol.emulator.context import ServerContext
from live_protocol.emulator.memory import ConversationMemory, PendingCall
from live_protocol.emulator.turn_player import TurnPlayback
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

__all__ = ["called", "pending_key"]


def called(
    calls: Sequence[Call], playback: TurnPlayback, conversation: ConversationMemory, context: ServerContext
) -> Iterator[LiveServerMessage]:
    """Enter calls into a conversation; gives the messages that make them.

    Args:
        calls: What to call.
        playback: The turn they belong to; it stays open for those that block.
        conversation: Where they are pending.
        context: Ids and options.
    """
    turn = playback.turn
    waits = context.options.blocking_calls and not thinks_on(turn.setup)
    made: list[FunctionCall] = []
    for call in calls:
        call_id = _new_id(turn.backend, context)
        key = call_id or f"#{context.ids.count('anonymous')}"
        entry = PendingCall(
            call=FunctionCall(id=call_id, name=call.name, args=call.args),
            blocking=blocks(turn.setup, call.name, otherwise=waits),
        )
        conversation.called(key, entry)
        if entry.blocking:
            playback.awaiting.add(key)
        made.append(entry.call)
        if turn.backend is Backend.GEMINI and context.options.announce_calls:
            args = ", ".join(f"{name}={value!r}" for name, value in call.args.items())
            code = ExecutableCode(language=Language.PYTHON, code=f"print(default_api.{call.name}({args}))")
            content = Content(parts=[Part(executable_code=code)])
            yield LiveServerMessage(server_content=LiveServerContent(model_turn=content))
    yield LiveServerMessage(tool_call=LiveServerToolCall(function_calls=made))


def _new_id(backend: Backend, context: ServerContext) -> str | None:
    if backend is Backend.GEMINI:
        return context.ids.name("function-call")
    return context.ids.uuid("function-call") if context.options.vertex_call_ids else None


def pending_key(response: FunctionResponse, conversation: ConversationMemory, backend: Backend) -> str | None:
    """The pending call that a response answers; None where nobody asked, which Vertex takes (recorded).

    Raises:
        SessionRefused: It names no pending call, or on Gemini no call at all.
    """
    if response.id in conversation.pending:
        return response.id
    if response.id or backend is Backend.GEMINI:
        raise SessionRefused(INVALID)
    return next((key for key, entry in conversation.pending.items() if entry.call.name == response.name), None)
