"""What keeps credentials out of logs and traces (wire.md#credentials)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

__all__ = ["REDACTED", "redact", "redact_credentials", "redact_query", "redact_tokens"]

REDACTED: Final = "REDACTED"
"""Stands for every value that was removed; Google's own recordings use the same word."""

# Shapes that are credentials wherever they stand: API keys old and new, OAuth tokens, ephemeral tokens. The
# left boundary keeps base64 from matching by chance.
_TOKEN: Final = re.compile(
    r"""
    (?<![0-9A-Za-z_-]) (?: AIza[0-9A-Za-z_-]{6,} | AQ\.[0-9A-Za-z_-]{16,} | ya29\.[0-9A-Za-z._~+/-]+=* )
    | (?P<prefix> auth_tokens (?: / | %2[Ff] ) ) [0-9A-Za-z._~+-]+
    """,
    re.VERBOSE,
)

# Places that hold credentials whatever those look like: query parameters and keyword arguments ...
_PARAMETER: Final = re.compile(
    r"""
    (?P<place>
        (?<![0-9A-Za-z]) (?: (?:key|token) [ \t]*= | (?:api_?key|access_?token) \\*["']?[ \t]*[:=] )
        [ \t]*(?:b(?=\\*["']))?\\*["']?
    )
    [^\s&\#"'\\]+
    """,
    re.VERBOSE | re.IGNORECASE,
)

# ... and header fields: bare, or quoted as JSON, a Python dict or pair, or a shell argument write them. A
# bare value ends with its line, a quoted one with its quote.
_HEADER: Final = re.compile(
    r"""
    (?P<place>
        (?: authorization | x-goog-api-key )
        (?: \\*["']?[ \t]*[:=] | \\*["'][ \t]*, ) [ \t]*(?:b(?=\\*["']))?\\*
    )
    (?: (?P<quote>["']) (?: (?!(?P=quote))[^\\\r\n] | \\. )*+ | [^\s"'] [^\r\n]* )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str, *secrets: str) -> str:
    """Remove exact secrets from a text, as they are and percent-encoded.

    Args:
        text: Any text.
        secrets: What to remove; empty strings are ignored. A secret that holds another one is removed first.

    Returns:
        The text with `REDACTED` in their place.
    """
    forms = {form for secret in secrets if secret for form in (secret, quote(secret), quote(secret, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return text


def redact_tokens(text: str) -> str:
    """Remove what looks like a credential: API keys, ``auth_tokens/...``, ``ya29....`` (wire.md#credentials).

    Args:
        text: Any text. What merely stands in the place of a credential is kept, so that source code and
            speech survive.

    Returns:
        The text with `REDACTED` in their place.
    """
    return _TOKEN.sub(rf"\g<prefix>{REDACTED}", text)


def redact_credentials(text: str) -> str:
    """Remove credentials by their shape and by the places that hold them, for logs (wire.md#credentials).

    The places are ``key=``, ``token=``, ``access_token=``, ``api_key:`` and the like, and the header fields
    ``Authorization`` and ``x-goog-api-key`` in the ways that HTTP, JSON, Python and shells write them. In
    doubt it removes too much.

    Args:
        text: Any text.

    Returns:
        The text with `REDACTED` in their place.
    """
    text = _HEADER.sub(rf"\g<place>\g<quote>{REDACTED}", text)
    return redact_tokens(_PARAMETER.sub(rf"\g<place>{REDACTED}", text))


def redact_query(target: str) -> str:
    """Remove every value of a query, for any parameter may be a credential; names stay.

    Args:
        target: A request target or URL.

    Returns:
        The target with `REDACTED` for each value, and its path cleared of what looks like a credential.
    """
    path, mark, query = target.partition("?")
    parts = [part.partition("=") for part in query.split("&")] if query else []
    shown = "&".join(f"{name}={REDACTED}" if equals else REDACTED for name, equals, _ in parts)
    return f"{redact_tokens(path)}{mark}{shown}"
