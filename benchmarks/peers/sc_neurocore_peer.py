"""SC-NeuroCore's simulator, `sc_neurocore.nir_bridge.from_nir`: float64, one sample at a time, in numpy.

Convolutions it cannot read from a file.
"""

# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportCallIssue=false
from __future__ import annotations

import sys

import nir
import numpy as np
from protocol import Array, Network, Variant, serve
from sc_neurocore.nir_bridge import from_nir


def build(network: Network) -> dict[str, Variant]:
    """A run of the graph, sample by sample."""
    graph = graph_of(network)

    def run(raster: Array) -> Array:
        outputs = []
        for n in range(raster.shape[1]):
            model = from_nir(graph, dt=1.0, reset_mode="subtract")
            outputs.append([next(iter(model.step({"input": x}).values())) for x in raster[:, n]])
        return np.moveaxis(np.array(outputs), 0, 1)

    return {"from_nir": Variant(lambda raster: raster.astype(np.float64), run, alone=True)}


def graph_of(w: Network) -> nir.NIRGraph:
    """The network at a step of 1."""
    if str(w["kind"]) == "layer":
        size, inputs = w["weight"].shape
        tau = 1 / (1 - w["decay"].astype(np.float64))
        neurons = nir.LIF(tau, tau, np.zeros(size), w["threshold"], np.zeros(size))
        nodes = {"input": nir.Input(np.array([inputs])), "fc": nir.Linear(w["weight"]), "neurons": neurons}
        nodes["output"] = nir.Output(np.array([size]))
        return nir.NIRGraph(nodes, [("input", "fc"), ("fc", "neurons"), ("neurons", "output")])
    if str(w["kind"]) != "recurrent":
        raise NotImplementedError("convolutions from a file")

    def cuba(prefix: str) -> nir.CubaLIF:
        mem, syn = (1 / (1 - w[prefix + name].astype(np.float64)) for name in ("decay", "synapse"))
        zeros = np.zeros(len(mem))
        return nir.CubaLIF(syn, mem, mem, zeros, w[f"{prefix}threshold"], zeros, syn)

    nodes = {
        "input": nir.Input(np.array([w["w_in"].shape[1]])),
        "fc_in": nir.Linear(w["w_in"]),
        "hidden": cuba(""),
        "fc_rec": nir.Linear(w["w_rec"]),
        "fc_out": nir.Linear(w["w_out"]),
        "readout": cuba("out_"),
        "output": nir.Output(np.array([len(w["w_out"])])),
    }
    edges = [("input", "fc_in"), ("fc_in", "hidden"), ("hidden", "fc_rec"), ("fc_rec", "hidden")]
    return nir.NIRGraph(nodes, [*edges, ("hidden", "fc_out"), ("fc_out", "readout"), ("readout", "output")])


if __name__ == "__main__":
    sys.exit(serve(("sc-neurocore", "nir", "numpy"), build))
