# What the scripts of a release share. Sourced by them.
# shellcheck shell=bash
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never} LC_ALL=C TZ=UTC

# Names and versions.
VERSION=$(sed -n '0,/^version = "\(.*\)"/s//\1/p' Cargo.toml)
TARGETS=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
# Where everything goes that a release publishes.
DIST=${DIST:-$ROOT/target/dist}
# Where a build is: TARGET -> executable.
BUILT=${BUILT:-$ROOT/target/release-binaries}
# The time that files get: that of the commit, so that a second build of it is the same.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
mkdir -p "$DIST" "$BUILT"

# Tools that are not part of a Rust toolchain, at the versions that were tried. zig is the C compiler and the linker: one
# download, the same on every machine, with the C library of both architectures.
CARGO_ZIGBUILD=0.24.1
ZIG=0.17.1
CARGO_AUDITABLE=0.7.7
CARGO_CYCLONEDX=0.5.9
KREW=0.5.0

die() {
    echo "$*" >&2
    exit 1
}

# The page of the project, for manifests that name it. A release knows it from the workflow; Cargo.toml may name it.
repository() {
    local url=${REPOSITORY_URL:-$(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)}
    [[ -n $url ]] || die "REPOSITORY_URL is not set, and Cargo.toml has no repository"
    echo "${url%/}"
}

# Where a file of this release can be downloaded.
download() { echo "$(repository)/releases/download/v$VERSION/$1"; }

archive() { echo "seaworthy-$VERSION-$1.tar.gz"; }

digest() { sha256sum "$DIST/$1" | cut -d ' ' -f 1; }

# The name that Kubernetes has for a target's architecture.
architecture() {
    case $1 in
    x86_64-*) echo amd64 ;;
    aarch64-*) echo arm64 ;;
    *) die "unknown architecture: $1" ;;
    esac
}

# Packs what is in a directory; the same files make the same bytes.
pack() {
    local from=$1 to=$2
    shift 2
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -C "$from" -c "$@" |
        gzip --no-name -9 >"$to"
}
