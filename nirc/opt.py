"""`nirc-opt`: xDSL's opt tool with nirc's dialects, passes and targets; it reads .nir files too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import StringIO
from typing import IO, cast

from xdsl.dialects.builtin import ModuleOp
from xdsl.transforms import get_all_passes
from xdsl.utils.arg_spec import parse_spec
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError
from xdsl.utils.target import Target
from xdsl.xdsl_opt_main import xDSLOptMain

from nirc.printing import IRParser, WeightPrinter


class NircOptMain(xDSLOptMain):
    """`nirc-opt in.mlir -p 'convert-nir-to-snn{dt=1.0e-4}'`, for lowering tests."""

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        super().register_all_arguments(arg_parser)
        arg_parser.add_argument(
            "--elide-weights-larger-than", type=int, metavar="N", help="print longer weights as the hash of their bytes"
        )
        arg_parser.add_argument(
            "--fix", action="append", default=[], metavar="NAME", help="mend this known defect of .nir files; or all"
        )

    def register_all_dialects(self) -> None:
        from xdsl.dialects import get_all_dialects

        from nirc.dialects import DIALECTS

        for name, load in {**get_all_dialects(), **DIALECTS}.items():
            self.ctx.register_dialect(name, load)

    def register_all_passes(self) -> None:
        from nirc.passes import PASSES

        for name, load in {**get_all_passes(), **PASSES}.items():
            self.register_pass(name, load)

    def register_all_targets(self) -> None:
        from xdsl.targets import get_all_targets

        from nirc.universe import NIRC_UNIVERSE

        self.available_targets.update(get_all_targets())
        self.available_targets.update(NIRC_UNIVERSE.all_targets)

        def write_nir() -> type[Target]:
            from nirc.backends.nir import NirTarget

            return NirTarget

        # Not in the universe: plain xdsl-opt would encode the bytes as UTF-8.
        self.available_targets["nir"] = write_nir

    def prepare_output(self) -> IO[str]:
        if parse_spec(self.args.target).name != "nir":
            return super().prepare_output()
        if self.args.output_file is None and sys.stdout.isatty():
            raise DiagnosticException("a .nir file is binary; give -o OUT")
        path = self.args.output_file
        file = sys.stdout.fileno() if path is None else path
        return open(file, "w", encoding="latin-1", newline="", closefd=path is not None)

    def register_all_frontends(self) -> None:
        super().register_all_frontends()

        def read_nir(file: IO[bytes]) -> ModuleOp:
            from nirc.driver import load

            return load(file.name, fixes=self.args.fix).module

        def read_mlir(file: IO[bytes]) -> ModuleOp:
            if self.args.fix:
                raise DiagnosticException("--fix mends .nir files as they are read; this is none")
            text = cast(str, file.read())  # xDSL opens all but .nir files as text
            return IRParser(self.ctx, text, self.get_input_name()).parse_module(not self.args.no_implicit_module)

        self.available_frontends["nir"] = read_nir
        self.available_frontends["mlir"] = read_mlir

    def output_resulting_program(self, prog: ModuleOp) -> str:
        limit = self.args.elide_weights_larger_than
        if self.args.target != "mlir" or limit is None:
            return super().output_resulting_program(prog)
        output = StringIO()
        WeightPrinter(output, limit).print_op(prog)
        return output.getvalue() + "\n"


def main(args: Sequence[str] | None = None) -> None:
    """The entry point; faults of the IR or the options are lines on stderr and exit status 1."""
    try:
        NircOptMain("nirc's opt tool: run passes over IR", args).run()
    except (ArgSpecParseError, DiagnosticException, ParseError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
