#!/usr/bin/env bash
# Proves what a release rests on, and publishes nothing:
#
# - both architectures build, and the executables name no directory of the machine;
# - two builds in two directories are the same, byte for byte;
# - the archives, the image for both architectures, the bill of materials and the manifests are made;
# - krew takes its manifest and installs the plugin from the archive.
#
# The builds have the profile `proof`: that of a release without optimization, which takes minutes less. That optimized builds
# are the same too is not proven here; the release workflow builds each of those twice, too. SEAWORTHY_PROGRAM, if set, is a static
# executable for this machine that is built already: it is packed instead of another build.
source "$(dirname "$0")/common.bash"
here=$ROOT/scripts/release
export DIST=$ROOT/target/proof/dist BUILT=$ROOT/target/proof/executables REPOSITORY_URL=https://git.example/seaworthy
rm -rf "$ROOT/target/proof"
mkdir -p "$DIST" "$BUILT"

own=$(uname -m)-unknown-linux-musl
for target in "${TARGETS[@]}"; do
    if [[ $target == "$own" && -n ${SEAWORTHY_PROGRAM:-} ]]; then
        mkdir -p "$BUILT/$target"
        cp "$SEAWORTHY_PROGRAM" "$BUILT/$target/seaworthy"
    else
        "$here/build.sh" "$target" proof
        twice=$target
    fi
done

"$here/reproduce.sh" "$twice" proof

"$here/sbom.sh"
"$here/package.sh"
# cargo-binstall asks for the archives by the names that Cargo.toml gives them.
url=$(sed -n 's/^pkg-url = "\(.*\)"/\1/p' Cargo.toml)
for target in "${TARGETS[@]}"; do
    asked=$(sed "s#{ repo }#$(repository)#; s#{ name }#seaworthy#; s#{ version }#$VERSION#g; s#{ target }#$target#" <<<"$url")
    [[ $asked == "$(download "$(archive "$target")")" ]] || die "cargo-binstall would ask for $asked"
done
sums=$(<"$DIST/SHA256SUMS")
"$here/package.sh" >/dev/null
[[ $(<"$DIST/SHA256SUMS") == "$sums" ]] || die "packing again makes other files"

krew=$ROOT/target/krew
if [[ ! -x $krew/kubectl-krew ]]; then
    mkdir -p "$krew"
    printf 'module krew\n\ngo 1.24\n\nrequire sigs.k8s.io/krew v%s\n' "$KREW" >"$krew/go.mod"
    (cd "$krew" && GOFLAGS=-mod=mod go build -o . sigs.k8s.io/krew/cmd/validate-krew-manifest &&
        GOFLAGS=-mod=mod go build -o kubectl-krew sigs.k8s.io/krew/cmd/krew)
fi
"$krew/validate-krew-manifest" -manifest "$DIST/seaworthy.yaml" -skip-install
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
KREW_ROOT=$home "$krew/kubectl-krew" install --manifest "$DIST/seaworthy.yaml" --archive "$DIST/$(archive "$own")"
[[ $("$home/bin/kubectl-seaworthy" --version) == "seaworthy $VERSION" ]] || die "the plugin has another version"

if command -v ruby >/dev/null; then
    ruby -c "$DIST/seaworthy.rb"
else
    echo "the formula for Homebrew: not checked, there is no ruby here"
fi
