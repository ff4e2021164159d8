"""Cleans the texts of a recording before they are shown: no secrets, no lone surrogates, not too long."""

from __future__ import annotations

import json
from collections import deque
from typing import Final, final

from live_protocol._redaction import REDACTED, redact, redact_credentials, redact_tokens
from live_protocol.messages import LiveClientSetup, Tool

_MAX_DETAIL: Final = 400
_MAX_JSON: Final = 2000
_HANDLES: Final = 8
_MIN_HANDLE: Final = 8  # characters; a shorter one could be part of an ordinary word


@final
class Texts:
    """Cleans texts. It knows the newest handles, which a server might repeat in a close reason."""

    def __init__(self) -> None:
        self._handles: deque[str] = deque(maxlen=_HANDLES)

    def handle(self, handle: str | None) -> None:
        """Learn a session handle, to take it out of later texts."""
        if handle and len(handle) >= _MIN_HANDLE and not handle.startswith(REDACTED):
            self._handles.append(handle)

    def whole(self, text: str) -> str:
        """Speech or text of any length."""
        return redact_tokens(redact(text.encode(errors="replace").decode(), *self._handles))

    def detail(self, text: str, limit: int = _MAX_DETAIL) -> str:
        """Details, shortened if long."""
        # Clean before shortening, because half a secret is not recognised; but do not clean all of a huge text.
        shown = redact_credentials(self.whole(text[: 4 * limit]))
        return shown if len(text) <= 4 * limit and len(shown) <= limit else shown[:limit] + "…"

    def json(self, value: object) -> str:
        """A value as JSON, shortened if long."""
        return self.detail(json.dumps(value, ensure_ascii=False, default=lambda _: REDACTED), _MAX_JSON)


def describe_setup(setup: LiveClientSetup) -> str:
    """The main settings of a setup, without its instruction and without members that may hold a credential."""
    parts = [setup.model or "no model"]
    config = setup.generation_config
    if config is not None:
        parts += [str(modality) for modality in config.response_modalities]
    tools = [name for tool in setup.tools for name in _names(tool)]
    if tools:
        parts.append(f"tools {', '.join(tools)}")
    shown = ("system_instruction", "input_audio_transcription", "output_audio_transcription", "session_resumption")
    parts += [name.replace("_", " ") for name in shown if getattr(setup, name, None) is not None]
    return "; ".join(parts)


def _names(tool: Tool) -> list[str]:
    return [declaration.name or "?" for declaration in tool.function_declarations]
