#!/usr/bin/env bash
# Stops a release whose tag, version or metadata do not match.
#
#   scripts/release/version.sh TAG
source "$(dirname "$0")/common.bash"
tag=${1:?a tag is needed}

[[ $tag == "v$VERSION" ]] || die "the tag is $tag and the version of Cargo.toml is $VERSION"
grep -q "^## \[\?$VERSION" CHANGELOG.md || die "CHANGELOG.md has no section for $VERSION"
# crates.io shows it, and cargo-binstall finds the archives by it.
grep -q '^repository = "https://' Cargo.toml || die "Cargo.toml has no repository"
