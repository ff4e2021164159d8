"""Builds playbooks from plain data, such as parsed YAML or JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

from live_protocol.errors import LocalProtocolError
from live_protocol.testing.playbook.patterns import step_name
from live_protocol.testing.suggestions import suggest

_NOT_STEPS: Final = frozenset({"connection", "expect_message", "load", "then", "titles"})


class InvalidPlaybook(LocalProtocolError):
    """The data is not a playbook.

    Attributes:
        step: Number of the step, from 1; ``"3.1"`` is the first step inside step 3. Empty if the error is not about
            one step.
        why: The error.
    """

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"step {step}: {why}" if step else why)
        self.step = step
        self.why = why


class Loader:
    """Builds a playbook by calling the methods that the data names.

    Args:
        cls: `Playbook`.
    """

    def __init__(self, cls: Any) -> None:
        self._cls = cls
        self._strict = True
        self._names = tuple(
            name for name in vars(cls) | vars(cls.__base__) if name[0] != "_" and name not in _NOT_STEPS
        )

    def load(self, data: object) -> Any:
        """Build the playbook.

        Raises:
            InvalidPlaybook: The data is not a playbook.
        """
        steps = data
        if isinstance(data, Mapping):
            unknown = [str(key) for key in data if key not in ("steps", "strict")]
            if unknown:
                raise InvalidPlaybook("", f"unknown member {unknown[0]!r}; {suggest(unknown[0], ('steps', 'strict'))}")
            steps, self._strict = data.get("steps"), data.get("strict", True) is not False
        return self._steps(steps, "")

    def _steps(self, steps: object, prefix: str) -> Any:
        if not isinstance(steps, Sequence) or isinstance(steps, (str, bytes)):
            raise InvalidPlaybook(prefix.rstrip("."), f"expected a list of steps, got {type(steps).__name__}")
        playbook = self._cls(strict=self._strict)
        for number, step in enumerate(steps, 1):
            playbook = self._step(playbook, step, f"{prefix}{number}")
        return playbook

    def _step(self, playbook: Any, step: object, where: str) -> Any:
        argument: object = None
        if isinstance(step, Mapping):
            if len(step) != 1:
                raise InvalidPlaybook(where, f"a step is one name with its argument, got {len(step)} names")
            ((step, argument),) = step.items()
        if not isinstance(step, str):
            raise InvalidPlaybook(where, f"expected the name of a step, got {type(step).__name__}")
        name = step_name(step)
        if name not in self._names:
            raise InvalidPlaybook(where, f"unknown step {step[:60]!r}; {suggest(name, self._names)}")
        method = getattr(playbook, name)
        args, kwargs = ((), {}) if argument is None else self._arguments(name, _patterns(argument), where)
        try:
            inspect.signature(method).bind(*args, **kwargs)  # its errors do not name Playbook
            return method(*args, **kwargs)
        except (LocalProtocolError, TypeError, AttributeError) as error:
            raise InvalidPlaybook(where, f"{name}: {error}") from None

    def _arguments(self, name: str, argument: Any, where: str) -> tuple[Sequence[Any], Mapping[str, Any]]:
        if name == "repeat":
            if not isinstance(argument, Mapping) or set(argument) != {"times", "steps"}:
                raise InvalidPlaybook(where, "repeat: takes 'times' and 'steps'")
            return (argument["times"], self._steps(argument["steps"], f"{where}.")), {}
        if name == "any_order":
            return (self._steps(argument, f"{where}."),), {}
        if name == "expect":
            if isinstance(argument, str):
                return (argument,), {}
            if not isinstance(argument, Mapping) or len(argument) != 1:
                raise InvalidPlaybook(where, "expect: takes one message with its fields")
            ((what, patterns),) = argument.items()
            if not isinstance(patterns, (Mapping, type(None))):
                raise InvalidPlaybook(where, "expect: the fields of a message are a mapping")
            return (what,), {str(key): pattern for key, pattern in (patterns or {}).items()}
        if name in ("send", "send_raw"):
            return (argument,), {}
        if isinstance(argument, Mapping):
            return (), {
                key if name.startswith("expect") else step_name(str(key)): value for key, value in argument.items()
            }
        return (argument, {}) if isinstance(argument, list) else ((argument,), {})


def _patterns(value: Any) -> Any:
    """Replace the text ``...`` by the pattern, at any depth."""
    if isinstance(value, Mapping):
        return {key: _patterns(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_patterns(item) for item in value]
    return ... if value == "..." else value
