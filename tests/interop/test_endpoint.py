"""The official SDK dials the same URLs with the same credentials and names models the same way."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from support.endpoints import KEY, MODELS, OAUTH, TOKEN, refused

from live_protocol.endpoint import (
    Endpoint,
)

# --- against the official SDK -----------------------------------------------------------------------------------


class _Dialled(Exception):
    pass


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with warnings.catch_warnings():
        # The SDK warns about itself, from many places; what is checked here is only where it dials.
        warnings.simplefilter("ignore")
        genai = pytest.importorskip("google.genai")
        for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GEMINI_"))]:
            monkeypatch.delenv(name)
        yield genai


def _dial(sdk: Any, monkeypatch: pytest.MonkeyPatch, model: str, **arguments: Any) -> tuple[str, dict[str, str], str]:
    """Where the SDK dials, with which headers, and its name for the model; nothing leaves the machine."""
    from google.genai import live

    seen: list[tuple[str, dict[str, str]]] = []
    sent: list[str] = []

    class Socket:
        async def send(self, text: str) -> None:
            import json

            sent.append(json.loads(text)["setup"]["model"])
            raise _Dialled

    class Connect:
        def __init__(self, uri: str, additional_headers: dict[str, str], **_: object) -> None:
            seen.append((uri, {name.lower(): value for name, value in additional_headers.items()}))

        async def __aenter__(self) -> Socket:
            return Socket()

        async def __aexit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(live, "ws_connect", Connect)

    async def connect() -> None:
        client = sdk.Client(**arguments)
        async with client.aio.live.connect(model=model):
            pass

    with pytest.raises(_Dialled):
        asyncio.run(connect())
    return (*seen[0], sent[0])


def _same(endpoint: Endpoint, uri: str, headers: dict[str, str], names: set[str]) -> None:
    scheme, _, rest = uri.partition("://")
    assert f"{scheme}://{rest.replace('//', '/')}" == endpoint.url
    assert {n: v for n, v in headers.items() if n in names} == {n: v for n, v in endpoint.headers if n in names}


CREDENTIAL_HEADERS = {"authorization", "x-goog-api-key", "x-goog-user-project"}


@pytest.mark.parametrize("base_url", [None, "https://h.test:8443/p/", "https://h.test"])
def test_the_sdk_dials_the_same_on_gemini(sdk: Any, monkeypatch: pytest.MonkeyPatch, base_url: str | None) -> None:
    options = {"base_url": base_url, "api_version": "v1beta"}
    uri, headers, _ = _dial(sdk, monkeypatch, "m", api_key=KEY, http_options=options)
    _same(Endpoint.gemini(api_key=KEY, base_url=base_url), uri, headers, CREDENTIAL_HEADERS)
    options["api_version"] = "v1alpha"
    uri, headers, _ = _dial(sdk, monkeypatch, "m", api_key=TOKEN, http_options=options)
    endpoint = Endpoint.gemini(token=TOKEN, base_url=base_url, version="v1alpha")
    _same(endpoint, uri, headers, {"authorization"})  # the SDK repeats the token in x-goog-api-key
    assert headers["x-goog-api-key"] == TOKEN


@pytest.mark.parametrize("location", ["global", "us-central1", "us", "eu"])
def test_the_sdk_dials_the_same_on_vertex(sdk: Any, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    from google.oauth2.credentials import Credentials as GoogleCredentials

    login = GoogleCredentials(token=OAUTH, quota_project_id="q")  # type: ignore[no-untyped-call]
    arguments = {"vertexai": True, "project": "p", "location": location, "credentials": login}
    for model in MODELS:
        uri, headers, name = _dial(sdk, monkeypatch, model, **arguments)
        endpoint = Endpoint.vertex(access_token=OAUTH, project="p", location=location, quota_project="q")
        _same(endpoint, uri, headers, CREDENTIAL_HEADERS)
        assert endpoint.model_path(model) == name


@pytest.mark.parametrize("location", [None, "us-central1"])
def test_the_sdk_dials_the_same_in_express_mode(
    sdk: Any, monkeypatch: pytest.MonkeyPatch, location: str | None
) -> None:
    for model in MODELS:
        uri, headers, name = _dial(sdk, monkeypatch, model, vertexai=True, api_key=KEY, location=location)
        endpoint = Endpoint.vertex(api_key=KEY, location=location)
        _same(endpoint, uri, headers, CREDENTIAL_HEADERS)
        assert endpoint.model_path(model) == name


def test_the_sdk_names_models_the_same_on_gemini(sdk: Any) -> None:
    from google.genai import _transformers

    client = sdk.Client(api_key=KEY)
    endpoint = Endpoint.gemini(api_key=KEY)
    for model in MODELS:
        assert endpoint.model_path(model) == _transformers.t_model(client._api_client, model)
    for model in ("", "..", "?", "&"):
        with pytest.raises(ValueError, match="model"):
            _transformers.t_model(client._api_client, model)
        refused(partial(endpoint.model_path, model), "setup.model")


@pytest.mark.parametrize(
    "host",
    [
        "aiplatform.googleapis.com",
        "us-east1-aiplatform.googleapis.com",
        "aiplatform.us.rep.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
        "x.sandbox.googleapis.com",
        "x.mtls.googleapis.com",
        "x.mtls.sandbox.googleapis.com",
        "gateway.test",
    ],
)
def test_the_sdk_has_the_same_mtls_hosts(sdk: Any, host: str) -> None:
    from google.genai import _api_client

    endpoint = Endpoint.vertex(access_token=OAUTH, project="p", base_url=f"https://{host}", mtls=True)
    assert _api_client.to_mtls_url(f"https://{host}/") == f"https://{endpoint.host}/"
