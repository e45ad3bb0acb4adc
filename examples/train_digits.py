"""Trains three spiking classifiers of handwritten digits: `python examples/train_digits.py` (needs scikit-learn).

digits.nir            16 inputs, 60 current-based neurons, 8 readouts
digits_recurrent.nir  the same, the hidden neurons connected among themselves
digits_conv.nir       1 x 8 x 8 inputs, two convolutions, 10 readouts, integrate-and-fire neurons throughout
digits.npz            the test split for the first two, `input` [steps, samples, 16]
digits_conv.npz       the test split for the third, `input` [steps, samples, 1, 8, 8]
digits_labels.npz     `labels` [samples] of both and `codes` [10, 8], for `score_digits.py`

**Data.** scikit-learn's `load_digits`: 1797 images of 8 x 8 pixels 0..16 (UCI "Optical Recognition of Handwritten
Digits"). A fifth of each class is the test split, scored at the end. `--validate` trains on four fifths of the
training split and scores its last fifth; that is how the constants below were chosen.

**Encoding.** Each of the 16 channels sees a block of 2 x 2 pixels, one pixel after the other for 8 steps each, in which
a pixel p fires round(p/2) times, evenly spaced: all 64 pixels pass through 16 channels with one event a step at most,
and a neuron needs a memory to tell them apart. 8 silent steps follow, in which late spikes arrive. The convolutional
network sees each pixel p as p spikes in 16 steps; then 4 silent steps.

**Codes.** Xylo has 8 readouts and there are 10 classes, so a class is a word of the extended Hamming code [8, 4, 4]:
five of its words of weight 4 and their complements. Any two differ in at least 4 bits. With words of +-1 and the spike
counts n of the readouts, the class is the c with the largest codes[c] . n.

**Neurons.** NIR's CubaLIF in forward Euler steps of 1 ms, with w_in = tau_syn/dt and r = tau_mem/dt:

    i' = (1 - dt/tau_syn) i + W x + R z;   v' = (1 - dt/tau_mem) v + i';   z' = [v' > 1];   v'' = v' - z'

and NIR's IF, v' = v + x, which is the same without decay and filter.

**Training.** Backpropagation through time with Adam on the cross-entropy. 1/(1 + 5|v' - 1|)^2 stands for the derivative
of [v' > 1], and none goes through the reset. As chips round, weights are noisy and 15 % of the events are lost in
training. A penalty keeps v' below 1.8, as some chips fire twice from 2 on, and above -3 (IF: -1, where some clip).

Everything is drawn from PCG64 with fixed seeds and computed on one thread: the same files come out every time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from make_models import DT, Array, Node, write_nir
from numpy.lib.stride_tricks import sliding_window_view
from score_digits import classify
from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

FLOAT = np.float32

WORDS = np.array([[int(bit) for bit in word] for word in ("11110000", "11001100", "10101010", "10010110", "10011001")])
CODES = np.concatenate([WORDS, 1 - WORDS])
ONE_HOT = np.eye(10, dtype=int)
"""Which readouts fire for a class, [10, readouts] of 0 and 1."""

SLOPE = 5.0
HIGH, PENALTY = 1.8, 0.03
NOISE = 0.1
"""Of each weight in training, relative."""
LOST = 0.15
"""Share of the input's events that are lost in training."""
LOGIT = 0.5
"""What a spike of a readout adds to the logits of the classes whose word has it."""
BATCH = 64


# -- data


def load_images() -> tuple[Array, Array]:
    """The images [1797, 8, 8] of 0..16 and their classes."""
    digits = cast(Any, load_digits)()
    return digits.images.astype(np.int64), digits.target.astype(np.int64)


def split(labels: Array, seed: int) -> tuple[Array, Array]:
    """Indices in ascending order; the second has every fifth of the samples, shuffled and sorted by class."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    second = np.sort(shuffled[np.argsort(labels[shuffled], kind="stable")][::5])
    return np.setdiff1d(np.arange(len(labels)), second), second


def trains(counts: Array, steps: int) -> Array:
    """Trains [steps, ...] of `counts` spikes, evenly spaced."""
    return np.stack([(t + 1) * counts // steps - t * counts // steps for t in range(steps)]).astype(np.uint8)


def blocks(images: Array) -> Array:
    """Images [B, row, column] as [40, B, 16]: a channel per block of 2 x 2 pixels, which follow one another."""
    corners = images.reshape(-1, 4, 2, 4, 2).transpose(2, 4, 0, 1, 3).reshape(4, -1, 16)
    spikes = trains((corners + 1) // 2, 8).swapaxes(0, 1).reshape(32, -1, 16)
    return np.pad(spikes, ((0, 8), (0, 0), (0, 0)))


def pixels(images: Array) -> Array:
    """Images [B, row, column] as [20, B, 1, row, column]."""
    return np.pad(trains(images, 16)[:, :, None], ((0, 4), (0, 0), (0, 0), (0, 0), (0, 0)))


# -- NIR's nodes over whole rasters [T, B, ...]


class Layer:
    """A node: its output, its derivatives, and what NIR stores of it."""

    def __init__(self, weight: Array | None = None):
        self.weight = np.zeros(0, FLOAT) if weight is None else weight.astype(FLOAT)
        self.noisy = self.weight
        self.gradient = np.zeros_like(self.weight)

    def forward(self, x: Array) -> Array:
        """The output, keeping what `backward` needs."""
        raise NotImplementedError

    def backward(self, g: Array) -> Array:
        """The loss by the input, from the loss by the output; keeps the loss by the weight."""
        raise NotImplementedError

    def node(self) -> Node:
        """The node as NIR stores it."""
        raise NotImplementedError


class Linear(Layer):
    """y = W x"""

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.noisy.T

    def backward(self, g: Array) -> Array:
        self.gradient = np.tensordot(g, self.x, axes=((0, 1), (0, 1)))
        return g @ self.noisy

    def node(self) -> Node:
        return {"type": "Linear", "weight": self.weight}


class Conv2d(Layer):
    """y[o] = sum over c of W[o, c] * x[c] with 3 x 3 taps, padded to the same size."""

    def windows(self, x: Array) -> Array:
        """What each output sees, [T, B, C, row, column, 3, 3]."""
        return sliding_window_view(np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(3, 4))

    def forward(self, x: Array) -> Array:
        self.x = self.windows(x)
        return np.moveaxis(np.tensordot(self.x, self.noisy, axes=((2, 5, 6), (1, 2, 3))), -1, 2)

    def backward(self, g: Array) -> Array:
        self.gradient = np.tensordot(g, self.x, axes=((0, 1, 3, 4), (0, 1, 3, 4)))
        flipped = self.noisy[:, :, ::-1, ::-1]
        return np.moveaxis(np.tensordot(self.windows(g), flipped, axes=((2, 5, 6), (0, 2, 3))), -1, 2)

    def node(self) -> Node:
        ones = np.array([1, 1])
        return {
            "type": "Conv2d",
            "weight": self.weight,
            "bias": np.zeros(len(self.weight), FLOAT),
            "stride": ones,
            "padding": ones,
            "dilation": ones,
            "groups": 1,
            "input_shape": np.array(self.x.shape[3:5]),
        }


class SumPool2d(Layer):
    """The sums of 2 x 2 inputs."""

    def forward(self, x: Array) -> Array:
        *outer, rows, columns = x.shape
        return x.reshape(*outer, rows // 2, 2, columns // 2, 2).sum((-3, -1))

    def backward(self, g: Array) -> Array:
        return g.repeat(2, axis=-1).repeat(2, axis=-2)

    def node(self) -> Node:
        twos = np.array([2, 2])
        return {"type": "SumPool2d", "kernel_size": twos, "stride": twos, "padding": np.array([0, 0])}


class Flatten(Layer):
    """All axes of a sample as one."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(*x.shape[:2], -1)

    def backward(self, g: Array) -> Array:
        return g.reshape(self.shape)

    def node(self) -> Node:
        return {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array(self.shape[2:])}


class Neurons(Layer):
    """i' = b i + x + R z;   v' = a v + i';   z' = [v' > 1];   v'' = v' - z'"""

    a: Array
    b: Array
    low: float
    """Where the penalty of v begins below."""

    def forward(self, x: Array) -> Array:
        i, v, z = (np.zeros_like(x[0]) for _ in range(3))
        self.v, self.z = np.empty_like(x), np.empty_like(x)
        for t, drive in enumerate(x):
            i = self.b * i + drive
            if self.weight.size:
                i += z @ self.noisy.T
            self.v[t] = self.a * v + i
            self.z[t] = z = (self.v[t] > 1).astype(FLOAT)
            v = self.v[t] - z
        return self.z

    def backward(self, g: Array) -> Array:
        slope = 1 / (1 + SLOPE * np.abs(self.v - 1)) ** 2
        outside = PENALTY / g.shape[1] * (self.v - np.clip(self.v, self.low, HIGH))
        di, dv = np.zeros_like(g[0]), np.zeros_like(g[0])
        by_input = np.empty_like(g)
        for t in reversed(range(len(g))):
            dz = g[t] + di @ self.noisy if self.weight.size else g[t]
            dv = self.a * dv + dz * slope[t] + outside[t]
            by_input[t] = di = self.b * di + dv
        if self.weight.size:
            self.gradient = np.tensordot(by_input[1:], self.z[:-1], axes=((0, 1), (0, 1)))
        return by_input


class CubaLIF(Neurons):
    """Time constants in seconds; the weight, where there is one, connects the neurons among themselves."""

    low = -3.0

    def __init__(self, tau_mem: Array, tau_syn: Array, weight: Array | None = None):
        super().__init__(weight)
        self.tau_mem, self.tau_syn = tau_mem.astype(FLOAT), tau_syn.astype(FLOAT)
        self.a, self.b = ((1 - DT / tau).astype(FLOAT) for tau in (tau_mem, tau_syn))

    def node(self) -> Node:
        ones = np.ones_like(self.tau_mem)
        return {
            "type": "CubaLIF",
            "tau_mem": self.tau_mem,
            "tau_syn": self.tau_syn,
            "r": (self.tau_mem / DT).astype(FLOAT),
            "w_in": (self.tau_syn / DT).astype(FLOAT),
            "v_leak": 0 * ones,
            "v_threshold": ones,
            "v_reset": 0 * ones,
            "metadata": {"dt": DT, "reset": "subtract"},
        }


class IF(Neurons):
    """Neither a leak nor a filter."""

    a, b, low = np.ones((), FLOAT), np.zeros((), FLOAT), -1.0

    def node(self) -> Node:
        ones = np.ones(self.v.shape[2:], FLOAT)
        metadata: Node = {"dt": DT, "reset": "subtract"}
        return {"type": "IF", "r": ones, "v_threshold": ones, "v_reset": 0 * ones, "metadata": metadata}


Network = dict[str, Layer]


def cuba_network(recurrent: bool) -> Network:
    """16 inputs, 60 neurons with membranes of 10 to 24 ms, 8 readouts."""
    rng = np.random.default_rng(0)
    hidden, readouts = 60, 8
    recurrence = rng.normal(0, 0.02, (hidden, hidden)) if recurrent else None
    return {
        "fc_in": Linear(rng.normal(0.01, 0.03, (hidden, 16))),
        "hidden": CubaLIF(np.linspace(10e-3, 24e-3, hidden), np.full(hidden, 5e-3), recurrence),
        "fc_out": Linear(rng.normal(0.01, 0.03, (readouts, hidden))),
        "readout": CubaLIF(np.full(readouts, 20e-3), np.full(readouts, 5e-3)),
    }


def conv_network() -> Network:
    """1 x 8 x 8 inputs, 8 x 8 x 8 and 16 x 4 x 4 neurons, 10 readouts."""
    rng = np.random.default_rng(0)
    return {
        "conv1": Conv2d(rng.normal(0.05, 0.27, (8, 1, 3, 3))),
        "if1": IF(),
        "pool": SumPool2d(),
        "conv2": Conv2d(rng.normal(0, 0.07, (16, 8, 3, 3))),
        "if2": IF(),
        "flatten": Flatten(),
        "fc": Linear(rng.normal(0, 0.04, (10, 256))),
        "readout": IF(),
    }


def write_network(path: Path, network: Network, inputs: tuple[int, ...]) -> None:
    """The layers in a row between Input and Output; recurrent weights are a node of their own."""
    nodes: dict[str, Node] = {"input": {"type": "Input", "shape": np.array(inputs)}}
    nodes |= {name: layer.node() for name, layer in network.items()}
    nodes["output"] = {"type": "Output", "shape": nodes["readout"]["v_threshold"].shape}
    edges = list(pairwise(nodes))
    for name, layer in network.items():
        if isinstance(layer, Neurons) and layer.weight.size:
            nodes["fc_rec"] = {"type": "Linear", "weight": layer.weight}
            edges += [(name, "fc_rec"), ("fc_rec", name)]
    write_nir(path, nodes, edges)


# -- training


@dataclass(frozen=True)
class Task:
    """A network to be, its encoding, and how it is trained."""

    network: Callable[[], Network]
    encode: Callable[[Array], Array]
    codes: Array
    rate: float
    epochs: int


def run(network: Network, x: Array, noise: Callable[[Array], Array]) -> Array:
    """The spikes of the last layer."""
    x = x.astype(FLOAT)
    for layer in network.values():
        layer.noisy = noise(layer.weight)
        x = layer.forward(x)
    return x


def accuracy(network: Network, x: Array, labels: Array) -> float:
    """The share of samples whose class is decoded."""
    right: Array = classify(run(network, x, lambda weight: weight), CODES) == labels
    return float(right.mean())


def train(network: Network, x: Array, labels: Array, task: Task) -> None:
    """Fit in place: Adam, its rate falling to 0 as half a cosine."""
    rng = np.random.default_rng(1)
    words = (2 * task.codes - 1).astype(FLOAT)
    layers = list(network.values())
    means = [np.zeros_like(layer.weight) for layer in layers]
    squares = [np.zeros_like(layer.weight) for layer in layers]
    batches = len(labels) // BATCH
    order = [rng.permutation(len(labels))[: batches * BATCH] for _ in range(task.epochs)]
    chosen = np.concatenate(order).reshape(-1, BATCH)
    for step, samples in enumerate(chosen, start=1):
        seen = x[:, samples]
        seen = seen * (rng.random(seen.shape, FLOAT) >= LOST)
        spikes = run(network, seen, lambda w: w * (1 + NOISE * rng.standard_normal(w.shape, FLOAT)))
        logits = LOGIT * spikes.sum(0) @ words.T
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True) - ONE_HOT[labels[samples]]
        g = np.broadcast_to((LOGIT / BATCH * error @ words).astype(FLOAT), spikes.shape)
        for layer in reversed(layers):
            g = layer.backward(g)
        now = task.rate * (1 + np.cos(np.pi * step / len(chosen))) / 2
        for layer, mean, square in zip(layers, means, squares, strict=True):
            mean += (1 - 0.9) * (layer.gradient - mean)
            square += (1 - 0.999) * (layer.gradient**2 - square)
            size = np.sqrt(square / (1 - 0.999**step)) + 1e-8
            layer.weight -= (now / (1 - 0.9**step) * mean / size).astype(FLOAT)


TASKS = {
    "digits": Task(lambda: cuba_network(recurrent=False), blocks, CODES, 5e-3, 300),
    "digits_recurrent": Task(lambda: cuba_network(recurrent=True), blocks, CODES, 5e-3, 300),
    "digits_conv": Task(conv_network, pixels, ONE_HOT, 5e-3, 60),
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train the digits.")
    parser.add_argument("networks", nargs="*", metavar="network", help=f"any of {', '.join(TASKS)}; default: all")
    parser.add_argument("--validate", action="store_true", help="train on a part of the training split, write nothing")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where the files go")
    arguments = parser.parse_args()
    images, labels = load_images()
    first, second = split(labels, seed=1)
    if arguments.validate:
        images, labels = images[first], labels[first]
        first, second = split(labels, seed=2)
    for name in arguments.networks or TASKS:
        task, begin = TASKS[name], time.perf_counter()
        network, x = task.network(), task.encode(images)
        with cast(Any, threadpool_limits)(1):
            train(network, x[:, first], labels[first], task)
            scores = [accuracy(network, x[:, part], labels[part]) for part in (first, second)]
        other = "validation" if arguments.validate else "test"
        print(f"{name}: training {scores[0]:.2%}, {other} {scores[1]:.2%}, {time.perf_counter() - begin:.0f} s")
        for label, layer in network.items():
            if isinstance(layer, Neurons):
                print(f"  {label}: {layer.z.mean():.3f} spikes a step, v in {layer.v.min():.2f} to {layer.v.max():.2f}")
        if not arguments.validate:
            write_network(arguments.folder / f"{name}.nir", network, x.shape[2:])
            raster = arguments.folder / ("digits_conv.npz" if task.encode is pixels else "digits.npz")
            np.savez_compressed(raster, input=x[:, second])
    if not arguments.validate:
        np.savez_compressed(
            arguments.folder / "digits_labels.npz", labels=labels[second].astype(np.uint8), codes=CODES.astype(np.uint8)
        )


if __name__ == "__main__":
    main()
