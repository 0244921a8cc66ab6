#!/usr/bin/env bash
# What must hold of a checkout, without a cluster. CI, `just` and the workflows of pull requests run the same:
#
#   scripts/check.sh STEP...
#
# STEP is one of: format lint test documentation dependencies msrv minimal-versions scaffold scripts workflows
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

# Tools that are not part of a Rust toolchain, at the versions that were tried.
CARGO_DENY=0.20.2
ACTIONLINT=1.7.12
ZIZMOR=1.32.0
CHECK_JSONSCHEMA=0.39.0

format() { cargo fmt --check; }

lint() { cargo clippy --quiet --all-targets -- -D warnings; }

# Includes that docs/checks.md and the samples in reports/ are current.
test() { cargo test --quiet; }

# Links in the comments of the code lead somewhere. Those to private items do: these are documented with the others.
documentation() { RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --quiet --no-deps --lib --document-private-items; }

dependencies() {
    command -v cargo-deny >/dev/null || cargo install -q --locked --debug "cargo-deny@$CARGO_DENY"
    cargo deny --log-level error check bans licenses sources
    # The advisory database is fetched from outside, which not every machine can reach.
    if timeout 60 cargo deny --log-level error fetch db 2>/dev/null; then
        cargo deny --log-level error check advisories
    else
        echo "advisories: their database cannot be reached from here; not checked"
    fi
}

# The oldest Rust that Cargo.toml promises, with the versions in Cargo.lock.
msrv() {
    local version
    version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    rustup toolchain list | grep -q "^$version" || rustup toolchain install --profile minimal "$version"
    cargo "+$version" check --quiet --locked --target-dir target/msrv
}

# The oldest versions of the direct dependencies that Cargo.toml promises, in a copy, with the oldest Rust.
minimal-versions() {
    local copy version
    copy=$(mktemp -d)
    # shellcheck disable=SC2064 # now, while the name is known
    trap "rm -rf '$copy'" EXIT
    git ls-files -z | tar --null --files-from - --create | tar --extract --directory "$copy"
    version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    rustup toolchain list | grep -q "^$version" || rustup toolchain install --profile minimal "$version"
    local target=${CARGO_TARGET_DIR:-$PWD/target}/minimal-versions
    (
        cd "$copy"
        # Of nightly, this option only: what is built is built with the stable toolchain.
        RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions
        cargo "+$version" check --quiet --target-dir "$target"
    )
}

# A check that scripts/new-check.sh has begun compiles, and fails by its own test alone.
scaffold() {
    local copy code=0 output
    copy=$(mktemp -d)
    # shellcheck disable=SC2064 # now, while the name is known
    trap "rm -rf '$copy'" EXIT
    git ls-files -z | tar --null --files-from - --create | tar --extract --directory "$copy"
    local target=${CARGO_TARGET_DIR:-$PWD/target}
    (cd "$copy" && scripts/new-check.sh sample-check pki)
    output=$(cd "$copy" && cargo test --quiet --target-dir "$target" --lib -- suites:: 2>&1) || code=$?
    if ((code != 101)) || ! grep -q 'finds nothing yet: write its judge' <<<"$output" || ! grep -q ' 1 failed;' <<<"$output"; then
        echo "$output"
        return 1
    fi
}

scripts() {
    local files
    mapfile -t files < <(git grep -lI '^#!/usr/bin/env bash' -- ':!tests/faults')
    shellcheck --severity=warning "${files[@]}"
}

workflows() {
    command -v actionlint >/dev/null || go install "github.com/rhysd/actionlint/cmd/actionlint@v$ACTIONLINT"
    "$(command -v actionlint || echo "$(go env GOPATH)/bin/actionlint")" -shellcheck "$(command -v shellcheck || true)"
    if ! command -v zizmor >/dev/null; then
        python3 -m venv target/zizmor
        target/zizmor/bin/pip install --quiet --disable-pip-version-check "zizmor==$ZIZMOR"
    fi
    # Offline: nothing is asked of GitHub.
    PATH=$PATH:target/zizmor/bin zizmor --quiet --offline --persona=pedantic .github action.yml
    if ! command -v check-jsonschema >/dev/null; then
        [[ -x target/check-jsonschema/bin/check-jsonschema ]] || python3 -m venv target/check-jsonschema
        target/check-jsonschema/bin/pip install --quiet --disable-pip-version-check "check-jsonschema==$CHECK_JSONSCHEMA"
    fi
    # The schemas come with it.
    PATH=$PATH:target/check-jsonschema/bin check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
    PATH=$PATH:target/check-jsonschema/bin check-jsonschema --quiet --builtin-schema vendor.gitlab-ci docs/ci/gitlab.yml
}

(($#)) || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for step in "$@"; do
    case $step in
    format | lint | test | documentation | dependencies | msrv | minimal-versions | scaffold | scripts | workflows) ("$step") ;;
    *) echo "unknown step: $step" >&2; exit 2 ;;
    esac
done
