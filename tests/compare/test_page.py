"""The HTML report: one file, sound, no requests, the user's names escaped; in a browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nirc.compare import Report, compare
from nirc.compare.page import as_page

nir = pytest.importorskip("nir")

EVIL = "</style><script>alert('x')</script>\u202e&\"'"
VOID = {"meta", "br", "path"}


class Checker(HTMLParser):
    """Balanced tags; every tag with its attributes, every text."""

    def __init__(self) -> None:
        super().__init__()
        self.open = list[str]()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.texts = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def model(sizes: list[int], evil: bool = False) -> Any:
    """Input, then layers of weights and LIF, Output, as an object of the nir package."""
    draw = np.random.default_rng(1)
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([sizes[0]])})}
    for k, (before, size) in enumerate(pairwise(sizes)):
        nodes[f"w{k}"] = nir.Linear(draw.uniform(0, 1.2, (size, before)).astype(np.float32))
        ones = np.ones(size)
        name = f"lif{k}{EVIL if evil else ''}"
        nodes[name] = nir.LIF(tau=5e-3 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    nodes["output"] = nir.Output({"output": np.array([sizes[-1]])})
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def made(sizes: list[int], platforms: str, steps: int = 80, samples: int = 1, *, evil: bool = False) -> Report:
    x = (np.random.default_rng(0).random((steps, samples, sizes[0])) < 0.3).astype(np.float32)
    return compare(model(sizes, evil), platforms, inputs=x, dt=1e-3)


def parsed(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


PLATFORMS = "nir-euler,nir-exp-euler,norse,loihi2,speck"


@pytest.fixture(scope="module")
def page() -> str:
    """A report with differences, a chip, a refusal and a name made to break it."""
    return as_page(made([3, 12, 4], PLATFORMS, evil=True))


def test_it_is_sound_and_asks_for_nothing(page: str) -> None:
    checker = parsed(page)
    tags = {tag for tag, _ in checker.tags}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
    for _, attributes in checker.tags:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "href", "srcset", "action")}
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "://" not in page
    policy = next(a["content"] for tag, a in checker.tags if tag == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_names_are_escaped(page: str) -> None:
    assert "<script>" not in page
    assert "\u202e" not in page
    assert any("</style><script>" in text for text in parsed(page).texts)


def test_it_says_what_there_is(page: str) -> None:
    text = " ".join(parsed(page).texts)
    for word in ("nir-exp-euler", "1 refuses the model", "its membrane leaks", "the membrane's decay"):
        assert word in text
    assert "@media (prefers-color-scheme:dark)" in page


def test_a_plot_for_each_platform_marks_the_first_difference(page: str) -> None:
    checker = parsed(page)
    lanes = [a for tag, a in checker.tags if tag == "svg" and a["class"] == "lane"]
    report = made([3, 12, 4], PLATFORMS, evil=True)
    differing = sum(item.first is not None for result in report.ran for item in result.measures.values())
    assert len(lanes) == 2 * len(report.ran) + differing > 8
    marks = page.count('<path class="mark"')
    rasters = sum(a["class"] == "raster" for tag, a in checker.tags if tag == "svg")
    assert marks == 2 * differing + rasters


def test_ticks_stand_where_neurons_fire() -> None:
    report = made([3, 1], "nir-euler,nir-exp-euler")
    checker = parsed(as_page(report))
    lane = next(
        k for k, (tag, a) in enumerate(checker.tags) if tag == "svg" and "on nir-euler" in (a["aria-label"] or "")
    )
    ticks = next(a["d"] for tag, a in checker.tags[lane:] if a.get("class") == "tick reference")
    assert ticks is not None
    found = [float(x) for x in re.findall(r"M([\d.]+) 1v9", ticks)]
    assert found == [t + 0.5 for t in np.flatnonzero(report.traces["nir-euler"].spikes["lif0"][:, 0, 0])]


def test_its_size_is_bounded_and_what_is_sampled_is_said() -> None:
    report = made([4, 3000, 20], "nir-euler,nir-exp-euler", steps=500, samples=2)
    text = as_page(report)
    assert len(text) < 1_000_000
    words = " ".join(parsed(text).texts)
    assert "Shown: sample" in words
    assert re.search(r"48 of 3,000 neurons, evenly spaced and the one that differs first; steps \d+ to \d+", words)


# In a browser: chromedriver speaks WebDriver, JSON over HTTP.

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


class Browser:
    """A session of chromedriver."""

    def __init__(self, folder: Path, port: str):
        self.base, self.session = f"http://127.0.0.1:{port}/session", ""
        options = {"args": [*FLAGS, f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self.call("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def call(self, path: str, body: Any = None, method: str = "POST") -> Any:
        where = self.base + (f"/{self.session}{path}" if self.session else "")
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(where, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str) -> Any:
        return self.call("/execute/sync", {"script": script, "args": []})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        pytest.skip("chromium and chromedriver are not installed")
    with subprocess.Popen(
        [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        ends = time.monotonic() + 60
        while (port := re.search(r"successfully on port (\d+)", said)) is None:
            assert time.monotonic() < ends
            assert process.poll() is None
            said = process.stdout.readline()
        try:
            session = Browser(tmp_path, port[1])
            yield session
            session.call("", method="DELETE")
        finally:
            process.terminate()


def test_in_a_browser(browser: Browser, page: str, tmp_path: Path) -> None:
    """It opens from a file without a request or a complaint, is no wider than a phone, and follows light and dark."""
    file = tmp_path / "report.html"
    file.write_text(page)
    colours = list[str]()
    for scheme, width in (("light", 1100), ("dark", 360)):
        browser.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.call("/url", {"url": file.as_uri()})
        wide, there = browser.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= there <= width
        assert browser.run("return performance.getEntriesByType('resource').length") == 0
        assert browser.run(
            "return [...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width > 40)"
        )
        colours.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert [min(map(int, re.findall(r"\d+", text))) > 128 for text in colours] == [True, False]
    assert [entry for entry in browser.call("/se/log", {"type": "browser"}) if "favicon" not in entry["message"]] == []
