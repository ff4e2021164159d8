// Makes the timeline answer: zoom, pan, tooltip, keyboard, and the list with its filter. Runs after page.js and in the
// same function; biome.json names what it takes from there.

// --- moving about ---
const NEAREST = 0.02;
let queued = false;
function redraw() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    draw();
  });
}
function show(from, to) {
  const span = Math.min(whole, Math.max(NEAREST, to - from));
  view.from = Math.min(Math.max(0, from), whole - span);
  view.to = view.from + span;
  redraw();
}
function zoom(factor, around = (view.from + view.to) / 2) {
  show(around - (around - view.from) * factor, around + (view.to - around) * factor);
}
function pan(share) {
  const by = (view.to - view.from) * share;
  show(view.from + by, view.to + by);
}
const fit = () => show(0, whole);
by("in").addEventListener("click", () => zoom(0.5));
by("out").addEventListener("click", () => zoom(2));
by("fit").addEventListener("click", fit);

const chart = by("chart");
const inside = (event) => {
  const box = chart.getBoundingClientRect();
  return ((event.clientX - box.left) * width) / Math.max(1, box.width);
};
chart.addEventListener(
  "wheel",
  (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 180))), time(Math.max(GUTTER, inside(event))));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      pan((event.deltaX || event.deltaY) / 900);
    }
  },
  { passive: false },
);
let drag = null;
chart.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  drag = { x: inside(event), from: view.from, to: view.to, moved: false };
});
addEventListener("pointermove", (event) => {
  if (!drag) return;
  const by = (drag.x - inside(event)) / scale();
  if (!drag.moved && Math.abs(drag.x - inside(event)) < 4) return;
  drag.moved = true;
  chart.classList.add("dragging");
  hide();
  show(drag.from + by, drag.to + by);
});
addEventListener("pointerup", (event) => {
  if (drag && !drag.moved) {
    const node = event.target.closest?.("[data-i]");
    if (node && chart.contains(node)) pick(node);
    else if (chart.contains(event.target)) choose(-1);
  }
  drag = null;
  chart.classList.remove("dragging");
});
function pick(node) {
  const all = (node.getAttribute("data-all") || "").split(" ").map(Number);
  if (all.length > 1) {
    const start = items[all[0]].start,
      end = items[all[all.length - 1]].start,
      span = end - start;
    // Things of one moment stay together however far one zooms in.
    if (span > NEAREST && view.to - view.from > span * 2)
      show(start - span * 0.3 - NEAREST, end + span * 0.3 + NEAREST);
  }
  choose(Number(node.getAttribute("data-i")), { scroll: true });
}
chart.addEventListener("dblclick", (event) => zoom(0.4, time(inside(event))));
chart.addEventListener("pointermove", (event) => {
  hoverX = inside(event);
  const node = !drag && event.target.closest && event.target.closest("[data-i]");
  if (node) tip(node, event.clientX, event.clientY);
  else hide();
  redraw();
});
chart.addEventListener("pointerleave", () => {
  hoverX = null;
  hide();
  redraw();
});
chart.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    ArrowLeft: () => pan(-0.2),
    ArrowRight: () => pan(0.2),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    0: fit,
    Home: () => show(0, view.to - view.from),
    End: () => show(whole, whole + view.to - view.from),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Escape: () => {
      choose(-1);
      hide();
    },
  };
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});
function step(by) {
  if (!items.length) return;
  const from = chosen < 0 ? (by > 0 ? -1 : items.length) : chosen;
  choose(Math.min(items.length - 1, Math.max(0, from + by)), { reveal: true, scroll: true });
}
let mapping = false;
function move(event) {
  const box = by("map").getBoundingClientRect(),
    px = ((event.clientX - box.left) * width) / Math.max(1, box.width);
  const at = ((px - GUTTER) / (width - GUTTER - EDGE)) * whole,
    half = (view.to - view.from) / 2;
  show(at - half, at + half);
}
by("map").addEventListener("pointerdown", (event) => {
  mapping = true;
  move(event);
});
addEventListener("pointermove", (event) => {
  if (mapping) move(event);
});
addEventListener("pointerup", () => {
  mapping = false;
});

// --- tooltip ---
const box = by("tip");
function hide() {
  box.hidden = true;
}
function describe(item, into) {
  const head = document.createElement("b"),
    when = document.createElement("span");
  head.textContent = [item.what[0].toUpperCase() + item.what.slice(1), item.who && `(${item.who})`]
    .filter(Boolean)
    .join(" ");
  const long = data.timed && item.end > item.start ? ` to ${clock(item.end)}, ${lasts(item.end - item.start)}` : "";
  when.textContent = `  ${clock(item.start)}${long}`;
  into.append(head, when);
  const lines =
    item.label !== undefined && item.lane !== "tools" ? [item.label.slice(0, 600), ...item.lines] : item.lines;
  if (lines.length) into.append(`\n${lines.join("\n")}`);
}
function tip(node, left, top) {
  const all = (node.getAttribute("data-all") || node.getAttribute("data-i")).split(" ").map(Number);
  box.replaceChildren();
  all.slice(0, 6).forEach((index, n) => {
    if (n) box.append("\n");
    describe(items[index], box);
  });
  if (all.length > 6) box.append(`\n… and ${all.length - 6} more`);
  box.hidden = false;
  const size = box.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(left + 14, innerWidth - size.width - 8))}px`;
  box.style.top = `${top + size.height + 24 > innerHeight ? Math.max(8, top - size.height - 12) : top + 16}px`;
}

// --- the list ---
const GROUPS = [
  ["turns", "Turns"],
  ["audio", "Audio"],
  ["words", "Words"],
  ["tools", "Tools"],
  ["events", "Events"],
  ["link", "Link"],
];
const on = new Set(GROUPS.map((group) => group[0]));
let onlyProblems = false,
  most = 300;
const rows = new Map();
function toggle(title, pressed, change) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = title;
  button.setAttribute("aria-pressed", pressed);
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", change());
    list();
  });
  by("groups").append(button);
}
for (const [name, title] of GROUPS) {
  if (items.some((item) => item.group === name)) toggle(title, true, () => (on.delete(name) ? false : !!on.add(name)));
}
const problems = items.filter((item) => item.problem).length;
if (problems) toggle(`Problems only (${problems})`, false, () => (onlyProblems = !onlyProblems));
function list() {
  const wanted = by("find").value.trim().toLowerCase();
  const fits = items.filter(
    (item) =>
      on.has(item.group) &&
      (!onlyProblems || item.problem) &&
      (!wanted || `${item.what} ${item.who} ${item.text}`.toLowerCase().includes(wanted)),
  );
  rows.clear();
  const body = document.createDocumentFragment();
  for (const item of fits.slice(0, most)) {
    const row = document.createElement("tr");
    const long = item.lasts ?? (data.timed && item.end > item.start ? item.end - item.start : undefined);
    for (const text of [clock(item.start), lasts(long), item.who, item.what, item.text]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    if (item.who || item.problem) {
      const mark = document.createElement("i");
      mark.className = `k ${item.problem ? "bad" : item.group === "tools" ? "tool" : item.side || item.who}`;
      row.cells[2].prepend(mark);
    }
    row.setAttribute("aria-selected", item.index === chosen);
    row.addEventListener("click", () => choose(item.index, { reveal: true }));
    rows.set(item.index, row);
    body.append(row);
  }
  by("list").replaceChildren(body);
  by("more").hidden = fits.length <= most;
  by("count").textContent =
    Math.min(most, fits.length) +
    " of " +
    items.length +
    " shown" +
    (fits.length === items.length ? "" : `, ${fits.length} fit the filter`);
}
by("find").addEventListener("input", list);
by("more").addEventListener("click", () => {
  most *= 4;
  list();
});
function choose(index, { reveal = false, scroll = false } = {}) {
  const old = rows.get(chosen),
    row = rows.get(index);
  if (old) old.setAttribute("aria-selected", false);
  if (row) row.setAttribute("aria-selected", true);
  chosen = index;
  const item = items[index];
  by("live").textContent = item ? [clock(item.start), item.who, item.what, item.text].filter(Boolean).join(", ") : "";
  if (item && reveal && (item.start < view.from || item.start > view.to)) {
    const span = view.to - view.from;
    show(item.start - span / 3, item.start + (span * 2) / 3);
  }
  if (row && scroll) {
    // within its own box: the page itself stays where it is
    const frame = row.closest(".scroll");
    frame.scrollTop = row.offsetTop - frame.clientHeight / 2;
  }
  redraw();
}

list();
draw();
new ResizeObserver(redraw).observe(chart);
document.documentElement.dataset.drawn = items.length;
