# shellcheck shell=bash
# What the fault scripts share. A script sources this file, defines `apply`, `revert` and `expected`
# (and `cluster`, `kubeconfig`, `profile`, `arguments` or `namespace` where they differ from the usual), and ends with `fault "$@"`.

BED=${BED:-bed}
SLUG=$(basename "$0")
STATE=${BED_STATE:-/var/tmp/bed}/faults/$SLUG
SCRATCH=$STATE/scratch # files that a fault makes, never restored
NODE_IP_n1=10.77.0.11
export NODE_IP_n1 SCRATCH

kubectl() { "$BED" kubectl "$@"; }
on() { "$BED" exec "$@"; }

# The identity that no RBAC object can take away: O=system:masters, on the node where kubeadm init ran.
super_kubectl() { on n1 kubectl --kubeconfig /etc/kubernetes/super-admin.conf "$@"; }

# ---- the script's own commands ---------------------------------------------------------------------------------

about() { sed -n '2,/^[^#]/s/^# //p' "$0" | paste -sd' '; }
cluster() { echo '--nodes 3'; }
kubeconfig() { "$BED" kubeconfig; }
profile() { echo post-install; }
arguments() { :; }
# `own` where only a namespace that the run makes itself shows the fault.
namespace() { :; }

fault() {
    case ${1:-} in
    apply)
        same_cluster || rm -rf "$STATE"
        mkdir -p "$SCRATCH"
        cluster_identity >"$STATE/cluster"
        wait_for 90 'the control plane has run for a minute' has_run_for_a_minute
        apply
        ;;
    revert)
        same_cluster || rm -rf "$STATE"
        mkdir -p "$SCRATCH"
        revert
        wait_for 150 'the cluster is healthy' healthy_or_hurry
        rm -rf "$STATE"
        ;;
    expected | cluster | about | kubeconfig | profile | arguments | namespace | settle) "$1" ;;
    *)
        echo "usage: $SLUG apply | revert | expected | cluster | about | kubeconfig | profile | arguments | namespace | settle" >&2
        exit 2
        ;;
    esac
}

# How long a run may wait for the cluster. What follows from the restart of a component that the fault reconfigures, for a
# minute, is not the fault; a cluster that the fault keeps from settling is not waited for for long. Empty: not at all.
settle() { if grep -q edit_static_pod "$0"; then echo 90s; fi; }

# Every check that the fault does not name: for faults that leave the harness without a usable API.
any_other() { echo '* any'; }

# ---- waiting ---------------------------------------------------------------------------------------------------

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "$SLUG: gave up waiting until $what" >&2
            return 1
        fi
        sleep 0.3
    done
}

not() { ! "$@"; }

# Nodes Ready without pressure, kube-system pods Ready and of their newest definition, every lease fresh.
healthy() {
    kubectl get --raw /readyz >/dev/null &&
        kubectl get nodes,pods,leases.coordination.k8s.io,deployments,daemonsets -A -o json | jq -e '
            def ready: any(.status.conditions[]?; .type == "Ready" and .status == "True");
            def age: now - (.spec.renewTime | sub("\\.[0-9]+Z$"; "Z") | fromdate);
            def leader: .kind == "Lease" and (.metadata.name | IN("kube-scheduler", "kube-controller-manager"));
            ([.items[] | select(leader)] | length == 2) and ([.items[] |
                if .kind == "Node" then ready and all(.status.conditions[]; .type == "Ready" or .status == "False")
                elif .kind == "Pod" and .metadata.namespace == "kube-system" then ready and .metadata.deletionTimestamp == null
                elif .kind == "Lease" and .metadata.namespace == "kube-node-lease" then age < 30
                elif leader then age < 5
                elif .kind == "Deployment" then .metadata.generation == .status.observedGeneration and .status.availableReplicas == .spec.replicas
                    and .status.updatedReplicas == .spec.replicas
                elif .kind == "DaemonSet" then .metadata.generation == .status.observedGeneration
                    and .status.numberReady == .status.desiredNumberScheduled and .status.updatedNumberScheduled == .status.desiredNumberScheduled
                else true end] | all)' >/dev/null
}

# What watches an API server that has just started, as the fault before this may have left it, connects again within a minute.
has_run_for_a_minute() {
    kubectl -n kube-system get pods -l tier=control-plane -o json |
        jq -e 'all(.items[].status.containerStatuses[]?.state.running.startedAt // empty; now - fromdate > 60)'
}

healthy_or_hurry() {
    healthy && return
    leaders_are_fresh
    return 1
}

node_is() { # node_is NODE CONDITION STATUS, e.g. node_is n3 Ready False
    [ "$(kubectl get node "$1" -o jsonpath="{.status.conditions[?(@.type=='$2')].status}")" = "$3" ]
}

# may VERB RESOURCE [-n NAMESPACE] --as USER [--as-group GROUP]: what the authorizers answer.
may() { [ "$(kubectl auth can-i "$@" 2>/dev/null)" = yes ]; }

anonymous_status() { curl -sk -o /dev/null -w '%{http_code}' --max-time 5 "https://$NODE_IP_n1:6443$1"; }
anonymous_gets() { [ "$(anonymous_status "$1")" = "$2" ]; }

# ---- remembering -----------------------------------------------------------------------------------------------

# The CA's key tells clusters apart even while the API is down.
cluster_identity() { on n1 sha256sum /etc/kubernetes/pki/ca.key; }
same_cluster() { [ -e "$STATE/cluster" ] && [ "$(cat "$STATE/cluster")" = "$(cluster_identity)" ]; }

# remember_file NODE PATH; restore_files puts all of them back.
remember_file() {
    local copy=$STATE/files/$1$2
    [ -e "$copy" ] && return
    mkdir -p "${copy%/*}"
    on "$1" cp -a "$2" "$copy.part"
    mv "$copy.part" "$copy"
}

restore_files() {
    [ -d "$STATE/files" ] || return 0
    local copy path node
    while IFS= read -r copy; do
        path=${copy#"$STATE/files/"}
        node=${path%%/*}
        put_file "$node" "$copy" "/${path#*/}"
    done < <(find "$STATE/files" -type f ! -name '*.part')
}

# put_file NODE SOURCE PATH: in one step, so that no reader sees half a file.
# shellcheck disable=SC2016
put_file() { on "$1" bash -c 'cp -a "$0" "${1%/*}/.${1##*/}" && mv "${1%/*}/.${1##*/}" "$1"' "$2" "$3"; }

# remember_object KIND NAME [-n NAMESPACE]; remembered prints the same one; restore_objects puts all of them back.
remember_object() {
    local copy
    copy=$(remembered "$@")
    [ -e "$copy" ] && return
    mkdir -p "${copy%/*}"
    kubectl get "$@" -o json |
        jq 'del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.generation, .metadata.creationTimestamp, .metadata.managedFields)' >"$copy.part"
    mv "$copy.part" "$copy"
}

remembered() {
    local words="$*"
    echo "$STATE/objects/${words//[: ]/_}.json"
}

restore_objects() {
    local copy
    for copy in "$STATE"/objects/*.json; do
        [ -e "$copy" ] || continue
        kubectl replace -f "$copy" >/dev/null 2>&1 || kubectl create -f "$copy" >/dev/null
    done
}

# objects (defined by the script) prints manifests.
create_objects() { objects | kubectl apply -f - >/dev/null; }
delete_objects() { objects | kubectl delete --ignore-not-found --wait=true -f - >/dev/null; }

# ---- static pods -----------------------------------------------------------------------------------------------

# edit_static_pod NODE COMPONENT SED-SCRIPT: and wait until the component runs with the new command line.
edit_static_pod() {
    local node=$1 component=$2 manifest=/etc/kubernetes/manifests/$2.yaml
    remember_file "$node" "$manifest"
    sed "$3" "$STATE/files/$node$manifest" >"$SCRATCH/$component.yaml"
    if cmp -s "$SCRATCH/$component.yaml" "$STATE/files/$node$manifest"; then
        echo "$SLUG: the edit does not change $manifest" >&2
        return 1
    fi
    replace_manifest "$node" "$component" "$SCRATCH/$component.yaml"
    wait_for 120 "$component on $node runs as its manifest says" runs_as_written "$node" "$component"
}

# restore_static_pods NODE...: put the remembered manifests back and wait until all that they describe runs.
restore_static_pods() {
    local node component copy
    for node in "$@"; do
        for component in kube-apiserver kube-controller-manager kube-scheduler; do
            copy=$STATE/files/$node/etc/kubernetes/manifests/$component.yaml
            [ -e "$copy" ] || continue
            replace_manifest "$node" "$component" "$copy"
            wait_for 120 "$component on $node runs as its manifest says" runs_as_written "$node" "$component"
        done
    done
    restore_files
    wait_for 120 'the API server is ready' kubectl get --raw /readyz
}

replace_manifest() { # NODE COMPONENT SOURCE
    local manifest=/etc/kubernetes/manifests/$2.yaml before
    on "$1" cmp -s "$3" "$manifest" && return
    before=$(component_pid "$1" "$2" || true)
    put_file "$1" "$3" "$manifest"
    [ "$2" = kube-apiserver ] && [ -n "$before" ] || return 0
    # It drains its watches for so long that both leaders give up: once it is on its way out, it need not.
    wait_for 20 'the old API server stops' not ready_on "$1" || true
    on "$1" kill -KILL "$before" 2>/dev/null || true
}

# By the address that no load balancer stands in front of.
ready_on() { on "$1" kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://127.0.0.1:6443 --tls-server-name kubernetes get --raw /readyz; }

runs_as_written() { # NODE COMPONENT
    local written running
    written=$(on "$1" sed -n 's/^    - \(kube-\|--\)/\1/p' "/etc/kubernetes/manifests/$2.yaml")
    # shellcheck disable=SC2016
    running=$(on "$1" bash -c 'for p in /proc/[0-9]*; do [ "$(readlink "$p/exe" | grep -c "/kube$")" = 1 ] || continue
        tr "\0" "\n" <"$p/cmdline" | grep -qx "$0" && tr "\0" "\n" <"$p/cmdline"; done' "$2" 2>/dev/null)
    [ "$written" = "$running" ]
}

restart_component() { # NODE COMPONENT: the kubelet starts its container again. It does not wait for what drains.
    local before
    before=$(component_pid "$1" "$2")
    on "$1" kill -KILL "$before"
    wait_for 60 "$2 on $1 is started again" component_is_new "$1" "$2" "$before"
}

component_pid() { on "$1" pgrep -xo "${2:0:15}"; }
component_is_new() {
    local now
    now=$(component_pid "$1" "$2") && [ "$now" != "$3" ]
}

lease_age() { # NAME: seconds since it was renewed
    kubectl -n kube-system get lease "$1" -o json | jq -e 'now - (.spec.renewTime | sub("\\.[0-9]+Z$"; "Z") | fromdate) | floor'
}
lease_older_than() { [ "$(lease_age "$1")" -gt "$2" ]; }

# Twice its duration has passed. A leader that stops in good order leaves a lease of one second without a holder.
lease_is_stale() {
    lease_older_than "$1" "$((2 * $(kubectl -n kube-system get lease "$1" -o jsonpath='{.spec.leaseDurationSeconds}')))"
}

# After a restart of the API server both leaders restart too; a fault that is about something else waits for them.
# A live leader renews every two seconds; the lease of one that is gone is removed, so that the next need not wait for its end.
leaders_are_fresh() {
    local component age
    for component in kube-controller-manager kube-scheduler; do
        age=$(lease_age "$component") || return 1
        if ((age > 6)); then
            kubectl -n kube-system delete lease "$component"
            revive "$component"
        fi
        ((age <= 2)) || return 1
    done
}

# A component that failed while the API server was away waits for up to five minutes before its next start;
# a new kubelet knows nothing of that.
revive() {
    local node
    for node in $(kubectl get nodes -l node-role.kubernetes.io/control-plane -o 'jsonpath={.items[*].metadata.name}'); do
        on "$node" test -e "/etc/kubernetes/manifests/$1.yaml" || continue
        component_pid "$node" "$1" || {
            restart_kubelet "$node"
            wait_for 20 "$1 on $node is started" component_pid "$node" "$1"
        } || true
    done
}

# manager_has FLAG: the controller-manager's pod shows it.
manager_has() { kubectl -n kube-system get pod kube-controller-manager-n1 -o json | jq -e --arg flag "$1" 'any(.spec.containers[0].command[]; . == $flag)'; }

# start_second_api_server ADVERTISED [VERSION]: on n2, of the first one's etcd, with its certificates; of VERSION in name
# only (of the same length as the real one).
start_second_api_server() {
    local second=/etc/kubernetes/second manifest=/etc/kubernetes/manifests/kube-apiserver.yaml binary program version pid
    on n2 mkdir -p $second /etc/kubernetes/manifests
    on n1 tar -C /etc/kubernetes -c pki | on n2 tar -C $second -x
    on n1 cat $manifest >"$SCRATCH/first.yaml"
    sed -e "s/--advertise-address=.*/--advertise-address=$1/" -e 's|--etcd-servers=.*|--etcd-servers=https://10.77.0.11:2379|' \
        -e 's|\(advertise-address.endpoint:\) .*|\1 10.77.0.12:6443|' -e 's/host: 10.77.0.11/host: 10.77.0.12/' \
        -e "s|path: /etc/kubernetes/pki|path: $second/pki|" "$SCRATCH/first.yaml" >"$SCRATCH/second.yaml"
    if [ -n "${2:-}" ]; then
        version=$(kubectl version -o json | jq -r .serverVersion.gitVersion)
        [ "${#version}" = "${#2}" ]
        pid=$(component_pid n1 kube-apiserver)
        binary=$second/kube
        # Where its container has the program.
        program=$(on n1 readlink "/proc/$pid/exe")
        on n1 cat "/proc/$pid/exe" | LC_ALL=C sed "s/${version//./\\.}/$2/g" >"$SCRATCH/kube"
        chmod 755 "$SCRATCH/kube"
        put_file n2 "$SCRATCH/kube" $binary
        sed -i -e "s|^    volumeMounts:|&\n    - {name: kube, mountPath: $program, readOnly: true}|" \
            -e "s|^  volumes:|&\n  - {name: kube, hostPath: {path: $binary, type: File}}|" "$SCRATCH/second.yaml"
    fi
    put_file n2 "$SCRATCH/second.yaml" $manifest
    wait_for 120 'the second API server is ready' second_is_ready
    wait_for 60 'it makes itself known' second_is_known
}

stop_second_api_server() {
    on n2 rm -f /etc/kubernetes/manifests/kube-apiserver.yaml
    wait_for 120 'the second API server is gone' not component_pid n2 kube-apiserver
    on n2 rm -rf /etc/kubernetes/second
    kubectl -n kube-system delete lease -l apiserver.kubernetes.io/identity=kube-apiserver,kubernetes.io/hostname=n2 >/dev/null
    wait_for 60 'its pod is gone' not kubectl -n kube-system get pod kube-apiserver-n2
    wait_for 90 'the EndpointSlice names the first alone' first_is_alone
}

second_is_ready() { on n2 curl -skf --max-time 5 https://127.0.0.1:6443/readyz && kubectl -n kube-system get pod kube-apiserver-n2; }
second_is_known() { kubectl -n kube-system get leases -l apiserver.kubernetes.io/identity=kube-apiserver -o json | jq -e '.items | length == 2'; }
first_is_alone() { [ "$(kubectl get endpointslice kubernetes -o jsonpath='{.endpoints[*].addresses[*]}')" = "$NODE_IP_n1" ]; }

# rewrite_authentication: API servers only add to what aggregated ones believe; without the ConfigMap they write it again.
rewrite_authentication() {
    local before
    before=$(kubectl -n kube-system get configmap extension-apiserver-authentication -o jsonpath='{.metadata.uid}' || true)
    kubectl -n kube-system delete configmap extension-apiserver-authentication --ignore-not-found >/dev/null
    wait_for 90 'the API server writes what aggregated ones believe' authentication_is_new "$before"
}
authentication_is_new() {
    local now
    now=$(kubectl -n kube-system get configmap extension-apiserver-authentication -o jsonpath='{.metadata.uid}') && [ "$now" != "$1" ]
}
authentication_has() { # KEY TEXT
    kubectl -n kube-system get configmap extension-apiserver-authentication -o json | jq -e --arg key "$1" --arg text "$2" '.data[$key] | contains($text)'
}

# edit_kubeadm_config SED-SCRIPT: change what kubeadm believes of the cluster.
edit_kubeadm_config() {
    local text
    remember_object configmap kubeadm-config -n kube-system
    text=$(jq -j .data.ClusterConfiguration "$(remembered configmap kubeadm-config -n kube-system)" | sed "$1")
    kubectl -n kube-system patch configmap kubeadm-config --type merge -p "$(jq -n --arg text "$text" '{data: {ClusterConfiguration: $text}}')" >/dev/null
}

# webhook_objects DAYS RULE none|ready [NAMESPACE-SELECTOR]: a fail-closed webhook whose CA ends in DAYS, with a backend
# that is not there or seems to be.
webhook_objects() {
    [ -e "$SCRATCH/webhook.key" ] || openssl ecparam -name prime256v1 -genkey -noout -out "$SCRATCH/webhook.key"
    [ -e "$SCRATCH/webhook.crt" ] || printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' |
        sign /CN=webhook-ca "$(days $(($1 - 365)))" "$(days "$1")" self self "$SCRATCH/webhook.key" >"$SCRATCH/webhook.crt"
    cat <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: policy}
---
apiVersion: v1
kind: Service
metadata: {name: webhook, namespace: policy}
spec: {ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: policy}
webhooks:
- name: widgets.policy.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
  namespaceSelector: ${4:-{\}}
  clientConfig:
    service: {namespace: policy, name: webhook, path: /validate}
    caBundle: $(base64 -w0 "$SCRATCH/webhook.crt")
  rules: [$2]
YAML
    [ "$3" = ready ] || return 0
    cat <<'YAML'
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: webhook-1, namespace: policy, labels: {kubernetes.io/service-name: webhook}}
addressType: IPv4
ports: [{name: "", port: 8443, protocol: TCP}]
endpoints: [{addresses: [10.77.0.12], conditions: {ready: true}}]
YAML
}

# dead_kms_plugin NODE: encrypt new Secrets with a plugin that is not there; the file must be removed after the flag.
dead_kms_plugin() {
    cat >"$SCRATCH/encryption.yaml" <<'YAML'
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - kms: {apiVersion: v2, name: vault, endpoint: "unix:///var/run/kms.sock", timeout: 1s}
  - identity: {}
YAML
    put_file "$1" "$SCRATCH/encryption.yaml" /etc/kubernetes/pki/encryption.yaml
    edit_static_pod "$1" kube-apiserver 's|    - --etcd-cafile=|    - --encryption-provider-config=/etc/kubernetes/pki/encryption.yaml\n&|'
}

kms_plugin_is_missed() { # NODE: live, and not ready for that reason alone
    on "$1" curl -skf --max-time 5 https://127.0.0.1:6443/livez &&
        [ "$(on "$1" curl -sk --max-time 5 'https://127.0.0.1:6443/readyz?verbose' | grep -o '^\[-\][^ ]*')" = '[-]kms-providers' ]
}

# ---- kubelets --------------------------------------------------------------------------------------------------

# edit_kubelet_config NODE SED-SCRIPT: and wait until a new kubelet runs with it.
edit_kubelet_config() {
    remember_file "$1" /var/lib/kubelet/config.yaml
    sed "$2" "$STATE/files/$1/var/lib/kubelet/config.yaml" >"$SCRATCH/kubelet-$1.yaml"
    put_file "$1" "$SCRATCH/kubelet-$1.yaml" /var/lib/kubelet/config.yaml
    restart_kubelet "$1"
}

restart_kubelet() {
    local before
    before=$(kubelet_pid "$1" || true)
    on "$1" kill "$before" || true
    wait_for 60 "the kubelet of $1 serves again" kubelet_is_back "$1" "$before"
}

kubelet_pid() { on "$1" pgrep -xo kubelet; }
kubelet_is_back() { [ "$(kubelet_pid "$1")" != "$2" ] && on "$1" curl -sf --max-time 3 http://127.0.0.1:10248/healthz; }

restore_kubelet_config() {
    [ -e "$STATE/files/$1/var/lib/kubelet/config.yaml" ] || return 0
    restore_files
    restart_kubelet "$1"
}

kubelet_says() { # NODE STATUS: to a request for /pods without credentials
    [ "$(on "$1" curl -sk -o /dev/null -w '%{http_code}' --max-time 5 https://127.0.0.1:10250/pods)" = "$2" ]
}

reports_version() { [ "$(kubectl get node "$1" -o jsonpath='{.status.nodeInfo.kubeletVersion}')" = "$2" ]; }

# rebrand_kubelet NODE VERSION: run a copy of the kubelet in which only the version differs (of the same length).
rebrand_kubelet() {
    local binary version
    version=$(kubectl version -o json | jq -r .serverVersion.gitVersion)
    [ "${#version}" = "${#2}" ]
    # shellcheck disable=SC2016
    binary=$(on "$1" bash -c 'readlink -f "$(command -v kubelet)"')
    while on "$1" umount -l "$binary" 2>/dev/null; do :; done
    LC_ALL=C sed "s/${version//./\\.}/$2/g" "$binary" >"$SCRATCH/kubelet"
    chmod 755 "$SCRATCH/kubelet"
    on "$1" mount --bind "$SCRATCH/kubelet" "$binary"
    restart_kubelet "$1"
    wait_for 60 "$1 reports $2" reports_version "$1" "$2"
}

restore_kubelet_binary() {
    local binary
    # shellcheck disable=SC2016
    binary=$(on "$1" bash -c 'readlink -f "$(command -v kubelet)"')
    # Lazily, because the kubelet that is to go still runs from it.
    if on "$1" umount -l "$binary" 2>/dev/null; then
        while on "$1" umount -l "$binary" 2>/dev/null; do :; done
        restart_kubelet "$1"
    fi
    wait_for 60 "$1 reports the version of the API server" reports_version "$1" "$(kubectl version -o json | jq -r .serverVersion.gitVersion)"
}

# ---- packets ---------------------------------------------------------------------------------------------------

# add_rule NODE TABLE CHAIN RULE...; delete_rule takes it away, however often it was added.
add_rule() { on "$1" iptables -w -t "$2" -I "${@:3}"; }
delete_rule() { while on "$1" iptables -w -t "$2" -D "${@:3}" 2>/dev/null; do :; done; }

# ---- names -----------------------------------------------------------------------------------------------------

# dns_code NODE SERVER NAME: the response code to a query for its IPv4 address; 3 is NXDOMAIN.
dns_code() {
    on "$1" python3 -c 'import socket, sys
name = b"".join(bytes([len(label)]) + label.encode() for label in sys.argv[2].split("."))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(6)
client.sendto(bytes.fromhex("123401000001000000000000") + name + bytes.fromhex("0000010001"), (sys.argv[1], 53))
print(client.recv(4096)[3] & 15)' "$2" "$3"
}

dns_servers() {
    kubectl -n kube-system get pods -l k8s-app=kube-dns -o json |
        jq -r '.items[] | select(.metadata.deletionTimestamp == null) | .status.podIP'
}

# restart_coredns: with the Corefile as it is now.
restart_coredns() {
    kubectl -n kube-system rollout restart deployment/coredns >/dev/null
    kubectl -n kube-system rollout status deployment/coredns --timeout=90s >/dev/null
}

pod_range_of() { kubectl get node "$1" -o jsonpath='{.spec.podCIDR}'; }

# ---- what a cloud shows its instances --------------------------------------------------------------------------

# serve_metadata NODE: the program on stdin answers at the address that clouds use for it, reached by the node and its pods.
serve_metadata() {
    stop_metadata "$1"
    cat >"$SCRATCH/metadata.py"
    on "$1" ip addr add 169.254.169.254/32 dev lo
    on "$1" setsid python3 "$SCRATCH/metadata.py" >/dev/null 2>&1 </dev/null &
    wait_for 20 'the metadata are served' on "$1" curl -s -o /dev/null --max-time 3 http://169.254.169.254/
}

stop_metadata() {
    on "$1" pkill -f "$SCRATCH/metadata.py" || true
    on "$1" ip addr del 169.254.169.254/32 dev lo 2>/dev/null || true
}

# ---- certificates ----------------------------------------------------------------------------------------------

# days N: the moment N days from now (N may be negative), as openssl writes it.
days() { date -u -d "$1 days" +%Y%m%d%H%M%SZ; }

# sign SUBJECT FROM TO CA-CERT CA-KEY KEY: a certificate for KEY, its extensions read from stdin, printed as PEM.
# The CA of `self` signs KEY's certificate with KEY itself.
sign() {
    local dir
    dir=$(mktemp -d)
    cat >"$dir/extensions"
    : >"$dir/index.txt"
    printf '[ca]\ndefault_ca=x\n[x]\ndatabase=%s/index.txt\nnew_certs_dir=%s\npolicy=p\ndefault_md=sha256\nrand_serial=yes\nunique_subject=no\n[p]\norganizationName=optional\ncommonName=supplied\n' "$dir" "$dir" >"$dir/ca.cnf"
    # Names are PrintableString where they can be, as Go writes them: clients compare the bytes of issuer and subject.
    printf '[req]\ndistinguished_name=d\nstring_mask=MASK:0x2002\n[d]\n' | openssl req -new -key "$6" -subj "$1" -config /dev/stdin -out "$dir/csr"
    local -a by=(-cert "$4" -keyfile "$5")
    [ "$4" = self ] && by=(-selfsign -keyfile "$6")
    openssl ca -batch -notext -preserveDN -config "$dir/ca.cnf" "${by[@]}" -in "$dir/csr" -startdate "$2" -enddate "$3" -extfile "$dir/extensions" 2>"$dir/log" || {
        cat "$dir/log" >&2
        return 1
    }
    rm -rf "$dir"
}

# The cluster's CA pair and other key material, copied to $SCRATCH, which revert removes.
borrow() { # NODE PATH NAME
    (umask 077 && on "$1" cat "$2" >"$SCRATCH/$3")
}

# serve_certificate NODE NAMES DAYS: give the API server of NODE a certificate with these names for its own key.
# It takes a changed file into use without a restart.
serve_certificate() {
    local pki=/etc/kubernetes/pki
    remember_file "$1" $pki/apiserver.crt
    borrow "$1" $pki/apiserver.key apiserver.key
    borrow "$1" $pki/ca.key ca.key
    borrow "$1" $pki/ca.crt ca.crt
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$2" |
        sign /CN=kube-apiserver "$(days $(($3 - 365)))" "$(days "$3")" "$SCRATCH/ca.crt" "$SCRATCH/ca.key" "$SCRATCH/apiserver.key" >"$SCRATCH/apiserver.crt"
    put_file "$1" "$SCRATCH/apiserver.crt" $pki/apiserver.crt
    wait_for 60 'the new certificate is served' serves_file "$1"
}

# replace_certificate NODE PATH CA SUBJECT FROM TO EXTENSION...: a certificate in the place of PATH, for the key beside it,
# signed by the pair CA of /etc/kubernetes/pki (or by the one in $SCRATCH, if there is one of that name already).
replace_certificate() {
    local node=$1 path=$2 name=${3##*/}
    remember_file "$node" "$path"
    borrow "$node" "${path%.crt}.key" own.key
    [ -e "$SCRATCH/$name.key" ] || {
        borrow n1 "/etc/kubernetes/pki/$3.key" "$name.key"
        borrow n1 "/etc/kubernetes/pki/$3.crt" "$name.crt"
    }
    printf '%s\n' "${@:7}" | sign "$4" "$5" "$6" "$SCRATCH/$name.crt" "$SCRATCH/$name.key" "$SCRATCH/own.key" >"$SCRATCH/own.crt"
    put_file "$node" "$SCRATCH/own.crt" "$path"
}

# another_authority NAME SUBJECT: a CA that no component trusts, as NAME.crt and NAME.key in $SCRATCH.
another_authority() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$SCRATCH/$1.key"
    printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyCertSign\nsubjectKeyIdentifier=hash\n' |
        sign "$2" "$(days -100)" "$(days 3550)" self - "$SCRATCH/$1.key" >"$SCRATCH/$1.crt"
}

# replace_login NODE NAME SUBJECT FROM TO: another client certificate in /etc/kubernetes/NAME.conf, for the key in it.
replace_login() {
    local conf=/etc/kubernetes/$2.conf
    remember_file "$1" "$conf"
    borrow "$1" "$conf" login.conf
    borrow "$1" /etc/kubernetes/pki/ca.key ca.key
    borrow "$1" /etc/kubernetes/pki/ca.crt ca.crt
    (
        umask 077
        sed -n 's/^ *client-key-data: //p' "$SCRATCH/login.conf" | base64 -d >"$SCRATCH/login.key"
        printf 'keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth\n' |
            sign "$3" "$4" "$5" "$SCRATCH/ca.crt" "$SCRATCH/ca.key" "$SCRATCH/login.key" >"$SCRATCH/login.crt"
        sed "s|^\( *client-certificate-data: \).*|\1$(base64 -w0 <"$SCRATCH/login.crt")|" "$SCRATCH/login.conf" >"$SCRATCH/login.new"
    )
    put_file "$1" "$SCRATCH/login.new" "$conf"
}

# signing_off: the controller-manager signs no certificates.
signing_off() {
    edit_static_pod n1 kube-controller-manager 's/--controllers=\*/&,-certificatesigningrequest-signing-controller/'
    wait_for 90 'the controllers run' leaders_are_fresh
}

serves_file() { # NODE
    [ "$(on "$1" openssl x509 -in /etc/kubernetes/pki/apiserver.crt -noout -fingerprint)" = "$(on "$1" bash -c \
        'openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint')" ]
}

# root_ca_is FILE: every namespace's kube-root-ca.crt is that CA.
root_ca_is() {
    kubectl get configmaps -A --field-selector metadata.name=kube-root-ca.crt -o json |
        jq -e --rawfile ca "$1" '.items | length > 3 and all(.[]; .data["ca.crt"] == $ca)'
}

# What the bearer of a bootstrap token may do: bootstrapper_may VERB RESOURCE [-n NAMESPACE].
bootstrapper_may() {
    may "$@" --as system:bootstrap:seaworthy0 --as-group system:bootstrappers \
        --as-group system:bootstrappers:kubeadm:default-node-token
}

# ---- bootstrap tokens ------------------------------------------------------------------------------------------

# token_secret NAME ID [EXPIRATION]: as kubeadm token create writes it.
token_secret() {
    cat <<YAML
apiVersion: v1
kind: Secret
type: bootstrap.kubernetes.io/token
metadata: {name: $1, namespace: kube-system}
stringData:
  token-id: $2
  token-secret: 0123456789abcdef
  ${3:+expiration: "$3"}
  usage-bootstrap-signing: "true"
  usage-bootstrap-authentication: "true"
  auth-extra-groups: system:bootstrappers:kubeadm:default-node-token
YAML
}

in_hours() { date -u -d "$1 hours" +%Y-%m-%dT%H:%M:%SZ; }
cluster_info() { kubectl -n kube-public get configmap cluster-info -o json; }
signed_for() { cluster_info | jq -e --arg k "jws-kubeconfig-$1" '.data | has($k)' >/dev/null; }

# edit_cluster_info SED-SCRIPT: change the kubeconfig that joining nodes read.
edit_cluster_info() {
    remember_object configmap cluster-info -n kube-public
    jq -j .data.kubeconfig "$(remembered configmap cluster-info -n kube-public)" | sed "$1" |
        jq -Rs '{data: {kubeconfig: .}}' >"$SCRATCH/cluster-info.json"
    kubectl -n kube-public patch configmap cluster-info --type merge --patch-file "$SCRATCH/cluster-info.json" >/dev/null
}

# Every signature fits the kubeconfig: the bootstrap signer has seen the last change.
cluster_info_is_signed() {
    local info id secret
    info=$(cluster_info) || return 1
    while read -r id secret; do
        [ "$(jq -r --arg k "jws-kubeconfig-$id" '.data[$k]' <<<"$info")" = "$(jq -j .data.kubeconfig <<<"$info" | jws "$id" "$secret")" ] || return 1
    done < <(kubectl -n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token -o json |
        jq -r '.items[].data | select(."usage-bootstrap-signing") | map_values(@base64d) | "\(."token-id") \(."token-secret")"')
}

base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }

jws() { # ID SECRET: the detached signature of stdin
    local header
    header=$(printf '{"alg":"HS256","kid":"%s"}' "$1" | base64url)
    printf '%s..%s\n' "$header" "$({
        printf '%s.' "$header"
        base64url
    } | openssl dgst -sha256 -hmac "$2" -binary | base64url)"
}
