"""What the service refuses, and in which words (wire.md sections 2, 3, 6, 10 and 11)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, final

import attrs

from live_protocol._mismatch import fields
from live_protocol.emulator.options import EmulatorOptions
from live_protocol.endpoint import Credentials, Route
from live_protocol.messages import Backend, GenerationConfig, LiveClientSetup, Modality

__all__ = ["INVALID", "Refusal", "Rejection", "check_key", "check_request", "check_setup", "cut", "foreign_field"]

_MAX_REASON: Final = 123  # RFC 6455 section 5.5, less the code


def cut(reason: str) -> str:
    """A close reason as the service sends it: 123 bytes of UTF-8 at most, never half a character."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")


@final
@attrs.frozen
class Refusal:
    """A close frame that says no.

    Attributes:
        code: Close code.
        reason: The service's text, cut as the service cuts it.
    """

    code: int
    reason: str = attrs.field(converter=cut)


@final
@attrs.frozen
class Rejection:
    """A refused upgrade.

    Attributes:
        status: HTTP status.
        body: Google's JSON error.
    """

    status: int
    body: bytes


INVALID: Final = Refusal(1007, "Request contains an invalid argument.")
"""The unspecific refusal."""

NO_SESSION: Final = Refusal(1008, "BidiGenerateContent session not found")
STILL_ALIVE: Final = Refusal(1011, "Internal error encountered.")
TOKEN_SPENT: Final = Refusal(1011, "Token has been used too many times")
EXPLICIT_ACTIVITY: Final = Refusal(
    1007, "Explicit activity control is not supported when automatic activity detection is enabled."
)
SCHEDULING: Final = Refusal(1007, "Function response scheduling is not supported for this model")
LIFETIME: Final = Refusal(1011, "Deadline expired before operation could complete.")

_NOT_FOUND: Final = Refusal(1008, "Requested entity was not found.")
_BAD_KEYS: Final = {
    "invalid": Refusal(1007, "API key not valid. Please pass a valid API key."),
    "expired": Refusal(1007, "API key expired. Please renew the API key."),
    "exhausted": Refusal(1011, "You exceeded your current quota, please check your plan and billing details."),
}
_NO_KEY: Final = Refusal(1007, "API Key not found. Please pass a valid API key.")

_PREFIXES: Final = {
    Backend.GEMINI: ("models/", "tunedModels/"),
    Backend.VERTEX: ("projects/", "publishers/", "models/"),
}
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


def sample_rate_changed(before: int, now: int) -> Refusal:
    """The refusal of another sample rate."""
    return Refusal(1007, f"Sample rate changed from previously {before} to {now}, which is not supported.")


def _unknown_name(name: str, path: str) -> Refusal:
    return Refusal(1007, f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field.")


# --- the upgrade ------------------------------------------------------------------------------------------------


def _error(code: int, status: str, message: str) -> Rejection:
    body = {"error": {"code": code, "message": message, "status": status}}
    return Rejection(code, (json.dumps(body, indent=2) + "\n").encode())


def check_request(route: Route | None, given: Credentials) -> Route | Rejection:
    """The route of an upgrade, or its refusal. Gemini takes every credential at this point, Vertex does not."""
    if route is None:
        return _error(404, "NOT_FOUND", "Requested entity was not found.")
    if route.method == "BidiGenerateMusic":
        return _error(404, "NOT_FOUND", "BidiGenerateMusic is not emulated.")
    if route.backend is Backend.VERTEX:
        if given.kind is None or given.kind == "ephemeral_token":
            return _error(
                401,
                "UNAUTHENTICATED",
                "Request is missing required authentication credential. Expected OAuth 2 access token.",
            )
        if given.value in _BAD_KEYS:
            return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
    return route


def check_key(given: Credentials, options: EmulatorOptions) -> Refusal | None:
    """What Gemini says about a credential, after setup; ephemeral tokens are not looked at here."""
    if given.value is None:
        return _NO_KEY
    if given.kind != "api_key":
        return None
    known = options.api_keys is None or given.value in options.api_keys
    return _BAD_KEYS.get(given.value) or (None if known else _BAD_KEYS["invalid"])


# --- the setup --------------------------------------------------------------------------------------------------


def foreign_field(message: Any, backend: Backend, path: str) -> Refusal | None:
    """The refusal of the first field that only the other backend has, anywhere in a message.

    The service has no such field, and so it says that it is unknown. Which spelling came is not known any more.
    """
    cls: type = type(message)
    for field in fields(cls):
        value: Any = getattr(message, field.name)
        if value is None or value == ():
            continue
        if field.only is not None and field.only is not backend:
            return _unknown_name(field.json, path)
        step = f"{path}.{field.name}"
        items: Sequence[Any] = value if isinstance(value, list | tuple) else (value,)
        for index, item in enumerate(items):
            if attrs.has(type(item)):
                found = foreign_field(item, backend, f"{step}[{index}]" if items is value else step)
                if found is not None:
                    return found
    return None


def _preview(setup: LiveClientSetup, version: str) -> Refusal | None:
    """Gemini: what only v1alpha knows (wire.md section 1)."""
    if version == "v1alpha":
        return None
    if setup.proactivity is not None:
        return _unknown_name("proactivity", "setup")
    if setup.safety_settings:
        return _unknown_name("safetySettings", "setup")
    if setup.generation_config is not None and setup.generation_config.enable_affective_dialog is not None:
        return _unknown_name("enableAffectiveDialog", "setup.generation_config")
    return None


def _model(setup: LiveClientSetup, route: Route, options: EmulatorOptions) -> Refusal | None:
    name = setup.model or ""
    if not name.startswith(_PREFIXES[route.backend]):
        return INVALID
    if name.rpartition("/")[2].startswith(options.missing_models):
        if route.backend is Backend.VERTEX:
            return _NOT_FOUND
        return Refusal(
            1008,
            f"{name} is not found for API version {route.version}, or is not supported for bidiGenerateContent. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    return None


def _generation(name: str, generation: GenerationConfig) -> Refusal | None:
    for field in fields(GenerationConfig):
        if field.name in _NOT_LIVE and getattr(generation, field.name) not in (None, ()):
            return Refusal(1007, f"{field.json} is not supported in the live api.")
    wanted = generation.response_modalities
    served = (Modality.AUDIO,) if "native-audio" in name else (Modality.AUDIO, Modality.TEXT)
    if len(wanted) > 1 or any(modality not in served for modality in wanted):
        listed = ", ".join(str(modality) for modality in wanted)
        return Refusal(
            1007,
            f"The requested combination of response modalities ({listed}) is not supported by the model. "
            f"{name} accepts {' or '.join(served)}.",
        )
    if generation.speech_config is not None and Modality.TEXT in wanted:
        return Refusal(1007, "Cannot extract voices from a non-audio request")
    thinking = generation.thinking_config
    if "extended-thinking" in name and (thinking is None or thinking.thinking_level is None):
        return Refusal(1007, "Thinking level must be specified for this model")
    return None


def check_setup(setup: LiveClientSetup, route: Route, options: EmulatorOptions) -> Refusal | None:
    """What the service would say against a setup whose fields it knows."""
    refused = foreign_field(setup, route.backend, "setup")
    if refused is None and route.backend is Backend.GEMINI:
        refused = _preview(setup, route.version)
    if refused is None:
        refused = _model(setup, route, options)
    if refused is None:
        refused = _generation(setup.model or "", setup.generation_config or GenerationConfig())
    return refused
