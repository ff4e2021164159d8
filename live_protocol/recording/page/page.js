// Draws the timeline. The page puts this file and list.js, in this order, into one function of one script, so list.js
// sees every name declared here. All texts of a peer arrive as data and leave as text nodes or attributes, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";
const GUTTER = 104,
  EDGE = 14,
  COLUMN = 3;
const whole = data.end > 0 ? data.end * 1.01 : 1;
const view = { from: 0, to: whole };
let chosen = -1,
  width = 0,
  hoverX = null;

// --- numbers for people ---
function clock(t, step = 0.001) {
  if (!data.timed) return `#${Math.round(t / data.spacing) + 1}`;
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  const scale = 10 ** digits,
    rounded = Math.round(t * scale) / scale;
  const minutes = Math.floor(rounded / 60),
    rest = rounded - minutes * 60;
  return `${minutes}:${rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
}
function lasts(s) {
  if (s === undefined || s === null) return "";
  if (s < 0.9995) return `${Math.round(s * 1000)} ms`;
  return s < 99.95 ? `${s.toFixed(s < 9.995 ? 2 : 1)} s` : `${clock(s, 1)} min`;
}
const measured = (s) => (data.timed ? lasts(s) : "");

const joined = (parts) => parts.filter(Boolean).join(", ");

// --- everything that can be pointed at ---
const items = [];
function add(lane, group, who, what, start, end, text, look, lines, more = {}) {
  items.push({ lane, group, who, what, start, end, text, look, lines: lines.filter(Boolean), ...more });
}
const strips = { user: data.user_audio, model: data.model_audio };
for (const name of ["user", "model"]) {
  for (const strip of strips[name]) {
    strip.peaks = Uint8Array.from(atob(strip.envelope || ""), (c) => c.charCodeAt(0));
    const heard = strip.heard || 0,
      cut = heard < strip.seconds - 0.005;
    const note = strip.stale ? "came after its generation was cut" : cut ? `${lasts(heard)} could be heard` : "";
    add(
      name,
      "audio",
      name,
      "audio",
      strip.start,
      strip.end,
      joined([lasts(strip.seconds), note]),
      name,
      [
        `${lasts(strip.seconds)} in ${strip.chunks}${strip.chunks === 1 ? " message" : " messages"}`,
        `${strip.rate} Hz${strip.channels > 1 ? ", stereo" : ""}`,
        note,
      ],
      { lasts: strip.seconds, strip },
    );
  }
}
for (const c of data.connections) {
  const end = c.end === undefined ? data.end : c.end;
  const how = [c.code, c.reason && `'${c.reason}'`, c.initiator && `by ${c.initiator}`].filter(Boolean).join(" ");
  add(
    "link",
    "link",
    "link",
    `connection ${c.number}`,
    c.start,
    end,
    joined([c.model, how, c.error]),
    "link",
    [
      c.model,
      c.resumes && "resumes an earlier one",
      c.ready !== undefined && `ready after ${measured(c.ready - c.start)}`,
      c.going_away !== undefined && `going away announced at ${clock(c.going_away)}`,
      how && `closed: ${how}`,
      c.error,
      c.hint,
    ],
    { connection: c, problem: c.clean === false },
  );
}
for (const t of data.turns) {
  const end = t.end === undefined ? data.end : t.end;
  const since = (at) => (at === undefined || t.asked === undefined ? "" : measured(at - t.asked));
  const audio = since(t.first_audio),
    text = since(t.first_text);
  const cut = t.interrupted !== undefined && `cut at ${clock(t.interrupted)}`;
  add(
    "turns",
    "turns",
    "model",
    `turn ${t.number}`,
    t.start,
    end,
    joined([audio && `first audio after ${audio}`, text && `first text after ${text}`, cut, t.reason]),
    t.reason ? "bad" : "model",
    [
      t.asked !== undefined && `answers ${t.asked_by} of ${clock(t.asked)}`,
      audio && `first audio after ${audio}`,
      text && `first text after ${text}`,
      t.audio && `${lasts(t.audio)} of audio`,
      cut,
      t.reason,
      t.tokens !== undefined && `${t.tokens} tokens`,
      t.end === undefined && "not over when the recording ends",
    ],
    { turn: t },
  );
}
const SPEAKERS = {
  heard: ["heard", "user", "user"],
  written: ["heard", "user", "user"],
  said: ["said", "model", "model"],
  thought: ["said", "model", "thought"],
};
for (const s of data.said) {
  const [lane, who, look] = SPEAKERS[s.kind];
  add(lane, "words", who, s.kind, s.start, s.end, s.text, look, [s.interrupted && "cut off"], { label: s.text });
}
for (const call of data.tools) {
  const end = call.answered ?? call.cancelled ?? data.end;
  const state =
    call.answered !== undefined
      ? measured(call.answered - call.start)
      : call.cancelled !== undefined
        ? "cancelled"
        : "never answered";
  add(
    "tools",
    "tools",
    "model",
    "tool call",
    call.start,
    end,
    `${call.name} ${call.arguments} → ${call.response || state}`,
    call.answered === undefined && call.cancelled === undefined ? "bad" : "tool",
    [
      `${call.name} ${call.arguments}`,
      call.response && `→ ${call.response}`,
      state && `answered: ${state}`,
      call.call_id && `id ${call.call_id}`,
    ],
    { label: call.name, problem: call.answered === undefined && call.cancelled === undefined },
  );
}
for (const gap of data.gaps) {
  const bad = gap.kind !== "silence";
  add(
    "gaps",
    "link",
    "",
    gap.kind,
    gap.start,
    gap.end,
    lasts(gap.end - gap.start) + (gap.turn ? ` in turn ${gap.turn}` : ""),
    gap.kind,
    [lasts(gap.end - gap.start)],
    { problem: bad },
  );
}
for (const ping of data.pings) {
  add("events", "link", "link", "pong", ping.at, ping.at, `round trip ${lasts(ping.rtt)}`, "pip", [
    `round trip ${lasts(ping.rtt)}`,
  ]);
}
for (const mark of data.marks) {
  const [who, side, look] =
    mark.sent === undefined
      ? ["link", "link", "link"]
      : mark.sent
        ? ["client", "user", "sent"]
        : ["server", "model", "got"];
  add(
    "events",
    side === "link" ? "link" : "events",
    who,
    mark.kind,
    mark.at,
    mark.at,
    mark.detail || "",
    mark.problem ? "bad" : look,
    [mark.detail],
    { side, problem: !!mark.problem },
  );
}
items.forEach((item) => {
  if (item.problem === undefined) item.problem = item.look === "bad";
});
items.sort((a, b) => a.start - b.start);
items.forEach((item, index) => {
  item.index = index;
});

// --- lanes ---
function pack(lane, most) {
  const ends = [];
  for (const item of items.filter((item) => item.lane === lane)) {
    let row = ends.findIndex((end) => end <= item.start);
    if (row < 0) row = ends.length < most ? ends.length : most - 1;
    ends[row] = Math.max(item.end, item.start + whole / 5000);
    item.row = row;
  }
  return Math.max(1, ends.length);
}
const LANES = [
  ["link", "Connection", 22, 2],
  ["turns", "Turns", 24, 2],
  ["user", "User audio", 58, 1],
  ["model", "Model audio", 58, 1],
  ["heard", "User", 22, 2],
  ["said", "Model", 22, 3],
  ["tools", "Tools", 22, 4],
  ["events", "Events", 28, 1],
];
const lanes = {};
let bottom = 26;
for (const [name, title, size, most] of LANES) {
  const rows = most > 1 ? pack(name, most) : 1;
  lanes[name] = { name, title, top: bottom, size, height: rows * size + 8 };
  bottom += lanes[name].height + 4;
}
const HEIGHT = bottom + 2;
const inLane = {};
for (const item of items) {
  inLane[item.lane] ||= [];
  inLane[item.lane].push(item);
}

// --- drawing ---
function make(name, attributes, parent, text) {
  const node = document.createElementNS(NS, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}
const scale = () => (width - GUTTER - EDGE) / (view.to - view.from);
const x = (t) => GUTTER + (t - view.from) * scale();
const time = (px) => view.from + (px - GUTTER) / scale();
const short = (n) => Math.round(n * 10) / 10;

function patterns(svg) {
  const defs = make("defs", {}, svg);
  const clip = make("clipPath", { id: "inside" }, defs);
  make("rect", { x: GUTTER - 9, y: 0, width: Math.max(1, width - GUTTER - EDGE + 18), height: HEIGHT }, clip);
  for (const name of ["hatch", "hatch-bad"]) {
    const pattern = make(
      "pattern",
      { id: name, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      defs,
    );
    make("line", { class: name, x1: 0, y1: 0, x2: 0, y2: 6, "stroke-width": 3 }, pattern);
  }
}
function steps(span) {
  const wanted = span / Math.max(2, (width - GUTTER) / 96);
  const nice = [60, 120, 300, 600, 1800, 3600];
  let step = 10 ** Math.floor(Math.log10(wanted));
  for (const factor of [1, 2, 5, 10])
    if (step * factor >= wanted) {
      step *= factor;
      break;
    }
  if (step > 10 && step < 60) step = step > 30 ? 60 : step > 15 ? 30 : 15;
  else if (step >= 60) step = nice.find((n) => n >= wanted) || Math.ceil(wanted / 3600) * 3600;
  return data.timed ? Math.max(0.001, step) : Math.max(data.spacing, Math.ceil(step / data.spacing) * data.spacing);
}
function axis(svg) {
  const group = make("g", { class: "tick" }, svg),
    step = steps(view.to - view.from);
  const first = Math.ceil(view.from / step - 1e-9);
  for (let n = 0; n < 200; n++) {
    const t = (first + n) * step;
    if (t > view.to) break;
    make("line", { x1: short(x(t)), x2: short(x(t)), y1: 20, y2: HEIGHT }, group);
    const covered = hoverX !== null && Math.abs(x(t) - hoverX) < 52;
    if (x(t) < width - 30 && !covered)
      make("text", { x: short(x(t)), y: 14, "text-anchor": "middle" }, group, clock(t, step));
  }
}
function columns(list, shown, solid, ghost) {
  // Peak of each column of pixels, over all strips: what is drawn costs the same whatever the length.
  for (const strip of list) {
    if (strip.end < view.from || strip.start > view.to || !strip.peaks.length) continue;
    const span = Math.max(strip.end - strip.start, 1e-9),
      per = strip.peaks.length / span;
    const partly = (strip.heard || 0) < strip.seconds - 0.005;
    const heard = strip.start + span * Math.min(1, (strip.heard || 0) / Math.max(strip.seconds, 1e-9));
    const from = Math.max(0, Math.floor((x(strip.start) - GUTTER) / COLUMN));
    const to = Math.min(shown - 1, Math.floor((x(strip.end) - GUTTER - 0.01) / COLUMN));
    for (let column = from; column <= Math.max(from, to) && column < shown; column++) {
      const t = time(GUTTER + column * COLUMN),
        next = time(GUTTER + (column + 1) * COLUMN);
      const low = Math.max(0, Math.min(strip.peaks.length - 1, Math.floor((t - strip.start) * per)));
      const high = Math.min(strip.peaks.length, Math.max(low + 1, Math.ceil((next - strip.start) * per)));
      let peak = 0;
      for (let i = low; i < high; i++) if (strip.peaks[i] > peak) peak = strip.peaks[i];
      const target = partly && (t + next) / 2 > heard ? ghost : solid;
      target[column] = Math.max(target[column], peak + 1);
    }
  }
}
function wave(svg, name) {
  const lane = lanes[name],
    middle = lane.top + lane.height / 2,
    half = lane.height / 2 - 5;
  const shown = Math.max(1, Math.floor((width - GUTTER - EDGE) / COLUMN));
  const solid = new Float32Array(shown),
    ghost = new Float32Array(shown);
  columns(strips[name], shown, solid, ghost);
  for (const [values, look] of [
    [ghost, "ghost"],
    [solid, name],
  ]) {
    let path = "";
    values.forEach((value, column) => {
      if (!value) return;
      const reach = Math.max(0.6, half * ((value - 1) / 127) ** 0.6);
      path += `M${GUTTER + column * COLUMN + 1.5} ${short(middle - reach)}V${short(middle + reach)}`;
    });
    if (path) make("path", { class: `wave ${look}`, d: path }, svg);
  }
}
function* visible(lane, least) {
  // What would lie within a pixel of its neighbour is not drawn: nobody could point at it.
  const last = {};
  for (const item of inLane[lane] || []) {
    if (item.start > view.to) break;
    if (item.end < view.from) continue;
    const row = item.row || 0,
      right = Math.max(x(item.end), x(item.start) + least);
    if (last[row] !== undefined && right < last[row] + 1 && item.index !== chosen) continue;
    last[row] = right;
    yield item;
  }
}
function bar(svg, lane, item, least) {
  const left = Math.max(x(item.start), GUTTER - 20),
    right = Math.min(Math.max(x(item.end), x(item.start) + least), width + 20);
  const top = lane.top + 4 + (item.row || 0) * lane.size;
  const words = item.lane === "heard" || item.lane === "said";
  const look = item.lane === "user" || item.lane === "model" || words ? "hit" : `fill ${item.look}`;
  const node = make(
    "rect",
    {
      class: `item ${look}${item.index === chosen ? " chosen" : ""}`,
      x: short(left),
      y: top + 1,
      width: short(Math.max(1, right - left)),
      height: lane.size - 2,
      rx: 4,
      "data-i": item.index,
    },
    svg,
  );
  if (words) {
    // a text needs more room than the time it came in; that is a line below it
    make(
      "rect",
      { class: `said ${item.look}`, x: short(left), y: top + 3, width: 3, height: lane.size - 6, rx: 1.5 },
      svg,
    );
    make(
      "rect",
      {
        class: `said ${item.look}`,
        x: short(left),
        y: top + lane.size - 4,
        width: short(Math.max(3, right - left)),
        height: 2,
        rx: 1,
      },
      svg,
    );
  }
  return { node, left, right, top };
}
function label(svg, text, left, room, top, size, least = 3) {
  const shown = text.replace(/\s+/g, " ").trim(),
    most = Math.floor((room - 8) / 7);
  if (most < Math.min(least, shown.length) || most < 1) return;
  make(
    "text",
    { class: "label", x: short(left + 5), y: top + size / 2 + 4 },
    svg,
    shown.length > most ? `${shown.slice(0, most - 1).trimEnd()}…` : shown,
  );
}
function bars(svg, name, least) {
  const lane = lanes[name],
    drawn = [...visible(name, least)],
    taken = {};
  drawn.forEach((item, index) => {
    const { left, right, top } = bar(svg, lane, item, least);
    const begun = item.connection && item.connection.ready !== undefined ? x(item.connection.ready) : left;
    const from = Math.max(begun, GUTTER);
    const row = item.row || 0;
    const next = drawn.slice(index + 1, index + 12).find((other) => (other.row || 0) === row);
    const room = (next ? Math.min(x(next.start), width) : width - EDGE) - from;
    if (item.turn) turn(svg, item, lane, top);
    if (item.connection) {
      const c = item.connection;
      if (c.ready !== undefined)
        make(
          "rect",
          {
            class: "fill wait",
            x: short(x(c.start)),
            y: top + 1,
            width: short(Math.max(1, x(c.ready) - x(c.start))),
            height: lane.size - 2,
            rx: 4,
          },
          svg,
        );
      if (c.end !== undefined && c.clean !== true)
        make("line", { class: "cut", x1: short(x(c.end)), x2: short(x(c.end)), y1: top, y2: top + lane.size }, svg);
    }
    const long = item.turn
      ? `Turn ${item.turn.number}`
      : item.connection
        ? `Connection ${item.connection.number}`
        : item.label;
    const inside = right - from;
    if (item.lane === "heard" || item.lane === "said") label(svg, long, from + 2, room, top, lane.size);
    else if (long.length * 7 + 8 <= inside) label(svg, long, from, inside, top, lane.size, long.length);
    else if (item.turn) label(svg, String(item.turn.number), from, inside, top, lane.size, 9);
    else {
      // beside it: behind it, or before it where there is more room, as at the end of the recording
      const wanted = long.length * 7 + 8,
        after = room - inside,
        before = left - (taken[row] ?? GUTTER);
      if (wanted <= after || after >= before) {
        label(svg, long, right, after, top, lane.size, 6);
        taken[row] = right + Math.min(wanted, after);
        return;
      }
      label(svg, long, left - Math.min(wanted, before), Math.min(wanted, before), top, lane.size, 6);
    }
    taken[row] = right;
  });
}
function turn(svg, item, lane, top) {
  const t = item.turn,
    middle = top + lane.size / 2;
  if (t.asked !== undefined)
    make("path", { class: "asked", d: `M${short(x(t.asked))} ${middle - 5}v10m0 -5H${short(x(t.start))}` }, svg);
  if (t.first_audio !== undefined)
    make("circle", { class: "first", cx: short(x(t.first_audio)), cy: top + 2, r: 2.5 }, svg);
  if (t.interrupted !== undefined)
    make(
      "line",
      { class: "cut", x1: short(x(t.interrupted)), x2: short(x(t.interrupted)), y1: top, y2: top + lane.size },
      svg,
    );
}
function dots(svg) {
  const lane = lanes.events,
    middle = lane.top + lane.height / 2;
  let cluster = null;
  const flush = () => {
    if (!cluster) return;
    const [first] = cluster.members,
      many = cluster.members.length,
      bad = cluster.members.some((item) => item.problem);
    const picked = cluster.members.some((item) => item.index === chosen);
    const at = (cluster.left + cluster.right) / 2;
    const shared = { "data-i": first.index, "data-all": cluster.members.map((item) => item.index).join(" ") };
    if (many === 1 && first.look === "pip") {
      make("line", { class: "pip", x1: at, x2: at, y1: middle - 6, y2: middle + 6 }, svg);
      make(
        "rect",
        {
          class: `item hit${picked ? " chosen" : ""}`,
          x: at - 5,
          y: middle - 9,
          width: 10,
          height: 18,
          rx: 4,
          ...shared,
        },
        svg,
      );
    } else {
      const same = cluster.members.every((item) => item.look === first.look) ? first.look : "";
      make(
        "circle",
        {
          class: `item dot ${bad ? "bad" : same}${picked ? " chosen" : ""}`,
          cx: short(at),
          cy: middle,
          r: many > 1 ? 8 : 5,
          ...shared,
        },
        svg,
      );
      if (many > 1) make("text", { class: "badge", x: short(at), y: middle + 3.5 }, svg, many > 99 ? "…" : many);
    }
    cluster = null;
  };
  for (const item of inLane.events || []) {
    if (item.start < view.from || item.start > view.to) continue;
    const at = x(item.start);
    if (cluster && at - cluster.right < 9 && at - cluster.left < 40) {
      cluster.right = at;
      cluster.members.push(item);
    } else {
      flush();
      cluster = { left: at, right: at, members: [item] };
    }
  }
  flush();
}
function gaps(svg) {
  for (const item of inLane.gaps || []) {
    if (item.end < view.from || item.start > view.to) continue;
    const lane = item.look === "underrun" ? lanes.model : null;
    make(
      "rect",
      {
        class: `item gap ${item.look}${item.index === chosen ? " chosen" : ""}`,
        x: short(x(item.start)),
        y: lane ? lane.top : 22,
        width: short(Math.max(2, x(item.end) - x(item.start))),
        height: lane ? lane.height : HEIGHT - 24,
        "data-i": item.index,
      },
      svg,
    );
  }
}
// biome-ignore lint/correctness/noUnusedVariables: list.js calls it
function draw() {
  width = Math.max(420, by("chart").clientWidth);
  const svg = make("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "img",
    "aria-label": `Lanes: ${LANES.map((lane) => lane[1]).join(", ")}`,
  });
  patterns(svg);
  for (const name in lanes) {
    const lane = lanes[name],
      group = make("g", { "data-lane": name }, svg);
    make(
      "rect",
      { class: "lane", x: GUTTER, y: lane.top, width: Math.max(1, width - GUTTER - EDGE), height: lane.height, rx: 5 },
      group,
    );
    make("text", { class: "dim", x: 16, y: lane.top + lane.height / 2 + 4 }, group, lane.title);
  }
  axis(svg);
  const inside = make("g", { "clip-path": "url(#inside)" }, svg);
  gaps(inside);
  for (const name of ["user", "model"]) {
    wave(inside, name);
    for (const item of visible(name, 3)) bar(inside, lanes[name], item, 3);
  }
  for (const name of ["link", "turns", "heard", "said", "tools"]) bars(inside, name, name === "link" ? 2 : 5);
  dots(inside);
  if (hoverX !== null && hoverX > GUTTER && hoverX < width - EDGE) {
    make("line", { class: "cross", x1: hoverX, x2: hoverX, y1: 20, y2: HEIGHT }, svg);
    const text = clock(time(hoverX)),
      room = text.length * 6.6 + 12;
    make("rect", { class: "cross-back", x: hoverX - room / 2, y: 1, width: room, height: 18, rx: 5 }, svg);
    make("text", { class: "cross-time", x: hoverX, y: 14 }, svg, text);
  }
  by("chart").replaceChildren(svg);
  map();
}

// --- the whole session in small ---
function map() {
  const height = 30,
    svg = make("svg", { viewBox: `0 0 ${width} ${height + 2}` });
  const keep = { from: view.from, to: view.to };
  view.from = 0;
  view.to = whole;
  make("rect", { class: "lane", x: GUTTER, y: 1, width: Math.max(1, width - GUTTER - EDGE), height, rx: 5 }, svg);
  const shown = Math.max(1, Math.floor((width - GUTTER - EDGE) / COLUMN));
  for (const [name, sign] of [
    ["user", -1],
    ["model", 1],
  ]) {
    const solid = new Float32Array(shown);
    columns(strips[name], shown, solid, solid);
    let path = "";
    solid.forEach((value, column) => {
      if (value)
        path +=
          "M" +
          (GUTTER + column * COLUMN + 1.5) +
          " " +
          (height / 2 + sign) +
          "v" +
          short(sign * Math.max(0.6, (height / 2 - 4) * ((value - 1) / 127) ** 0.6));
    });
    if (path) make("path", { class: `wave ${name}`, d: path }, svg);
  }
  for (const item of items)
    if (item.problem)
      make("line", { class: "cut", x1: short(x(item.start)), x2: short(x(item.start)), y1: 2, y2: 8 }, svg);
  const left = x(keep.from),
    right = x(keep.to);
  view.from = keep.from;
  view.to = keep.to;
  if (right - left < width - GUTTER - EDGE - 1)
    make("rect", { class: "view", x: short(left), y: 1, width: short(Math.max(3, right - left)), height, rx: 3 }, svg);
  make("text", { class: "dim", x: 16, y: height / 2 + 5 }, svg, "Overview");
  by("map").replaceChildren(svg);
}
