#!/usr/bin/env bash
# Builds a target again, from a copy of the source in another directory, and compares it with what build.sh made.
#
#   scripts/release/reproduce.sh TARGET [PROFILE]
source "$(dirname "$0")/common.bash"
target=${1:?a target is needed: ${TARGETS[*]}} profile=${2:-release}

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --null --files-from - --create | tar --extract --directory "$copy"
# The tools are the same; what they build is not.
mkdir "$copy/target"
ln -s "$ROOT/target/release-tools" "$copy/target/release-tools"
(cd "$copy" && unset CARGO_TARGET_DIR && BUILT=$copy/built DIST=$copy/dist scripts/release/build.sh "$target" "$profile")
cmp "$BUILT/$target/seaworthy" "$copy/built/$target/seaworthy" || die "$target: two builds are not the same"
echo "$target: two builds in two directories are the same, byte for byte"
