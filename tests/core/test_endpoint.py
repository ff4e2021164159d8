"""URLs, headers and model names. No text form of an endpoint shows a credential."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from functools import partial
from typing import Any

import attrs
import pytest
from support.endpoints import ENDPOINTS, GEMINI, KEY, OAUTH, TOKEN, VERTEX, field, refused

from live_protocol.endpoint import (
    Endpoint,
    credentials,
)
from live_protocol.messages import Backend

# --- the Gemini API ---------------------------------------------------------------------------------------------


def test_a_gemini_key_goes_into_a_header() -> None:
    endpoint = Endpoint.gemini(api_key=KEY)
    assert endpoint.backend is Backend.GEMINI
    assert endpoint.secure
    assert (endpoint.host, endpoint.port) == ("generativelanguage.googleapis.com", 443)
    assert endpoint.target == GEMINI
    assert endpoint.headers[0] == ("x-goog-api-key", KEY)
    assert (field(endpoint, "user-agent") or "").startswith("live-protocol/")
    assert endpoint.url == f"wss://generativelanguage.googleapis.com{GEMINI}"
    assert (endpoint.project, endpoint.location) == (None, None)


def test_a_gemini_key_may_go_into_the_query() -> None:
    endpoint = Endpoint.gemini(api_key="a+b/c=d&e", key_in_query=True, version="v1alpha")
    assert endpoint.target == GEMINI.replace("v1beta", "v1alpha") + "?key=a%2Bb/c%3Dd%26e"
    assert field(endpoint, "x-goog-api-key") is None
    assert endpoint.url.endswith("BidiGenerateContent?key=REDACTED")
    assert credentials(endpoint.target, ()).value == "a+b/c=d&e"


@pytest.mark.parametrize("name", ["token", "api_key"])
def test_an_ephemeral_token_is_recognised_in_any_argument(name: str) -> None:
    arguments: dict[str, Any] = {name: TOKEN}
    endpoint = Endpoint.gemini(**arguments)
    assert endpoint.target == GEMINI + "Constrained"
    assert field(endpoint, "authorization") == f"Token {TOKEN}"
    assert field(endpoint, "x-goog-api-key") is None
    endpoint = Endpoint.gemini(**arguments, key_in_query=True)
    assert endpoint.target == f"{GEMINI}Constrained?access_token={TOKEN}"
    assert field(endpoint, "authorization") is None


def test_a_header_can_be_the_credential() -> None:
    endpoint = Endpoint.gemini(headers={"X-Goog-Api-Key": KEY})
    assert endpoint.target == GEMINI
    assert endpoint.headers[0] == ("x-goog-api-key", KEY)
    endpoint = Endpoint.gemini(headers=[("Authorization", f"Token {TOKEN}")])
    assert endpoint.target == GEMINI + "Constrained"
    endpoint = Endpoint.gemini(api_key=KEY, headers=[("Authorization", "Bearer for-the-gateway")])
    assert field(endpoint, "authorization") == "Bearer for-the-gateway"
    assert field(endpoint, "x-goog-api-key") == KEY


def test_gemini_needs_exactly_one_credential() -> None:
    refused(Endpoint.gemini, "api_key", "pass api_key= or token=")
    refused(lambda: Endpoint.gemini(api_key=KEY, token=TOKEN), "token", "one of them")
    refused(lambda: Endpoint.gemini(token=KEY), "token", "must begin with auth_tokens/")
    refused(lambda: Endpoint.gemini(api_key=KEY, headers={"x-goog-api-key": KEY}), "api_key", "x-goog-api-key")
    refused(lambda: Endpoint.gemini(token=TOKEN, headers={"authorization": "Bearer x"}), "token", "authorization")
    refused(lambda: Endpoint.gemini(headers={"x-goog-api-key": KEY}, key_in_query=True), "key_in_query")


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://h.test", "wss://h.test{}"),
        ("https://h.test/", "wss://h.test{}"),
        ("wss://h.test//", "wss://h.test{}"),
        ("HTTP://H.Test:80", "ws://h.test{}"),
        ("http://h.test", "ws://h.test{}"),
        ("ws://127.0.0.1:8765/", "ws://127.0.0.1:8765{}"),
        ("https://h.test:/p", "wss://h.test/p{}"),
        ("https://h.test/p/q/", "wss://h.test/p/q{}"),
        ("ws://[::1]:8080", "ws://[::1]:8080{}"),
        ("ws://[0:0::1]", "ws://[::1]{}"),
        ("ws://h.test:443", "ws://h.test:443{}"),
        ("wss://bücher.test", "wss://xn--bcher-kva.test{}"),
        ("wss://my_host.svc.", "wss://my_host.svc.{}"),
    ],
)
def test_a_base_url_may_have_a_path_prefix(base_url: str, url: str) -> None:
    endpoint = Endpoint.gemini(api_key=KEY, base_url=base_url)
    assert endpoint.url == url.format(GEMINI)
    assert endpoint.secure is url.startswith("wss:")


def test_the_host_header_omits_the_default_port() -> None:
    def host(url: str) -> str:
        return Endpoint.custom(url).host_header

    assert host("ws://h:80/") == "h"
    assert host("ws://h:443/") == "h:443"
    assert host("wss://h:443/") == "h"
    assert host("wss://[::1]:1/") == "[::1]:1"
    assert Endpoint.custom("wss://[::1]/").host == "::1"


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "scheme://host"),
        ("h.test", "scheme://host"),
        ("ftp://h.test", "scheme://host"),
        ("wss://", "scheme://host"),
        ("wss:///CANARY", "scheme://host"),
        ("wss://h:70000a", "scheme://host"),
        ("wss://h.test/#CANARY", "no fragment"),
        ("wss://CANARY@h.test/", "user info"),
        ("wss://u:CANARY@h.test", "user info"),
        ("wss://h.test/\r\nX-Evil: CANARY", "line breaks"),
        ("wss://h.test/CANARY\x00", "control"),
        ("wss://h.test/CANARY\x7f", "control"),
        ("wss://h.test/a b", "spaces"),
        ("wss://[CANARY]/", "IPv6"),
        ("wss://[fe80::1%eth0]/", "IPv6"),
        ("wss://[]/", "IPv6"),
        ("wss://CANARY..test/", "host"),
        ("wss://" + "CANARY" * 20 + ".test/", "host"),
        ("wss://" + "ü" * 60 + ".test/", "host"),
        ("wss://" + "a." * 130 + "test", "host"),
        ("wss://a\u2100b.test", "host"),  # IDNA turns this sign into a slash
        ("wss://CANARY!.test", "host"),
        (b"wss://CANARY", "URL"),
        (None, "URL"),
    ],
)
def test_a_malformed_url_is_refused(url: Any, part: str) -> None:
    refused(lambda: Endpoint.custom(url), "url", part)
    if url is not None:
        refused(lambda: Endpoint.gemini(api_key=KEY, base_url=url), "base_url", part)


def test_the_other_parts_of_a_url_are_checked() -> None:
    refused(lambda: Endpoint.gemini(api_key=KEY, base_url="wss://h/?key=CANARY"), "base_url", "query")
    refused(lambda: Endpoint.custom("https://h.test/"), "url", "ws:// or wss://")
    refused(lambda: Endpoint.custom("wss://h.test/CANARYü"), "target", "visible ASCII")
    refused(lambda: Endpoint.custom("wss://h.test:0/"), "port")
    refused(lambda: Endpoint.custom("wss://h.test:65536/"), "port")
    assert Endpoint.custom("wss://h.test:65535/").port == 65535
    refused(lambda: Endpoint.gemini(api_key=KEY, version="v1/../CANARY"), "version")
    refused(lambda: Endpoint.gemini(api_key=KEY, version="1"), "version")


# --- what reaches a header or the request line ------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["", " ", "CANARY\r\nX-Evil: 1", "CANARY\n", "CANARY\x00", "CANARY x", "CANARYé", b"CANARY", 5]
)
def test_a_malformed_credential_is_refused(value: Any) -> None:
    refused(lambda: Endpoint.gemini(api_key=value), "api_key", "visible ASCII")
    refused(lambda: Endpoint.gemini(token=value), "token", "visible ASCII")
    refused(lambda: Endpoint.gemini(api_key=value, key_in_query=True), "api_key", "visible ASCII")
    refused(lambda: Endpoint.vertex(access_token=value, project="p"), "access_token", "visible ASCII")
    refused(lambda: Endpoint.vertex(api_key=value), "api_key", "visible ASCII")
    good = Endpoint.vertex(access_token=OAUTH, project="p")
    refused(lambda: good.with_access_token(value), "token", "visible ASCII")


@pytest.mark.parametrize(
    "name",
    ["Host", "UPGRADE", "connection", "Sec-WebSocket-Key", "sec-websocket-x", "Content-Length", "transfer-encoding"],
)
def test_a_header_of_the_handshake_is_refused(name: str) -> None:
    refused(lambda: Endpoint.custom("ws://h", headers={"a": "b", name: "x"}), "headers[1]", "opening handshake")


@pytest.mark.parametrize("name", ["", "CANARY a", "CANARY:", "CANARYé", "CANARY\r\n", b"CANARY", None])
def test_a_malformed_header_name_is_refused(name: Any) -> None:
    refused(lambda: Endpoint.custom("ws://h", headers=[(name, "x")]), "headers[0]", "token")


@pytest.mark.parametrize(
    "value", [" CANARY", "CANARY ", "\tCANARY", "CANARY\r\nx: y", "CANARY\x00", "CANARYé", b"CANARY", None, "a\x7fb"]
)
def test_a_malformed_header_value_is_refused(value: Any) -> None:
    refused(lambda: Endpoint.custom("ws://h", headers=[("x-a", value)]), "headers[0]", "visible ASCII")


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        (5, "headers"),
        (KEY, "headers"),
        (KEY.encode(), "headers"),
        ([KEY], "headers[0]"),
        ([("a", "b"), (KEY,)], "headers[1]"),
        ([(KEY, "b", "c")], "headers[0]"),
        ([5], "headers[0]"),
    ],
)
def test_headers_must_be_pairs(headers: Any, path: str) -> None:
    refused(lambda: Endpoint.custom("ws://h", headers=headers), path, "name and value")


def test_headers_are_accepted_as_mapping_or_pairs() -> None:
    endpoint = Endpoint.custom("ws://h", headers=[("X-A", ""), ("x-b", "a\tb  c"), ("User-Agent", "mine/1")])
    assert endpoint.headers == (("x-a", ""), ("x-b", "a\tb  c"), ("user-agent", "mine/1"))
    refused(lambda: Endpoint.custom("ws://h", headers=[("X-A", "1"), ("x-a", "CANARY")]), "headers[1]", "repeats")


def test_an_endpoint_built_by_hand_is_checked_too() -> None:
    def build(**changes: Any) -> Endpoint:
        arguments: dict[str, Any] = {"backend": Backend.VERTEX, "secure": True, "host": "h", "port": 1, "target": "/"}
        return Endpoint(**arguments | changes)

    assert build(host="::1").host_header == "[::1]:1"
    for host in ("", "H", "a b", "fe80::1%eth0", "::g", None):
        refused(partial(build, host=host), "host")
    for port in (0, 65536, -1, "80", None):
        refused(partial(build, port=port), "port")
    for target in ("", "x", "/a b", "/#", "/\n", "/é", None):
        refused(partial(build, target=target), "target")
    refused(lambda: build(headers=(("X-A", "CANARY"),)), "headers", "lower case")
    refused(lambda: build(project="a/b"), "project")
    refused(lambda: build(location="a/b"), "location")


# --- Vertex -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "mtls", "host"),
    [
        (None, False, "aiplatform.googleapis.com"),
        ("global", False, "aiplatform.googleapis.com"),
        ("us-central1", False, "us-central1-aiplatform.googleapis.com"),
        ("us", False, "aiplatform.us.rep.googleapis.com"),
        ("eu", False, "aiplatform.eu.rep.googleapis.com"),
        ("global", True, "aiplatform.mtls.googleapis.com"),
        ("us-central1", True, "us-central1-aiplatform.mtls.googleapis.com"),
        ("eu", True, "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_a_vertex_location_has_its_host(location: str | None, mtls: bool, host: str) -> None:
    endpoint = Endpoint.vertex(access_token=OAUTH, project="p", location=location, mtls=mtls)
    assert endpoint.url == f"wss://{host}{VERTEX}"
    assert endpoint.backend is Backend.VERTEX
    assert endpoint.location == (location or "global")
    assert endpoint.project == "p"


@pytest.mark.parametrize(
    ("base", "host"),
    [
        ("https://x.sandbox.googleapis.com", "x.mtls.sandbox.googleapis.com"),
        ("https://x.mtls.googleapis.com", "x.mtls.googleapis.com"),
        ("https://gateway.test", "gateway.test"),
        ("https://notgoogleapis.com", "notgoogleapis.com"),
    ],
)
def test_a_google_base_url_has_an_mtls_twin(base: str, host: str) -> None:
    assert Endpoint.vertex(access_token=OAUTH, project="p", base_url=base, mtls=True).host == host


def test_vertex_sends_token_and_quota_project_as_headers() -> None:
    endpoint = Endpoint.vertex(access_token=OAUTH, project="p", quota_project="q", version="v1")
    assert field(endpoint, "authorization") == f"Bearer {OAUTH}"
    assert field(endpoint, "x-goog-user-project") == "q"
    assert "aiplatform.v1.Llm" in endpoint.target


def test_headers_of_the_caller_take_precedence_on_vertex() -> None:
    mine = {"Authorization": "Bearer mine", "X-Goog-User-Project": "mine"}
    for token in (OAUTH, None):
        endpoint = Endpoint.vertex(access_token=token, project="p", quota_project="q", headers=mine)
        assert field(endpoint, "authorization") == "Bearer mine"
        assert field(endpoint, "x-goog-user-project") == "mine"
        assert len(endpoint.headers) == 3


def test_express_mode_needs_a_key_alone() -> None:
    endpoint = Endpoint.vertex(api_key=KEY)
    assert endpoint.url == f"wss://aiplatform.googleapis.com{VERTEX}"
    assert field(endpoint, "x-goog-api-key") == KEY
    assert field(endpoint, "authorization") is None
    assert (endpoint.project, endpoint.location) == (None, None)
    assert endpoint.model_path("m") == "publishers/google/models/m"
    assert Endpoint.vertex(api_key=KEY, location="us-east1").model_path("m") == "publishers/google/models/m"


def test_vertex_needs_a_project_and_one_credential() -> None:
    refused(Endpoint.vertex, "project", "pass project=")
    refused(lambda: Endpoint.vertex(access_token=OAUTH), "project", "api_key= for express mode")
    refused(lambda: Endpoint.vertex(project="p"), "access_token", "pass access_token=")
    refused(lambda: Endpoint.vertex(api_key=KEY, access_token=OAUTH), "api_key", "express")
    refused(lambda: Endpoint.vertex(api_key=KEY, project="p"), "api_key", "express")
    refused(lambda: Endpoint.vertex(api_key=KEY, headers={"x-goog-api-key": KEY}), "api_key", "x-goog-api-key")


def test_project_and_location_are_checked() -> None:
    for location in ("", "a/b", "a.evil.test", "A", "-a", "a b", "é"):
        refused(partial(Endpoint.vertex, api_key=KEY, location=location), "location", "us-central1")
    for project in ("", "a/b", "a..b", "a?b", "a b", "é\r\n"):
        refused(partial(Endpoint.vertex, access_token=OAUTH, project=project), "project", "project id")
        refused(
            partial(Endpoint.vertex, access_token=OAUTH, project="p", quota_project=project),
            "quota_project",
            "project id",
        )
    assert Endpoint.vertex(access_token=OAUTH, project="example.com:p-1").project == "example.com:p-1"


def test_a_fresh_access_token_for_each_dial() -> None:
    first = Endpoint.vertex(access_token="old", project="p", quota_project="q")
    second = first.with_access_token(OAUTH)
    assert field(first, "authorization") == "Bearer old"
    assert dict(second.headers) == dict(first.headers) | {"authorization": f"Bearer {OAUTH}"}
    assert attrs.evolve(second, headers=first.headers) == first
    gateway = Endpoint.custom("wss://h/x", backend=Backend.VERTEX).with_access_token("t")
    assert field(gateway, "authorization") == "Bearer t"
    refused(lambda: Endpoint.gemini(api_key=KEY).with_access_token(OAUTH), "token", "Vertex")
    refused(lambda: Endpoint.vertex(api_key=KEY).with_access_token(OAUTH), "token", "express")


# --- any other server -------------------------------------------------------------------------------------------


def test_a_custom_url_is_not_changed() -> None:
    endpoint = Endpoint.custom("ws://h:1/A%20b//c?x=1&y=%2F", headers={"X": "y"})
    assert endpoint.target == "/A%20b//c?x=1&y=%2F"
    assert not endpoint.secure
    assert endpoint.backend is Backend.GEMINI
    assert Endpoint.custom("ws://h").target == "/"
    assert Endpoint.custom("ws://h?x").target == "/?x"
    assert Endpoint.custom("ws://h/?x@y").target == "/?x@y"
    vertex = Endpoint.custom("ws://h", backend=Backend.VERTEX, project="p", location="l")
    assert vertex.model_path("m") == "projects/p/locations/l/publishers/google/models/m"


# --- model names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["", "a..b", "a?b", "a&b"])
def test_a_malformed_model_name_is_refused(model: str) -> None:
    for endpoint in (Endpoint.gemini(api_key=KEY), Endpoint.vertex(api_key=KEY)):
        refused(partial(endpoint.model_path, model), "setup.model")


@pytest.mark.parametrize(
    ("model", "gemini", "vertex"),
    [
        ("m", "models/m", "projects/P/locations/L/publishers/google/models/m"),
        ("models/m", "models/m", "models/m"),
        ("tunedModels/m", "tunedModels/m", "projects/P/locations/L/publishers/tunedModels/models/m"),
        ("google/m", "models/google/m", "projects/P/locations/L/publishers/google/models/m"),
        ("publishers/a/models/m", "models/publishers/a/models/m", "projects/P/locations/L/publishers/a/models/m"),
        ("projects/x/y", "models/projects/x/y", "projects/x/y"),
    ],
)
def test_a_model_name_becomes_a_resource_name(model: str, gemini: str, vertex: str) -> None:
    assert Endpoint.gemini(api_key=KEY).model_path(model) == gemini
    endpoint = Endpoint.custom("ws://h", backend=Backend.VERTEX, project="P", location="l")
    assert endpoint.model_path(model) == vertex.replace("/L/", "/l/")


# --- nothing shows a credential ---------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_text_form_shows_a_credential(endpoint: Endpoint) -> None:
    shown = f"{endpoint!r} {endpoint} {endpoint.url} {[endpoint]} {endpoint.host_header}"
    assert "CANARY" not in shown
    assert "hidden" in shown
    with pytest.raises(TypeError):
        vars(endpoint)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_endpoint_refuses_to_be_pickled(endpoint: Endpoint, protocol: int) -> None:
    refused(lambda: pickle.dumps(endpoint, protocol), "endpoint", "refuses to be pickled")


def test_copies_are_the_same_object() -> None:
    endpoint = ENDPOINTS[0]
    assert copy.copy(endpoint) is endpoint
    assert copy.deepcopy([endpoint])[0] is endpoint
    assert hash(endpoint) == hash(Endpoint.gemini(api_key=KEY))


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    refused(Endpoint.gemini, "api_key")
    refused(Endpoint.vertex, "project")
    assert Endpoint.gemini(api_key=KEY).target == GEMINI


def test_importing_the_endpoint_loads_no_io() -> None:
    code = (
        "import sys, live_protocol.endpoint, live_protocol.recording\n"
        "'ü'.encode('idna')\n"
        "print(sorted({'socket', 'ssl', 'select', 'selectors', 'asyncio'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
