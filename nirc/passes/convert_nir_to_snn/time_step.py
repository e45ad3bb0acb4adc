"""Which time step a file was made for: `--dt auto`, its evidence, and the candidates where there is none; `--dt best`.

NIR stores no dt, but exporters leave traces of it in the parameters: snnTorch and SpikingJelly write r = tau/dt,
Rockpool r = tau exp(-dt/tau)/dt, Spyx r = 1 - dt/tau; Sinabs counts tau in steps; Norse 1.1 multiplies it by dt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from xdsl.dialects.builtin import DictionaryAttr
from xdsl.utils.exceptions import PassFailedException

from nirc.dialects import nir
from nirc.dialects.dense import Array, Dense, as_dense, doubles
from nirc.dialects.nir import listed, quote
from nirc.passes.convert_nir_to_snn.schemes import Scheme

_SPREAD = 1e-4
"""How far the estimates of one dt may lie apart, relatively."""


@dataclass(frozen=True)
class TimeStep:
    """A dt in seconds and the sentence that says where it comes from."""

    seconds: float
    evidence: str
    matters: bool = True
    """Whether another dt would give another network."""


def find_dt(graph: nir.GraphOp, scheme: Scheme) -> TimeStep:
    """The time step of a graph under a scheme.

    Raises PassFailedException with the candidates and their consequences where nothing tells.
    """
    nodes = [node for node in graph.nodes() if isinstance(node, nir.NeuronOp)]
    delays = [node for node in graph.nodes() if isinstance(node, nir.DelayOp) and node.has_state()]
    if not delays and not any(depends_on_dt(node, scheme) for node in nodes):
        return TimeStep(1.0, "1, because no coefficient depends on it under the chosen options", matters=False)
    if (stored := _from_metadata(graph, nodes or delays, delays)) is not None:
        return TimeStep(stored, f"{stored:g} s, from the file's metadata")
    found, why = _from_encoding(nodes)
    if found is not None:
        return found
    lines = [f"dt cannot be found: {why}; NIR stores none, give --dt", *candidates(graph, scheme)]
    raise PassFailedException("\n".join(lines))


def best_dt(graph: nir.GraphOp, made_for: TimeStep) -> TimeStep:
    """The step within an octave around the one that the file was made for that brings every tau nearest to a power of
    two of steps, the decays that some chips have; of equal ones the nearest.

    Only events keep their meaning under another step. Raises PassFailedException where nodes do not leak.
    """
    nodes = [node for node in graph.nodes() if isinstance(node, nir.NeuronOp)]
    still = [node.node.data for node in graph.nodes() if isinstance(node, nir.IFOp | nir.IOp | nir.ThresholdOp)]
    if still:
        raise PassFailedException(f"--dt best is for graphs whose neurons all leak; {listed(still)} do not")
    if not nodes:
        raise PassFailedException("--dt best: no node has a time constant")
    logs = np.log2(np.concatenate([np.ravel(tau) for node in nodes for _, tau in taus(node)])).round(9)
    logs, counts = np.unique(logs, return_counts=True)
    centre = np.log2(made_for.seconds)
    exact = centre - 0.5 + (logs - centre + 0.5) % 1
    steps = np.unique(np.concatenate([[centre], exact, centre + np.linspace(-0.5, 0.5, 1025)]))
    apart = (logs - steps[:, None] + 0.5) % 1 - 0.5
    error = np.sqrt(np.square(apart) @ counts / counts.sum()).round(6)
    best = int(np.lexsort((np.abs(steps - centre), error))[0])
    here = int(np.flatnonzero(steps == centre)[0])
    seconds = float(f"{2.0 ** steps[best]:.4g}")
    before, after = (float(2.0 ** np.abs(apart[n]).max() - 1) for n in (here, best))
    return TimeStep(
        seconds,
        f"{seconds:g} s, the best: every tau lies within {after:.0%} of a power of two of steps ({before:.0%} with "
        f"{made_for.seconds:g} s); give input in steps of {seconds:g} s, events and spikes keep the effect that they "
        f"have in {made_for.seconds:g} s",
    )


def depends_on_dt(node: nir.NeuronOp, scheme: Scheme) -> bool:
    """Whether a coefficient of the node changes with dt under these options."""
    if not isinstance(node, nir.IFOp | nir.IOp):
        return True
    if scheme["input"] == "impulse" or scheme["if_gain"] in ("r", "unit"):
        return False
    return scheme["if_gain"] == "r*dt" or bool(np.any(doubles(node.r) != 1))


def taus(node: nir.NeuronOp) -> Iterator[tuple[str, Array]]:
    """The node's time constants by field name, in seconds."""
    for name in node.POSITIVE:
        yield name, doubles(cast(Dense, node.properties[name]))


def _number(attr: object) -> float | None:
    values = as_dense(attr)
    if values is None or len(values) != 1:
        return None
    value = float(doubles(values).flat[0])
    return value if value > 0 and np.isfinite(value) else None


def _from_metadata(graph: nir.GraphOp, nodes: Sequence[nir.NodeOp], others: Sequence[nir.NodeOp]) -> float | None:
    """The dt that the graph's metadata states, or that of all its nodes; nothing may state another."""
    whole = stated_dt(graph.metadata)
    stated = [stated_dt(node.metadata) for node in nodes]
    if whole is None and None in stated:
        return None
    told = [whole, *stated, *(stated_dt(node.metadata) for node in others)]
    known = sorted({value for value in told if value is not None})
    if not known:
        return None
    if known[-1] - known[0] > 1e-6 * known[-1]:  # what f32 may lie beside f64
        values = ", ".join(f"{value:g} s" for value in known)
        raise PassFailedException(f"the file's metadata states several dt: {values}; give --dt")
    return min(known, key=lambda value: len(repr(value)))


def stated_dt(metadata: DictionaryAttr | None) -> float | None:
    """The dt of metadata, None where it states none that could be one."""
    return None if metadata is None else _number(metadata.data.get("dt"))


def _rockpool(tau: Array, r: Array) -> Array:
    """dt from r = tau exp(-dt/tau)/dt: tau W(1/r), the Lambert function by Newton's method."""
    y = 1 / r
    x = np.log1p(y)
    for _ in range(20):
        x = x - (x - y * np.exp(-x)) / (1 + x)
    return tau * x


@dataclass(frozen=True)
class _Encoding:
    writers: str
    formula: str
    estimate: Callable[[Array, Array], Array]


_ENCODINGS = (
    _Encoding("snnTorch and SpikingJelly", "tau/r (and tau_syn/w_in)", lambda tau, r: tau / r),
    _Encoding("Rockpool", "tau W(1/r)", _rockpool),
    _Encoding("Spyx", "tau (1 - r)", lambda tau, r: tau * (1 - r)),
)


def _from_encoding(nodes: list[nir.NeuronOp]) -> tuple[TimeStep | None, str]:
    """The dt that the parameters encode, or why there is none."""
    leaky = [node for node in nodes if not isinstance(node, nir.IFOp | nir.IOp)]
    all_taus = [tau for node in leaky for _, tau in taus(node)]
    smallest = min((float(tau.min()) for tau in all_taus), default=np.inf)
    pairs = [pair for node in leaky for pair in _gain_pairs(node)]
    coded_if = [1 / doubles(n.r) for n in nodes if isinstance(n, nir.IFOp) and np.any(doubles(n.r) != 1)]
    if leaky and all(np.all(gain == 1) for _, gain, _ in pairs) and not coded_if:
        if smallest > 1:
            return TimeStep(
                1.0,
                f"1, because r is 1 and every tau is above 1 ({smallest:g} is the least): tau counts "
                "steps, as Sinabs writes it",
            ), ""
        if max(float(tau.max()) for tau in all_taus) < 1e-4:
            return TimeStep(
                1e-6, "1e-06 s, a heuristic: r is 1 and every tau is below 1e-4 s, as Norse 1.1 exports it"
            ), ""
        return None, "r is 1 everywhere and tau is physical, so the parameters say nothing about dt"
    found = dict[float, str]()
    for encoding in _ENCODINGS:
        dt, flat = _decoded(encoding, pairs, coded_if, smallest)
        if dt is not None:
            source = (
                f"{encoding.formula}, as {encoding.writers} write it"
                if leaky
                else "1/r of the IF nodes, as SpikingJelly writes it"
            )
            found.setdefault(dt, f"{dt:g} s, from {source}: {_estimates(flat)}")
    if len(found) == 1:
        dt, evidence = found.popitem()
        return TimeStep(dt, evidence), ""
    if found:
        return None, f"the parameters encode several: {'; '.join(found.values())}"
    return None, "no exporter's encoding gives one round constant over all neurons"


def _decoded(
    encoding: _Encoding, pairs: Sequence[tuple[Array, Array, bool]], others: Sequence[Array], smallest: float
) -> tuple[float | None, Array]:
    """The one round dt below every tau that an encoding gives, if it does, and its estimates."""
    estimates = [*others]
    silent = False
    for tau, gain, required in pairs:
        if np.all(gain == 1):
            silent = silent or required
        elif np.all(gain > 0) and (required or encoding is _ENCODINGS[0]):
            estimates.append(np.broadcast_to(encoding.estimate(tau, gain), np.broadcast_shapes(tau.shape, gain.shape)))
    if silent or not estimates:
        return None, np.zeros(0)
    flat = np.concatenate([np.ravel(item) for item in estimates])
    low, high = float(flat.min()), float(flat.max())
    dt = float(f"{(low + high) / 2:.1e}")
    agree = low > 0 and high - low <= _SPREAD * high and abs(dt - high) <= _SPREAD * high and dt < smallest
    return dt if agree else None, flat


def encoded_dt(nodes: Sequence[nir.NeuronOp], writer: str) -> float | None:
    """The dt that the parameters of leaky neurons encode as a writer does."""
    (encoding,) = (encoding for encoding in _ENCODINGS if encoding.writers == writer)
    smallest = min(float(tau.min()) for node in nodes for _, tau in taus(node))
    return _decoded(encoding, [pair for node in nodes for pair in _gain_pairs(node)], (), smallest)[0]


def _estimates(flat: Array) -> str:
    spread = (float(flat.max()) - float(flat.min())) / float(flat.max())
    return "one estimate" if flat.size == 1 else f"{flat.size} estimates, relative spread {spread:.1g}"


def _gain_pairs(node: nir.NeuronOp) -> Iterator[tuple[Array, Array, bool]]:
    """Pairs (tau, gain, whether the pair must speak): r of each membrane must, w_in of a synapse may."""
    if isinstance(node, nir.CubaLIFOp | nir.CubaLIOp):
        yield doubles(node.tau_mem), doubles(node.r), True
        yield doubles(node.tau_syn), doubles(node.w_in), False
    elif isinstance(node, nir.LIFOp | nir.LIOp):
        yield doubles(node.tau), doubles(node.r), True


def candidates(graph: nir.GraphOp, scheme: Scheme) -> list[str]:
    """Steps that users of NIR take, and what each would do to this graph, a line each."""
    steps = {
        1e-6: "Norse 1.1 exports",
        1e-4: "snnTorch, SpikingJelly, the NIR paper",
        1e-3: "Norse, Nengo",
        1.0: "Sinabs, Spyx",
    }
    steps[scheme.dt] = steps.get(scheme.dt, f"the scheme {scheme.name}")
    return [f"candidate --dt {dt:g} ({who}): {_consequence(graph, dt)}" for dt, who in sorted(steps.items())]


def _consequence(graph: nir.GraphOp, dt: float) -> str:
    ratios = {
        f"{name} of {quote(node.node.data)}": tau / dt
        for node in graph.nodes()
        if isinstance(node, nir.NeuronOp)
        for name, tau in taus(node)
    }
    short = [f"{where} is {ratio.min():.3g} steps" for where, ratio in ratios.items() if ratio.min() < 1]
    if short:
        return f"refused, shorter than a step: {', '.join(short[:3])}{' ...' if len(short) > 3 else ''}"
    listed = [
        f"{where} is {ratio.min():.4g} steps, keeps {1 - 1 / ratio.min():.4g} a step" for where, ratio in ratios.items()
    ]
    listed += [
        f"delay of {quote(node.node.data)} is {doubles(node.delay).max() / dt:.4g} steps"
        for node in graph.nodes()
        if isinstance(node, nir.DelayOp)
    ]
    return f"{', '.join(listed[:3])}{' ...' if len(listed) > 3 else ''}" or "no time constants"
