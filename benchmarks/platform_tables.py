"""What the NIR paper compared, in nirc's own numbers: tables in Markdown, or with --json the reports they come from.

    python benchmarks/platform_tables.py [--shared FOLDER] [--only lif,braille,digits] [-o tables.md]

The single LIF and the Braille sample need the recordings of the paper (`--shared`: models/, cases/paper_lif/ and
cases/braille_recorded/); the digits come with nirc. Each table says what is compared with what. Nothing is timed here:
the numbers do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nirc.compare import Report, compare
from nirc.compare.data import as_data
from nirc.compare.platforms import chips
from nirc.passes.convert_nir_to_snn.schemes import SCHEMES

EXAMPLES = Path(__file__).parent.parent / "examples"

LIF = {
    "norse": "norse",
    "snntorch": "snntorch",
    "nengo": "nengo",
    "s2-nir,dense_delay=0": "spinnaker2",
    "nir-exp-euler,reset=subtract": "exact",
    "lava": "lava_cpu_float",
    "loihi2,mapping=vendor": "lava_loihi_fixed",
    "spyx-0.1": "spyx",
    "sinabs,gain_lif=dt/tau": "sinabs",
    "rockpool,gain_lif=dt/tau": "rockpool",
}
"""The platforms of the single LIF, and the recording of each. The last two were fed weights scaled by dt/tau; the clock
of SpiNNaker2's begins a step late."""

BRAILLE = {
    "noDelay_bias_zero": {
        "norse": "norse",
        "snntorch": "snntorch",
        "spyx-0.1,rec_bias=true": "spyx",
        "nengo": "nengo",
        "s2-nir": "s2",
    },
    "noDelay_noBias_subtract": {
        "norse": "norse",
        "snntorch-subtract": "snntorch",
        "spyx-0.1,rec_bias=true": "spyx",
        "nengo": "nengo",
        "s2-nir,reset=subtract": "s2",
        "rockpool": "rockpool",
    },
}
"""The platforms of each Braille network, and the recording of each."""

HIDDEN = "lif1.lif"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A table in Markdown."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def named(report: Report, name: str) -> dict[str, Any]:
    """A platform of a report, as data."""
    return next(item for item in as_data(report)["platforms"] if item["name"] == name)


def why(item: dict[str, Any]) -> str:
    """The cause of what differs first."""
    firsts = [layer["first"] for layer in item["layers"].values() if layer["first"] is not None]
    if not firsts:
        return "-"
    first = min(firsts, key=lambda cell: (cell["step"], cell["sample"]))
    return f"step {first['step']}: {first['cause']['text']}"


def single_lif(shared: Path) -> tuple[list[Report], Iterator[str]]:
    """The paper's LIF on all platforms, against norse, and each against its recording."""
    traces = {name: np.loadtxt(shared / f"cases/paper_lif/lif_{name}.csv", delimiter=",") for name in LIF.values()}
    x = traces["norse"][:, :1].astype(np.float32)
    report = compare(str(shared / "models/lif_norse.nir"), ",".join(LIF), inputs=x, dt=1e-4)

    def rows() -> Iterator[list[object]]:
        for name, file in LIF.items():
            item = named(report, name)
            if item["refused"]:
                yield [f"`{name}`", "refused", "", "", item["refused"][0]]
                continue
            late = max(layer["latency"] for layer in item["layers"].values())
            ours = [step + late for step in item["fires_at"]]
            recorded = np.flatnonzero(traces[file][:, 2]).tolist()
            steps = " ".join(map(str, ours))
            yield [
                f"`{name}`",
                steps,
                " ".join(map(str, recorded)),
                "equal" if ours == recorded else "differs",
                why(item),
            ]

    return [report], iter(
        [
            "### The single LIF: steps of its spikes\n",
            *table(["platform", "nirc", "recorded", "", f"first difference from {report.reference}"], rows()),
        ]
    )


def braille(shared: Path) -> tuple[list[Report], Iterator[str]]:
    """The hidden layer of both Braille networks on the recorded sample."""
    folder = shared / "cases/braille_recorded"
    x: NDArray[Any] = np.load(folder / "braille_ds_test0_input_recovered.npy")
    reports, lines = list[Report](), list[str]()
    for model, platforms in BRAILLE.items():
        report = compare(
            str(shared / f"models/braille_{model}.nir"), ",".join([*platforms, "loihi2", "xylo,chip=audio3"]), inputs=x
        )
        reports.append(report)
        rows = list[list[object]]()
        for result in report.ran:
            item = named(report, result.name)
            layer = item["layers"].get(HIDDEN)
            if layer is None:
                continue
            apart, cells = "no recording", ""
            if result.name in platforms:
                file = folder / f"{platforms[result.name]}_activity_{model}.npy"
                recorded: NDArray[Any] = np.load(file).astype(int)
                apart = f"{np.count_nonzero(recorded != report.traces[result.name].spikes[HIDDEN][:, 0])}"
                cells = f" of {recorded.size}"
            rows.append(
                [
                    f"`{result.name}`",
                    layer["spikes"],
                    apart + cells,
                    layer["cells_different"],
                    f"{layer['rate_cosine']:.4f}",
                    f"{layer['coincidence']:.4f}",
                    why(item),
                ]
            )
        rows += [[f"`{r.name}`", "refused", "", "", "", "", r.refused[0]] for r in report.results if r.refused]
        head = [
            "platform",
            "spikes",
            "cells unlike its recording",
            f"unlike {report.reference}",
            "cosine",
            "coincidence",
        ]
        lines += [f"### Braille, {model}: the hidden layer\n", *table([*head, "first difference"], rows)]
    return reports, iter(lines)


def digits() -> tuple[list[Report], Iterator[str]]:
    """The digits that come with nirc on every scheme and chip."""
    reports, lines = list[Report](), list[str]()
    for model, raster in (("digits", "digits"), ("digits_recurrent", "digits"), ("digits_conv", "digits_conv")):
        with np.load(EXAMPLES / f"{raster}.npz") as content:
            inputs = {name: content[name] for name in content.files}
        report = compare(
            str(EXAMPLES / f"{model}.nir"),
            ",".join([*SCHEMES, *chips()]),
            inputs=inputs,
            labels=str(EXAMPLES / "digits_labels.npz"),
        )
        reports.append(report)
        rows = list[list[object]]()
        for result in report.results:
            item = named(report, result.name)
            if item["refused"]:
                rows.append([f"`{result.name}`", "refused", "", "", item["refused"][0]])
                continue
            layers = item["layers"].values()
            worst = [min((layer[key] for layer in layers if layer[key] is not None), default=1.0) for key in _LEAST]
            rows.append([f"`{result.name}`", f"{item['accuracy']:.2%}", *(f"{x:.4f}" for x in worst), why(item)])
        head = ["platform", "accuracy", "least cosine of a layer", "least coincidence", "first difference"]
        lines += [f"### {model}.nir: {report.samples} samples, against {report.reference}\n", *table(head, rows)]
    return reports, iter(lines)


_LEAST = ("rate_cosine", "coincidence")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Tables of platforms on the NIR paper's tasks and on the digits.")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the recordings (default: %(default)s)")
    parser.add_argument("--only", default="lif,braille,digits", help="which tables (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the reports there, by name")
    parser.add_argument("-o", "--output", type=Path, help="where the tables go (default: the terminal)")
    arguments = parser.parse_args()
    text = list[str]()
    for name in arguments.only.split(","):
        if name != "digits" and not arguments.shared.is_dir():
            text.append(f"### {name}: not made, {arguments.shared} is not there\n")
            continue
        reports, lines = {
            "lif": lambda: single_lif(arguments.shared),
            "braille": lambda: braille(arguments.shared),
        }.get(name, digits)()
        text += lines
        if arguments.json is not None:
            arguments.json.mkdir(parents=True, exist_ok=True)
            for report in reports:
                target = arguments.json / f"{Path(report.model).stem}.json"
                target.write_text(json.dumps(as_data(report), indent=2) + "\n")
    if arguments.output is None:
        print("\n".join(text))
    else:
        arguments.output.write_text("\n".join(text))


if __name__ == "__main__":
    main()
