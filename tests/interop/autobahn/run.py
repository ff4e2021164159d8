"""Runs the Autobahn test suite against our link and sums up: exit status 0 if no case FAILED and none is NON-STRICT.

    tests/interop/autobahn/install.sh            # once; needs CPython 2.7
    uv run python tests/interop/autobahn/run.py  # both roles, all but the long sections: 247 cases each, half a minute
    uv run python tests/interop/autobahn/run.py --all

``wstest`` is taken from the environment variable WSTEST, from ``.wstest`` in the root of the repository, or from the
path.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__:
    from interop.autobahn import echo
else:
    import echo  # type: ignore[no-redef]

HERE = Path(__file__).parent
AGENT = "live-protocol"
LONG = ("9.*", "12.*", "13.*")
"""Large messages and compression: a few minutes and about a quarter of an hour for each role."""


def find_wstest() -> str | None:
    """Where the suite is installed, None if it is not."""
    local = HERE.parents[2] / ".wstest" / "bin" / "wstest"
    return os.environ.get("WSTEST") or (str(local) if local.exists() else None) or shutil.which("wstest")


def run_client(wstest: str, cases: Sequence[str], excluded: Sequence[str], out: Path) -> dict[str, str]:
    """Our client against the suite's server; gives the verdict for each case."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with _suite(wstest, "fuzzingserver", port, out, cases=cases, excluded=excluded) as suite:
        (count,) = _get(port, "/getCaseCount", suite)
        for case in range(1, int(count) + 1):
            echo.client(port, f"/runCase?case={case}&agent={AGENT}")
        echo.client(port, f"/updateReports?agent={AGENT}")
    return _verdicts(out)


def run_server(wstest: str, cases: Sequence[str], excluded: Sequence[str], out: Path) -> dict[str, str]:
    """Our server against the suite's client; gives the verdict for each case."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)  # so that the end of the suite is noticed
        port: int = listener.getsockname()[1]
        with _suite(wstest, "fuzzingclient", port, out, cases=cases, excluded=excluded) as suite:
            while suite.poll() is None:
                with contextlib.suppress(TimeoutError):
                    echo.server(listener.accept()[0])
    return _verdicts(out)


@contextlib.contextmanager
def _suite(
    wstest: str, mode: str, port: int, out: Path, *, cases: Sequence[str], excluded: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    spec = json.loads((HERE / f"{mode}.json").read_text().replace("PORT", str(port)))
    spec |= {"outdir": str(out), "cases": list(cases), "exclude-cases": list(excluded)}
    out.mkdir(parents=True)
    written = out / "spec.json"
    written.write_text(json.dumps(spec))
    with (out / "log").open("wb") as log:
        suite = subprocess.Popen([wstest, "-m", mode, "-s", str(written), "-u", "0"], stdout=log, stderr=log)
        try:
            yield suite
        finally:
            suite.kill()
            suite.wait()


def _get(port: int, target: str, suite: subprocess.Popen[bytes]) -> list[str]:
    """Ask the suite's server, once it listens."""
    patience = time.monotonic() + echo.PATIENCE
    while True:
        try:
            return echo.client(port, target)
        except ConnectionError:
            if suite.poll() is not None or time.monotonic() > patience:
                raise
            time.sleep(0.1)


def _verdicts(out: Path) -> dict[str, str]:
    """Of message handling and of the closing handshake; the worse one counts."""
    order = ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED")

    def rank(verdict: str) -> int:
        return order.index(verdict) if verdict in order else len(order)

    cases = json.loads((out / "index.json").read_text())[AGENT]
    return {case: max(told["behavior"], told["behaviorClose"], key=rank) for case, told in cases.items()}


def summary(role: str, verdicts: dict[str, str]) -> str:
    """One line of counts and, if there are any, one of the cases that are not OK."""
    counts = collections.Counter(verdicts.values())
    text = f"{role}: {len(verdicts)} cases, " + ", ".join(f"{count} {name}" for name, count in counts.most_common())
    odd = [f"{case} {verdict}" for case, verdict in verdicts.items() if verdict != "OK"]
    return "\n".join([text, *(["  " + ", ".join(sorted(odd))] if odd else [])])


def bad(verdicts: dict[str, str]) -> dict[str, str]:
    """Cases below the bar."""
    return {case: verdict for case, verdict in verdicts.items() if verdict not in ("OK", "INFORMATIONAL")}


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the Autobahn test suite against live_protocol's WebSocket link.")
    parser.add_argument("--role", choices=["client", "server"], action="append", help="one role; both by default")
    parser.add_argument("--cases", nargs="*", default=["*"], help="patterns of cases, for example 6.* 9.1.*")
    parser.add_argument("--all", action="store_true", help=f"the long sections too ({', '.join(LONG)})")
    parser.add_argument("--out", type=Path, help="where the suite's reports go; thrown away if left out")
    options = parser.parse_args()
    wstest = find_wstest()
    if wstest is None:
        parser.error(f"wstest is not installed: see {HERE / 'install.sh'}")
    excluded = () if options.all or options.cases != ["*"] else LONG
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for role in options.role or ["client", "server"]:
            out = (options.out or Path(scratch)) / role
            verdicts = (run_client if role == "client" else run_server)(wstest, options.cases, excluded, out)
            print(summary(role, verdicts), flush=True)
            failed = failed or not verdicts or bool(bad(verdicts))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
