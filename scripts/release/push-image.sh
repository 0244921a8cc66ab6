#!/usr/bin/env bash
# Uploads the image of probes for both architectures, with the bill of materials that sbom.sh has made, and prints its digest.
#
#   scripts/release/push-image.sh REGISTRY/NAME
source "$(dirname "$0")/common.bash"
name=${1:?the name of the image is needed}

executables=()
for target in "${TARGETS[@]}"; do
    executables+=(--executable "$BUILT/$target/seaworthy")
done
pushed=$("$BUILT/$(uname -m)-unknown-linux-musl/seaworthy" image "${executables[@]}" \
    --sbom "$DIST/seaworthy.cdx.json" --push "$name:$VERSION")
echo "$pushed" >&2
grep -o 'sha256:[0-9a-f]\{64\}$' <<<"$pushed"
