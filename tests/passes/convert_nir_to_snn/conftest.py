"""Fixtures of the tests of convert-nir-to-snn: nir IR or a .nir file to the network of one step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from nirc import driver
from nirc.dialects import snn
from nirc.passes.convert_nir_to_snn import ConvertNirToSnnPass
from nirc.passes.nir_infer_shapes import infer_shapes


@pytest.fixture(scope="session")
def convert(ctx: Context, parse: Callable[[str], ModuleOp]) -> Callable[[str, ConvertNirToSnnPass], snn.NetworkOp]:
    """A module of nir IR, its shapes inferred, and the pass to the verified network."""

    def run(text: str, conversion: ConvertNirToSnnPass) -> snn.NetworkOp:
        module = parse(text)
        assert infer_shapes(module) == []
        conversion.apply(ctx, module)
        module.verify()
        (network,) = module.ops
        assert isinstance(network, snn.NetworkOp)
        return network

    return run


@pytest.fixture(scope="session")
def load(ctx: Context) -> Callable[..., snn.NetworkOp]:
    """A .nir file, the pass, and fixes that the file needs, to the verified network."""

    def run(path: Path, conversion: ConvertNirToSnnPass, fixes: tuple[str, ...] = ()) -> snn.NetworkOp:
        module = driver.load(path, fixes=fixes).module
        assert infer_shapes(module) == []
        conversion.apply(ctx, module)
        module.verify()
        (network,) = module.ops
        assert isinstance(network, snn.NetworkOp)
        return network

    return run
