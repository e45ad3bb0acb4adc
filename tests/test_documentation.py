"""Every block of the documentation runs as it stands, and prints what the page says; see `blocks.py` for the marks."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nirc.backends import BACKENDS

sys.path.append(str(Path(__file__).parent))
from blocks import MARKS, PAGES, ROOT, Block, blocks, marked

BIN = Path(sys.executable).parent
PATH = f"{BIN}:/usr/bin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "OPENBLAS_NUM_THREADS": "1"}
RUNNABLE = [page for page in PAGES if any(block.language in ("sh", "python") for block in blocks(page))]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the examples, as a user stands in the checkout."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.fixture(scope="module")
def warm() -> Iterator[subprocess.Popen[str]]:
    """A process that runs nirc and Python without importing them anew."""
    command = [sys.executable, str(ROOT / "tests" / "warm_process.py")]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def missing(block: Block, folder: Path) -> str | None:
    """What the block needs and is not there."""
    needs = block.marks["needs"].split(", ") if "needs" in block.marks else []
    return next((name for name in needs if not (shutil.which(name, path=PATH) or (folder / name).exists())), None)


def python_of(block: Block) -> Path:
    """The interpreter that the block wants."""
    folder = block.marks.get("in")
    if folder is None:
        return Path(sys.executable)
    oracles = os.environ.get("NIRC_ORACLES")
    if oracles and folder.startswith("tests/oracles/"):
        return Path(oracles, folder.removeprefix("tests/oracles/"), "env/bin/python")
    return ROOT / folder / "env/bin/python"


def run(command: list[str], folder: Path) -> tuple[int, str]:
    """The exit status, and what it prints to both, in its order."""
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        printed, _ = process.communicate()
    return process.returncode, printed


def run_warm(process: subprocess.Popen[str], command: list[str], folder: Path) -> tuple[int, str]:
    """The same of `nirc`, `nirc-opt` or `python` in a process that is warm."""
    assert process.stdin is not None
    assert process.stdout is not None
    output = folder.parent / f"{folder.name}.printed"
    process.stdin.write(json.dumps({"command": command, "folder": str(folder), "output": str(output)}) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline()), output.read_text()


def run_block(block: Block, folder: Path, process: subprocess.Popen[str]) -> str:
    """What the block prints; its commands, line by line, must succeed."""
    jobs: list[tuple[list[str], list[str] | None]]
    if block.language == "sh":
        jobs = [(["bash", "-e", "-o", "pipefail", "-c", line], words_of(line)) for line in block.text.splitlines()]
    elif "in" in block.marks:
        jobs = [([str(python_of(block)), "-c", block.text], None)]
    else:
        jobs = [([], ["python", "-c", block.text])]
    printed = list[str]()
    for command, words in jobs:
        status, text = run(command, folder) if words is None else run_warm(process, words, folder)
        assert status == 0, f"{block.where}: {(words or command)[-1]}\n{text}"
        printed.append(text)
    return "".join(printed)


def words_of(line: str) -> list[str] | None:
    """The words of a plain call that needs no shell; None of any other line."""
    words = shlex.split(line, comments=True)
    plain = bool(words) and not re.search(r"[|&;<>$*`]", re.sub(r"'[^']*'|#.*", "", line))
    return words if plain and words[0] in ("nirc", "nirc-opt", "python") else None


def matches(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed; `...` stands for anything."""
    pattern = ".*?".join(map(re.escape, shown.rstrip().split("...")))
    return re.fullmatch(pattern, printed.rstrip(), re.DOTALL) is not None


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path, checkout: Path, warm: subprocess.Popen[str]) -> None:
    printed = None
    for block in blocks(page):
        if {"not run", "run by", "ci"} & block.marks.keys():
            printed = None
        elif block.language == "text":
            if printed is not None:
                assert matches(block.text, printed), f"{block.where}: the block above prints\n{printed}"
        elif missing(block, checkout) or not python_of(block).exists():
            printed = None
        else:
            printed = run_block(block, checkout, warm)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_marks(page: Path) -> None:
    """Every block runs, is an output, or says why not."""
    ran = False
    for block in blocks(page):
        assert block.marks.keys() <= set(MARKS), block.where
        assert all(block.marks.values()), block.where
        excused = "not run" in block.marks
        assert excused or block.language in ("sh", "python", "text"), f"{block.where}: mark it as not run, and say why"
        assert excused or block.language != "text" or ran, f"{block.where}: an output without a command"
        ran = block.language in ("sh", "python") or ran
        if "run by" in block.marks:
            assert "run_by(" in (ROOT / block.marks["run by"]).read_text(), block.where
        if "in" in block.marks:
            assert (ROOT / block.marks["in"] / "requirements.txt").exists(), block.where


def test_what_a_page_shows_can_be_wrong() -> None:
    assert matches("a\n...\nc: 3\n", "a\nb\nc: 3\n")
    assert not matches("a\n...\nc: 3\n", "a\nb\nc: 4\n")
    assert not matches("a\n", "a\nb\n")


@pytest.mark.parametrize("name", ["run", "test"])
def test_what_ci_runs(name: str) -> None:
    assert run([sys.executable, str(ROOT / "tests" / "blocks.py"), name], ROOT) == (0, marked("ci", name).text)
    assert marked("ci", name).page == ROOT / "README.md"


@pytest.mark.parametrize("target", BACKENDS)
def test_every_target_has_a_page(target: str) -> None:
    assert (ROOT / "docs" / "targets" / f"{target}.md").exists()
    assert f"targets/{target}.md" in (ROOT / "mkdocs.yml").read_text()


def test_the_comparison_is_what_the_script_says(shared: Path, tmp_path: Path) -> None:
    """Its first table, on the paper's single neuron; the others take minutes."""
    script = ROOT / "benchmarks" / "platform_tables.py"
    status, printed = run([sys.executable, str(script), "--shared", str(shared.resolve()), "--only", "lif"], tmp_path)
    assert status == 0, printed
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = [line for line in printed.splitlines() if line.startswith("| `")]
    assert len(rows) == 10
    assert all(row in page for row in rows)


def test_the_lowering_example_can_fail(checkout: Path) -> None:
    """That it passes, docs/guides/lowering-tests.md shows."""
    file = checkout / "examples" / "lowering_test" / "lif.mlir"
    file.write_text(file.read_text().replace("4.0e-03", "5.0e-03"))
    assert run(["bash", "examples/lowering_test/run.sh"], checkout)[0] != 0
