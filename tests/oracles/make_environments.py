"""Make the oracle environments: for each folder here with a `requirements.txt`, the virtual environment `<folder>/env`.
What a file `alone.txt` there lists is installed after it, without its dependencies.

    make_environments.py [NAME ...]        all of them without a name

An environment is made with the interpreter that runs this script, or with that of the version in the folder's file
`python`; where there is none, it is left out, and its tests skip. One that fits its requirements and its interpreter is
left alone. Exits with 1 if an environment of nirc's own Python could not be made, after trying the others; one of
another Python is left out, as where that is missing.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ORACLES = Path(__file__).resolve().parent


def interpreter(name: str) -> str | None:
    """The Python of an environment; None where this machine has none of the version that it needs."""
    wanted = ORACLES / name / "python"
    if not wanted.is_file():
        return sys.executable
    version = wanted.read_text().strip()
    chosen = {**os.environ, "PYENV_VERSION": version}  # pyenv's commands look at it, others do not
    try:
        command = [f"python{version}", "-c", "import sys; print(sys.executable)"]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=chosen).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def make(name: str) -> None:
    """Make the environment `name`, unless its stamp says that it stands."""
    requirements, alone = ORACLES / name / "requirements.txt", ORACLES / name / "alone.txt"
    env = ORACLES / name / "env"
    python = env / "bin" / "python"
    stamp = env / "stamp"
    maker = interpreter(name)
    if maker is None:
        print(f"{name}: left out, there is no Python {(ORACLES / name / 'python').read_text().strip()}", flush=True)
        return
    version = subprocess.run([maker, "-VV"], check=True, capture_output=True).stdout
    contents = requirements.read_bytes() + (alone.read_bytes() if alone.is_file() else b"")
    wanted = hashlib.sha256(contents + version).hexdigest()
    if python.exists() and stamp.is_file() and stamp.read_text() == wanted:
        print(f"{name}: up to date", flush=True)
        return
    print(f"{name}: making {env}", flush=True)
    subprocess.run([maker, "-m", "venv", "--clear", env], check=True)
    install = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    subprocess.run([*install, "--requirement", requirements], check=True)
    if alone.is_file():
        subprocess.run([*install, "--no-deps", "--requirement", alone], check=True)
    stamp.write_text(wanted)
    print(f"{name}: made", flush=True)


def main() -> int:
    known = sorted(path.parent.name for path in ORACLES.glob("*/requirements.txt"))
    parser = argparse.ArgumentParser(description="Make the oracle environments.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all ({', '.join(known)})")
    names: list[str] = parser.parse_args().names or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no requirements.txt for {', '.join(unknown)}; known are {', '.join(known)}")
    failed: list[str] = []
    for name in names:
        try:
            make(name)
        except subprocess.CalledProcessError as error:
            print(f"{name}: failed, {error}", file=sys.stderr, flush=True)
            shutil.rmtree(ORACLES / name / "env", ignore_errors=True)
            if not (ORACLES / name / "python").is_file():
                failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
