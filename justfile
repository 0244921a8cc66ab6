# Daily commands. `just` lists them; without just, run the lines below a name.

set positional-arguments

[private]
default:
    @just --list --unsorted

# Type-check everything, tests and benchmarks too
check:
    cargo check --all-targets

# Run the tests, or some: just test --lib suites::dns
test *ARGS:
    cargo test "$@"

# Check the format, and the lints that CI checks
lint:
    scripts/check.sh format lint

# Write docs/checks.md and the samples in reports/ again
docs:
    SNAPSHOTS=overwrite cargo test --quiet --test docs --test reports --test fleet

# Begin a check: just new-check signer-names pki
new-check NAME SUITE:
    scripts/new-check.sh "$@"

# Handle the testbed: just bed up, just bed kubectl get nodes, just bed down
bed *ARGS:
    tests/testbed/bed "$@"

# Break a cluster of the testbed as a fault does, and see whether its checks find it
fault NAME:
    tests/testbed/run-faults --again "$1"

# The same for faults, or for all, and keep what was seen as fixtures
record *NAMES:
    tests/testbed/run-faults --again --recordings fixtures/faults "$@"

# Record the healthy clusters of fixtures/healthy again, or some: just record-healthy one-node
record-healthy *NAMES:
    tests/testbed/record-healthy "$@"

# Run against a cluster of one node behind a proxy that injects faults, with this many seeds or a range of them: just weather 17..18
weather SEEDS='1000':
    SEAWORTHY_SEEDS="$1" scripts/clusters.sh weather

# Fuzz a target, guided by coverage (src/fuzzing.rs has the list)
fuzz TARGET SECONDS='60':
    scripts/fuzz.sh "$@"

# Everything that CI does
ci:
    .ci/run
