"""Takes secrets out of recorded messages and leaves the rest unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, cast

from live_protocol._redaction import REDACTED, redact, redact_credentials, redact_tokens

_RESUMPTION: Final = frozenset({("sessionresumption", "handle"), ("sessionresumptionupdate", "newhandle")})
_SECRET_PAIRS: Final = frozenset(
    {
        ("streamablehttptransport", "headers"),
        ("voiceconsentsignature", "signature"),
        ("groundingmetadata", "googlemapswidgetcontexttoken"),
    }
)
_SECRET_IN_SETUP: Final = frozenset(
    {
        "accesstoken",
        "apikey",
        "apikeysecret",
        "apikeysecretversion",
        "apikeystring",
        "credentialsecret",
        "customconfigs",
        "idtoken",
    }
)
_SECRET_IN_INFO: Final = frozenset(
    {"accesstoken", "apikey", "authorization", "handle", "headers", "key", "newhandle", "token", "xgoogapikey"}
)
_HANDLE: Final = re.compile(r'("(?:newHandle|new_handle|handle)"\s*:\s*")(?:[^"\\]|\\.)*+')
_MAX_HANDLES: Final = 4096


def _plain(key: str) -> str:
    """A key without its casing: peers write camelCase and snake_case (wire.md#casing)."""
    return key.replace("_", "").replace("-", "").lower()


class Scrubber:
    """Takes secrets out of messages: by their place where the schema has one, by their look anywhere else.

    Attributes:
        labels: How often a handle was replaced by its number. All else is settled by the message alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self.labels: int = 0
        self._secrets = tuple(secrets)
        self._handles: dict[str, int] = {}
        self._count = 0

    def message(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return a message without its secrets."""
        return {
            self._text(key): self._walk(member, _plain(key), setup=_plain(key) in {"setup", "contextupdate"})
            for key, member in value.items()
        }

    def info(self, value: object) -> Any:
        """Return the header's free-form part without its secrets; here every value under a telling key goes."""
        if isinstance(value, dict):
            members = cast("dict[str, object]", value).items()
            return {self._text(k): self._hide(v) if _plain(k) in _SECRET_IN_INFO else self.info(v) for k, v in members}
        if isinstance(value, list):
            return [self.info(item) for item in cast("list[object]", value)]
        return redact_credentials(redact(value, *self._secrets)) if isinstance(value, str) else value

    def opaque(self, text: str) -> str:
        """Return a payload that is not a message without its secrets; in doubt it takes too much."""
        return _HANDLE.sub(rf"\g<1>{REDACTED}", redact_credentials(redact(text, *self._secrets)))

    def _text(self, text: str) -> str:
        return redact_tokens(redact(text, *self._secrets))

    def _walk(self, value: object, parent: str, *, setup: bool) -> object:
        if isinstance(value, list):
            return [self._walk(item, parent, setup=setup) for item in cast("list[object]", value)]
        if not isinstance(value, dict):
            return self._text(value) if isinstance(value, str) else value
        members = cast("dict[str, object]", value)
        blob = "mimeType" in members or "mime_type" in members
        result: dict[str, object] = {}
        for key, member in members.items():
            name, shown = _plain(key), self._text(key)
            if blob and key == "data":
                result[shown] = member  # media is large, and its base64 can look like a token by chance
            elif (parent, name) in _RESUMPTION and isinstance(member, str):
                result[shown] = self._label(member)
            elif (parent, name) in _SECRET_PAIRS or (setup and name in _SECRET_IN_SETUP and parent != "properties"):
                result[shown] = self._hide(member)
            else:
                result[shown] = self._walk(member, name, setup=setup)
        return result

    def _hide(self, value: object) -> object:
        if isinstance(value, dict):
            return {self._text(key): self._hide(member) for key, member in cast("dict[str, object]", value).items()}
        if isinstance(value, list):
            return [self._hide(item) for item in cast("list[object]", value)]
        return REDACTED if isinstance(value, str) and value else value

    def _label(self, handle: str) -> str:
        # A handle keeps its number, so a trace shows which one a session resumed with.
        if not handle:
            return handle
        self.labels += 1
        number = self._handles.pop(handle, 0)
        if not number:
            self._count = number = self._count + 1
            if len(self._handles) >= _MAX_HANDLES:
                del self._handles[next(iter(self._handles))]
        self._handles[handle] = number
        return f"{REDACTED}-{number}"
