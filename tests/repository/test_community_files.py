"""The pages and workflows that strangers meet first say what is true of this repository."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from live_protocol import Limits, Timeouts

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
DECISIONS = ROOT / "docs" / "decisions"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

RECORDS = sorted(DECISIONS.glob("[0-9]*.md"))
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "CODE_OF_CONDUCT.md",
    GITHUB / "pull_request_template.md",
    DECISIONS / "README.md",
    *RECORDS,
]
YAML = [ROOT / ".pre-commit-config.yaml", *sorted(GITHUB.rglob("*.yml"))]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
JSON_LAYOUTS = [GITHUB / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]

HEADINGS = ["Context", "Decision", "Consequences", "What would change our mind"]

_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"\.?[\w-]+(/[\w.-]+)+/?|\.?[\w-]+\.(md|toml|ya?ml|txt)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def paths_in(text: str) -> Iterator[str]:
    """What stands in backticks and looks like a path of this repository, in commands too."""
    for code in _CODE.findall(_FENCE.sub("", text)):
        yield from (word for word in code.split() if _PATH.fullmatch(word))


# --- pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_paths_in_backticks_exist(page: Path) -> None:
    missing = {path for path in paths_in(page.read_text("utf-8")) if not (ROOT / path).exists()}
    assert missing == set()


def test_the_search_for_paths_finds_them() -> None:
    text = "`a/b.py` and `uv run python c/d.py --check`, `.ci/run`, `LICENSE.md`; not `a.b`, `--slow`, `tests/<x>`"
    assert list(paths_in(text)) == ["a/b.py", "c/d.py", ".ci/run", "LICENSE.md"]


@pytest.mark.parametrize("page", [*PAGES, *YAML], ids=relative)
def test_no_address_is_given_that_nobody_reads(page: Path) -> None:
    assert not re.search(r"[\w.+-]+@[\w-]+\.(?:com|org|net|dev|io)\b", page.read_text("utf-8"))


@pytest.mark.parametrize(("prefix", "cls"), [("Limits", Limits), ("Timeouts", Timeouts)])
def test_the_threat_model_has_every_bound_with_its_default(prefix: str, cls: type[Any]) -> None:
    rows = [row for row in (ROOT / "SECURITY.md").read_text("utf-8").splitlines() if row.startswith("| ")]
    for name, default in attrs.asdict(cls()).items():
        found = [row for row in rows if f"`{prefix}.{name}`" in row]
        if default is None:  # off by default, so it bounds nothing
            assert not found
            continue
        assert len(found) == 1, name
        assert shown(default) in found[0].split("|")[3], name


def shown(default: float) -> str:
    if isinstance(default, float):
        return f"{default:g} s"
    for size, unit in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if default >= 16 * 1024 and default % size == 0:
            return f"{default // size} {unit}"
    return f"{default:,}"


# --- decisions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", RECORDS, ids=relative)
def test_a_record_has_the_fixed_headings(record: Path) -> None:
    text = record.read_text("utf-8")
    number = int(record.name[:4])
    assert re.match(rf"# {number}\. \S.+\n\nStatus: (accepted|replaced by \d+)\. Written: \d{{4}}-\d\d-\d\d\.\n", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert all(section.strip() for section in re.split(r"^## .+$", text, flags=re.MULTILINE))


def test_records_are_numbered_and_listed() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    titles = [record.read_text("utf-8").partition("\n")[0].partition(". ")[2] for record in RECORDS]
    rows = re.findall(r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \|", (DECISIONS / "README.md").read_text("utf-8"), re.MULTILINE)
    assert rows == [
        (str(number), title, record.name)
        for number, (title, record) in enumerate(zip(titles, RECORDS, strict=True), start=1)
    ]


# --- workflows and hooks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", YAML, ids=relative)
def test_yaml_parses(path: Path) -> None:
    assert isinstance(load(path), dict)


def test_workflows_test_every_version_that_is_promised() -> None:
    prefix = "Programming Language :: Python :: 3."
    promised = [name.rpartition(" ")[2] for name in PYPROJECT["project"]["classifiers"] if name.startswith(prefix)]
    matrix = load(GITHUB / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == promised
    assert PYPROJECT["project"]["requires-python"] == f">={promised[0]}"
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=relative)
def test_jobs_are_bounded_and_may_do_little(workflow: Path) -> None:
    document = load(workflow)
    assert document["permissions"] in ({}, {"contents": "read"})
    for name, job in document["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name
        assert all("@" in step["uses"] for step in job.get("steps", ()) if "uses" in step), name


def test_a_release_runs_all_checks_and_builds_once() -> None:
    jobs = load(GITHUB / "workflows" / "release.yml")["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job.get("steps", ())]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert (jobs["build"]["needs"], jobs["publish"]["needs"]) == ("ci", "build")
    assert commands.count("uv build") == 1
    assert [name for name, job in jobs.items() if job.get("environment") == "pypi"] == ["publish"]
    assert not [name for name, job in jobs.items() if "secrets" in json.dumps(job)]


def test_hooks_run_what_the_environment_has() -> None:
    group = {re.split(r"[\[>=<;]", entry)[0] for entry in PYPROJECT["dependency-groups"]["dev"]}
    distribution = {"lint-imports": "import-linter"}
    hooks = [hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    tools = {hook["entry"].removeprefix("uv run ").split()[0] for hook in hooks}
    assert tools == {"ruff", "typos", "lint-imports"}
    assert {distribution.get(tool, tool) for tool in tools} <= group


# --- issue forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", JSON_LAYOUTS, ids=relative)
def test_a_form_has_what_github_wants(form: Path) -> None:
    document = load(form)
    assert document.keys() == {"name", "description", "labels", "body"}
    fields = [field for field in document["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    for field in fields:
        assert field["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert field["attributes"]["label"]
        assert ("options" in field["attributes"]) == (field["type"] in ("dropdown", "checkboxes"))


def test_the_bug_form_says_how_a_redacted_trace_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines run as they stand, and leave the file that it promises."""
    (field,) = [field for field in load(JSON_LAYOUTS[0])["body"] if field.get("id") == "trace"]
    (snippet,) = re.findall(r"```python\n(.*?)```", field["attributes"]["description"], re.DOTALL)
    program = PROGRAM.replace("SNIPPET", textwrap.indent(snippet, " " * 8).strip())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "bug.yml", "exec"), names)
    asyncio.run(names["main"]())
    head, *lines = (tmp_path / "trace.jsonl").read_text("utf-8").splitlines()
    assert '"redacted":true' in head
    assert "for REDACTED, REDACTED" in "".join(lines)
    assert any("setupComplete" in line for line in lines)
    told = subprocess.run(
        [sys.executable, "-m", "live_transports.cli", "trace", "trace.jsonl"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "gemini-3.8-live" in told.stdout


PROGRAM = """\
from live_protocol import Endpoint
from live_protocol.emulator import Emulator
from live_transports.asyncio import connect, serve


async def main():
    config, model = {"system_instruction": "for my-project-id, AIzahunter2hunter2"}, "gemini-3.8-live"
    async with serve(None, connection_factory=Emulator().connection) as server:
        endpoint = Endpoint.gemini(api_key="any", base_url=server.url(path=""))
        SNIPPET
"""
