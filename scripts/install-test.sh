#!/usr/bin/env bash
# Proves that the Helm chart and the kustomize base make what `seaworthy install` prints, with the real Helm and kubectl.
#
#   scripts/install-test.sh
#
# HELM names a helm, and is built from its Go module if it does not. KUBECTL names a kubectl; by default it is the testbed's.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

HELM_VERSION=3.22.0
tools=$PWD/target/tools

if [[ -z ${HELM:-} ]]; then
    HELM=$tools/helm
    [[ $("$HELM" version --template '{{.Version}}' 2>/dev/null) == "v$HELM_VERSION" ]] ||
        GOBIN=$tools nice -n 19 go install -ldflags "-X helm.sh/helm/v3/internal/version.version=v$HELM_VERSION" \
            "helm.sh/helm/v3/cmd/helm@v$HELM_VERSION"
fi
if [[ -z ${KUBECTL:-} ]]; then
    for KUBECTL in /var/tmp/bed-cache/bin-*/kubectl "$(command -v kubectl || true)"; do
        [[ ! -x $KUBECTL ]] || break
    done
fi
[[ -x $KUBECTL ]] || { echo "there is no kubectl: tests/testbed/bed install builds it, or KUBECTL names one"; exit 1; }
export HELM KUBECTL
cargo test --quiet --test install -- --include-ignored
