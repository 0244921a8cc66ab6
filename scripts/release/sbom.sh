#!/usr/bin/env bash
# Lists what the executables are made of: $DIST/seaworthy.cdx.json, a bill of materials of CycloneDX.
source "$(dirname "$0")/common.bash"
command -v cargo-cyclonedx >/dev/null || cargo install -q --locked --debug "cargo-cyclonedx@$CARGO_CYCLONEDX"

# It writes beside each Cargo.toml of the workspace, so it is given a copy without the fuzz targets.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | tar --null --files-from - --create | tar --extract --directory "$copy"
rm -r "$copy/fuzz"
sed -i '/^\[workspace\]/,/^$/d' "$copy/Cargo.toml"
(cd "$copy" && cargo cyclonedx -q --format json --spec-version 1.5 --target all --no-build-deps --override-filename seaworthy)
# The tool names this package by where it lay.
sed -e "s|path+file://$copy#seaworthy@|pkg:cargo/seaworthy@|g" -e 's|?download_url=file://.||' "$copy/seaworthy.json" \
    >"$DIST/seaworthy.cdx.json"

jq -e --arg version "$VERSION" '
    .bomFormat == "CycloneDX" and .metadata.component.name == "seaworthy" and .metadata.component.version == $version
    and (.components | length > 100 and all(.purl | startswith("pkg:cargo/")))
' "$DIST/seaworthy.cdx.json" >/dev/null || die "the bill of materials lacks what it should have"
if grep -qF -e "$copy" -e "$ROOT" "$DIST/seaworthy.cdx.json"; then
    die "the bill of materials names a directory of this machine"
fi
