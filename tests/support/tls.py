"""Certificates for tests, valid and invalid."""

from __future__ import annotations

import datetime
import functools
import ssl
import tempfile
from pathlib import Path

import trustme


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def _server() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


@functools.cache
def server_context(name: str = "localhost") -> ssl.SSLContext:
    """A server with a certificate that `client_context` trusts."""
    context = _server()
    authority().issue_cert(name, "127.0.0.1" if name == "localhost" else name).configure_cert(context)
    return context


@functools.cache
def client_context() -> ssl.SSLContext:
    """A client that trusts our authority and no other."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


@functools.cache
def expired() -> ssl.SSLContext:
    context = _server()
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    cert = authority().issue_cert(
        "localhost", "127.0.0.1", not_before=past, not_after=past + datetime.timedelta(days=1)
    )
    cert.configure_cert(context)
    return context


@functools.cache
def wrong_host() -> ssl.SSLContext:
    return server_context("elsewhere.test")


@functools.cache
def self_signed() -> ssl.SSLContext:
    """A server that presents the certificate of an authority."""
    other = trustme.CA()
    context = _server()
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "server.pem"
        pem.write_bytes(other.private_key_pem.bytes() + other.cert_pem.bytes())
        context.load_cert_chain(pem)
    return context


@functools.cache
def unknown_authority() -> ssl.SSLContext:
    context = _server()
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context
