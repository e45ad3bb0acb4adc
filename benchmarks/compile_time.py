"""CPU time of compiling a model to a chip and of `nirc --help`, against importing what they need, in one run.

    python benchmarks/compile_time.py [MODEL:TARGET ...] [--repeat N] [--json FILE]

Each figure is the median over child processes that alternate (this machine may be shared), user plus system time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_LOADED = """
import sys
from nirc.cli import cli
cli(sys.argv[1:], standalone_mode=False)
print("\\n".join(sorted(sys.modules)), file=open("modules.txt", "w"))
"""


def cpu(command: list[str], folder: str) -> float:
    """User and system seconds of a child."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(model: Path, target: str, repeat: int, folder: str) -> dict[str, Any]:
    """Compile, import the same modules, --help, and a bare interpreter, in turn."""
    arguments = ["compile", str(model), "--target", target, "-o", "cfg.json"]
    subprocess.run([sys.executable, "-c", _LOADED, *arguments], check=True, cwd=folder, stderr=subprocess.DEVNULL)
    modules = [name for name in Path(folder, "modules.txt").read_text().split() if not name.startswith("__")]
    imports = (
        f"import contextlib, importlib\nfor name in {modules!r}:\n"
        "    with contextlib.suppress(ImportError): importlib.import_module(name)"
    )
    commands = {
        "compile": [sys.executable, "-m", "nirc", *arguments],
        "imports": [sys.executable, "-c", imports],
        "help": [sys.executable, "-m", "nirc", "--help"],
        "python": [sys.executable, "-c", "pass"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeat):
        for name, command in commands.items():
            times[name].append(cpu(command, folder))
    medians = {name: statistics.median(values) for name, values in times.items()}
    spread = {name: [min(values), max(values)] for name, values in times.items()}
    ratios = [c / i for c, i in zip(times["compile"], times["imports"], strict=True)]
    return {
        "model": model.name,
        "target": target,
        "cpu_seconds": medians,
        "spread": spread,
        "compile_over_imports": statistics.median(ratios),
        "compile_over_imports_spread": [min(ratios), max(ratios)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = Path(os.environ.get("NIRC_SHARED", ROOT.parent / "shared")) / "models"
    default = {
        ROOT / "examples" / "gestures.nir": "xylo",
        models / "braille_noDelay_noBias_subtract.nir": "xylo",
        ROOT / "examples" / "digits_conv.nir": "speck",
        models / "cnn_sinabs.nir": "speck",
    }
    chosen = [f"{model}:{target}" for model, target in default.items() if model.exists()]
    parser.add_argument("models", nargs="*", metavar="MODEL:TARGET", default=chosen)
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = (text.rpartition(":") for text in options.models)
        rows = [measure(Path(model).resolve(), target, options.repeat, folder) for model, _, target in parts]
    packages = ("nirc", "xdsl", "numpy", "h5py", "click")
    about = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
    print(about)
    print("CPU seconds, medians; ratio of compile to imports")
    columns = ("compile", "imports", "--help", "python")
    print(f"{'model':36} {'target':6}", *(f"{name:>8}" for name in columns), f"{'ratio':>6} {'spread':>11}")
    for row in rows:
        seconds, (low, high) = row["cpu_seconds"], row["compile_over_imports_spread"]
        times = (f"{seconds[name.lstrip('-')]:8.3f}" for name in columns)
        print(
            f"{row['model']:36} {row['target']:6}", *times, f"{row['compile_over_imports']:6.2f} {low:6.2f}-{high:.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
