"""The page in a real browser: it is drawn, it answers, and nothing breaks out of the data."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from core.recording import scenes
from core.recording.browser import CHROMIUM, FLAGS, Page, browser, needs_chromium
from core.recording.support import RECORDINGS, begun
from core.recording.test_safety import hostile
from live_protocol.recording import Timeline, TraceFrame, read_websocket_log, render

pytestmark = needs_chromium
LANES = ["link", "turns", "user", "model", "heard", "said", "tools", "events"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        page.size(1300, 1000)
        yield page


@pytest.fixture
def page(chromium: Page, tmp_path: Path) -> Page:
    return opened(chromium, tmp_path, Timeline.from_records(scenes.records()))


def opened(page: Page, folder: Path, timeline: Timeline) -> Page:
    path = folder / "page.html"
    path.write_text(render(timeline, subtitle="session.jsonl"), encoding="utf-8")
    page.media()
    page.open(path)
    assert page.faults() == []
    return page


def ticks(page: Page) -> list[str]:
    return list(page.js("[...document.querySelectorAll('#chart .tick text')].map(node => node.textContent)"))


def rows(page: Page) -> int:
    return int(page.js("document.querySelectorAll('#list tr').length"))


def test_all_lanes_are_drawn(page: Page) -> None:
    assert page.js("[...document.querySelectorAll('[data-lane]')].map(node => node.dataset.lane)") == LANES
    for selector in ("path.wave.user", "path.wave.model", "path.wave.ghost", ".fill.tool", ".dot.bad", ".gap.outage"):
        assert page.js(f"document.querySelectorAll('#chart {selector}').length"), selector
    texts = page.js("[...document.querySelectorAll('#chart .label')].map(node => node.textContent)")
    assert {"Connection 1", "Connection 2", "Turn 1", "Hello there", "get_weather"} <= set(texts)
    assert page.js("document.querySelectorAll('.tiles > div').length") == 12
    assert page.js("document.querySelector('#chart svg').outerHTML").count("NaN") == 0
    assert rows(page) == int(page.js("document.documentElement.dataset.drawn")) > 50
    assert ticks(page)[:2] == ["0:00", "0:05"]


def test_a_call_at_the_very_end_has_its_name_before_it(chromium: Page, tmp_path: Path) -> None:
    setup = {"setup": {"model": "models/m"}}
    call = {"toolCall": {"functionCalls": [{"id": "1", "name": "get_weather"}]}}
    messages = [(0.0, True, setup), (0.1, False, {"setupComplete": {}}), (9.0, False, call)]
    records = [TraceFrame(at=at, sent=sent, data=json.dumps(message).encode()) for at, sent, message in messages]
    page = opened(chromium, tmp_path, Timeline.from_records(records))
    name, bar = page.js(
        "[[...document.querySelectorAll('#chart .label')].find(node => node.textContent === 'get_weather'),"
        " document.querySelector('#chart .fill.bad')].map(node => node.getBBox()).map(box => [box.x, box.width])"
    )
    assert name[0] > 200
    assert name[0] + name[1] < bar[0]


def test_the_waveform_follows_the_sound(page: Page) -> None:
    length = page.js("document.querySelector('path.wave.user').getTotalLength()")
    assert length > 100
    box = page.js("(b => [b.x, b.width])(document.querySelector('path.wave.user').getBBox())")
    whole = page.js("document.querySelector('#chart svg').viewBox.baseVal.width")
    start = 104 + (whole - 118) * 0.61 / 33.06
    assert box[0] == pytest.approx(start, abs=5)


def test_zoom_and_pan(page: Page) -> None:
    before = ticks(page)
    page.click("#in")
    zoomed = ticks(page)
    assert zoomed != before
    page.click("#out")
    assert ticks(page) == before
    page.js("document.getElementById('chart').focus()")
    for key in "+++":
        page.key(key)
    page.key("ArrowRight")
    assert page.js("!!document.querySelector('#map .view')")
    page.key("0")
    assert ticks(page) == before
    assert not page.js("!!document.querySelector('#map .view')")
    x, y = page.centre("#chart")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300, modifiers=2)
    assert ticks(page) != before
    inside = ticks(page)
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x - 300, y, button="left", buttons=1)
    page.mouse("mouseReleased", x - 300, y, button="left", clickCount=1)
    assert ticks(page) != inside
    page.key("End")
    assert ticks(page)[-1] >= "0:30"
    page.key("Home")
    assert ticks(page)[0].startswith("0:00")
    page.click("#fit")
    assert ticks(page) == before
    assert page.faults() == []


def test_never_closer_than_there_is_something_to_see(page: Page) -> None:
    page.js("document.getElementById('chart').focus()")
    for _ in range(30):
        page.key("+")
    assert page.faults() == []
    assert len(set(ticks(page))) == len(ticks(page)) > 2


def test_the_wheel_alone_scrolls_the_page(page: Page) -> None:
    before = ticks(page)
    x, y = page.centre("#chart")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=200)
    assert ticks(page) == before


def test_a_tooltip(page: Page) -> None:
    assert page.js("document.getElementById('tip').hidden")
    page.mouse("mouseMoved", *page.centre("#chart .fill.tool"))
    text = page.js("document.getElementById('tip').innerText")
    assert 'get_weather {"city": "Oslo"}' in text
    assert "answered: 700 ms" in text
    assert page.js("!!document.querySelector('.cross')")
    page.mouse("mouseMoved", 5, 5)
    assert page.js("document.getElementById('tip').hidden")


def test_choosing(page: Page) -> None:
    page.click("#chart .fill.tool")
    chosen = "document.querySelector('tr[aria-selected=true]')"
    assert "tool call" in page.js(f"{chosen}.innerText")
    assert "get_weather" in page.js("document.getElementById('live').textContent")
    page.js("document.getElementById('chart').focus()")
    page.key("ArrowDown")
    assert "tool call" not in page.js(f"{chosen}.innerText")
    page.key("ArrowUp")
    assert "tool call" in page.js(f"{chosen}.innerText")
    page.key("Escape")
    assert page.js(f"{chosen} === null")
    for _ in range(4):
        page.click("#in")
    page.js("document.querySelectorAll('#list tr')[2].click()")
    page.frame()
    assert page.js("!!document.querySelector('#chart .chosen')")
    assert ticks(page)[0] == "0:00.0"


def test_the_list_and_its_filter(page: Page) -> None:
    every = rows(page)
    page.js("(f => { f.value = 'oslo'; f.dispatchEvent(new Event('input')); })(document.getElementById('find'))")
    assert 0 < rows(page) < every
    assert "fit the filter" in page.js("document.getElementById('count').textContent")
    page.js("(f => { f.value = ''; f.dispatchEvent(new Event('input')); })(document.getElementById('find'))")
    assert rows(page) == every
    buttons = page.js("[...document.querySelectorAll('#groups button')].map(node => node.textContent)")
    assert buttons == ["Turns", "Audio", "Words", "Tools", "Events", "Link", "Problems only (3)"]
    page.js("document.querySelector('#groups button:last-child').click()")
    assert rows(page) == 3
    page.js("document.querySelector('#groups button:last-child').click()")
    page.js("document.querySelector('#groups button').click()")
    assert rows(page) == every - 6


def test_dark_narrow_and_printed(page: Page) -> None:
    light = page.js("getComputedStyle(document.body).backgroundColor")
    page.media("dark")
    assert page.js("getComputedStyle(document.body).backgroundColor") != light
    page.size(480, 900)
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    page.size(1300, 1000)
    page.media("dark", "print")
    assert page.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.js("getComputedStyle(document.getElementById('find')).display") == "none"
    assert page.faults() == []


def test_hostile_texts(chromium: Page, tmp_path: Path) -> None:
    page = opened(chromium, tmp_path, hostile())
    assert page.js("document.title") == "Gemini Live session"
    assert page.js("document.querySelectorAll('script').length") == 2
    assert page.js("document.querySelectorAll('img').length") == 0
    page.mouse("mouseMoved", *page.centre("#chart .dot"))
    for index in range(rows(page)):
        page.js(f"document.querySelectorAll('#list tr')[{index}].click()")
    assert page.js("document.querySelectorAll('img, #tip script').length") == 0
    assert "</script><script>" in page.js("document.getElementById('list').textContent")
    assert page.faults() == []


@pytest.mark.parametrize("records", [[], None], ids=["nothing", "a setup alone"])
def test_next_to_nothing(chromium: Page, tmp_path: Path, records: list[object] | None) -> None:
    page = opened(chromium, tmp_path, Timeline.from_records([]) if records == [] else begun())
    assert page.js("document.querySelectorAll('[data-lane]').length") == len(LANES)
    page.js("document.getElementById('chart').focus()")
    for key in ("ArrowDown", "ArrowUp", "+", "ArrowLeft", "-", "0"):
        page.key(key)
    assert page.faults() == []


@pytest.mark.skipif(not RECORDINGS, reason="the recordings lie beside the repository")
def test_google_recordings(chromium: Page, tmp_path: Path) -> None:
    for path in RECORDINGS:
        page = opened(chromium, tmp_path, Timeline.from_records(read_websocket_log(path.read_bytes())))
        assert ticks(page)[0] == "#1", path.name
        assert page.js("document.querySelector('#chart svg').outerHTML").count("NaN") == 0


def test_an_hour(chromium: Page, tmp_path: Path) -> None:
    base = scenes.records()
    first, last = base[0].at, base[-1].at
    assert first is not None
    assert last is not None
    records = [
        attrs.evolve(record, at=(record.at or 0.0) + n * (last - first + 3)) for n in range(105) for record in base
    ]
    page = opened(chromium, tmp_path, Timeline.from_records(records))
    assert ticks(page)[-1] == "60:00"
    assert page.js("document.querySelectorAll('#chart *').length") < 8000
    page.js("document.getElementById('in').click()")
    page.frame()
    assert page.js("document.querySelectorAll('#chart *').length") < 8000
    assert rows(page) == 300
    page.js("document.getElementById('more').click()")
    assert rows(page) == 1200


def test_the_dumped_dom(tmp_path: Path) -> None:
    """As a person without any debugging protocol would check it."""
    assert CHROMIUM is not None
    path = tmp_path / "page.html"
    path.write_text(render(hostile()), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    dom = done.stdout.decode()
    assert re.findall(r'data-lane="([a-z]+)"', dom) == LANES
    assert "<img" not in dom
    assert "<title>Gemini Live session</title>" in dom
    assert b"CONSOLE" not in done.stderr
