"""Runs in the environment `frameworks`: `framework_runner.py FRAMEWORK MODEL RASTER OUT DT` lets a framework's own NIR
importer read the model and run a raster [T, B, N]; `OUT` takes what its network gives, [T, B, N]. Prints versions."""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import nir
import numpy as np


def norse(graph: Any, raster: Any, dt: float) -> Any:
    import norse.torch
    import torch

    network, state, found = norse.torch.from_nir(graph, ignore_warnings=True, dt=dt), None, []
    for x in torch.as_tensor(raster):
        out, state = network(x, state)
        found.append(out)
    return torch.stack(found).detach().numpy()


def snntorch(graph: Any, raster: Any, dt: float) -> Any:
    import torch
    from snntorch.import_nir import import_from_nir

    network, state, found = import_from_nir(graph), None, []
    for x in torch.as_tensor(raster):
        out = network(x, state) if state is not None else network(x)
        out, state = out if isinstance(out, tuple) else (out, None)
        found.append(out[0] if isinstance(out, tuple) else out)
    return torch.stack(found).detach().numpy()


def sinabs(graph: Any, raster: Any, dt: float) -> Any:
    import torch
    from sinabs.nir import from_nir

    steps, batch = raster.shape[:2]
    network = from_nir(graph, batch_size=batch)
    flat = torch.as_tensor(raster).swapaxes(0, 1).reshape(steps * batch, *raster.shape[2:])
    out = network(flat)
    out = out[0] if isinstance(out, tuple) else out
    return out.detach().numpy().reshape(batch, steps, -1).swapaxes(0, 1)


def spyx(graph: Any, raster: Any, dt: float) -> Any:
    import jax.numpy as jnp
    from spyx.nir import from_nir

    return np.asarray(from_nir(graph, jnp.asarray(raster), dt=dt)[1])


RUN = {"norse": norse, "snntorch": snntorch, "sinabs": sinabs, "spyx": spyx}

if __name__ == "__main__":
    name, model, raster, out, dt = sys.argv[1:]
    np.save(out, RUN[name](nir.read(model), np.load(raster), float(dt)))
    print(name, version(name), "nir", version("nir"), "nirtorch", version("nirtorch"))
