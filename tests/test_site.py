"""The documentation's site: it builds without a warning, has what the code has, and loads nothing from a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nirc.dialects import DIALECTS
from nirc.passes import PASSES
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parent.parent
LOADING = {"src", "srcset", "data", "poster", "background", "xlink:href", "action"}
"""Attributes whose address a browser fetches by itself (`href` of a link element too)."""


class Loaded(HTMLParser):
    """The addresses that a page loads, the classes and components in it, and its scripts and styles."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses = list[str]()
        self.marks = set[str]()
        self.code = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag in ("script", "style")
        for name, value in attrs:
            if name in LOADING or (name == "href" and tag != "a"):
                self.addresses.append(value or "")
            elif name in ("class", "data-md-component"):
                self.marks.update((value or "").split())
            elif name == "style":
                self.code += value or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.code += data

    def outside(self) -> list[str]:
        """What would be fetched from elsewhere; the theme fetches by itself for diagrams and for repositories."""
        found = [address for address in self.addresses if re.match(r"\s*(\w+:)?//", address)]
        found += re.findall(r"(?:https?:|url\(\W*)//[^\s\"')]+", self.code)
        return found + sorted(self.marks & {"mermaid", "source"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as CI builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    return (site / page / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    found = {str(page): outside for page in pages if (outside := Loaded(page.read_text(encoding="utf-8")).outside())}
    assert not found
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert not re.search(r"@import|url\(\W*(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<p style="background: url(https://example/x.png)">',
        '<script>fetch("https://example/x")</script>',
        '<pre class="mermaid"><code>graph</code></pre>',
        '<img srcset="https://example/x.png 2x">',
    ],
)
def test_that_would_be_seen(text: str) -> None:
    assert Loaded(text).outside()
    assert not Loaded('<a href="https://example"><img src="../x.png"></a>').outside()


def test_everything_is_made(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert "<!-- made" not in page.read_text(encoding="utf-8"), page
    for scheme in SCHEMES.values():
        page = text_of(site, f"schemes/{scheme.name}")
        assert all(option in page for option in scheme.options)
        assert page.count("snn.network") + page.count("refused: ") == 3
    assert "refused: " not in text_of(site, "schemes/nir-euler")
    for name, load in DIALECTS.items():
        page = text_of(site, f"reference/dialects/{name}")
        assert all(f">{op.name}<" in page for op in load().operations)
    passes = text_of(site, "reference/passes")
    assert all(f'id="{name}"' in passes for name in PASSES)
