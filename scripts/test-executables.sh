#!/usr/bin/env bash
# Builds the tests and links the executables of those on clusters into a directory, so that they run without cargo:
# cargo would wait for whatever else it builds at that time.
#   scripts/test-executables.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
cargo test --quiet --no-run --message-format json |
    jq -r 'select(.executable != null and (.target.name | IN("cluster", "faults", "installed", "lifecycle", "weather"))) | "\(.target.name) \(.executable)"' |
    while read -r name executable; do ln -sf "$executable" "$1/$name"; done
