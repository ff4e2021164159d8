"""Builds the answer to a function call from what the function returned or raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from live_protocol.codec.codec import Codec
from live_protocol.errors import InvalidMessage, LiveProtocolError
from live_protocol.messages import FunctionCall, FunctionResponse, FunctionResponsePart, FunctionResponseScheduling
from live_protocol.tools.converting import error_text, value_converter


class InvalidToolCall(LiveProtocolError):
    """The model called a function that does not exist, or passed arguments that do not fit. Nothing changed.

    The session goes on: pass the error to `respond`, and the model can correct its call.

    Attributes:
        path: Path of the argument, for example ``args.places[0].name``; empty if the function's name is wrong.
        why: What is wrong there.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path: str = path
        self.why: str = why


def respond(
    call: FunctionCall,
    result: Any,
    *,
    scheduling: FunctionResponseScheduling | str | None = None,
    will_continue: bool | None = None,
    parts: Sequence[FunctionResponsePart] = (),
) -> FunctionResponse:
    """Answer a call, with its id and name.

    Args:
        call: The call.
        result: What the function returned, or the exception it raised. Dataclasses, attrs classes, enums, sets, dates,
            times, UUIDs and Decimals become JSON. An object becomes the response itself; any other value becomes its
            ``output``. An exception becomes its ``error``, with class and text; the model may say it aloud.
        scheduling: How the result enters the conversation; only for non-blocking functions.
        will_continue: Whether more results for this call follow; only for non-blocking functions.
        parts: Media results.

    Raises:
        InvalidMessage: The result cannot be converted to JSON; the error has its path. Nothing changed.
    """
    if isinstance(result, BaseException):
        text = str(result) if isinstance(result, InvalidToolCall) else error_text(result)
        response: Mapping[str, Any] = {"error": text}
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
    Codec().to_dict(answer)  # an error here names the function; at send time it would not
    return answer


def _unstructured(result: Any) -> Any:
    try:
        return value_converter().unstructure(result)
    except Exception as error:  # for example an object that contains itself
        failure = InvalidMessage("response", f"the result cannot be converted to JSON: {error_text(error)}")
    raise failure
