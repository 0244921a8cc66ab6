#!/usr/bin/env bash
# Builds the static executable of a target. The same commit makes the same bytes, in any directory and on any machine.
#
#   scripts/release/build.sh TARGET [PROFILE]        x86_64-unknown-linux-musl or aarch64-unknown-linux-musl
#
# The result is $BUILT/TARGET/seaworthy. PROFILE is a profile of Cargo.toml, by default `release`.
source "$(dirname "$0")/common.bash"
target=${1:?a target is needed: ${TARGETS[*]}} profile=${2:-release}

tools=$ROOT/target/release-tools
if [[ ! -x $tools/bin/cargo-zigbuild ]]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "cargo-zigbuild==$CARGO_ZIGBUILD" "ziglang==$ZIG"
fi
[[ -x $tools/bin/cargo-auditable ]] ||
    cargo install --quiet --locked --debug --root "$tools" "cargo-auditable@$CARGO_AUDITABLE"
export PATH=$tools/bin:$PATH
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

# No path of this machine gets into the executable: neither from Rust nor from the C code of aws-lc.
built_in=${CARGO_TARGET_DIR:-$ROOT/target/release-build}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
remap=("$built_in=/target" "$ROOT=/seaworthy" "$cargo_home=/cargo")
export CARGO_ENCODED_RUSTFLAGS='' CFLAGS='' CARGO_INCREMENTAL=0
for pair in "${remap[@]}"; do
    CARGO_ENCODED_RUSTFLAGS+=${CARGO_ENCODED_RUSTFLAGS:+$'\x1f'}--remap-path-prefix=$pair
    CFLAGS+=" -ffile-prefix-map=$pair"
done
# The executable lists the crates that it is made of, with their versions: scanners such as `cargo audit bin` read it.
cargo auditable zigbuild --quiet --locked --bin seaworthy --target "$target" --profile "$profile" --target-dir "$built_in"

mkdir -p "$BUILT/$target"
cp "$built_in/$target/$profile/seaworthy" "$BUILT/$target/seaworthy"
if grep -qaF -e "$ROOT" -e "$cargo_home" "$BUILT/$target/seaworthy"; then
    die "the executable names a directory of this machine"
fi
grep -qaF .dep-v0 "$BUILT/$target/seaworthy" || die "the executable does not list its crates"
sha256sum "$BUILT/$target/seaworthy"
