"""Make the environments of the frameworks that `kernel_speed.py` compares with: `make_environments.py [NAME ...]`.

As `tests/oracles/make_environments.py` does, for the folders here.
"""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAKER = HERE.parent.parent / "tests" / "oracles" / "make_environments.py"


def main() -> int:
    spec = importlib.util.spec_from_file_location("oracle_environments", MAKER)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    vars(maker)["ORACLES"] = HERE
    status: int = maker.main()
    return status


if __name__ == "__main__":
    sys.exit(main())
