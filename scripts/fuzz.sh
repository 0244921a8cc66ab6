#!/usr/bin/env bash
# Runs a fuzz target, guided by coverage. Needs a nightly toolchain and `cargo install cargo-fuzz`.
#
#   scripts/fuzz.sh TARGET [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:?a target of src/fuzzing.rs is needed} seconds=${2:-60}

# The profile of a release would optimize across all crates for each of the targets, which takes minutes.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=2
export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only

# The smoke test writes the seeds of our own formats.
seeds=target/tmp/seeds/$target
cargo test --quiet --test fuzz
found=target/fuzz/corpus/$target
mkdir -p "$seeds" "$found" "fuzz/corpus/$target"
# The program is safe Rust: a sanitizer of memory would look at the C code of aws-lc only, at twice the time.
cargo +nightly fuzz run --sanitizer none --target-dir target/fuzz "$target" "$found" "fuzz/corpus/$target" "$seeds" -- \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096
