"""Routes and credentials of a request, and redaction for logs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.endpoints import ENDPOINTS, GEMINI, KEY, OAUTH, TOKEN, VERTEX

from live_protocol._redaction import redact, redact_credentials, redact_tokens
from live_protocol.endpoint import Credentials, Endpoint, Route, credentials, match_target
from live_protocol.messages import Backend

# --- redaction --------------------------------------------------------------------------------------------------


def test_known_secrets_are_redacted_plain_and_quoted() -> None:
    assert redact("a abc ab", "ab", "abc") == "a REDACTED REDACTED"
    assert redact("x=a%2Fb%3D a/b= a/b%3D", "a/b=") == "x=REDACTED REDACTED REDACTED"
    assert redact("abc", "", "z") == "abc"
    assert redact("abc") == "abc"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws?key={KEY}&x=1 HTTP/1.1",
        "GET /ws?key=CANARY HTTP/1.1",
        "GET /ws?x=1&access_token=CANARY#f",
        "connect(api_key='CANARY')",
        'connect(api_key = b"CANARY")',
        '{"apiKey": "CANARY"}',
        '{\\"api_key\\": \\"CANARY\\"}',
        "Authorization: Bearer CANARY",
        "authorization: Token CANARY\r\nhost: h",
        "proxy-authorization: Basic CANARY==",
        '{"Authorization": "Bearer CANARY"}',
        '{\\"Authorization\\": \\"Bearer CANARY\\"}',
        "{'authorization': 'Bearer CANARY\\'CANARY'}",
        "(b'authorization', b'Bearer CANARY')",
        '["x-goog-api-key", "CANARY"]',
        "curl -H 'X-Goog-Api-Key: CANARY'",
        "x-goog-api-key: CANARY",
        f"see {KEY}.",
        f"/{KEY}/",
        "AQ.CANARY0123456789abcdef",
        f"<{OAUTH}>",
        TOKEN,
        TOKEN.replace("/", "%2F"),
    ],
)
def test_known_places_are_redacted(text: str) -> None:
    clean = redact_credentials(text)
    assert "CANARY" not in clean
    assert "REDACTED" in clean
    assert redact_credentials(clean) == clean


def test_redaction_keeps_the_rest() -> None:
    assert redact_credentials("Authorization: Bearer x\r\nHost: h\r\n") == "Authorization: REDACTED\r\nHost: h\r\n"
    assert redact_credentials("Authorization: bearer\nkey=bcd") == "Authorization: REDACTED\nkey=REDACTED"
    assert redact_credentials('{"authorization":"x","a":1}') == '{"authorization":"REDACTED","a":1}'
    assert redact_credentials("/p?key=x&alt=1#f") == "/p?key=REDACTED&alt=1#f"
    for text in ("", "the key is under the mat", "monkey=1", "AIza", "authorization of the user", "authtokens/x"):
        assert redact_credentials(text) == text
    code = "sorted(x, key=len)"
    assert redact_tokens(code) == code
    assert redact_tokens(f"QUJD{KEY}") == f"QUJD{KEY}"  # base64 that contains the letters by chance
    assert redact_tokens(f"a {TOKEN} b") == "a auth_tokens/REDACTED b"


@given(
    st.text() | st.lists(st.sampled_from(['"', "\\", "authorization", ":", "key=", " ", "'", "x", "\n"])).map("".join)
)
def test_redaction_accepts_any_text(text: str) -> None:
    redact_credentials(text)
    redact_tokens(text)


@pytest.mark.parametrize("unit", ['authorization:"', "authorization\\", 'key="', "\\", '"', "AIza", "x" * 10])
def test_redaction_takes_linear_time(unit: str) -> None:
    redact_credentials(unit * 40_000)


# --- for servers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "route"),
    [
        (GEMINI, (Backend.GEMINI, "v1beta", "BidiGenerateContent", "")),
        ("/" + GEMINI, (Backend.GEMINI, "v1beta", "BidiGenerateContent", "")),
        (GEMINI + "Constrained?access_token=x", (Backend.GEMINI, "v1beta", "BidiGenerateContentConstrained", "")),
        (
            "/p//q" + GEMINI.replace("v1beta", "v9x").replace("Content", "Music"),
            (Backend.GEMINI, "v9x", "BidiGenerateMusic", "/p/q"),
        ),
        (VERTEX, (Backend.VERTEX, "v1beta1", "BidiGenerateContent", "")),
        ("/p/" + VERTEX + "?key=x", (Backend.VERTEX, "v1beta1", "BidiGenerateContent", "/p")),
        ("/ws" + VERTEX, (Backend.VERTEX, "v1beta1", "BidiGenerateContent", "/ws")),
    ],
)
def test_a_target_names_a_route(target: str, route: tuple[Backend, str, Any, str]) -> None:
    backend, version, method, prefix = route
    assert match_target(target) == Route(backend=backend, version=version, method=method, prefix=prefix)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "?",
        GEMINI[1:],
        GEMINI + "/",
        GEMINI + "X",
        GEMINI.replace("v1beta", "V1"),
        GEMINI.replace("v1beta", "v1.x"),
        GEMINI.replace(".BidiGen", "/BidiGen"),
        VERTEX.replace("/BidiGen", ".BidiGen"),
        VERTEX + "Constrained",
        "/x\n" + GEMINI,
        "/?" + GEMINI,
    ],
)
def test_other_targets_name_no_route(target: str) -> None:
    assert match_target(target) is None


@pytest.mark.parametrize(
    ("target", "headers", "kind", "value"),
    [
        ("/", [], None, None),
        ("/?key=", [("x-goog-api-key", "")], None, None),
        ("/", [("Authorization", "Basic abc")], None, None),
        ("/", [("Authorization", "Bearer")], None, None),
        ("/?key=a%2Bb+c", [], "api_key", "a+b+c"),
        ("/?key=1&key=2", [], "api_key", "1"),
        ("/?x&key=%zz%ff", [], "api_key", "%zz\ufffd"),
        ("/?access_token=auth_tokens/t", [], "ephemeral_token", "auth_tokens/t"),
        ("/?access_token=auth_tokens%2Ft", [], "ephemeral_token", "auth_tokens/t"),
        ("/?key=auth_tokens/t", [], "ephemeral_token", "auth_tokens/t"),
        ("/?access_token=ya29.x", [], "oauth", "ya29.x"),
        ("/?key=q", [("X-Goog-Api-Key", " k ")], "api_key", "k"),
        ("/", [("x-goog-api-key", "auth_tokens/t")], "ephemeral_token", "auth_tokens/t"),
        ("/?key=q", [("AUTHORIZATION", "bearer  b")], "oauth", "b"),
        (
            "/",
            [("authorization", "TOKEN auth_tokens/t"), ("x-goog-api-key", "auth_tokens/t")],
            "ephemeral_token",
            "auth_tokens/t",
        ),
        ("/", [("authorization", "Token other")], "ephemeral_token", "other"),
        ("/", [("authorization", "Basic x"), ("x-goog-api-key", "k")], "api_key", "k"),
        ("/", [("x-goog-api-key", "first"), ("x-goog-api-key", "second")], "api_key", "first"),
    ],
)
def test_the_first_credential_counts(
    target: str, headers: list[tuple[str, str]], kind: str | None, value: str | None
) -> None:
    credential = credentials(target, headers)
    assert credential.kind == kind
    assert credential.value == value
    assert repr(credential) == f"Credentials(kind={kind!r})"


def test_credentials_hide_their_value() -> None:
    assert "CANARY" not in f"{Credentials(kind='api_key', value='CANARY')!r}"


@given(st.text(), st.lists(st.tuples(st.text(), st.text())))
def test_the_server_side_never_raises(target: str, headers: list[tuple[str, str]]) -> None:
    match_target(target)
    credentials(target, headers)


@pytest.mark.parametrize("endpoint", ENDPOINTS[:6])
def test_the_server_understands_what_the_client_sends(endpoint: Endpoint) -> None:
    route = match_target(endpoint.target)
    assert route is not None
    assert route.backend is endpoint.backend
    found = credentials(endpoint.target, endpoint.headers)
    assert found.value in (KEY, TOKEN, OAUTH)
    assert (found.kind == "ephemeral_token") is (route.method == "BidiGenerateContentConstrained")
