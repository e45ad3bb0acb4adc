"""Spyx and plain JAX, compiled by XLA for one thread: `jax_peers.py spyx|jax NETWORKS`.

Networks are made by hand of the framework's own layers with the arrays of the NIR file, in float32, and compiled with
the weights as constants. `run` is `spyx.nn.run`, step by step; `layers` multiplies what depends on the input alone for
all steps at once. Spyx tests the stored potential and resets a step later, so each layer fires one step after nirc's.
"""

# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportCallIssue=false
from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from protocol import Network, Variant, serve

CONVOLUTIONS = (("conv0", 2), ("conv1", 1), ("conv2", 1))
"""And their strides; all are padded by 1."""


def compiled(function, images: bool) -> Variant:
    """A function of [T, B, N...], images channels last."""
    jitted = jax.jit(function)

    def ready(raster: np.ndarray) -> jax.Array:
        values = raster.astype(np.float32)
        return jax.device_put(np.ascontiguousarray(np.moveaxis(values, 2, -1)) if images else values)

    return Variant(ready, lambda x: jitted(x).block_until_ready(), np.asarray)


def channels_last(weight: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The matrix behind a Flatten, for images whose channels are last."""
    return weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)


# -- Spyx


def spyx_networks(w: Network) -> dict[str, Variant]:
    """Layers of `spyx.nn`."""
    import spyx.nn as snn

    rngs = nnx.Rngs(0)

    def linear(weight: np.ndarray) -> nnx.Linear:
        layer = nnx.Linear(weight.shape[1], weight.shape[0], use_bias=False, rngs=rngs)
        layer.kernel[...] = jnp.asarray(weight.T)
        return layer

    def set_to(parameter, values: np.ndarray) -> None:
        parameter[...] = jnp.asarray(values)

    def run(*layers):
        model = snn.Sequential(*layers)
        return lambda x: snn.run(model, x)[0]

    kind = str(w["kind"])
    if kind == "layer":
        dense, neurons = linear(w["weight"]), snn.LIF((len(w["weight"]),), threshold=w["threshold"], rngs=rngs)
        set_to(neurons.beta, w["decay"])
        whole = run(neurons)
        return {
            "run": compiled(run(dense, neurons), False),
            "layers": compiled(lambda x: whole(dense(x)), False),
        }
    if kind == "recurrent":
        hidden = snn.RCuBaLIF((len(w["w_in"]),), threshold=w["threshold"], rngs=rngs)
        output = snn.CuBaLIF((len(w["w_out"]),), threshold=w["out_threshold"], rngs=rngs)
        set_to(hidden.recurrent_w, w["w_rec"].T)
        for layer, prefix in ((hidden, ""), (output, "out_")):
            layer.alpha = nnx.Param(jnp.asarray(w[f"{prefix}synapse"]))
            layer.beta = nnx.Param(jnp.asarray(w[f"{prefix}decay"]))
        first, second = linear(w["w_in"]), linear(w["w_out"])
        one, other = run(hidden), run(output)
        return {
            "run": compiled(run(first, hidden, second, output), False),
            "layers": compiled(lambda x: other(second(one(first(x)))), False),
        }

    def convolution(weight: np.ndarray, stride: int) -> nnx.Conv:
        layer = nnx.Conv(
            weight.shape[1],
            weight.shape[0],
            weight.shape[2:],
            strides=(stride, stride),
            padding=[(1, 1), (1, 1)],
            use_bias=False,
            rngs=rngs,
        )
        layer.kernel[...] = jnp.asarray(weight.transpose(2, 3, 1, 0))
        return layer

    def neurons(n: int, shape: tuple[int, ...]) -> snn.IF:
        values = w[f"threshold{n}"]
        return snn.IF(shape, threshold=jnp.asarray(np.moveaxis(values, 0, -1) if values.ndim == 3 else values))

    stack = []
    for n, (name, stride) in enumerate(CONVOLUTIONS):
        rows = 8 if n == 2 else 16
        stack += [convolution(w[name], stride), neurons(n, (rows, rows, len(w[name])))]
        stack += [snn.SumPool((2, 2), (2, 2), "VALID")] if n else []
    stack += [snn.Flatten(), linear(channels_last(w["linear0"], (8, 4, 4))), neurons(3, (len(w["linear0"]),))]
    stack += [linear(w["linear1"]), neurons(4, (len(w["linear1"]),))]
    return {"run": compiled(run(*stack), True)}


# -- plain JAX


def fire(v, threshold):
    """z = v > threshold, and what is left."""
    z = (v > threshold).astype(jnp.float32)
    return z, v - z * threshold


def jax_networks(w: Network) -> dict[str, Variant]:
    """`lax.scan` over hand-written steps, nirc's equations."""
    kind = str(w["kind"])
    a = {name: jnp.asarray(values) for name, values in w.items() if values.dtype == np.float32}

    def scanned(step, states, unroll: int):
        return lambda x: lax.scan(step, states(x.shape[1]), x, unroll=unroll)[1]

    found = dict[str, Variant]()
    if kind == "layer":

        def leaky(v, drive):
            z, v = fire(v * a["decay"] + drive, a["threshold"])
            return v, z

        for unroll in (1, 4):
            loop = scanned(leaky, lambda batch: jnp.zeros((batch, len(w["weight"]))), unroll)
            found[f"layers, unrolled {unroll}"] = compiled(lambda x, loop=loop: loop(x @ a["weight"].T), False)
        return found
    if kind == "recurrent":
        size, outputs = len(w["w_in"]), len(w["w_out"])

        def hidden(state, drive):
            i, v, z = state
            i = i * a["synapse"] + drive + z @ a["w_rec"].T
            z, v = fire(v * a["decay"] + i, a["threshold"])
            return (i, v, z), z

        def output(state, drive):
            i, v = state
            i = i * a["out_synapse"] + drive
            z, v = fire(v * a["out_decay"] + i, a["out_threshold"])
            return (i, v), z

        def both(state, drive):
            one, z = hidden(state[0], drive)
            other, z = output(state[1], z @ a["w_out"].T)
            return (one, other), z

        def zeros(count, width):
            return lambda batch: tuple(jnp.zeros((batch, width)) for _ in range(count))

        for unroll in (1, 4):
            one, other = scanned(hidden, zeros(3, size), unroll), scanned(output, zeros(2, outputs), unroll)
            all_at_once = scanned(both, lambda b: (zeros(3, size)(b), zeros(2, outputs)(b)), unroll)
            found[f"layers, unrolled {unroll}"] = compiled(
                lambda x, one=one, other=other: other(one(x @ a["w_in"].T) @ a["w_out"].T), False
            )
            found[f"steps, unrolled {unroll}"] = compiled(lambda x, run=all_at_once: run(x @ a["w_in"].T), False)
        return found

    kernels = [a[name].transpose(2, 3, 1, 0) for name, _ in CONVOLUTIONS]
    thresholds = [a[f"threshold{n}"] for n in range(5)]
    thresholds = [t.transpose(1, 2, 0) if t.ndim == 3 else t for t in thresholds]
    dense = jnp.asarray(channels_last(np.asarray(w["linear0"]), (8, 4, 4))).T

    def conv(x, n):
        layout = ("NHWC", "HWIO", "NHWC")
        stride = CONVOLUTIONS[n][1]
        return lax.conv_general_dilated(x, kernels[n], (stride, stride), [(1, 1), (1, 1)], dimension_numbers=layout)

    def pool(x):
        return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def product(x, n):
        if n < 3:
            return conv(x, n)
        return x.reshape(len(x), -1) @ dense if n == 3 else x @ a["linear1"].T

    def step(states, x):
        kept = []
        for n in range(5):
            if n in (2, 3):
                x = pool(x)
            x, v = fire(states[n] + product(x, n), thresholds[n])
            kept.append(v)
        return kept, x

    shapes = [t.shape for t in thresholds]
    run = scanned(step, lambda batch: [jnp.zeros((batch, *shape)) for shape in shapes], 1)
    return {"steps": compiled(run, True)}


if __name__ == "__main__":
    builders = {"spyx": spyx_networks, "jax": jax_networks}
    framework = sys.argv[1]
    packages = {"spyx": ("spyx", "jax", "jaxlib", "flax"), "jax": ("jax", "jaxlib")}
    serve(packages[framework], builders[framework])
