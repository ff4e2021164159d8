"""The service's refusals: their conditions and their words (wire.md#close-reasons)."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import Any, Final, final

import attrs

from live_protocol.codec.schema import enum_of, fields
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.endpoint import Credentials, Route
from live_protocol.messages import Backend, Behavior, GenerationConfig, LiveClientSetup, Modality
from live_protocol.websocket.endings import MAX_REASON


def cut_reason(reason: str) -> str:
    """Cut a close reason to the 123 bytes that fit, as the service does, but never inside a character."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore")


@final
@attrs.frozen
class SessionRefusal:
    """A refusal in a close frame.

    Attributes:
        code: Close code.
        reason: The service's text, cut to fit.
    """

    code: int
    reason: str = attrs.field(converter=cut_reason)


@final
@attrs.frozen
class HttpRefusal:
    """A refused upgrade.

    Attributes:
        status: HTTP status.
        body: Google's JSON error.
    """

    status: int
    body: bytes


INVALID: Final = SessionRefusal(1007, "Request contains an invalid argument.")
"""The general refusal."""

NO_SESSION: Final = SessionRefusal(1008, "BidiGenerateContent session not found")
STILL_ALIVE: Final = SessionRefusal(1011, "Internal error encountered.")
TOKEN_SPENT: Final = SessionRefusal(1011, "Token has been used too many times")
EXPLICIT_ACTIVITY: Final = SessionRefusal(
    1007, "Explicit activity control is not supported when automatic activity detection is enabled."
)
SCHEDULING: Final = SessionRefusal(1007, "Function response scheduling is not supported for this model")
LIFETIME: Final = SessionRefusal(1011, "Deadline expired before operation could complete.")

_NOT_FOUND: Final = SessionRefusal(1008, "Requested entity was not found.")
_BAD_KEYS: Final = {
    "invalid": SessionRefusal(1007, "API key not valid. Please pass a valid API key."),
    "expired": SessionRefusal(1007, "API key expired. Please renew the API key."),
    "exhausted": SessionRefusal(1011, "You exceeded your current quota, please check your plan and billing details."),
}
_NO_KEY: Final = SessionRefusal(1007, "API Key not found. Please pass a valid API key.")

_PREFIXES: Final = {
    Backend.GEMINI: ("models/", "tunedModels/"),
    Backend.VERTEX: ("projects/", "publishers/", "models/"),
}
_OLD: Final = "-2."
"""Part of the names of models that do not know ``additionalProperties`` in schemas (wire.md#schemas)."""
_NOT_LIVE: Final = (
    "response_logprobs",
    "logprobs",
    "response_mime_type",
    "response_schema",
    "response_json_schema",
    "stop_sequences",
    "routing_config",
    "audio_timestamp",
)


def sample_rate_changed(before: int, now: int) -> SessionRefusal:
    """The refusal of a changed sample rate."""
    return SessionRefusal(1007, f"Sample rate changed from previously {before} to {now}, which is not supported.")


def _unknown_name(name: str, path: str) -> SessionRefusal:
    return SessionRefusal(
        1007, f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
    )


# --- the upgrade ------------------------------------------------------------------------------------------------


def error_body(code: int, status: str, message: str) -> bytes:
    """Google's JSON error."""
    error = {"code": code, "message": message, "status": status}
    return (json.dumps({"error": error}, indent=2) + "\n").encode()


def _error(code: int, status: str, message: str) -> HttpRefusal:
    return HttpRefusal(code, error_body(code, status, message))


def check_request(route: Route | None, sent: Credentials) -> Route | HttpRefusal:
    """Return the route of an upgrade, or its refusal. Gemini checks credentials later, Vertex does here."""
    if route is None:
        return _error(404, "NOT_FOUND", "Requested entity was not found.")
    if route.method == "BidiGenerateMusic":
        return _error(404, "NOT_FOUND", "BidiGenerateMusic is not emulated.")
    if route.backend is Backend.VERTEX:
        if sent.kind is None or sent.kind == "ephemeral_token":
            return _error(
                401,
                "UNAUTHENTICATED",
                "Request is missing required authentication credential. Expected OAuth 2 access token.",
            )
        if sent.value in _BAD_KEYS:
            return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
    return route


def check_key(sent: Credentials, options: EmulatorOptions) -> SessionRefusal | None:
    """Check an API key as Gemini does after the setup. Ephemeral tokens are checked elsewhere."""
    if sent.value is None:
        return _NO_KEY
    if sent.kind != "api_key":
        return None
    valid = options.api_keys is None or sent.value in options.api_keys
    return _BAD_KEYS.get(sent.value) or (None if valid else _BAD_KEYS["invalid"])


# --- the setup --------------------------------------------------------------------------------------------------


def check_fields(message: Any, backend: Backend, path: str, *, strict_schemas: bool = False) -> SessionRefusal | None:
    """Return the refusal of the first member, at any depth, that the service does not know or cannot read.

    The service refuses fields of the other backend and unknown enum names. Our codec accepts both; the original
    spelling of a field is lost by then.

    Args:
        message: The message.
        backend: The backend whose fields are allowed.
        path: Path of the message, in snake_case.
        strict_schemas: Whether schemas do not know ``additionalProperties``.
    """
    cls: type = type(message)
    for field in fields(cls):
        value: Any = getattr(message, field.name)
        if value is None or value == ():
            continue
        step = f"{path}.{field.name}"
        if (field.only or backend) is not backend or (strict_schemas and field.name == "additional_properties"):
            return _unknown_name(field.json, path)
        items: Sequence[Any] = value if isinstance(value, list | tuple) else (value,)
        names = enum_of(field.hint)
        for index, item in enumerate(items):
            at = f"{step}[{index}]" if items is value else step
            refusal = None
            if names is not None and not _is_known(names, item):
                refusal = SessionRefusal(1007, f"Invalid value at '{at}', \"{item}\"")
            elif attrs.has(type(item)):
                refusal = check_fields(item, backend, at, strict_schemas=strict_schemas)
            if refusal is not None:
                return refusal
    return None


def _is_known(names: type[enum.Enum], value: object) -> bool:
    """Whether the service accepts an enum value: a name in either case, or any number (they are unpublished)."""
    text = str(value)
    return isinstance(value, names) or text.upper() in names.__members__ or text.removeprefix("-").isdigit()


def _preview(setup: LiveClientSetup, version: str) -> SessionRefusal | None:
    """Check for fields that Gemini has only in v1alpha (wire.md#api-versions)."""
    if version == "v1alpha":
        return None
    if setup.proactivity is not None:
        return _unknown_name("proactivity", "setup")
    if setup.safety_settings:
        return _unknown_name("safetySettings", "setup")
    if setup.generation_config is not None and setup.generation_config.enable_affective_dialog is not None:
        return _unknown_name("enableAffectiveDialog", "setup.generation_config")
    return None


def _model(setup: LiveClientSetup, route: Route, options: EmulatorOptions) -> SessionRefusal | None:
    name = setup.model or ""
    if not name.startswith(_PREFIXES[route.backend]):
        return INVALID
    if name.rpartition("/")[2].startswith(options.missing_models):
        if route.backend is Backend.VERTEX:
            return _NOT_FOUND
        return SessionRefusal(
            1008,
            f"{name} is not found for API version {route.version}, or is not supported for bidiGenerateContent. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    return None


def _generation(name: str, generation: GenerationConfig) -> SessionRefusal | None:
    for field in fields(GenerationConfig):
        if field.name in _NOT_LIVE and getattr(generation, field.name) not in (None, ()):
            return SessionRefusal(1007, f"{field.json} is not supported in the live api.")
    wanted = generation.response_modalities
    served = (Modality.AUDIO,) if "native-audio" in name else (Modality.AUDIO, Modality.TEXT)
    if len(wanted) > 1 or any(modality not in served for modality in wanted):
        listed = ", ".join(str(modality) for modality in wanted)
        return SessionRefusal(
            1007,
            f"The requested combination of response modalities ({listed}) is not supported by the model. "
            f"{name} accepts {' or '.join(served)}.",
        )
    if generation.speech_config is not None and Modality.TEXT in wanted:
        return SessionRefusal(1007, "Cannot extract voices from a non-audio request")
    return None


def thinks_on(setup: LiveClientSetup) -> bool:
    """Whether the model keeps thinking while calls run, whatever their behaviour (wire.md#thinking)."""
    return "extended-thinking" in (setup.model or "")


def _extended_thinking(setup: LiveClientSetup) -> SessionRefusal | None:
    thinking = setup.generation_config and setup.generation_config.thinking_config
    if not thinking or thinking.thinking_level is None:
        return SessionRefusal(1007, "Thinking level must be specified for this model")
    functions = (function for tool in setup.tools for function in tool.function_declarations)
    return INVALID if any(function.behavior == Behavior.BLOCKING for function in functions) else None


def validate_setup(setup: LiveClientSetup, route: Route, options: EmulatorOptions) -> SessionRefusal | None:
    """Return the service's refusal of a setup, or None."""
    model = setup.model or ""
    gemini = route.backend is Backend.GEMINI
    return (
        (_preview(setup, route.version) if gemini else None)
        or check_fields(setup, route.backend, "setup", strict_schemas=gemini and _OLD in model)
        or _model(setup, route, options)
        or _generation(model, setup.generation_config or GenerationConfig())
        or (_extended_thinking(setup) if thinks_on(setup) else None)
    )
