"""Playbooks from files. YAML is an extra, JSON is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from live_protocol.testing import InvalidPlaybook, Playbook

_YAML = (".yaml", ".yml")


def load_playbook(path: Path) -> Playbook:
    """The playbook of a file: YAML where its name ends so, JSON otherwise.

    Args:
        path: The file.

    Returns:
        The playbook.

    Raises:
        InvalidPlaybook: It is no YAML or JSON, or no playbook.
        ImportError: It is YAML, and PyYAML is not installed.
        OSError: It cannot be read.
    """
    text = path.read_bytes()
    return Playbook.load(_yaml(text) if path.suffix.lower() in _YAML else _json(text))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidPlaybook("", f"the file is not JSON: {error}") from None


def _yaml(text: bytes) -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        failure = ImportError("a playbook in YAML needs PyYAML: pip install 'live-protocol[yaml]'")
    else:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InvalidPlaybook("", f"the file is not YAML: {' '.join(str(error).split())}") from None
    raise failure
