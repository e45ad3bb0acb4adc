"""Print the commands that README.md marks for CI, so that CI runs the very text that a reader copies.

    readme_commands.py run|test

A marked block is the line `<!-- ci: run -->` (or `test`) with a ```sh block below it.
Each mark must stand there exactly once.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in ("run", "test"):
        print("usage: readme_commands.py run|test", file=sys.stderr)
        return 2
    mark = f"<!-- ci: {sys.argv[1]} -->"
    blocks: list[str] = re.findall(
        rf"^{re.escape(mark)}\s*^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    if len(blocks) != 1 or not blocks[0].strip():
        print(f"README.md: {len(blocks)} sh blocks below '{mark}', want one that is not empty", file=sys.stderr)
        return 1
    print(blocks[0], end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
