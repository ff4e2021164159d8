"""``live-protocol trace``: a recording in, measurements and a picture out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from live_protocol.recording import (
    DEFAULT_GAP,
    InvalidTrace,
    Timeline,
    TraceReader,
    TraceRecord,
    TurnSpan,
    chrome_trace,
    read_websocket_log,
    render,
)
from live_protocol.recording.timeline.figures import duration, ending, figures
from live_transports.cli.argument_types import add_path, number
from live_transports.cli.event_text import one_line, to_json
from live_transports.cli.exit import BAD_INPUT, OK, USAGE, CommandFailed
from live_transports.cli.input_file import read_bytes

_DESCRIPTION = """\
Measure a recorded session: turns, audio, latencies, interruptions, tools, gaps, pings, and why it ended.

--html draws one self-contained page for a browser. --chrome-trace exports the timeline for chrome://tracing and
ui.perfetto.dev. Reads this project's JSON-lines traces and Google's .websocket.log, which has no times. In a damaged
file, the intact records are measured.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_path(parser, "file", metavar="FILE", help="recording; - for standard input")
    add_path(parser, "--html", metavar="OUT", help="write the page to this file; - for standard output")
    add_path(
        parser,
        "--chrome-trace",
        metavar="OUT",
        help="write Chrome's Trace Event Format to this file; - for standard output",
    )
    parser.add_argument("--json", action="store_true", help="print the whole timeline as one JSON object")
    parser.add_argument(
        "--gap",
        metavar="SECONDS",
        type=number(),
        default=DEFAULT_GAP,
        help="shortest silence to report; default: %(default)g",
    )


def run(options: argparse.Namespace) -> int:
    """Measure the file."""
    if options.html == options.chrome_trace == "-":
        raise CommandFailed("--html - and --chrome-trace - both write to standard output", USAGE)
    records, damage = _load(options.file)
    if not records:
        raise CommandFailed(f"{options.file}: {damage or 'the recording is empty'}", BAD_INPUT)
    timeline = Timeline.from_records(records, gap=options.gap)
    name = "standard input" if options.file == "-" else Path(options.file).name
    piped = "-" in (options.html, options.chrome_trace)
    if options.html == "-":
        # The page declares UTF-8, so it ignores the terminal's encoding.
        sys.stdout.buffer.write(render(timeline, subtitle=name).encode())
    elif options.chrome_trace == "-":
        sys.stdout.write(to_json(chrome_trace(timeline, name=name)) + "\n")
    else:
        sys.stdout.write(to_json(timeline.to_dict()) + "\n" if options.json else _text(timeline))
    for target, write in ((options.html, write_page), (options.chrome_trace, _write_chrome_trace)):
        if target not in (None, "-"):
            path = write(Path(target), timeline, name)
            (sys.stderr if options.json or piped else sys.stdout).write(f"\n{path}\n")
    if damage is not None:
        sys.stdout.flush()
        raise CommandFailed(f"{options.file}: {damage}", BAD_INPUT)
    return OK


def write_page(path: Path, timeline: Timeline, name: str = "") -> Path:
    """Write the page of a timeline, replacing an existing file.

    Args:
        path: The file.
        timeline: The timeline.
        name: The recording's name on the page.

    Returns:
        The path.

    Raises:
        CommandFailed: The file cannot be written.
    """
    return _write(path, render(timeline, subtitle=name))


def _write_chrome_trace(path: Path, timeline: Timeline, name: str) -> Path:
    return _write(path, to_json(chrome_trace(timeline, name=name)) + "\n")


def _write(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
    return path


def _load(name: str) -> tuple[list[TraceRecord], InvalidTrace | None]:
    """All whole records, and the error in the rest."""
    data = read_bytes(name)
    records: list[TraceRecord] = []
    try:
        records.extend(TraceReader(data).records() if data[:1] == b"{" else read_websocket_log(data))
    except InvalidTrace as damage:
        return records, damage
    return records, None


def _text(timeline: Timeline) -> str:
    summary = timeline.summary
    lines = [f"{'model':<20} {summary.model}"] if summary.model else []
    for figure in figures(summary):
        detail = f"  ({figure.detail})" if figure.detail else ""
        lines.append(f"{figure.name:<20} {figure.value}{detail}")
    lines.append(f"{'end':<20} {ending(summary.end)}")
    if summary.end.hint and not summary.end.clean:
        lines.append(f"{'':<20} {summary.end.hint}")
    text = "".join(f"{one_line(line)}\n" for line in lines)
    if timeline.turns:
        text += f"\n{_row('turn', 'at', 'first audio', 'first text', 'audio', 'heard', 'end')}\n"
        text += "".join(f"{one_line(_turn(turn, timed=timeline.timed))}\n" for turn in timeline.turns)
    return text


def _turn(turn: TurnSpan, *, timed: bool) -> str:
    def shown(seconds: float | None) -> str:
        return duration(seconds) if timed and seconds is not None else "-"

    if turn.interrupted is not None:
        end = "interrupted"
    else:
        end = turn.reason or ("complete" if turn.end is not None else "still running")
    audio = duration(turn.audio) if turn.audio else "-"
    heard = shown(turn.heard) if turn.audio else "-"
    first = (shown(turn.time_to_first_audio), shown(turn.time_to_first_text))
    return _row(str(turn.number), f"{turn.start:.3f}" if timed else "-", *first, audio, heard, end)


def _row(number: str, at: str, *rest: str) -> str:
    return f"{number:>4} {at:>9}" + "".join(f"  {cell:>11}" for cell in rest[:-1]) + f"  {rest[-1]}"
