"""Runs in the oracle's environment: the documented loader, or samna's reader, on each configuration; samna's verdict.

    samna_runner.py FOLDER        FOLDER holds 0/cfg.json, 1/cfg.json, ... and loader.py, the page's block

Writes FOLDER/results.json: per configuration [valid, message, samna's text], and FOLDER/fresh.json, the text of a fresh
configuration. samna 0.7.1.0 knows speck2b only, which wants kill bits beside what the loader sets.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

import samna  # pyright: ignore[reportMissingImports]

samna: Any = samna
samna.speck2f = samna.speck2b
folder = Path(sys.argv[1])
code = compile((folder / "loader.py").read_text(), "loader.py", "exec")
(folder / "fresh.json").write_text(samna.speck2b.configuration.SpeckConfiguration().to_json())


def without_kill_bits(values: Any) -> Any:
    return [without_kill_bits(value) for value in cast(list[Any], values)] if isinstance(values, list) else False


results: list[Any] = []
for n in range(len(list(folder.glob("*/cfg.json")))):
    os.chdir(folder / str(n))
    content = json.loads(Path("cfg.json").read_text())
    names: dict[str, Any] = {"config": samna.speck2f.configuration.SpeckConfiguration()}
    if "value0" in content:
        names["config"].from_json(Path("cfg.json").read_text())
    else:
        exec(code, names)
    config = names["config"]
    for core in content.get("cnn_layers", []):
        layer, size = config.cnn_layers[core["core"]], core["dimensions"]["output_shape"]
        places = [[[0] * size["size"]["y"]] * size["size"]["x"]] * size["feature_count"]
        layer.weights_kill_bit = without_kill_bits(core["weights"])
        layer.biases_kill_bit = without_kill_bits(core["biases"])
        layer.neurons_value_kill_bit = without_kill_bits(places)
    valid, message = samna.speck2b.validate_configuration(config)
    results.append([bool(valid), message, config.to_json()])
(folder / "results.json").write_text(json.dumps(results))
sys.stdout.flush()
os._exit(0)  # samna's threads do not end by themselves
