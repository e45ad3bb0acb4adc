"""Networks in plain PyTorch: dense products; the steps in a Python loop, or that loop as TorchScript.

The same equations as nirc's, from the arrays of the NIR file. What depends on the input alone is multiplied for all
steps at once (`layers`), or step by step (`steps`), which keeps images in cache.
"""

# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportCallIssue=false
from __future__ import annotations

import sys
import warnings

import numpy as np
import torch
from protocol import Network, Variant, serve
from torch import Tensor
from torch.nn import functional

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.set_num_interop_threads(1)


def ready(raster: np.ndarray) -> Tensor:
    """The frameworks want floats."""
    return torch.from_numpy(raster.astype(np.float32))


def tensors(network: Network) -> dict[str, Tensor]:
    """The arrays of a network."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(values))
        for name, values in network.items()
        if values.dtype == np.float32
    }


def inferred(function):
    """A function without gradients."""

    def run(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return function(x)

    return run


# -- loops over time, of currents [T, B, N]


def fire(drive: Tensor, decay: Tensor, threshold: Tensor) -> Tensor:
    """v' = decay v + drive; z = v' > threshold; v'' = v' - z threshold."""
    v, spikes = torch.zeros_like(drive[0]), torch.empty_like(drive)
    for t in range(drive.shape[0]):
        v = v * decay + drive[t]
        z = (v > threshold).to(drive.dtype)
        v = v - z * threshold
        spikes[t] = z
    return spikes


def fire_whole(drive: Tensor, threshold: Tensor) -> Tensor:
    """The same without decay, in place."""
    v, spikes = torch.zeros_like(drive[0]), torch.empty_like(drive)
    for t in range(drive.shape[0]):
        v += drive[t]
        z = spikes[t]
        torch.gt(v, threshold, out=z)
        v -= z * threshold
    return spikes


def cuba(drive: Tensor, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Tensor:
    """i' = synapse i + drive; v' = decay v + i'; fire; subtract."""
    i, v, spikes = torch.zeros_like(drive[0]), torch.zeros_like(drive[0]), torch.empty_like(drive)
    for t in range(drive.shape[0]):
        i = i * synapse + drive[t]
        v = v * decay + i
        z = (v > threshold).to(drive.dtype)
        v = v - z * threshold
        spikes[t] = z
    return spikes


def recurrent(drive: Tensor, back: Tensor, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Tensor:
    """As `cuba`, the spikes of the last step fed back."""
    i, v, z = torch.zeros_like(drive[0]), torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
    spikes = torch.empty_like(drive)
    for t in range(drive.shape[0]):
        i = torch.addmm(i * synapse + drive[t], z, back)
        v = v * decay + i
        z = (v > threshold).to(drive.dtype)
        v = v - z * threshold
        spikes[t] = z
    return spikes


LOOPS = {
    "eager": (fire, cuba, recurrent),
    "script": tuple(torch.jit.script(loop) for loop in (fire, cuba, recurrent)),
}


def build(network: Network) -> dict[str, Variant]:
    """Every way to run a network."""
    kind, w = str(network["kind"]), tensors(network)
    found = dict[str, Variant]()

    def add(name: str, function) -> None:
        found[name] = Variant(ready, inferred(function), Tensor.numpy)

    if kind == "layer":
        for name, (fires, _, _) in LOOPS.items():
            add(name, lambda x, fires=fires: fires(functional.linear(x, w["weight"]), w["decay"], w["threshold"]))
    elif kind == "recurrent":
        back = w["w_rec"].T.contiguous()
        for name, (_, cubas, recurs) in LOOPS.items():

            def run(x: Tensor, cubas=cubas, recurs=recurs) -> Tensor:
                drive = functional.linear(x, w["w_in"])
                hidden = recurs(drive, back, w["synapse"], w["decay"], w["threshold"])
                return cubas(
                    functional.linear(hidden, w["w_out"]), w["out_synapse"], w["out_decay"], w["out_threshold"]
                )

            add(name, run)
    else:
        add("layers", lambda x: convolutions(x, w))
        add("steps", lambda x: stepwise(x, w))
    return found


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def stages(w: dict[str, Tensor]):
    """What stands before each layer of neurons, and their threshold."""
    return (
        (lambda x: functional.conv2d(x, w["conv0"], stride=2, padding=1), w["threshold0"]),
        (lambda x: functional.conv2d(x, w["conv1"], padding=1), w["threshold1"]),
        (lambda x: functional.conv2d(functional.avg_pool2d(x, 2) * 4, w["conv2"], padding=1), w["threshold2"]),
        (lambda x: functional.linear(flat(functional.avg_pool2d(x, 2) * 4), w["linear0"]), w["threshold3"]),
        (lambda x: functional.linear(x, w["linear1"]), w["threshold4"]),
    )


def convolutions(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Layer by layer, all steps in one product."""
    for product, threshold in stages(w):
        drive = product(x.flatten(0, 1))
        x = fire_whole(drive.unflatten(0, x.shape[:2]), threshold)
    return x


def stepwise(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Step by step, all layers in each."""
    layers, states, outputs = stages(w), [0] * 5, []
    for t in range(x.shape[0]):
        z = x[t]
        for n, (product, threshold) in enumerate(layers):
            v = states[n] + product(z)
            z = (v > threshold).to(v.dtype)
            states[n] = v - z * threshold
        outputs.append(z)
    return torch.stack(outputs)


if __name__ == "__main__":
    sys.exit(serve(("torch", "numpy"), build))
