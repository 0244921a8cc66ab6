#!/usr/bin/env bash
# Packs what build.sh has built and sbom.sh has listed: archives, source, the image of probes, checksums, and the manifests of
# package managers.
#
#   scripts/release/package.sh        all of it, in $DIST
source "$(dirname "$0")/common.bash"
here=$ROOT/scripts/release

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
executables=()
for target in "${TARGETS[@]}"; do
    mkdir "$stage/$target"
    install -m 755 "$BUILT/$target/seaworthy" "$stage/$target/seaworthy"
    install -m 644 LICENSE README.md CHANGELOG.md "$stage/$target/"
    pack "$stage/$target" "$DIST/$(archive "$target")" seaworthy LICENSE README.md CHANGELOG.md
    executables+=(--executable "$BUILT/$target/seaworthy")
done
git archive --format=tar --prefix="seaworthy-$VERSION/" HEAD | gzip --no-name -9 >"$DIST/seaworthy-$VERSION-source.tar.gz"
# One image for both architectures, made by the executable of this machine's.
"$BUILT/$(uname -m)-unknown-linux-musl/seaworthy" image "${executables[@]}" --sbom "$DIST/seaworthy.cdx.json" \
    --output "$DIST/seaworthy-$VERSION-probe-image.tar"

"$here/krew.sh"
"$here/homebrew.sh"
(cd "$DIST" && rm -f SHA256SUMS && sha256sum -- * >"$stage/SHA256SUMS" && mv "$stage/SHA256SUMS" .)
cat "$DIST/SHA256SUMS"
