"""Function calls: their ids and messages, and the call that a response answers (wire.md#function-calling)."""

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


def make_calls(
    calls: Sequence[Call], playback: TurnPlayback, conversation: ConversationMemory, context: ServerContext
) -> Iterator[LiveServerMessage]:
    """Add calls to a conversation, and yield the messages for them.

    Args:
        calls: The calls.
        playback: Their turn, which blocking calls keep open.
        conversation: The conversation.
        context: Ids and options.
    """
    turn = playback.turn
    waits = context.options.blocking_calls and not thinks_on(turn.setup)
    function_calls: list[FunctionCall] = []
    for call in calls:
        call_id = _new_id(turn.backend, context)
        key = call_id or f"#{context.ids.count('anonymous')}"
        entry = PendingCall(
            call=FunctionCall(id=call_id, name=call.name, args=call.args),
            blocking=blocks(turn.setup, call.name, otherwise=waits),
        )
        conversation.add_call(key, entry)
        if entry.blocking:
            playback.awaiting.add(key)
        function_calls.append(entry.call)
        if turn.backend is Backend.GEMINI and context.options.announce_calls:
            args = ", ".join(f"{name}={value!r}" for name, value in call.args.items())
            code = ExecutableCode(language=Language.PYTHON, code=f"print(default_api.{call.name}({args}))")
            content = Content(parts=[Part(executable_code=code)])
            yield LiveServerMessage(server_content=LiveServerContent(model_turn=content))
    yield LiveServerMessage(tool_call=LiveServerToolCall(function_calls=function_calls))


def _new_id(backend: Backend, context: ServerContext) -> str | None:
    if backend is Backend.GEMINI:
        return context.ids.name("function-call")
    return context.ids.uuid("function-call") if context.options.vertex_call_ids else None


def pending_key(response: FunctionResponse, conversation: ConversationMemory, backend: Backend) -> str | None:
    """Return the key of the pending call that a response answers; None if there is none, which Vertex accepts.

    Raises:
        SessionRefused: Its id is not that of a pending call, or it has no id on Gemini.
    """
    if response.id in conversation.pending:
        return response.id
    if response.id or backend is Backend.GEMINI:
        raise SessionRefused(INVALID)
    return next((key for key, entry in conversation.pending.items() if entry.call.name == response.name), None)
