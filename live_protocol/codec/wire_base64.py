"""Base64 of the wire: both alphabets, with or without padding, and nothing else (wire.md#base64)."""

from __future__ import annotations

import binascii
import re
from typing import Final

import pybase64

_FORM: Final = re.compile(r"[A-Za-z0-9+/]*(={0,2})")
_URL_SAFE: Final = str.maketrans("-_", "+/")


def encode(data: bytes | bytearray | memoryview) -> bytes:
    """Standard alphabet, padded."""
    if type(data) is memoryview and not data.c_contiguous:
        data = data.tobytes()
    return pybase64.b64encode(data)


def decode(text: str) -> bytes | None:
    """The bytes, or None if the text is not base64 in one of its four forms."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    text = text.translate(_URL_SAFE)
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    padding = len(match[1])
    digits = len(text) - padding
    if digits % 4 == 1 or (padding and len(text) % 4):
        return None
    return pybase64.b64decode(text[:digits] + "=" * (-digits % 4), validate=True)
