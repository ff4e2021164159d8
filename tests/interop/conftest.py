"""Servers of the command line, as an SDK would find them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from transports.cli.support import line, running

from interop.support import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """``live-protocol serve --tls``."""
    pytest.importorskip("trustme")
    with running("serve", "--port", "0", "--tls") as process:
        ca = line(process.stdout).removeprefix("ca ")
        yield Server(line(process.stdout).removeprefix("listening on "), ca)
        process.terminate()
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture(scope="module")
def plain_server() -> Iterator[Server]:
    """``live-protocol serve``."""
    with running("serve", "--port", "0") as process:
        yield Server(line(process.stdout).removeprefix("listening on "), "")
        process.terminate()
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")
