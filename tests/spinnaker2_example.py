"""The complete example of nirc's specification of SpiNNaker2, for tests of files and of the evaluator."""

from __future__ import annotations

from typing import Any


def tiny() -> dict[str, Any]:
    """The specification's complete example, section 2."""
    params = {"threshold": [160.0, 200.0], "alpha_decay": 0.75, "i_offset": [0.0, 10.0], "v_init": 0.0, "v_reset": 0.0}
    lif = {"name": "lif", "size": 2, "neuron_model": "lif_no_delay", "record": ["spikes", "v"]}
    projection = {"name": "in->lif", "kind": "list", "pre": "in", "post": "lif"}
    return {
        "schema": "nirc.spinnaker2/1",
        "name": "tiny",
        "dt": 0.001,
        "integrator": "euler",
        "sys_tick_s": 0.001,
        "populations": [
            {"name": "in", "size": 2, "neuron_model": "spike_list", "params": {}, "record": []},
            {**lif, "max_atoms_per_core": 250, "params": {**params, "reset": "reset_to_v_reset"}},
        ],
        "projections": [{**projection, "connections": [[0, 0, 127, 0], [0, 1, -64, 0], [1, 1, 95, 0]]}],
        "inputs": ["in"],
        "outputs": ["lif"],
        "latency": {"lif": 1},
    }
