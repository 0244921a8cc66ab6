# shellcheck shell=bash
# A small policy engine: every 0.2 s, the nodes' packet filters become what the NetworkPolicies of the cluster ask for.
# It knows pod selectors, and peers of the policy's own namespace: what the checks' policies use.
#
# The sourcing script defines `kubectl`, `on NODE COMMAND...` and `add_rule NODE TABLE CHAIN RULE...`.

POLICED=(n1 n2 n3)

# policy_rules TYPE...: of these types (Ingress, Egress), a chain each. A pod that a policy of the type selects loses its new
# connections, unless they are with a pod that such a policy admits.
policy_rules() {
    kubectl get networkpolicies,pods -A -o json | jq -r '
        def matches($selector): .metadata.labels as $labels | $selector.matchLabels // {} | to_entries | all(.value == $labels[.key]);
        [.items[] | select(.kind == "Pod" and .status.podIP != null and .spec.hostNetwork != true)] as $pods |
        [.items[] | select(.kind == "NetworkPolicy")] as $policies |
        {Ingress: {rules: "ingress", peers: "from", own: "-d", other: "-s"},
            Egress: {rules: "egress", peers: "to", own: "-s", other: "-d"}} as $types |
        "*filter",
        ($ARGS.positional[] | . as $type | $types[$type] as $way | "BED-\($type)" as $chain |
            ":\($chain) - [0:0]",
            ($pods[] | . as $pod | .metadata.namespace as $namespace | "\($way.own) \(.status.podIP)" as $own |
                [$policies[] | .spec.podSelector as $selector |
                    select((.spec.policyTypes | index($type)) and .metadata.namespace == $namespace and ($pod | matches($selector)))] |
                select(length > 0) |
                (.[].spec[$way.rules][]? | select(has($way.peers) | not) | "-A \($chain) \($own) -j RETURN"),
                (.[].spec[$way.rules][]?[$way.peers][]?.podSelector as $peer |
                    $pods[] | select(.metadata.namespace == $namespace and matches($peer)) |
                    "-A \($chain) \($own) \($way.other) \(.status.podIP) -j RETURN"),
                "-A \($chain) \($own) -m conntrack --ctstate NEW -j DROP")),
        "COMMIT"' --args "$@"
}

# start_policy_engine FILE TYPE...: in the background, with its process in FILE.
start_policy_engine() {
    local file=$1 node type
    shift
    for node in "${POLICED[@]}"; do
        for type; do
            on "$node" iptables -w -N "BED-$type"
            add_rule "$node" filter FORWARD -j "BED-$type"
        done
    done
    enforce_policies "$@" </dev/null >/dev/null 2>&1 &
    echo $! >"$file"
}

enforce_policies() {
    local wanted now=
    while sleep 0.2; do
        wanted=$(policy_rules "$@") || continue
        [ "$wanted" != "$now" ] || continue
        now=$wanted
        for node in "${POLICED[@]}"; do
            on "$node" iptables-restore -w --noflush <<<"$wanted" &
        done
        wait
    done
}
