"""A timeline as one self-contained HTML page.

``page.js`` draws the lanes, ``list.js`` adds zoom, tooltip and list, and ``page.css`` is the style. All three go into
the page, with the timeline as JSON data. A peer's texts are data there and never become markup or script. The page's
own policy admits its style and script by their hashes and lets it load nothing.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import Any, Final

import attrs

from live_protocol._redaction import redact_tokens
from live_protocol.recording.timeline.drafts import SPACING
from live_protocol.recording.timeline.figures import Figure, ending, figures
from live_protocol.recording.timeline.timeline import Timeline

# Read at import, as the interpreter reads this module, so that render() stays a pure function.
_ROOM: Final = "live_protocol.recording.page"
_STYLE: Final = files(_ROOM).joinpath("page.css").read_text(encoding="utf-8")
_DRAWING: Final = files(_ROOM).joinpath("page.js").read_text(encoding="utf-8")
_LIST: Final = files(_ROOM).joinpath("list.js").read_text(encoding="utf-8")
_SCRIPT: Final = f'"use strict";\n(() => {{\n{_DRAWING}{_LIST}}})();\n'

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<div>
<h1>{title}</h1>
<p class="dim">{subtitle}</p>
</div>
<div class="end {mood}"><span class="lamp" aria-hidden="true"></span><div><strong>{end}</strong>{hint}</div></div>
</header>
<main>
<section aria-label="Summary"><dl class="tiles">
{tiles}
</dl></section>
<section class="card" aria-label="Timeline">
<div class="bar">
<h2>Timeline</h2>
<span class="dim keys">drag to pan, Ctrl + wheel to zoom; with the keyboard <kbd>←</kbd> <kbd>→</kbd> <kbd>+</kbd>
<kbd>-</kbd> <kbd>0</kbd>, and <kbd>↑</kbd> <kbd>↓</kbd> from one thing to the next</span>
<span class="buttons">
<button type="button" id="out" aria-label="Zoom out">&minus;</button>
<button type="button" id="in" aria-label="Zoom in">+</button>
<button type="button" id="fit">Fit</button>
</span>
</div>
<noscript><p class="dim">The timeline is drawn by a script, which is switched off here.</p></noscript>
<div id="chart" tabindex="0" role="group" aria-label="Timeline. Arrow keys pan and step, plus and minus zoom."></div>
<div id="map" aria-hidden="true"></div>
<ul class="legend">
<li><i class="k user"></i>user</li><li><i class="k model"></i>model</li>
<li><i class="k ghost"></i>never heard: the user cut in</li><li><i class="k tool"></i>tool</li>
<li><i class="k link"></i>link</li><li><i class="k bad"></i>problem</li><li><i class="k hatch"></i>gap</li>
</ul>
<p id="live" class="hidden" aria-live="polite"></p>
</section>
<section class="card" aria-label="Everything that happened">
<div class="bar">
<h2>Everything that happened</h2>
<span id="groups" role="group" aria-label="Show"></span>
<input id="find" type="search" placeholder="Filter" aria-label="Filter by text" autocomplete="off" spellcheck="false">
</div>
<div class="scroll"><table>
<thead><tr><th>Time</th><th>Lasts</th><th>Who</th><th>What</th><th>Details</th></tr></thead>
<tbody id="list"></tbody>
</table></div>
<p class="dim foot"><span id="count"></span> <button type="button" id="more" hidden>Show more</button></p>
</section>
</main>
<div id="tip" role="tooltip" hidden></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def render(timeline: Timeline, *, title: str = "Gemini Live session", subtitle: str = "") -> str:
    """Draw a timeline.

    Args:
        timeline: The timeline to draw.
        title: Title and headline of the page.
        subtitle: A line below it, such as the name of the recording; the model's name precedes it.

    Returns:
        A whole HTML document, to be encoded as UTF-8. It needs no network and no other file.
    """
    summary = timeline.summary
    end = summary.end
    about = " · ".join(filter(None, (summary.model, subtitle)))
    mood = "open" if not end.recorded else "ok" if end.clean else "bad"
    sources = f"style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    return _PAGE.format(
        policy=policy,
        style=_STYLE,
        title=_text(title),
        subtitle=_text(about),
        mood=mood,
        end=_text(ending(end)[:1].upper() + ending(end)[1:]),
        hint=f"<p>{_text(end.hint)}</p>" if end.hint and not end.clean else "",
        tiles="\n".join(map(_tile, figures(summary))),
        data=_data(timeline),
        script=_SCRIPT,
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str) -> str:
    return escape(redact_tokens(text.encode(errors="replace").decode()))


def _tile(figure: Figure) -> str:
    mood = ' class="bad"' if figure.problem else ""
    detail = f"<dd>{_text(figure.detail)}</dd>" if figure.detail else ""
    return f"<div{mood}><dt>{_text(figure.name)}</dt><dd>{_text(figure.value)}</dd>{detail}</div>"


def _data(timeline: Timeline) -> str:
    names = (
        *("connections", "turns", "user_audio", "model_audio", "said", "tools", "gaps", "pings", "marks"),
        *("timed", "end"),
    )
    data: dict[str, Any] = {name: _plain(getattr(timeline, name)) for name in names}
    data["spacing"] = SPACING
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    # HTML must see none of these. In JSON they stand only inside strings, where an escape means the same.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if attrs.has(type(value)):
        # Most members are absent, so leave them out.
        members = {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
        return {name: member for name, member in members.items() if member is not None and member != ""}
    return value
