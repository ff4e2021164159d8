"""Which proxy is meant, and the tunnel without any I/O."""

from __future__ import annotations

import base64
import os
import ssl
from typing import Any
from unittest.mock import patch

import pytest

from live_protocol import Endpoint, InvalidMessage
from live_transports.shared.proxy import ConnectTunnel, Proxy, ProxyFailed, choose, from_environment

SECRET = "s3cret"


# --- URLs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port", "secure"),
    [
        ("http://proxy.test:3128", "proxy.test", 3128, False),
        ("http://proxy.test:3128/", "proxy.test", 3128, False),
        ("HTTP://Proxy.Test", "proxy.test", 80, False),
        ("https://proxy.test", "proxy.test", 443, True),
        ("proxy.test:8080", "proxy.test", 8080, False),
        ("http://[::1]:8080", "::1", 8080, False),
    ],
)
def test_urls(url: str, host: str, port: int, secure: bool) -> None:
    proxy = Proxy.parse(url)
    assert (proxy.host, proxy.port, proxy.secure, proxy.authorization) == (host, port, secure, None)


@pytest.mark.parametrize(
    ("user_info", "meaning"),
    [
        (f"me:{SECRET}", f"me:{SECRET}"),
        ("me", "me:"),
        ("me:p%40ss%3Aw%2F", "me:p@ss:w/"),
        ("me:p@ss", "me:p@ss"),
        ("us%C3%A9r:%E2%82%AC", "usér:€"),
    ],
)
def test_credentials(user_info: str, meaning: str) -> None:
    proxy = Proxy.parse(f"http://{user_info}@proxy.test:1")
    assert proxy.authorization is not None
    kind, value = proxy.authorization.split()
    assert kind == "Basic"
    assert base64.b64decode(value).decode() == meaning
    assert value not in repr(proxy)
    assert "hidden" in repr(proxy)


@pytest.mark.parametrize(
    "url",
    [
        f"socks5://me:{SECRET}@proxy.test:1",
        f"ws://me:{SECRET}@proxy.test:1",
        f"http://me:{SECRET}/@proxy.test:1",
        f"http://me:{SECRET}@proxy.test:1/path",
        f"http://me:{SECRET}@proxy.test:1?{SECRET}",
        f"http://me:{SECRET}@proxy.test:99999",
        f"http://me:{SECRET}@",
        f"http://me%3A{SECRET}:x@proxy.test:1",
        f"http://me:{SECRET}%0d%0aX: y@proxy.test:1",
        f"http://me:{SECRET}\udc80@proxy.test:1",
        f"http://me:{SECRET}@pro xy:1",
        "",
        7,
    ],
)
def test_refused_urls_are_not_quoted(url: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Proxy.parse(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_bad_members() -> None:
    with pytest.raises(InvalidMessage):
        Proxy(host="proxy.test", port=0)
    with pytest.raises(InvalidMessage):
        Proxy(host="proxy.test", port=1, authorization=f"Bearer {SECRET}\r\n")
    with pytest.raises(InvalidMessage, match="https"):
        Proxy(host="proxy.test", port=1, ssl=ssl.create_default_context())
    assert Proxy(host="proxy.test", port=1, authorization="Bearer abc").name == "proxy.test:1"


# --- the environment --------------------------------------------------------------------------------------------

PLAIN, SECURE = Endpoint.custom("ws://api.example.com:8000/"), Endpoint.custom("wss://api.example.com/")


@pytest.mark.parametrize(
    ("environ", "plain", "secure"),
    [
        ({}, None, None),
        ({"https_proxy": "http://a:1"}, None, "a:1"),
        ({"HTTPS_PROXY": "http://a:1"}, None, "a:1"),
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, None, "a:1"),
        ({"http_proxy": "a:1"}, "a:1", None),
        ({"HTTP_PROXY": "a:1"}, "a:1", None),
        ({"HTTP_PROXY": "a:1", "REQUEST_METHOD": "GET"}, None, None),
        ({"ALL_PROXY": "http://a:1", "https_proxy": "http://b:1"}, "a:1", "b:1"),
        ({"http_proxy": "a:1", "REQUEST_METHOD": "GET"}, "a:1", None),
        ({"ALL_PROXY": " "}, None, None),
        ({"https_proxy": " ", "ALL_PROXY": " a:1 "}, "a:1", "a:1"),
    ],
)
def test_variables(environ: dict[str, str], plain: str | None, secure: str | None) -> None:
    with patch.dict(os.environ, environ, clear=True):
        for endpoint, expected in ((PLAIN, plain), (SECURE, secure)):
            proxy = from_environment(endpoint)
            assert (proxy and proxy.name) == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "excepted"),
    [
        ("*", "api.example.com", True),
        ("other.test,*", "api.example.com", True),
        ("*", "10.1.2.3", True),
        ("*:8000", "api.example.com", True),
        ("*:1", "api.example.com", False),
        ("example.com.", "api.example.com", True),
        ("example.com.:8000", "api.example.com", True),
        ("example.com", "api.example.com.", True),
        ("*.example.com:8000", "api.example.com", True),
        ("example.com:44³", "api.example.com", False),
        ("10.1.2.3:44³", "10.1.2.3", False),
        ("2.3", "10.1.2.3", False),
        ("10.0.0.0/8:8000", "10.1.2.3", True),
        ("10.0.0.0/8:1", "10.1.2.3", False),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("EXAMPLE.com", "api.example.com", True),
        ("other.test, api.example.com", "api.example.com", True),
        ("ample.com", "api.example.com", False),
        ("example.com:8000", "api.example.com", True),
        ("example.com:1", "api.example.com", False),
        (" , ,.", "api.example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8000", "10.1.2.3", True),
        ("10.1.2.3:1", "10.1.2.3", False),
        ("10.0.0.0/8,nonsense", "11.1.2.3", False),
        ("nonsense", "11.1.2.3", False),
        ("::1", "[::1]", True),
        ("[::1]:8000", "[::1]", True),
        ("[::1]:1", "[::1]", False),
        ("fe80::/10", "[::1]", False),
    ],
)
def test_exceptions(no_proxy: str, host: str, excepted: bool) -> None:
    with patch.dict(os.environ, {"all_proxy": "http://a:1", "no_proxy": no_proxy}, clear=True):
        proxy = from_environment(Endpoint.custom(f"ws://{host}:8000/"))
    assert (proxy is None) is excepted


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://from.env:1")
    proxy = Proxy(host="given.test", port=1)
    assert choose(None, SECURE) is None
    assert choose(proxy, SECURE) is proxy
    for value, host in (("http://by.url:1", "by.url"), ("environment", "from.env")):
        chosen = choose(value, SECURE)
        assert chosen is not None
        assert chosen.host == host
    monkeypatch.setenv("https_proxy", "socks5://from.env:1")
    with pytest.raises(InvalidMessage, match="SOCKS"):
        choose("environment", SECURE)


# --- the tunnel -------------------------------------------------------------------------------------------------

OPEN = b"HTTP/1.1 200 Connection established\r\nContent-Length: 0\r\n\r\n"


def tunnel(host: str = "api.example.com") -> ConnectTunnel:
    return ConnectTunnel(Proxy.parse(f"http://me:{SECRET}@proxy.test:1"), host, 443)


def failure(*pieces: bytes) -> ProxyFailed:
    machine = tunnel()
    with pytest.raises(ProxyFailed) as caught:  # noqa: PT012
        for piece in pieces:
            assert not machine.receive_data(piece)
    assert SECRET not in f"{caught.value} {caught.value!r}"
    return caught.value


def test_the_request() -> None:
    machine = tunnel()
    request = machine.data_to_send()
    assert machine.data_to_send() == b""
    lines = request.decode().split("\r\n")
    assert lines[:2] == ["CONNECT api.example.com:443 HTTP/1.1", "Host: api.example.com:443"]
    assert lines[3] == "Proxy-Authorization: Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert lines[4:] == ["", ""]
    assert tunnel("::1").data_to_send().startswith(b"CONNECT [::1]:443 ")


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["", "after 100"])
def test_it_opens(step: int, before: bytes) -> None:
    machine = tunnel()
    answer = before + OPEN
    pieces = [answer[at : at + step] for at in range(0, len(answer), step)]
    assert [machine.receive_data(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_it_is_refused() -> None:
    body = b"<h1>who are you?</h1>"
    error = failure(b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\n", b"Content-Length: 21\r\n\r\n" + body)
    assert error.status == 407
    assert error.headers == (("proxy-authenticate", "Basic"), ("content-length", "21"))
    assert error.body == body
    assert "credentials" in str(error)
    assert "HTTP 418" in str(failure(b"HTTP/1.1 418 Teapot\r\n\r\n"))
    assert "reach" in str(failure(b"HTTP/1.1 502 Bad\r\n\r\n"))
    assert len(failure(b"HTTP/1.1 403 No\r\n\r\n" + b"x" * 100_000).body) == 16 * 1024


def test_it_is_no_answer() -> None:
    assert "TLS" in str(failure(b"\x15\x03\x01\x00\x02"))
    assert "not HTTP" in str(failure(b"SSH-2.0-x\r\n"))
    assert "illegal" in str(failure(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"))
    assert "closed" in str(failure(b"HTTP/1.1 200 OK\r\n", b""))
    assert "closed" in str(failure(b""))
    assert "more than an answer" in str(failure(OPEN + b"!"))
    assert "max_handshake" in str(failure(b"HTTP/1.1 200 OK\r\n", *[b"X-Long: yes\r\n" * 1000] * 3))
    assert "max_headers" in str(failure(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"))
