"""The default model: it repeats its input, and obeys commands in the text."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, final

import orjson

from live_protocol.emulator.actions import (
    Call,
    Cancel,
    Close,
    Drop,
    ModelAction,
    Say,
    Send,
    SendGoAway,
    Show,
    Speak,
    Stall,
    UserTurn,
    Wait,
    text_of,
)
from live_protocol.messages import (
    Blob,
    CodeExecutionResult,
    Content,
    ExecutableCode,
    GroundingChunk,
    GroundingChunkWeb,
    GroundingMetadata,
    Language,
    LiveServerContent,
    LiveServerMessage,
    Outcome,
    Part,
)

_LONGEST_WAIT: Final = 86_400.0
_MAX_ARGS: Final = 65_536
_MAX_DEPTH: Final = 32


def _png() -> bytes:
    """One green pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\x00\x20\xa0\x40")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


@final
class EchoModel:
    """Answers text with the same text, speech with the same speech, and a function's result with that result as JSON.

    If the setup asks for thoughts, it sends one before it repeats a text.

    If the first line of a text begins with a command, every line is a command or a text to say:

    =====================  =========================================================================
    ``/call NAME JSON``    call a declared function, and say its result when it comes
    ``/cancel``            cancel all pending calls
    ``/slow S [TEXT]``     say a text word by word, spread over S seconds
    ``/wait S``            say nothing for S seconds
    ``/history``           say the history
    ``/system``            say the current system instruction
    ``/goaway S``          announce the end of the connection in S seconds, and end it then
    ``/drop``              end the connection without a close frame
    ``/close CODE TEXT``   close the connection
    ``/unknown``           send an unknown message and an unknown field
    ``/error``             send an in-band error object
    ``/stall``             never finish this turn
    ``/image``             show a small PNG image
    ``/code``              show code and its result
    ``/ground``            show sources
    =====================  =========================================================================
    """

    def on_text(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Repeat the text, or run its commands."""
        lines = turn.text.splitlines()
        if lines and _command(lines[0]):
            return self._obey(lines, turn)
        thoughts = [Say("I was told something; I repeat it.", thought=True)] if turn.thinks else []
        return [*thoughts, Say(turn.text or "Go on.")]

    def on_speech(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Repeat the speech."""
        return [Speak(turn.speech, turn.rate, turn.text)]

    def on_tool_response(self, turn: UserTurn) -> Iterable[ModelAction]:
        """Say the result as JSON."""
        response = turn.response.response if turn.response is not None else None
        return [Say(json.dumps(response, ensure_ascii=False))]

    @staticmethod
    def _obey(lines: list[str], turn: UserTurn) -> Iterator[ModelAction]:
        for line in lines:
            command = _command(line)
            if command is None:
                yield Say(line)
            else:
                yield from command(line.strip().partition(" ")[2].strip(), turn)


Command = Callable[[str, UserTurn], Iterable[ModelAction]]


def _call(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    name, _, text = rest.partition(" ")
    if name not in turn.functions:
        return [Say(f"No function {name!r} is declared.")]
    args: Any = None
    # The message around the arguments must stay within every client's limits of depth and size.
    if len(text) <= _MAX_ARGS and text.count("{") + text.count("[") <= _MAX_DEPTH:
        with contextlib.suppress(orjson.JSONDecodeError):
            args = orjson.loads(text or "{}")
    if not isinstance(args, dict):
        return [Say(f"The arguments of {name!r} are not a JSON object of moderate size.")]
    return [Call(name, args)]


def _cancel(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    return [Cancel(), Say("Cancelled.")] if turn.pending else [Say("There is no call to cancel.")]


def _timed(act: Callable[[float, str], Iterable[ModelAction]]) -> Command:
    def command(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
        number, _, text = rest.partition(" ")
        try:
            seconds = float(number)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= _LONGEST_WAIT:
            return [Say(f"{number!r} is not a number of seconds.")]
        return act(seconds, text.strip())

    return command


def _slow(seconds: float, text: str) -> Iterator[ModelAction]:
    words = (text or "I am taking my time.").split(" ")
    for index, word in enumerate(words):
        yield Wait(seconds / len(words))
        yield Say(word if index == len(words) - 1 else f"{word} ")


def _go_away(seconds: float, _: str) -> Iterable[ModelAction]:
    return [SendGoAway(seconds), Say("Goodbye soon.")]


def _wait(seconds: float, _: str) -> Iterable[ModelAction]:
    return [Wait(seconds)]


def _history(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    return [Say("\n".join(map(_line, turn.history)) or "Nothing was said.")]


def _line(content: Content) -> str:
    words = [text_of(content)]
    for part in content.parts:
        if part.function_call is not None:
            words.append(f"call {part.function_call.name}")
        if part.function_response is not None:
            words.append(f"response {part.function_response.name}")
        if part.inline_data is not None:
            words.append(f"data {part.inline_data.mime_type}")
    return f"{content.role or 'user'}: {' '.join(filter(None, words))}"


def _system(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    return [Say(turn.system_instruction or "There is no system instruction.")]


def _close(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    number, _, reason = rest.partition(" ")
    code = int(number) if number.isascii() and number.isdigit() and len(number) == 4 else 0
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        return [Say(f"{number!r} is not a close code that may be sent.")]
    return [Close(code, reason.strip())]


def _unknown(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    return [
        Send(LiveServerMessage(extra={"brandNewMember": {"answer": 42}})),
        Send(LiveServerMessage(server_content=LiveServerContent(extra={"brandNewField": True}))),
    ]


def _error(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    error = {"code": 500, "message": "Internal error occurred.", "status": "INTERNAL"}
    return [Send(LiveServerMessage(extra={"error": error}))]


def _image(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    return [Show([Part(inline_data=Blob(mime_type="image/png", data=_png()))])]


def _code(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    return [
        Show([Part(executable_code=ExecutableCode(language=Language.PYTHON, code="print(6 * 7)"))]),
        Show([Part(code_execution_result=CodeExecutionResult(outcome=Outcome.OUTCOME_OK, output="42\n"))]),
    ]


def _ground(rest: str, turn: UserTurn) -> Iterable[ModelAction]:
    web = GroundingChunkWeb(uri="https://example.com/parrots", title="Parrots")
    metadata = GroundingMetadata(web_search_queries=["parrots"], grounding_chunks=[GroundingChunk(web=web)])
    return [
        Say("Parrots repeat what they hear."),
        Send(LiveServerMessage(server_content=LiveServerContent(grounding_metadata=metadata))),
    ]


def _always(*actions: ModelAction) -> Command:
    return lambda rest, turn: actions


_COMMANDS: Final[Mapping[str, Command]] = {
    "/call": _call,
    "/cancel": _cancel,
    "/close": _close,
    "/code": _code,
    "/drop": _always(Drop()),
    "/error": _error,
    "/goaway": _timed(_go_away),
    "/ground": _ground,
    "/history": _history,
    "/image": _image,
    "/slow": _timed(_slow),
    "/stall": _always(Stall()),
    "/system": _system,
    "/unknown": _unknown,
    "/wait": _timed(_wait),
}


def _command(line: str) -> Command | None:
    return _COMMANDS.get(line.strip().partition(" ")[0])
