"""snnTorch, Norse, Sinabs and SpikingJelly: `torch_frameworks.py FRAMEWORK NETWORKS`.

Networks are made by hand of the framework's own neuron layers with the arrays of the NIR file, without gradients, and
run step by step (`steps`), or layer by layer where its layers take all steps at once (`layers`). Where a framework's
equations differ from nirc's, its own stand:

snntorch      resets by subtraction a step later, its default
norse         IAFCell resets to 0; CubaLIF are a leaky-integrator box and a LIF box, as its NIR import makes them
sinabs        fires at v >= threshold; the synapse decays after its input, so that is divided by the decay
spikingjelly  fires at v >= threshold
"""

# pyright: basic, reportMissingImports=false, reportArgumentType=false, reportCallIssue=false
from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import torch
from protocol import Array, Network, Variant, serve
from torch import Tensor, nn
from torch_plain import ready, tensors

logging.disable(logging.CRITICAL)

Layer = Callable[[Tensor], Tensor]
"""Stateful: from the drive of a step to its spikes."""


class Neurons:
    """What a framework has: each function makes a layer, at its first state, of decays and thresholds."""

    multistep = False
    """Whether layers take [T, B, N...] at once."""

    def whole(self, threshold: Tensor) -> Layer:
        """Integrate and fire."""
        raise NotImplementedError

    def leaky(self, decay: Tensor, threshold: Tensor) -> Layer:
        """LIF."""
        raise NotImplementedError

    def cuba(self, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        """CubaLIF."""
        raise NotImplementedError

    def recurrent(self, back: Tensor, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        """CubaLIF with its spikes of the last step fed back; without one of the framework's own, by hand."""
        layer, last = self.cuba(synapse, decay, threshold), [None]
        weight = back.T.contiguous()

        def step(drive: Tensor) -> Tensor:
            if last[0] is not None:
                drive = torch.addmm(drive, last[0], weight)
            last[0] = layer(drive)
            return last[0]

        return step


def uniform(values: Tensor) -> float:
    """The one value of all."""
    if not torch.all(values == values.flatten()[0]):
        raise NotImplementedError("parameters differ between neurons")
    return float(values.flatten()[0])


def one_if_uniform(values: Tensor) -> Tensor:
    """A scalar where it is enough."""
    return values.flatten()[0] if torch.all(values == values.flatten()[0]) else values


class SnnTorch(Neurons):
    def _of(self, make: Callable, *names: str) -> Layer:
        layer = make()
        state: list[tuple[Tensor, ...]] = []

        def step(drive: Tensor) -> Tensor:
            if not state:
                state.append(tuple(torch.zeros_like(drive) for _ in names))
            z, *rest = layer(drive, *state[0])
            state[0] = tuple(rest)
            return z

        return step

    def whole(self, threshold: Tensor) -> Layer:
        return self.leaky(torch.tensor(1.0), threshold)

    def leaky(self, decay: Tensor, threshold: Tensor) -> Layer:
        import snntorch

        decay, threshold = one_if_uniform(decay), one_if_uniform(threshold)
        return self._of(lambda: snntorch.Leaky(beta=decay, threshold=threshold), "v")

    def cuba(self, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        import snntorch

        synapse, decay, threshold = map(one_if_uniform, (synapse, decay, threshold))
        return self._of(lambda: snntorch.Synaptic(alpha=synapse, beta=decay, threshold=threshold), "i", "v")


class Norse(Neurons):
    def _of(self, *cells: nn.Module) -> Layer:
        states = [None] * len(cells)

        def step(x: Tensor) -> Tensor:
            for n, cell in enumerate(cells):
                x, states[n] = cell(x, states[n])
            return x

        return step

    def whole(self, threshold: Tensor) -> Layer:
        from norse.torch.functional.iaf import IAFParameters
        from norse.torch.module.iaf import IAFCell

        return self._of(IAFCell(IAFParameters(v_th=one_if_uniform(threshold))))

    def _lif(self, decay: Tensor, threshold: Tensor) -> nn.Module:
        from norse.torch.functional.lif_box import LIFBoxParameters
        from norse.torch.functional.reset import reset_subtract
        from norse.torch.module.lif_box import LIFBoxCell

        p = LIFBoxParameters(
            tau_mem_inv=one_if_uniform(1 - decay), v_th=one_if_uniform(threshold), reset_method=reset_subtract
        )
        return LIFBoxCell(p, dt=1.0)

    def _scaled(self, cell: nn.Module, decay: Tensor) -> nn.Module:
        gain = one_if_uniform(1 / (1 - decay))

        class Scaled(nn.Module):
            def forward(self, x: Tensor, state=None):
                return cell(gain * x, state)

        return Scaled()

    def leaky(self, decay: Tensor, threshold: Tensor) -> Layer:
        return self._of(self._scaled(self._lif(decay, threshold), decay))

    def cuba(self, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        from norse.torch.functional.leaky_integrator_box import LIBoxParameters
        from norse.torch.module.leaky_integrator_box import LIBoxCell

        current = LIBoxCell(LIBoxParameters(tau_mem_inv=one_if_uniform(1 - synapse)), dt=1.0)
        return self._of(self._scaled(current, synapse), self._scaled(self._lif(decay, threshold), decay))


class Sinabs(Neurons):
    """[B, T, N...] inside."""

    multistep = True

    def _fixed(self) -> dict:
        from sinabs.activation import MembraneSubtract, SingleSpike

        return {"spike_fn": SingleSpike, "reset_fn": MembraneSubtract()}

    def _of(self, layer: nn.Module) -> Layer:
        return lambda drive: layer(drive.transpose(0, 1)).transpose(0, 1)

    def whole(self, threshold: Tensor) -> Layer:
        from sinabs.layers import IAF

        return self._of(IAF(spike_threshold=one_if_uniform(threshold), **self._fixed()))

    def leaky(self, decay: Tensor, threshold: Tensor) -> Layer:
        from sinabs.layers import LIF

        tau = one_if_uniform(-1 / torch.log(decay))
        return self._of(LIF(tau, spike_threshold=one_if_uniform(threshold), norm_input=False, **self._fixed()))

    def cuba(self, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        from sinabs.layers import LIF

        taus = [one_if_uniform(-1 / torch.log(values)) for values in (decay, synapse)]
        threshold = one_if_uniform(threshold)
        layer = LIF(taus[0], tau_syn=taus[1], spike_threshold=threshold, norm_input=False, **self._fixed())
        return self._of_divided(layer, synapse)

    def _of_divided(self, layer: nn.Module, synapse: Tensor) -> Layer:
        run, gain = self._of(layer), one_if_uniform(1 / synapse)
        return lambda drive: run(drive * gain)

    def recurrent(self, back: Tensor, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        from sinabs.layers import LIFRecurrent

        linear = nn.Linear(*back.shape, bias=False)
        linear.weight.data = back / synapse[:, None]
        taus = [one_if_uniform(-1 / torch.log(values)) for values in (decay, synapse)]
        layer = LIFRecurrent(
            taus[0],
            linear,
            tau_syn=taus[1],
            spike_threshold=one_if_uniform(threshold),
            norm_input=False,
            **self._fixed(),
        )
        return self._of_divided(layer, synapse)


class SpikingJelly(Neurons):
    def __init__(self, multistep: bool) -> None:
        self.multistep = multistep

    def _fixed(self, threshold: Tensor) -> dict:
        mode = "m" if self.multistep else "s"
        return {"v_threshold": uniform(threshold), "v_reset": None, "step_mode": mode}

    def whole(self, threshold: Tensor) -> Layer:
        from spikingjelly.activation_based import neuron

        return neuron.IFNode(**self._fixed(threshold))

    def leaky(self, decay: Tensor, threshold: Tensor) -> Layer:
        from spikingjelly.activation_based import neuron

        return neuron.LIFNode(tau=1 / (1 - uniform(decay)), decay_input=False, **self._fixed(threshold))

    def cuba(self, synapse: Tensor, decay: Tensor, threshold: Tensor) -> Layer:
        from spikingjelly.activation_based import neuron

        fixed = self._fixed(threshold)
        mode = fixed.pop("step_mode")
        layer = neuron.CUBALIFNode(c_decay=uniform(synapse), v_decay=uniform(decay), **fixed)
        layer.step_mode = mode
        return layer


FRAMEWORKS: dict[str, tuple[Callable[[], Neurons], ...]] = {
    "snntorch": (SnnTorch,),
    "norse": (Norse,),
    "sinabs": (Sinabs,),
    "spikingjelly": (lambda: SpikingJelly(True), lambda: SpikingJelly(False)),
}


def products(w: dict[str, Tensor]) -> list[Layer]:
    """What stands before each layer of neurons of the convolutional network."""

    def conv(weight: Tensor, stride: int) -> nn.Conv2d:
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], stride, 1, bias=False)
        layer.weight.data = weight
        return layer

    def linear(weight: Tensor) -> nn.Linear:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight
        return layer

    def summed() -> nn.LPPool2d:
        return nn.LPPool2d(1, 2)

    return [
        conv(w["conv0"], 2),
        conv(w["conv1"], 1),
        nn.Sequential(summed(), conv(w["conv2"], 1)),
        nn.Sequential(summed(), nn.Flatten(), linear(w["linear0"])),
        linear(w["linear1"]),
    ]


def over_time(product: Layer) -> Layer:
    """A product of images or vectors for all steps."""
    return lambda x: product(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def build(network: Network) -> dict[str, Variant]:
    """Every way in which the framework runs a network."""
    kind, w = str(network["kind"]), tensors(network)
    found = dict[str, Variant]()
    fault: Exception | None = None
    for make in FRAMEWORKS[sys.argv[1]]:
        try:
            neurons = make()
            make_layers(kind, w, neurons)
        except NotImplementedError as error:
            fault = error
            continue

        def run(x: Tensor, neurons=neurons) -> Tensor:
            with torch.no_grad():
                layers = make_layers(kind, w, neurons)  # At their first state.
                if neurons.multistep:
                    for layer in layers:
                        x = layer(x)
                    return x
                outputs = []
                for z in x:
                    for layer in layers:
                        z = layer(z)
                    outputs.append(z)
                return torch.stack(outputs)

        def spikes(x: Tensor) -> Array:
            return x.detach().numpy()

        found["layers" if neurons.multistep else "steps"] = Variant(ready, run, spikes)
    if not found and fault is not None:
        raise fault
    return found


def make_layers(kind: str, w: dict[str, Tensor], neurons: Neurons) -> list[Layer]:
    """The network, layer by layer."""
    multistep = neurons.multistep
    if kind == "layer":
        weight = w["weight"]
        return [lambda x: nn.functional.linear(x, weight), neurons.leaky(w["decay"], w["threshold"])]
    if kind == "recurrent":
        hidden = neurons.recurrent(w["w_rec"], w["synapse"], w["decay"], w["threshold"])
        if multistep and isinstance(neurons, SpikingJelly):
            raise NotImplementedError("recurrent layers of many steps")
        output = neurons.cuba(w["out_synapse"], w["out_decay"], w["out_threshold"])
        first, second = w["w_in"], w["w_out"]
        linear = nn.functional.linear
        return [lambda x: linear(x, first), hidden, lambda x: linear(x, second), output]
    layers: list[Layer] = []
    for n, product in enumerate(products(w)):
        layers += [over_time(product) if multistep else product, neurons.whole(w[f"threshold{n}"])]
    return layers


if __name__ == "__main__":
    versions = ("snntorch", "norse", "sinabs", "spikingjelly")
    serve(("torch", *(name for name in versions if name == sys.argv[1])), build)
