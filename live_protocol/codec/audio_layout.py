"""The layout of an audio message: what stands before and after its base64, learned from one and looked for in the next.

A writer lays its messages out in one way, so consecutive chunks of audio differ in their base64 alone. Once a message
was parsed, its text is split around that base64. A later text that begins and ends in the same way, with valid base64
between, says the same except for the audio: base64 needs no escapes and ends no string, so a parser would be in the
same state after it. Such a text is not parsed at all, which saves a tree of six containers and the text as a `str`.
"""

from __future__ import annotations

from typing import Final, final

import orjson
import pybase64

_MAX_AROUND: Final = 1024  # bytes; the service writes some 180
_COPIED: Final = 16 * 1024  # bytes of a message up to which a copy of its base64 costs less than a view
_PROBE: Final = b"live"  # base64 that stands for any other


@final
class AudioLayout:
    """One way to write an audio message.

    Attributes:
        head: What precedes the base64.
        tail: What follows it.
    """

    __slots__ = ("_around", "_start", "_stop", "head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head: bytes = head
        self.tail: bytes = tail
        self._start = len(head)
        self._stop = -len(tail)
        self._around = len(head) + len(tail)

    @classmethod
    def of(cls, raw: bytes) -> AudioLayout | None:
        """The layout of a message whose JSON has one piece of inline data and nothing else; None if it is of no use.

        Args:
            raw: The text, which was parsed before.
        """
        text: str = _base64(orjson.loads(raw))
        encoded = text.encode()
        head, found, tail = raw.partition(b'"' + encoded + b'"')
        if not found or len(head) + len(tail) > _MAX_AROUND:  # an escaped slash, for one
            return None
        layout = cls(head + b'"', b'"' + tail)
        # The text might stand elsewhere too, so see that this place is the one.
        probed = orjson.loads(layout.head + _PROBE + layout.tail)
        return layout if _base64(probed) == _PROBE.decode() else None

    def audio(self, raw: bytes) -> bytes | None:
        """The audio of a message in this layout; None for any other text, and where the base64 needs a closer look."""
        if not raw.startswith(self.head) or not raw.endswith(self.tail) or len(raw) < self._around:
            return None
        text = raw[self._start : self._stop] if len(raw) < _COPIED else memoryview(raw)[self._start : self._stop]
        try:
            return pybase64.b64decode(text, validate=True)
        except ValueError:  # the other alphabet, or no base64
            return None


def _base64(message: dict[str, dict[str, dict[str, list[dict[str, dict[str, str]]]]]]) -> str:
    return message["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"]
