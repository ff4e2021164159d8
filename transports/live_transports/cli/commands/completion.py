"""``live-protocol completion``: a script that makes a shell complete this command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, cast, final

import attrs

from live_transports.cli.exit import OK

__all__ = ["configure", "run"]

_DESCRIPTION = """\
Print a completion script, made from the commands as they are in this version.

  bash: source <(live-protocol completion bash)              in ~/.bashrc
  zsh:  source <(live-protocol completion zsh)               in ~/.zshrc, after compinit
  fish: live-protocol completion fish | source               in ~/.config/fish/config.fish
"""

_FILES: Final = frozenset({"FILE", "DIR", "OUT", "IN.wav", "OUT.wav"})
"""What arguments that take a path are called."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=tuple(_SHELLS), help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from live_transports.cli import build_parser  # noqa: PLC0415 - the package imports this module

    sys.stdout.write(_SHELLS[options.shell](_commands(build_parser())))
    return OK


# --- the tree -----------------------------------------------------------------------------------------------------


@final
@attrs.frozen
class _Argument:
    """One option, or one positional argument, which has no names.

    Attributes:
        names: ``-o`` and ``--out``.
        text: One line of help.
        value: Whether something follows.
        choices: What may follow, where that is a list.
        path: Whether a path may follow.
    """

    names: Sequence[str]
    text: str
    value: bool
    choices: Sequence[str]
    path: bool


@final
@attrs.frozen
class _Command:
    """One command, or under an empty name what stands before it."""

    name: str
    text: str
    arguments: Sequence[_Argument]

    @property
    def options(self) -> Iterable[_Argument]:
        return (argument for argument in self.arguments if argument.names)

    @property
    def names(self) -> Sequence[str]:
        return [name for argument in self.options for name in argument.names]

    @property
    def words(self) -> Sequence[str]:
        """What a positional argument may be."""
        return [word for argument in self.arguments if not argument.names for word in argument.choices]

    @property
    def path(self) -> bool:
        """Whether a positional argument is a path."""
        return any(argument.path for argument in self.arguments if not argument.names)


def _commands(parser: argparse.ArgumentParser) -> Sequence[_Command]:
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    choices = cast("Mapping[str, argparse.ArgumentParser]", subparsers.choices)
    texts = {action.dest: action.help or "" for action in subparsers._choices_actions}
    top = _Command("", "", [_argument(parser, action) for action in parser._actions if action is not subparsers])
    return [top] + [
        _Command(name, texts[name], [_argument(below, action) for action in below._actions])
        for name, below in choices.items()
    ]


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> _Argument:
    formatter = parser._get_formatter()
    return _Argument(
        names=tuple(action.option_strings),
        text=" ".join(formatter._expand_help(action).split()) if action.help else "",
        value=action.nargs != 0,
        choices=tuple(map(str, action.choices or ())),
        path=action.metavar in _FILES,
    )


# --- shells -------------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    """As one word; without backslashes, which fish reads within quotes and the others do not."""
    return "'" + text.replace("\\", "").replace("'", "'\\''") + "'"


def _bash(commands: Sequence[_Command]) -> str:
    top, *rest = commands
    lines = [
        "# bash completion of live-protocol",
        "_live_protocol() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="" command="" word',
        '    (( COMP_CWORD > 0 )) && previous="${COMP_WORDS[COMP_CWORD-1]}"',
        "    COMPREPLY=()",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '        case "$word" in',
        f"            {'|'.join(command.name for command in rest)}) command=$word; break ;;",
        "        esac",
        "    done",
        '    case "$command $previous" in',
    ]
    for command in commands:
        for argument in command.options:
            if argument.value:
                pattern = "|".join(_quoted(f"{command.name} {name}") for name in argument.names)
                lines.append(f"        {pattern}) {_bash_value(argument.choices, path=argument.path)}; return ;;")
    lines += ["    esac", '    case "$command" in']
    for command in rest:
        words = _quoted(" ".join((*command.names, *command.words)))
        files = f"; [[ $current != -* ]] && {_BASH_FILES}" if command.path else ""
        lines.append(f'        {command.name}) COMPREPLY=( $(compgen -W {words} -- "$current") ){files} ;;')
    words = _quoted(" ".join((*(command.name for command in rest), *top.names)))
    lines += [
        f'        *) COMPREPLY=( $(compgen -W {words} -- "$current") ) ;;',
        "    esac",
        "}",
        "complete -o filenames -F _live_protocol live-protocol",
    ]
    return "\n".join(lines) + "\n"


_BASH_FILES: Final = """{ local IFS=$'\\n'; COMPREPLY+=( $(compgen -f -- "$current") ); }"""
"""A line each, since names may hold spaces; mapfile would be neater, but macOS has bash 3.2."""


def _bash_value(choices: Sequence[str], *, path: bool) -> str:
    if choices:
        return f'COMPREPLY=( $(compgen -W {_quoted(" ".join(choices))} -- "$current") )'
    return _BASH_FILES if path else ":"


def _zsh(commands: Sequence[_Command]) -> str:
    top, *rest = commands
    lines = [
        "#compdef live-protocol",
        "_live_protocol() {",
        "    local curcontext=$curcontext state line",
        "    local -a commands",
        "    commands=(",
        *(f"        {_quoted(f'{command.name}:{command.text}')}" for command in rest),
        "    )",
        f"    _arguments -C {' '.join(map(_zsh_option, top.options))} '1:command:->command' '*::argument:->argument'",
        '    case "$state" in',
        "        command) _describe -t commands command commands ;;",
        '        argument) case "${line[1]}" in',
    ]
    for command in rest:
        specs = [_zsh_option(argument) for argument in command.options]
        if command.words:
            specs.append(_quoted(f"1:argument:({' '.join(command.words)})"))
        elif command.path:
            specs.append("'*:file:_files'")
        lines.append(f"            {command.name}) _arguments {' '.join(specs)} ;;")
    return "\n".join([*lines, "        esac ;;", "    esac", "}", "compdef _live_protocol live-protocol"]) + "\n"


def _zsh_option(argument: _Argument) -> str:
    text = argument.text.translate({ord("["): "(", ord("]"): ")", ord(":"): "-"})
    value = ""
    if argument.value:
        action = f"({' '.join(argument.choices)})" if argument.choices else "_files" if argument.path else " "
        value = f":value:{action}"
    return " ".join(_quoted(f"{name}[{text}]{value}") for name in argument.names)


def _fish(commands: Sequence[_Command]) -> str:
    top, *rest = commands
    begin = "complete -c live-protocol"
    lines = ["# fish completion of live-protocol", f"{begin} -f"]
    lines += [f"{begin} -n __fish_use_subcommand -a {command.name} -d {_quoted(command.text)}" for command in rest]
    lines += [f"{begin} -n __fish_use_subcommand {_fish_option(argument)}" for argument in top.options]
    for command in rest:
        within = f"{begin} -n '__fish_seen_subcommand_from {command.name}'"
        lines += [f"{within} {_fish_option(argument)}" for argument in command.options]
        if command.words:
            lines.append(f"{within} -a {_quoted(' '.join(command.words))}")
        if command.path:
            lines.append(f"{within} -F")
    return "\n".join(lines) + "\n"


def _fish_option(argument: _Argument) -> str:
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in argument.names]
    if argument.choices:
        words.append(f"-x -a {_quoted(' '.join(argument.choices))}")
    elif argument.value:
        words.append("-r -F" if argument.path else "-x")
    return " ".join((*words, f"-d {_quoted(argument.text)}"))


_SHELLS: Final[Mapping[str, Callable[[Sequence[_Command]], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
