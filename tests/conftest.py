"""Fixtures of all tests: run passes over IR text, compare with golden text, find the shared models and the oracles."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser
from xdsl.passes import PassPipeline

from nirc.dialects import DIALECTS
from nirc.passes import PASSES

TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture(scope="session")
def ctx() -> Context:
    """A context that knows all dialects of nirc."""
    context = Context()
    context.load_dialect(Builtin)
    for name, load in DIALECTS.items():
        context.register_dialect(name, load)
    return context


@pytest.fixture(scope="session")
def parse(ctx: Context) -> Callable[[str], ModuleOp]:
    """Text to a verified module."""

    def run(text: str) -> ModuleOp:
        module = Parser(ctx, text).parse_module()
        module.verify()
        return module

    return run


@pytest.fixture(scope="session")
def opt(ctx: Context, parse: Callable[[str], ModuleOp]) -> Callable[[str, str], str]:
    """Text and a pipeline to text, verified before and after."""

    def run(text: str, pipeline: str = "") -> str:
        module = parse(text)
        PassPipeline.parse_spec(PASSES, pipeline).apply(ctx, module)
        module.verify()
        return f"{module!s}\n"

    return run


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Compare with tests/golden/<path of the test file>/<test name>.mlir; --update-golden writes it."""
    file = Path(str(request.path)).relative_to(TESTS).with_suffix("")
    path = TESTS / "golden" / file / f"{request.node.name}.mlir"

    def check(text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"no golden file {path}; run pytest --update-golden and read what it writes"
        assert text == path.read_text()

    return check


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared models and recordings; the test skips where there is none."""
    path = Path(os.environ.get("NIRC_SHARED", TESTS.parent.parent / "shared"))
    if not path.is_dir():
        pytest.skip("no shared folder beside the checkout")
    return path


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], str]:
    """The Python of an oracle's environment by name; the test skips where it is missing, fails where CI requires it."""

    def find(name: str) -> str:
        python = Path(os.environ.get("NIRC_ORACLES", TESTS / "oracles")) / name / "env" / "bin" / "python"
        if python.exists():
            return str(python)
        message = f"no environment of the oracle {name}; make it with tests/oracles/make_environments.py"
        if os.environ.get("NIRC_REQUIRE_ORACLES") and not (TESTS / "oracles" / name / "python").exists():
            pytest.fail(message)
        pytest.skip(message)

    return find
