"""Keeps credentials out of logs and traces (wire.md#credentials)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

__all__ = ["REDACTED", "redact", "redact_credentials", "redact_query", "redact_tokens"]

REDACTED: Final = "REDACTED"
"""Replaces each removed value; Google's own recordings use the same word."""

# Shapes that are credentials in any place: API keys old and new, OAuth tokens, ephemeral tokens. The left boundary
# keeps base64 from matching by chance.
_TOKEN: Final = re.compile(
    r"""
    (?<![0-9A-Za-z_-]) (?: AIza[0-9A-Za-z_-]{6,} | AQ\.[0-9A-Za-z_-]{16,} | ya29\.[0-9A-Za-z._~+/-]+=* )
    | (?P<prefix> auth_tokens (?: / | %2[Ff] ) ) [0-9A-Za-z._~+-]+
    """,
    re.VERBOSE,
)

# Places of credentials of any shape: query parameters and keyword arguments ...
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

# ... and header fields: bare, or quoted as in JSON, a Python dict or pair, or a shell argument. A bare value ends with
# its line, a quoted one with its quote.
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
    """Redact known secrets, plain and percent-encoded.

    Args:
        text: Any text.
        secrets: The secrets; empty strings are ignored. A secret that contains another one goes first.
    """
    forms = {form for secret in secrets if secret for form in (secret, quote(secret), quote(secret, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return text


def redact_tokens(text: str) -> str:
    """Redact text in the shape of a credential: API keys, OAuth and ephemeral tokens (wire.md#credentials).

    Other text in the place of a credential stays, so that source code and speech survive.
    """
    return _TOKEN.sub(rf"\g<prefix>{REDACTED}", text)


def redact_credentials(text: str) -> str:
    """Redact credentials by their shape and by their place, for logs (wire.md#credentials).

    The places are ``key=``, ``token=``, ``access_token=``, ``api_key:`` and the like, and the header fields
    ``Authorization`` and ``x-goog-api-key`` as HTTP, JSON, Python and shells write them. When in doubt it removes too
    much.
    """
    text = _HEADER.sub(rf"\g<place>\g<quote>{REDACTED}", text)
    return redact_tokens(_PARAMETER.sub(rf"\g<place>{REDACTED}", text))


def redact_query(target: str) -> str:
    """Redact every value in the query of a URL or request target, and the credentials in its path."""
    path, mark, query = target.partition("?")
    parts = [part.partition("=") for part in query.split("&")] if query else []
    shown = "&".join(f"{name}={REDACTED}" if equals else REDACTED for name, equals, _ in parts)
    return f"{redact_tokens(path)}{mark}{shown}"
