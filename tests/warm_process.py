"""A process that has nirc and numpy loaded and forks for each job, which then costs no imports.

A line of JSON on standard input is a job: `command`, the words of a call of `nirc` or `nirc-opt`, or of `python` with a
script or `-c` and text; `folder`, where it runs; `output`, the file that takes what it prints. For each the exit status
comes out.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import warnings

from nirc import cli, driver, opt
from nirc.backends import BACKENDS
from nirc.passes import PASSES

CALLS = {"nirc": cli.main, "nirc-opt": opt.main}


def call(command: list[str]) -> None:
    """Do what the command's own process would do."""
    name, *arguments = command
    sys.argv = command
    if name in CALLS:
        CALLS[name](arguments)
        return
    warnings.simplefilter("error")
    sys.argv = arguments
    if arguments[0] == "-c":
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


def main() -> None:
    """Take jobs until there are none."""
    for name in ("nir", "numpy", "llvmlite.binding", "nirc.backends.cpu.run", "nirc.backends.cpu.ahead"):
        importlib.import_module(name)
    for load in (*BACKENDS.values(), *PASSES.values()):
        load()
    driver.context()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
            os.chdir(job["folder"])
            call(job["command"])
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
