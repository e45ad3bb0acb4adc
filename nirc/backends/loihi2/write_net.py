"""Writes a chain of layers as lava-dl's netx file (`.net`, HDF5), which Lava users load without nirc.

    layer/0   input: shape
    layer/n   dense, dense_rec (weight_rec beside weight) or conv, with neuron/iDecay = du + 1, vDecay = dv,
              vThMant = vth and bias = bias_mant, whose exponent is 6; a flatten before a dense that follows images
    nirc      JSON that netx does not look at: assumptions, changes of values, the names of the model's nodes

What the format has no place for is refused, all of it at once. Source: nirc's specification of Loihi 2, section 1.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from h5py import h5g
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException

from nirc.backends.loihi2.emit import notes, read_out
from nirc.backends.loihi2.read_net import TO_VECTOR, netx_format
from nirc.dialects import loihi2
from nirc.dialects.dense import Array, array
from nirc.dialects.loihi2 import TransformAttr
from nirc.dialects.nir import integers, listed, quote
from nirc.frontend.write_nir import image, make_group, memory_file, put
from nirc.passes.loihi2_quantize import NETX_BIAS_EXP

_ELSE = "the JSON file holds it"


def write_net(module: ModuleOp) -> bytes:
    """The file's bytes; the same module gives the same ones.

    Raises DiagnosticException with everything that the format cannot say.
    """
    network = next((op for op in module.ops if isinstance(op, loihi2.NetworkOp)), None)
    if network is None or not network.quantized():
        raise DiagnosticException("a netx file is written of a quantized loihi2.network; the module holds none")
    chain = _Chain(network)
    layers = chain.layers()
    if chain.faults:
        raise DiagnosticException("\n".join(f"netx: {fault}" for fault in dict.fromkeys(chain.faults)))
    file = memory_file()
    top = h5g.open(file, b"/")
    root = make_group(top, "layer")
    for number, layer in enumerate(layers):
        group = make_group(root, str(number))
        for name, value in layer.fields.items():
            put(group, name, _text(value) if isinstance(value, str) else np.asarray(value))
        if layer.neurons is not None:
            neuron = make_group(group, "neuron")
            codes = {name: int(layer.neurons.numbers(name)) for name in ("du", "dv", "vth")}
            put(neuron, "type", _text("CUBA"))
            for name, code in (("iDecay", codes["du"] + 1), ("vDecay", codes["dv"]), ("vThMant", codes["vth"])):
                put(neuron, name, np.asarray(code))
    told = notes(module, network)
    told["input"] = {"name": chain.input.process.data, "shape": list(chain.input.given)}
    told["layers"] = {
        str(number): {"node": layer.neurons.node.data, **read_out(layer.neurons)}
        for number, layer in enumerate(layers)
        if layer.neurons is not None
    }
    put(top, "nirc", json.dumps(told))
    return image(file)


def _text(value: str) -> Array:
    """netx's strings: an array of one, of fixed length."""
    return np.array([value.encode()], "S10")


@dataclass
class _Layer:
    """A layer's fields, and its neurons where it has any."""

    fields: dict[str, str | Array | int]
    neurons: loihi2.NeuronsOp | None = None


@dataclass
class _Chain:
    """A network read as a chain, with everything in which it is none."""

    network: loihi2.NetworkOp
    faults: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.processes = self.network.processes()
        self.onto: dict[str, list[loihi2.ConnectOp]] = {name: [] for name in self.processes}
        for edge in self.network.connections():
            self.onto[edge.target.data].append(edge)
        self.input = next(iter(self.network.inputs().values()), loihi2.InputOp("", ()))

    def layers(self) -> list[_Layer]:
        """The layers in order; none where there are faults."""
        order = self.order()
        shape = self.input.given
        if self.faults:
            return []
        first = self.forward(order[0])
        if len(shape) != 1 and first and isinstance(first[0][1], loihi2.MatrixOp):
            shape = (int(np.prod(shape)),)  # netx flattens what neurons send, not what enters
        found = [_Layer({"type": "input", "shape": np.array(shape)}, None if first else order[0])]
        for op in order:
            self.numbers(op)
            found += self.layer(op)
        return found

    def synapses(self, op: loihi2.NeuronsOp) -> list[tuple[str, loihi2.SynapsesOp]]:
        """What feeds a population: the process that sends, and the connection process between."""
        senders = [self.processes[edge.source.data] for edge in self.onto[op.process.data]]
        return [
            (before.source.data, sender)
            for sender in senders
            if isinstance(sender, loihi2.SynapsesOp)
            for before in self.onto[sender.process.data]
        ]

    def forward(self, op: loihi2.NeuronsOp) -> list[tuple[str, loihi2.SynapsesOp]]:
        """Those of `synapses` that do not start at the population itself."""
        return [(source, synapses) for source, synapses in self.synapses(op) if source != op.process.data]

    def order(self) -> list[loihi2.NeuronsOp]:
        """The populations from the input on."""
        network, neurons = self.network, self.network.neurons()
        if len(network.inputs()) != 1:
            self.faults.append(f"{len(network.inputs())} inputs; a chain has one")
        for node, parts in network.nodes().items():
            if len(parts) > 1:
                told = f"{len(parts)} populations, one for each time constant; a layer of netx has one"
                self.faults.append(f"node {quote(node)}: {told}, {_ELSE}")
        before: dict[str, dict[str, None]] = {node: {} for node in network.nodes()}
        for name, op in neurons.items():
            direct = [edge.source.data for edge in self.onto[name] if edge.source.data in network.inputs()]
            sources = direct + [source for source, _ in self.synapses(op)]
            if len(sources) > len(set(sources)):
                told = "connections side by side; a layer of netx has one matrix"
                self.faults.append(f"{op.label}: {told}, compile without weight splits")
            nodes = (neurons[source].node.data if source in neurons else source for source in sources)
            before[op.node.data] |= dict.fromkeys(node for node in nodes if node != op.node.data)
        for alone in [node for node, sources in before.items() if not sources]:
            fed = [node for node, sources in before.items() if sources.pop(alone, True) is None]
            del before[alone]
            told = f"a current of its own, which {quote(alone)} gives it by firing always; netx's biases go to v"
            self.faults += [f"node {quote(node)}: {told}, {_ELSE}" for node in fed]
        for node, sources in before.items():
            if len(sources) > 1:
                self.faults.append(f"node {quote(node)}: {listed(list(sources))} feed it; in a chain one does, {_ELSE}")
        for source in [*network.inputs(), *before]:
            if len(after := [node for node, sources in before.items() if source in sources]) > 1:
                self.faults.append(f"{quote(source)} feeds {listed(after)}; in a chain it feeds one, {_ELSE}")
        order, last = list[loihi2.NeuronsOp](), self.input.process.data
        while not self.faults and (after := [node for node, sources in before.items() if last in sources]):
            (last,) = after
            order += network.nodes()[last]
            before.pop(last)
        if not self.faults and before:
            self.faults.append("the populations are no chain from the input on")
        read = [port.neurons.data for port in network.outputs]
        if order and read != [order[-1].node.data]:
            self.faults.append(f"{listed(read)} is read; netx gives the last layer's spikes, and one Output")
        return order

    def numbers(self, op: loihi2.NeuronsOp) -> None:
        """What of a population's own fields netx has no place for."""
        if isinstance(op, loihi2.LIFResetOp):
            self.faults.append(f"{op.label}: its reset interval is an argument of netx's Network, not in the file")
        for name in ("u", "v"):
            if name in op.properties and np.any(op.numbers(name)):
                self.faults.append(f"{op.label}: {name} starts at another value than 0; {_ELSE}")
        bias = self.bias(op)
        if np.any(bias % (1 << NETX_BIAS_EXP)):
            told = f"a bias of {bias[np.unravel_index(np.argmax(bias % (1 << NETX_BIAS_EXP) != 0), bias.shape)]}"
            self.faults.append(f"{op.label}: {told}, netx holds multiples of {1 << NETX_BIAS_EXP}; {_AS_NET}")
        elif np.any(np.abs(bias >> NETX_BIAS_EXP) > loihi2.LIMITS.bias_mant[1]):
            self.faults.append(
                f"{op.label}: a bias of {np.abs(bias).max()}, beyond 13 bits at exponent {NETX_BIAS_EXP}"
            )

    def bias(self, op: loihi2.NeuronsOp) -> Array:
        """In LSB of v."""
        mant, exponent = (op.numbers(name).astype(np.int64) for name in ("bias_mant", "bias_exp"))
        return np.where(exponent >= 0, mant << np.maximum(exponent, 0), mant >> np.maximum(-exponent, 0))

    def layer(self, op: loihi2.NeuronsOp) -> Iterator[_Layer]:
        """A population and what feeds it; a flatten before it where netx needs one."""
        name = op.process.data
        feeding = self.synapses(op)
        forward = self.forward(op)
        recurrent = [synapses for source, synapses in feeding if source == name]
        for _, synapses in feeding:
            if synapses.graded:
                self.faults.append(f"{synapses.label}: graded inputs are an argument of netx's Network; {_ELSE}")
        if not forward:
            self.transforms(op, self.input.process.data)
            return
        ((source, synapses),) = forward
        before = self.processes[source]
        self.transforms(synapses, source)
        self.transforms(op, synapses.process.data)
        bias = self.bias(op) >> NETX_BIAS_EXP
        if isinstance(synapses, loihi2.ConvOp):
            if recurrent:
                self.faults.append(f"{op.label}: a convolution beside a recurrence; {_ELSE}")
            yield _Layer({**_conv(synapses), **_image_bias(op, bias)}, op)
            return
        assert isinstance(synapses, loihi2.MatrixOp)
        matrices = [synapses, *(matrix for matrix in recurrent if isinstance(matrix, loihi2.MatrixOp))]
        fields: dict[str, str | Array | int] = dict(
            zip(("weight", "weight_rec"), self.weights(op, matrices), strict=False)
        )
        for matrix in matrices:
            if matrix is not synapses:
                self.transforms(matrix, name)
            if isinstance(matrix, loihi2.DelayDenseOp):
                if recurrent:
                    self.faults.append(f"{matrix.label}: delays beside a recurrence, which netx fails to load")
                fields["delay"] = array(matrix.delays)
        if len(before.given) == 3 and isinstance(before, loihi2.NeuronsOp):
            yield _Layer({"type": "flatten", "shape": np.array([before.size])})
        if np.any(bias):
            fields["bias"] = np.ascontiguousarray(np.broadcast_to(bias, op.given)).ravel()
        kind = "dense_rec" if recurrent else "dense"
        yield _Layer({"type": kind, "shape": np.array([op.size]), **fields}, op)

    def weights(self, op: loihi2.NeuronsOp, matrices: list[loihi2.MatrixOp]) -> list[Array]:
        """The matrices onto a population with their exponents in them."""
        found = list[Array]()
        for matrix in matrices:
            weights, exponent = matrix.effective().astype(np.int64), matrix.weight_exp.value.data
            if exponent < 0 and np.any(weights % (1 << -exponent)):
                self.faults.append(f"{matrix.label}: weight_exp {exponent} shifts weights out; {_ELSE}")
            found.append(weights << exponent if exponent >= 0 else weights >> -exponent)
        try:
            netx_format(np.concatenate([np.ravel(weights) for weights in found]))
        except ValueError as error:
            exponents = {matrix.weight_exp.value.data for matrix in matrices} - {0}
            self.faults.append(f"{op.label}: {error}" + (f"; {_AS_NET}" if exponents else ""))
        return found

    def transforms(self, op: loihi2.ProcessOp, source: str) -> None:
        """Whether values arrive in the order in which netx hands them on."""
        (edge,) = [edge for edge in self.onto[op.process.data] if edge.source.data == source]
        before = self.processes[source]
        expected = list[TransformAttr]()
        if isinstance(op, loihi2.NeuronsOp) and not isinstance(before, loihi2.InputOp):
            expected = [] if len(op.given) != 2 else [TransformAttr.of("reshape", op.given)]
        elif isinstance(op, loihi2.NeuronsOp):
            expected = [TO_VECTOR[0]] if len(op.given) == 3 else []
        elif isinstance(op, loihi2.ConvOp):
            expected = [] if isinstance(before, loihi2.NeuronsOp) else [TO_VECTOR[0]]
        elif len(before.given) == 3 and isinstance(before, loihi2.NeuronsOp):
            expected = list(TO_VECTOR)
        elif len(before.given) != 1:
            expected = [TransformAttr.of("flatten")]
        if list(edge.transform) != expected:
            self.faults.append(f"{op.label}: its values arrive in another order than netx hands them on; {_ELSE}")


_AS_NET = "compile for this format: -o with the ending .net, or form='net'"


def _conv(op: loihi2.ConvOp) -> dict[str, str | Array | int]:
    """netx's fields: a correlation, rows first."""
    weight = op.numbers("weight").transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]
    windows = {name: np.array(integers(getattr(op, name))[::-1]) for name in ("stride", "padding", "dilation")}
    shape = np.array(op.given[::-1])
    return {"type": "conv", "shape": shape, "weight": weight, **windows, "groups": op.groups.value.data}


def _image_bias(op: loihi2.NeuronsOp, bias: Array) -> dict[str, Array]:
    """One a channel where that is enough, else of every neuron as Lava orders them."""
    if not np.any(bias):
        return {}
    bias = np.broadcast_to(bias, op.given)
    return {"bias": bias[0, 0] if np.all(bias == bias[:1, :1]) else bias}
