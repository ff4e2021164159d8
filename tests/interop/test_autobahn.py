"""Our link against the Autobahn test suite, where that is installed; `autobahn/run.py` runs it by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.autobahn.run import LONG, bad, find_wstest, run_client, run_server, summary


@pytest.mark.slow
@pytest.mark.skipif(find_wstest() is None, reason="wstest is not installed: tests/interop/autobahn/install.sh does it")
@pytest.mark.parametrize("role", ["client", "server"])
def test_no_case_fails_and_none_is_non_strict(role: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """All sections with ``--slow``, all but the long ones without."""
    run = run_client if role == "client" else run_server
    excluded = () if request.config.getoption("--slow") else LONG
    verdicts = run(find_wstest() or "", ["*"], excluded, tmp_path / role)
    print(summary(role, verdicts))
    assert len(verdicts) >= 247
    assert bad(verdicts) == {}
