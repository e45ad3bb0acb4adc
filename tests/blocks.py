"""The code blocks of the documentation: README.md and docs/. Tests run them, and CI those that install nirc:

    blocks.py run|test        prints the one block under `<!-- ci: run -->`, or `test`

A `sh` or `python` block runs in a folder with nirc's examples, after the blocks of the same page that stand above it. A
`text` block is what the block above it prints; `...` stands for anything. Comments in the lines above a block say
where this is not so:

    <!-- not run: WHY -->        it cannot run; for text: it is no output
    <!-- needs: NAME, ... -->    it runs where these commands, or files made above, are
    <!-- in: FOLDER -->          Python of the environment FOLDER/env, where it is
    <!-- run by: TEST -->        a test of its own runs it, which finds it by `run_by`
    <!-- ci: NAME -->            .ci/run runs it
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
MARKS = ("not run", "needs", "in", "run by", "ci")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, and its marks by name."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


_BLOCK = re.compile(r"((?:^<!--[^\n]*-->\n)*)^( *)```(\w*)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        comments, _, language, content = found.groups()
        marks: dict[str, str] = dict(re.findall(r"^<!-- ([\w ]+): (.*?) -->$", comments, re.MULTILINE))
        line = text.count("\n", 0, found.start(2)) + 1
        yield Block(page, line, language, dedent(content), marks)


def marked(mark: str, value: str) -> Block:
    """The one block with this mark."""
    found = [block for page in PAGES for block in blocks(page) if block.marks.get(mark) == value]
    if len(found) != 1:
        raise ValueError(f"{len(found)} blocks are marked '{mark}: {value}', want one")
    return found[0]


def run_by(test: str) -> str:
    """The text of the block that this test runs, a path from the root."""
    return marked("run by", Path(test).relative_to(ROOT).as_posix()).text


if __name__ == "__main__":
    print(marked("ci", sys.argv[1]).text, end="")
