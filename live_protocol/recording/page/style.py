"""How the page looks."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  --bg: #f5f6f8; --card: #ffffff; --ink: #1b1f26; --dim: #5c6673; --line: #e1e5ea; --stripe: #f8f9fb;
  --user: #0a7aa6; --model: #6b48cf; --tool: #a86200; --link: #4e5b69; --ok: #18794a; --bad: #c42b37; --warn: #a86200;
  --shade: 0 1px 2px rgb(20 28 40 / .06), 0 4px 16px rgb(20 28 40 / .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #0f1216; --card: #171b21; --ink: #e8ebf0; --dim: #98a3b3; --line: #2a313b; --stripe: #1b2027;
    --user: #4fbbe3; --model: #a98ffb; --tool: #e6a84a; --link: #8e9aab; --ok: #4fce8e; --bad: #ff6e78; --warn: #e6a84a;
    --shade: 0 1px 2px rgb(0 0 0 / .4);
  }
}
@media print {
  :root {
    --bg: #fff; --card: #fff; --ink: #000; --dim: #444; --line: #ccc; --stripe: #f6f6f6;
    --user: #0a7aa6; --model: #6b48cf; --tool: #a86200; --link: #4e5b69; --ok: #18794a; --bad: #c42b37; --shade: none;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0; padding: 28px clamp(16px, 3vw, 44px) 48px; background: var(--bg); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-print-color-adjust: exact; print-color-adjust: exact;
}
h1 { margin: 0; font-size: 22px; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 15px; font-weight: 650; }
p { margin: 0; }
.dim { color: var(--dim); }
header { display: flex; flex-wrap: wrap; gap: 12px 32px; justify-content: space-between; align-items: flex-start; }
header .dim { margin-top: 3px; overflow-wrap: anywhere; }
.end {
  display: flex; gap: 10px; max-width: 560px; padding: 9px 14px; border-radius: 10px; background: var(--card);
  border: 1px solid var(--line); box-shadow: var(--shade); overflow-wrap: anywhere;
}
.end strong { font-weight: 600; }
.end p { color: var(--dim); margin-top: 2px; }
.dot { flex: none; width: 9px; height: 9px; margin-top: 6px; border-radius: 50%; background: var(--link); }
.end.ok .dot { background: var(--ok); }
.end.bad .dot { background: var(--bad); }
.end.bad { border-color: color-mix(in srgb, var(--bad) 45%, var(--line)); }
.tiles {
  display: flex; flex-wrap: wrap; gap: 12px; margin: 22px 0 18px;
}
.tiles div {
  flex: 1 1 150px; padding: 11px 14px 12px; border-radius: 10px; background: var(--card);
  border: 1px solid var(--line); box-shadow: var(--shade);
}
.tiles dt { color: var(--dim); font-size: 12.5px; }
.tiles dt::first-letter { text-transform: uppercase; }
.tiles dd { margin: 2px 0 0; font-size: 18px; font-weight: 620; letter-spacing: -.01em; }
.tiles dd + dd { margin-top: 1px; font-size: 12.5px; font-weight: 400; letter-spacing: 0; color: var(--dim); }
.tiles .bad dd:first-of-type { color: var(--bad); }
.card {
  margin-top: 18px; border-radius: 12px; background: var(--card); border: 1px solid var(--line);
  box-shadow: var(--shade);
}
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 16px; padding: 12px 16px 10px; }
.bar h2 { margin-right: auto; }
.keys { font-size: 12.5px; }
kbd {
  padding: 0 5px; border: 1px solid var(--line); border-radius: 4px; background: var(--stripe); font: inherit;
  font-size: 11.5px;
}
button, input {
  font: inherit; color: inherit; background: var(--stripe); border: 1px solid var(--line); border-radius: 7px;
  padding: 3px 11px; min-height: 30px;
}
button { cursor: pointer; }
button:hover { border-color: var(--dim); }
button[aria-pressed] { font-size: 13px; border-radius: 99px; }
button[aria-pressed="true"] { background: color-mix(in srgb, var(--user) 14%, var(--card)); border-color: var(--user); }
button[aria-pressed="false"] { color: var(--dim); background: none; }
input { min-width: 180px; }
:focus-visible { outline: 2px solid var(--user); outline-offset: 1px; }
#chart { cursor: grab; touch-action: pan-y; user-select: none; -webkit-user-select: none; border-radius: 4px; }
#chart.dragging { cursor: grabbing; }
#chart:focus-visible { outline-offset: -2px; }
svg { display: block; width: 100%; height: auto; font-size: 12px; }
svg text { fill: var(--ink); }
svg text.dim, svg .tick text { fill: var(--dim); }
svg .tick text { font-size: 11px; }
svg .tick line { stroke: var(--line); }
svg .lane { fill: var(--stripe); }
svg .rule { stroke: var(--line); }
svg .wave { fill: none; stroke-width: 2; stroke-linecap: round; pointer-events: none; }
svg .wave.user { stroke: var(--user); }
svg .wave.model { stroke: var(--model); }
svg .wave.ghost { stroke: var(--model); opacity: .26; }
svg .item { cursor: pointer; }
svg .hit { fill: transparent; }
svg .fill.user { fill: color-mix(in srgb, var(--user) 20%, var(--card)); stroke: var(--user); }
svg .fill.model { fill: color-mix(in srgb, var(--model) 18%, var(--card)); stroke: var(--model); }
svg .fill.thought { fill: var(--card); stroke: var(--model); stroke-dasharray: 3 2; }
svg .fill.tool { fill: color-mix(in srgb, var(--tool) 20%, var(--card)); stroke: var(--tool); }
svg .fill.link { fill: color-mix(in srgb, var(--ok) 20%, var(--card)); stroke: var(--ok); }
svg .fill.wait { fill: color-mix(in srgb, var(--link) 12%, var(--card)); stroke: var(--link); stroke-dasharray: 3 2; }
svg .fill.bad { fill: color-mix(in srgb, var(--bad) 16%, var(--card)); stroke: var(--bad); }
svg .asked { stroke: var(--link); stroke-dasharray: 2 2; fill: none; }
svg .cut { stroke: var(--bad); stroke-width: 2; }
svg .first { fill: var(--model); }
svg .dot { fill: var(--link); stroke: var(--card); stroke-width: 1.5; }
svg .dot.sent { fill: var(--user); }
svg .dot.got { fill: var(--model); }
svg .dot.bad { fill: var(--bad); }
svg .pip { stroke: var(--ok); stroke-width: 2; stroke-linecap: round; }
svg .badge { fill: #fff; font-size: 10px; font-weight: 600; text-anchor: middle; pointer-events: none; }
@media (prefers-color-scheme: dark) { svg .badge { fill: #0f1216; } }
svg .gap { fill: url(#hatch); }
svg .gap.outage, svg .gap.underrun { fill: url(#hatch-bad); }
svg .hatch { stroke: var(--link); opacity: .16; }
svg .hatch-bad { stroke: var(--bad); opacity: .34; }
svg .said.user { fill: var(--user); }
svg .said.model { fill: var(--model); }
svg .said.thought { fill: var(--model); opacity: .5; }
svg .label { pointer-events: none; }
svg .chosen { stroke-width: 2.5; }
svg .hit.chosen { fill: color-mix(in srgb, var(--user) 12%, transparent); stroke: var(--user); }
svg .cross { stroke: var(--dim); pointer-events: none; }
svg .cross-back { fill: var(--ink); pointer-events: none; }
svg text.cross-time { fill: var(--card); font-size: 11px; text-anchor: middle; pointer-events: none; }
#map { padding: 8px 0 0; cursor: pointer; touch-action: none; }
svg .view { fill: color-mix(in srgb, var(--user) 12%, transparent); stroke: var(--user); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0; padding: 8px 16px 13px; list-style: none; }
.legend li { color: var(--dim); font-size: 12.5px; }
.k { display: inline-block; width: 10px; height: 10px; margin-right: 6px; border-radius: 3px; background: var(--link); }
.k.user { background: var(--user); }
.k.model { background: var(--model); }
.k.ghost { background: color-mix(in srgb, var(--model) 28%, var(--card)); }
.k.tool { background: var(--tool); }
.k.bad { background: var(--bad); }
.k.hatch {
  background: repeating-linear-gradient(135deg, var(--link) 0 1.5px, transparent 1.5px 4px);
  border: 1px solid var(--line);
}
#tip {
  position: fixed; z-index: 9; max-width: min(440px, 90vw); padding: 8px 12px; border-radius: 8px; pointer-events: none;
  background: var(--card); border: 1px solid var(--line); box-shadow: 0 6px 24px rgb(10 16 26 / .22); font-size: 13px;
  overflow-wrap: anywhere; white-space: pre-line;
}
#tip b { font-weight: 620; }
#tip span { color: var(--dim); }
#groups { display: flex; flex-wrap: wrap; gap: 6px; }
.scroll { overflow: auto; max-height: 62vh; border-top: 1px solid var(--line); }
table { width: 100%; border-collapse: collapse; }
th {
  position: sticky; top: 0; padding: 7px 12px; text-align: left; font-weight: 550; font-size: 12.5px; color: var(--dim);
  background: var(--card); box-shadow: 0 1px 0 var(--line);
}
td { padding: 5px 12px; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tbody tr:first-child td { border-top: 0; }
tbody tr { cursor: pointer; }
tbody tr:hover td { background: var(--stripe); }
tbody tr[aria-selected="true"] td { background: color-mix(in srgb, var(--user) 13%, var(--card)); }
td:nth-child(-n+4) { white-space: nowrap; }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: right; }
td:nth-child(2) { color: var(--dim); }
td:nth-child(5) { width: 100%; }
.who { display: inline-flex; align-items: center; }
.foot { padding: 9px 16px 12px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (max-width: 720px) { .keys { display: none; } td:nth-child(2), th:nth-child(2) { display: none; } }
@media print {
  body { padding: 0; font-size: 11px; }
  .buttons, .keys, #map, #groups, #find, #more { display: none !important; }
  .scroll { max-height: none; overflow: visible; }
  .card, .tiles div { box-shadow: none; }
  tr, .tiles div, #chart { break-inside: avoid; }
}
"""
