#!/usr/bin/env bash
# Runs the RUN line of every test in this folder; %s stands for the file. Needs nirc and filecheck on the PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for file in *.mlir *.test; do
    command=$(sed -n 's/.*RUN: //p' "$file" | sed "s|%s|$file|g")
    [ -n "$command" ] || { echo "$file: no RUN line" >&2; exit 1; }
    echo "$command"
    bash -o pipefail -c "$command"
done
