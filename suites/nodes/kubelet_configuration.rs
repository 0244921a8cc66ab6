//! # Kubelets run with what they should, and all with the same
//!
//! ## Why
//! A node that missed a change of the kubelets' configuration behaves differently from all others, and nobody knows until
//! a pod lands there. Some settings open a node to whoever can connect to it.
//!
//! ## Fix
//! `kubectl -n kube-system get configmap kubelet-config -o yaml` shows what kubeadm gives to nodes. On the node that is
//! named: `kubeadm upgrade node phase kubelet-config` writes it to `/var/lib/kubelet/config.yaml` again; look for flags in
//! `/var/lib/kubelet/kubeadm-flags.env` and `systemctl cat kubelet`, which win over the file; `systemctl restart kubelet`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/apis/config/v1beta1/types.go` and `defaults.go`,
//! `cmd/kubeadm/app/componentconfigs/kubelet.go`. Each kubelet tells what it runs with at /configz. kubeadm writes zeros
//! for what it leaves to the kubelet's defaults, so zeros of the ConfigMap are not compared. What belongs to one machine
//! (addresses, files, reserved resources, cgroup roots) may differ. `cgroupDriver: cgroupfs` is right on a machine without
//! systemd, and `failCgroupV1: false` lets a kubelet run on cgroup v1, of which /configz does not tell whether it does:
//! both are told and not judged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::{Finding, Folded, Severity, Subject, Verdict, names};
use crate::fact::facts::kubelet_configs::KubeletConfigs;
use crate::fact::facts::kubelet_configuration::KubeletConfiguration;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::seen::Unobserved;

use super::reach::out_of_reach;

crate::check!("KL-06", "kubelet-configuration", Major, judge);

const FILE: &str = "/var/lib/kubelet/config.yaml; systemctl restart kubelet";
const REWRITE: &str = "kubeadm upgrade node phase kubelet-config; systemctl restart kubelet; if it stays, look for flags in \
                       /var/lib/kubelet/kubeadm-flags.env";

/// What belongs to one machine, or is told by flags: it may differ from node to node. All below such a path, too.
const OF_ONE_MACHINE: [&str; 32] = [
    "address",
    "allowedUnsafeSysctls",
    "apiVersion",
    "cgroupDriver",
    "cgroupRoot",
    "containerRuntimeEndpoint",
    "cpuManagerPolicy",
    "cpuManagerPolicyOptions",
    "enforceNodeAllocatable",
    "evictionHard",
    "evictionMinimumReclaim",
    "evictionSoft",
    "evictionSoftGracePeriod",
    "imageServiceEndpoint",
    "kind",
    "kubeReserved",
    "kubeReservedCgroup",
    "kubeletCgroups",
    "memoryManagerPolicy",
    "podCIDR",
    "podLogsDir",
    "providerID",
    "registerWithTaints",
    "reservedMemory",
    "reservedSystemCPUs",
    "resolvConf",
    "systemCgroups",
    "systemReserved",
    "systemReservedCgroup",
    "tlsCertFile",
    "tlsPrivateKeyFile",
    "volumePluginDir",
];

fn judge(nodes: &Nodes, kubelets: &KubeletConfigs, kubeadm: Result<&KubeletDefaults, &Unobserved>) -> Verdict {
    if let Some(why) = out_of_reach(kubelets.iter().map(|(_, configuration)| configuration.err())) {
        return Verdict::not_applicable(format!("no kubelet can be asked from here: {why}"));
    }
    let mut verdict = Verdict::new();
    let mut folded = Folded::new();
    let mut seen: Vec<(&str, &Node, &KubeletConfiguration)> = Vec::new();
    for (name, configuration) in kubelets.iter() {
        match (configuration, nodes.0.get(name)) {
            (Ok(configuration), Some(node)) => seen.push((name, node, configuration)),
            (Ok(_), None) => {}
            (Err(why), _) => verdict.unseen(Subject::node(name), &why),
        }
    }
    for (name, node, configuration) in &seen {
        judge_safety(&mut verdict, &mut folded, name, configuration);
        judge_timeouts(&mut verdict, &mut folded, name, configuration);
        if kubeadm.is_ok() {
            judge_kubeadm(&mut verdict, &mut folded, name, node, configuration);
        }
    }
    let told = match kubeadm {
        Ok(defaults) => {
            judge_drift(&mut verdict, &mut folded, &seen, &defaults.configuration);
            Some(&defaults.configuration)
        }
        Err(Unobserved::Absent { .. }) => None,
        Err(why) => {
            verdict.unseen(Subject::object("ConfigMap", "kube-system", "kubelet-config"), why);
            None
        }
    };
    folded.tell(&mut verdict);
    judge_peers(&mut verdict, &seen, told);
    remark(&mut verdict, &seen);
    verdict
}

/// Who may use the kubelet's API.
fn judge_safety(verdict: &mut Verdict, folded: &mut Folded, node: &str, kubelet: &KubeletConfiguration) {
    let mode = kubelet.text("authorization.mode").unwrap_or("AlwaysAllow");
    folded.expect(verdict, node, mode == "Webhook", || {
        Finding::new("authorization.mode: Webhook", mode.to_owned())
            .so("whoever has any certificate or token of the cluster runs commands in every pod of the node")
            .mend(format!("set authorization.mode: Webhook in {FILE}"))
            .severity(Severity::Critical)
    });
    folded.expect(verdict, node, !kubelet.is_on("authentication.anonymous.enabled"), || {
        let finding = Finding::new("authentication.anonymous.enabled: false", "true")
            .mend(format!("set authentication.anonymous.enabled: false in {FILE}"));
        if mode == "Webhook" {
            finding.so("only RBAC stands between anybody and the kubelet").info()
        } else {
            finding.so("whoever can connect runs commands in every pod of the node").severity(Severity::Critical)
        }
    });
    folded.expect(verdict, node, kubelet.is_on("authentication.webhook.enabled"), || {
        Finding::new("authentication.webhook.enabled: true", "false")
            .so("the kubelet takes no tokens: metrics-server and monitoring are refused with 401")
            .mend(format!("set authentication.webhook.enabled: true in {FILE}"))
    });
    folded.expect(verdict, node, kubelet.text("authentication.x509.clientCAFile").is_some(), || {
        Finding::new("authentication.x509.clientCAFile names the cluster's CA", "it is not set")
            .so("the kubelet knows no client certificate, the API server's among them: logs, exec and port-forward fail")
            .mend(format!("set authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt in {FILE}"))
    });
    let read_only = kubelet.get("readOnlyPort").and_then(Value::as_u64).unwrap_or(0);
    folded.expect(verdict, node, read_only == 0, || {
        Finding::new("readOnlyPort: 0", read_only.to_string())
            .so("whoever connects there reads all pods of the node with their environment, without a credential")
            .mend(format!("remove readOnlyPort from {FILE}"))
    });
    let tls = kubelet.text("tlsMinVersion").unwrap_or("VersionTLS12");
    folded.expect(verdict, node, !["VersionTLS10", "VersionTLS11"].contains(&tls), || {
        Finding::new("tlsMinVersion: VersionTLS12 or VersionTLS13", tls.to_owned())
            .so("the kubelet speaks versions of TLS that are broken")
            .mend(format!("remove tlsMinVersion from {FILE}"))
            .severity(Severity::Minor)
    });
}

fn judge_timeouts(verdict: &mut Verdict, folded: &mut Folded, node: &str, kubelet: &KubeletConfiguration) {
    let timeout = kubelet.text("streamingConnectionIdleTimeout").unwrap_or("0s");
    folded.expect(verdict, node, nanoseconds(timeout) != Some(0), || {
        Finding::new("streamingConnectionIdleTimeout is not 0", timeout.to_owned())
            .so("forgotten exec and port-forward sessions stay open for ever")
            .mend("remove --streaming-connection-idle-timeout from the kubelet's flags; systemctl restart kubelet")
            .severity(Severity::Minor)
    });
}

/// What kubeadm sets for every kubelet, and counts on.
fn judge_kubeadm(verdict: &mut Verdict, folded: &mut Folded, name: &str, node: &Node, kubelet: &KubeletConfiguration) {
    folded.expect(verdict, name, kubelet.is_on("rotateCertificates"), || {
        Finding::new("rotateCertificates: true", "false")
            .so("the kubelet's client certificate is not renewed: a year after the node joined, it is lost")
            .mend(format!("set rotateCertificates: true in {FILE}"))
    });
    if node.is_control_plane() {
        folded.expect(verdict, name, kubelet.text("staticPodPath").is_some(), || {
            Finding::new("staticPodPath: /etc/kubernetes/manifests", "it is not set")
                .so("after its next restart the kubelet does not start the control plane")
                .mend(format!("set staticPodPath: /etc/kubernetes/manifests in {FILE}"))
        });
    }
}

/// What the ConfigMap states and a kubelet does not run with.
fn judge_drift(
    verdict: &mut Verdict,
    folded: &mut Folded,
    seen: &[(&str, &Node, &KubeletConfiguration)],
    told: &KubeletConfiguration,
) {
    for (name, node, kubelet) in seen {
        // kubeadm changes much of it for Windows.
        if node.operating_system == "windows" {
            continue;
        }
        let mut all_equal = true;
        for (path, value) in &told.0 {
            if is_of_one_machine(path) || is_zero(value) || same(Some(value), kubelet.get(path)) {
                continue;
            }
            all_equal = false;
            folded.expect(verdict, name, false, || {
                Finding::new(
                    format!("{path}: {value}, as ConfigMap kube-system/kubelet-config states"),
                    kubelet.get(path).map_or_else(|| "it is not set".to_owned(), ToString::to_string),
                )
                .so("the node missed a change, or was changed by hand: the next upgrade resets it")
                .mend(REWRITE)
                .severity(Severity::Minor)
            });
        }
        if all_equal {
            verdict.confirm();
        }
    }
}

/// What the ConfigMap leaves to defaults, and one node has otherwise than most.
fn judge_peers(
    verdict: &mut Verdict,
    seen: &[(&str, &Node, &KubeletConfiguration)],
    told: Option<&KubeletConfiguration>,
) {
    // Only kubeadm gives all nodes the same; pools of other distributions differ by design.
    let Some(told) = told else { return };
    let mut peers: BTreeMap<(&str, &str), Vec<(&str, &KubeletConfiguration)>> = BTreeMap::new();
    for (name, node, kubelet) in seen {
        // Defaults differ between operating systems and versions.
        peers.entry((&node.operating_system, &node.kubelet_version)).or_default().push((name, kubelet));
    }
    for peers in peers.values() {
        let paths: BTreeSet<&String> = peers.iter().flat_map(|(_, kubelet)| kubelet.0.keys()).collect();
        for path in paths {
            if is_of_one_machine(path) || told.get(path).is_some_and(|value| !is_zero(value)) {
                continue;
            }
            verdict.confirm();
            judge_peers_at(verdict, path, peers);
        }
    }
}

fn judge_peers_at(verdict: &mut Verdict, path: &str, peers: &[(&str, &KubeletConfiguration)]) {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, kubelet) in peers {
        let value = kubelet.get(path).map_or_else(|| "not set".to_owned(), ToString::to_string);
        values.entry(value).or_default().insert((*name).to_owned());
    }
    let Some((usual, most)) = values.iter().max_by_key(|(_, nodes)| nodes.len()) else { return };
    // Where no value is that of most, nobody can say who drifted.
    if most.len() * 2 <= peers.len() {
        return;
    }
    for (value, nodes) in values.iter().filter(|(value, _)| *value != usual) {
        verdict.tell_counted(
            Subject::nodes(nodes),
            Finding::new(format!("{path}: {usual}, as on {} of {} nodes", most.len(), peers.len()), value.clone())
                .so("these nodes are configured otherwise than the ConfigMap and the kubelet's defaults say")
                .mend(REWRITE)
                .info(),
        );
    }
}

/// What depends on the machine in ways that /configz does not tell.
fn remark(verdict: &mut Verdict, seen: &[(&str, &Node, &KubeletConfiguration)]) {
    let with = |holds: fn(&KubeletConfiguration) -> bool| {
        let nodes: Vec<&str> = seen.iter().filter(|(.., kubelet)| holds(kubelet)).map(|(name, ..)| *name).collect();
        (!nodes.is_empty()).then(|| names(nodes))
    };
    if let Some(nodes) = with(|kubelet| kubelet.text("cgroupDriver") == Some("cgroupfs")) {
        verdict.note(format!("cgroupDriver is cgroupfs on {nodes}: right only where systemd does not run"));
    }
    if let Some(nodes) = with(|kubelet| kubelet.get("failCgroupV1") == Some(&Value::Bool(false))) {
        verdict.note(format!("failCgroupV1 is false on {nodes}: their kubelets start even on cgroup v1"));
    }
    if let Some(nodes) = with(|kubelet| !kubelet.is_on("serverTLSBootstrap")) {
        verdict.note(format!(
            "serverTLSBootstrap is off on {nodes}: their serving certificates are not from the cluster's CA"
        ));
    }
}

fn is_of_one_machine(path: &str) -> bool {
    OF_ONE_MACHINE.iter().any(|one| path.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// What kubeadm writes for a value that it leaves to the kubelet.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0" || nanoseconds(text) == Some(0),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

/// Whether a kubelet runs with what it was told: durations are written in many ways, and what is false is left out.
fn same(told: Option<&Value>, runs_with: Option<&Value>) -> bool {
    match (told, runs_with) {
        (Some(Value::String(told)), Some(Value::String(runs_with))) => {
            told == runs_with
                || matches!((nanoseconds(told), nanoseconds(runs_with)), (Some(one), Some(other)) if one == other)
        }
        (Some(Value::Bool(false)), None) => true,
        (told, runs_with) => told == runs_with,
    }
}

/// A duration as Go writes it, as `4h0m0s` or `1.5s`.
fn nanoseconds(text: &str) -> Option<i128> {
    text.parse::<jiff::SignedDuration>().ok().map(|duration| duration.as_nanos())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::seen::Seen;

    /// What kubeadm 1.37 writes, shortened, and what a kubelet makes of it.
    fn told() -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"cacheTTL": "0s", "enabled": true},
                "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}},
            "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "0s"}},
            "cgroupDriver": "systemd", "clusterDNS": ["10.96.0.10"], "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": "", "cpuManagerReconcilePeriod": "0s", "crashLoopBackOff": {},
            "imageMinimumGCAge": "300s", "logging": {"flushFrequency": 0, "options": {"json": {"infoBufferSize": "0"}}},
            "nodeStatusUpdateFrequency": "0s", "rotateCertificates": true, "staticPodPath": "/etc/kubernetes/manifests",
            "streamingConnectionIdleTimeout": "0s", "makeIPTablesUtilChains": false,
        })
    }

    fn configz() -> Value {
        json!({
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"cacheTTL": "2m0s", "enabled": true},
                "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}},
            "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "5m0s"}},
            "cgroupDriver": "systemd", "clusterDNS": ["10.96.0.10"], "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "cpuManagerReconcilePeriod": "10s",
            "imageMinimumGCAge": "5m0s", "logging": {"flushFrequency": "5s"}, "maxPods": 110,
            "nodeStatusUpdateFrequency": "10s", "rotateCertificates": true, "staticPodPath": "/etc/kubernetes/manifests",
            "streamingConnectionIdleTimeout": "4h0m0s", "failCgroupV1": true, "serverTLSBootstrap": true,
        })
    }

    fn nodes() -> Nodes {
        let node = || Node { operating_system: "linux".into(), ..Node::default() };
        let mut control = node();
        control.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        Nodes([("n1".to_owned(), control), ("n2".to_owned(), node()), ("n3".to_owned(), node())].into())
    }

    fn defaults() -> KubeletDefaults {
        KubeletDefaults { configuration: KubeletConfiguration::new(told()), ..KubeletDefaults::default() }
    }

    /// Node n3 runs with this.
    fn judged(n3: Seen<Value>, kubeadm: Result<&KubeletDefaults, &Unobserved>) -> Verdict {
        let usual = || Ok(KubeletConfiguration::new(configz()));
        let kubelets = KubeletConfigs::new([
            ("n1".to_owned(), usual()),
            ("n2".to_owned(), usual()),
            ("n3".to_owned(), n3.map(KubeletConfiguration::new)),
        ]);
        judge(&nodes(), &kubelets, kubeadm)
    }

    fn changed(path: &str, value: Value) -> Value {
        let mut all = configz();
        *all.pointer_mut(path).unwrap() = value;
        all
    }

    fn seen(verdict: &Verdict) -> Vec<String> {
        let told =
            |f: crate::check::Finding| format!("{} {}: {}, not {}", f.severity, f.subjects[0], f.seen, f.expected);
        verdict.findings(Severity::Major).into_iter().map(told).collect()
    }

    #[test]
    fn what_kubeadm_makes_passes() {
        let verdict = judged(Ok(configz()), Ok(&defaults()));
        assert_eq!((seen(&verdict), crate::check::testing::notes(&verdict)), (vec![], vec![]));
    }

    #[test]
    fn an_open_kubelet_is_critical() {
        let verdict = judged(Ok(changed("/authorization/mode", json!("AlwaysAllow"))), Ok(&defaults()));
        let findings = seen(&verdict);
        assert_eq!(findings[0], "critical Node n3: AlwaysAllow, not authorization.mode: Webhook");
        let verdict =
            judged(Ok(changed("/authentication/anonymous/enabled", json!(true))), Err(&Unobserved::absent("k3s")));
        assert_eq!(seen(&verdict), ["info Node n3: true, not authentication.anonymous.enabled: false"]);
    }

    #[test]
    fn one_node_that_missed_a_change_is_one_finding() {
        let verdict = judged(Ok(changed("/imageMinimumGCAge", json!("2m0s"))), Ok(&defaults()));
        assert_eq!(
            seen(&verdict),
            [
                "minor Node n3: \"2m0s\", not imageMinimumGCAge: \"300s\", as ConfigMap kube-system/kubelet-config states"
            ]
        );
        let verdict = judged(Ok(changed("/maxPods", json!(250))), Ok(&defaults()));
        assert_eq!(seen(&verdict), ["info Node n3: 250, not maxPods: 110, as on 2 of 3 nodes"]);
    }

    #[test]
    fn certificates_that_are_not_rotated_matter_where_kubeadm_counts_on_it() {
        let verdict = judged(Ok(changed("/rotateCertificates", json!(false))), Ok(&defaults()));
        assert_eq!(seen(&verdict)[0], "major Node n3: false, not rotateCertificates: true");
        let verdict = judged(Ok(changed("/rotateCertificates", json!(false))), Err(&Unobserved::absent("k3s")));
        assert_eq!(seen(&verdict), Vec::<String>::new());
    }

    #[test]
    fn streams_that_never_end_and_open_ports_are_found() {
        let mut kubelet = changed("/streamingConnectionIdleTimeout", json!("0s"));
        kubelet["readOnlyPort"] = json!(10255);
        let verdict = judged(Ok(kubelet), Err(&Unobserved::absent("k3s")));
        assert_eq!(
            seen(&verdict),
            [
                "major Node n3: 10255, not readOnlyPort: 0",
                "minor Node n3: 0s, not streamingConnectionIdleTimeout is not 0"
            ]
        );
    }

    #[test]
    fn what_was_not_seen_does_not_pass() {
        let verdict = judged(Err(Unobserved::unreachable("n3", "refused")), Ok(&defaults()));
        assert_eq!((verdict.gaps().len(), seen(&verdict)), (1, vec![]));
        let verdict = judged(Ok(configz()), Err(&Unobserved::Interrupted));
        assert_eq!(verdict.gaps().len(), 1);
    }

    #[test]
    fn kubelets_that_none_can_ask_from_here_do_not_apply() {
        let silent = || Err(Unobserved::unreachable("GET /configz", "a token is given only to a kubelet"));
        let kubelets = KubeletConfigs::new(["n1", "n2", "n3"].map(|node| (node.to_owned(), silent())));
        let verdict = judge(&nodes(), &kubelets, Ok(&defaults()));
        assert!(verdict.reason().unwrap().contains("a token is given only to a kubelet"));
    }

    #[test]
    fn durations_are_compared_as_such() {
        assert!(same(Some(&json!("4h")), Some(&json!("4h0m0s"))) && same(Some(&json!("1500ms")), Some(&json!("1.5s"))));
        assert!(!same(Some(&json!("4h")), Some(&json!("4m"))));
        assert!(
            is_zero(&json!("0s")) && is_zero(&json!("0")) && !is_zero(&json!(false)) && !is_zero(&json!("10.96.0.1"))
        );
    }
}
