#!/usr/bin/env bash
# What must hold on real clusters. CI runs all of it; each step makes its own clusters of the testbed, and needs root:
#
#   scripts/clusters.sh STEP...
#
# STEP is one of: three-nodes faults one-node installed high-availability weather
#
# SEAWORTHY_PROGRAM names a static executable, and is built if it does not. BED names the program that makes clusters.
# TESTS names the directory that links the test executables `lifecycle`, `cluster`, `faults`, `installed` and `weather`; they are built if it does not.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

BED=${BED:-$PWD/tests/testbed/bed}
OUT=$PWD/target/ci
MUSL=$(uname -m)-unknown-linux-musl
mkdir -p "$OUT"

# ---- what the steps share ----------------------------------------------------------------------------------------

prepare() {
    if [[ -z ${SEAWORTHY_PROGRAM:-} ]]; then
        cargo build --quiet --release --target "$MUSL"
        SEAWORTHY_PROGRAM=$PWD/target/$MUSL/release/seaworthy
    fi
    export SEAWORTHY_PROGRAM
    if [[ -z ${TESTS:-} ]]; then
        TESTS=$OUT/tests
        scripts/test-executables.sh "$TESTS"
    fi
    "$SEAWORTHY_PROGRAM" image -o "$OUT/probe.tar"
}

# up NAME ARGUMENT...: makes a cluster that `bed` then is, with the image of the probes; it is removed when the step ends.
up() {
    cluster=$1
    bed down >/dev/null 2>&1 || true
    trap 'bed down >/dev/null 2>&1 || true' EXIT
    bed up "${@:2}" >"$OUT/$1.log" 2>&1 || { tail -20 "$OUT/$1.log"; return 1; }
    bed image load "$OUT/probe.tar"
}
bed() { "$BED" --cluster "$cluster" "$@"; }
# inside COMMAND...: where the cluster's addresses are.
inside() { bed run -- "$@"; }

# A cluster has settled when all nodes and pods are ready, and everything that holds a lease renews it.
settled() {
    local deadline=$((SECONDS + 180))
    until bed kubectl get nodes,pods -A -o json | jq -e 'all(.items[]; any(.status.conditions[]?; .type == "Ready" and .status == "True"))' >/dev/null 2>&1 &&
        bed kubectl get leases -n kube-node-lease -o json | jq -e "$FRESH" >/dev/null 2>&1 &&
        bed kubectl get leases -n kube-system kube-controller-manager kube-scheduler -o json | jq -e "$FRESH" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            echo "the cluster has not settled within 180 s"
            bed kubectl get nodes,pods -A
            return 1
        fi
        sleep 0.5
    done
}
FRESH='.items | length > 0 and all(.[]; now - (.spec.renewTime | sub("\\.[0-9]+Z$"; "Z") | fromdate) < 15)'

# A healthy cluster is found healthy, by the program as people run it, in these profiles.
healthy() {
    local profile
    settled
    for profile; do
        inside "$SEAWORTHY_PROGRAM" run --profile "$profile" --kubeconfig "$(bed kubeconfig)" --junit "$OUT/$cluster-$profile.xml"
    done
}

# Nothing of a run is left in the cluster, once Kubernetes has finalized the namespaces that are being deleted.
swept() {
    inside "$SEAWORTHY_PROGRAM" sweep --wait --kubeconfig "$(bed kubeconfig)"
    local kinds=namespaces,pods,services,serviceaccounts,secrets,networkpolicies,certificatesigningrequests,clusterroles,clusterrolebindings left
    left=$(bed kubectl get "$kinds" -A -l app.kubernetes.io/managed-by=seaworthy -o name)
    [[ -z $left ]] || { echo "left behind: $left"; return 1; }
}

# What has just started is a finding, which would end between two runs that are compared.
nothing_has_just_started() {
    local deadline=$((SECONDS + 180))
    until inside "$SEAWORTHY_PROGRAM" run --select CP-20 --fail-on info --kubeconfig "$(bed kubeconfig)" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            echo "a component keeps starting: CP-20 fails after 180 s"
            return 1
        fi
        sleep 2
    done
}

# Runs whose requests meet faults show nothing that runs without them do not.
faulty() {
    nothing_has_just_started
    inside env SEAWORTHY_BED="$BED" "$TESTS/weather" --quiet
}

# ---- the steps ---------------------------------------------------------------------------------------------------

# Also what a run leaves behind, how it is stopped, what it says when its probes are blocked, and with which rights.
three-nodes() {
    up three --nodes 3
    healthy audit post-install ci
    inside env SEAWORTHY_KUBECONFIG="$(bed kubeconfig)" SEAWORTHY_PROFILE=post-install "$TESTS/cluster"
    inside env SEAWORTHY_BED="$BED" "$TESTS/lifecycle"
    swept
}

# Also runs of which some requests meet transient faults.
one-node() {
    up one --nodes 1
    healthy ci
    SEAWORTHY_SEEDS=0..0 faulty
    swept
}

# The periodic audit in the cluster, from its installation to its removal.
installed() {
    up night --nodes 1
    settled
    inside env SEAWORTHY_BED="$BED" "$TESTS/installed"
    swept
}

# Those runs alone. SEAWORTHY_SEEDS is the number of seeds, or a range of them such as 17..18.
weather() {
    up weather --nodes 1
    settled
    faulty
}

high-availability() {
    up ha --nodes 4 --control-planes 3
    healthy ci
    swept
}

# Faults of every kind: objects, manifests, certificates, packets, units.
faults() {
    tests/testbed/run-faults --again --clusters 2 --harness "$TESTS/faults" --output "$OUT/faults" \
        anonymous-bound-to-view authenticated-bound-to-cluster-admin nodes-bound-to-system-node \
        cluster-info-names-a-gone-load-balancer bootstrap-token-without-expiry kubelet-bootstrap-binding-missing \
        coredns-role-without-endpointslices dns-service-without-tcp udp-53-dropped-on-one-node \
        one-way-firewall-between-nodes service-addresses-dropped-on-one-node apiserver-certificate-without-service-address \
        instance-metadata-open-to-pods kubelet-not-enabled
}

(($#)) || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for step; do
    case $step in
    three-nodes | faults | one-node | installed | high-availability | weather) ;;
    *) echo "unknown step: $step" >&2; exit 2 ;;
    esac
done
prepare
for step; do
    # In a shell of its own, which removes the cluster at its end.
    ("$step")
done
