//! # Kubelet configuration is safe and consistent
//!
//! ## Why
//! A node that missed a configuration change behaves differently from all others, which no one notices until a pod lands there.
//! Some settings open a node to anyone who can connect to it.
//!
//! ## Fix
//! `kubectl -n kube-system get configmap kubelet-config -o yaml` shows the configuration that kubeadm gives to nodes. On the node
//! that is named, `kubeadm upgrade node phase kubelet-config` writes it to `/var/lib/kubelet/config.yaml` again. Flags in
//! `/var/lib/kubelet/kubeadm-flags.env` and `systemctl cat kubelet` override the file. Then `systemctl restart kubelet`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/apis/config/v1beta1/types.go` and `defaults.go`,
//! `cmd/kubeadm/app/componentconfigs/kubelet.go`. Each kubelet reports its configuration at /configz. kubeadm writes
//! zeros for settings that it leaves to the kubelet's defaults, so zeros of the ConfigMap are not compared. Settings of one
//! machine (addresses, files, reserved resources, cgroup roots) may differ. `cgroupDriver: cgroupfs` is right on a machine
//! without systemd, and `failCgroupV1: false` lets a kubelet run on cgroup v1, but /configz does not show whether it does: both
//! are notes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubelet_configs::KubeletConfigs;
use crate::fact::facts::kubelet_configuration::KubeletConfiguration;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::seen::Unobserved;

use super::reach::out_of_reach;

crate::check!(
    "KL-06",
    "kubelet-configuration",
    Major,
    judge,
    blocked_by: ["DN-05", "KL-03", "KL-04", "KL-05", "KL-13", "PK-09", "PK-14"]
);

const FILE: &str = "/var/lib/kubelet/config.yaml; systemctl restart kubelet";
const REWRITE: &str = "kubeadm upgrade node phase kubelet-config; systemctl restart kubelet; if it stays, look for flags in \
                       /var/lib/kubelet/kubeadm-flags.env";

/// Settings of one machine, or of flags, which may differ from node to node; so may everything below such a path.
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
        return Verdict::not_applicable(format!("no kubelet is reachable from here: {why}"));
    }
    let mut verdict = Verdict::new();
    let mut seen: Vec<(&str, &Node, &KubeletConfiguration)> = Vec::new();
    for (name, configuration) in kubelets.iter() {
        match (configuration, nodes.0.get(name)) {
            (Ok(configuration), Some(node)) => seen.push((name, node, configuration)),
            (Ok(_), None) => {}
            (Err(why), _) => verdict.unseen(Subject::node(name), &why),
        }
    }
    for (name, node, configuration) in &seen {
        judge_safety(&mut verdict, name, configuration);
        judge_timeouts(&mut verdict, name, configuration);
        if kubeadm.is_ok() {
            judge_kubeadm(&mut verdict, name, node, configuration);
        }
    }
    let configured = match kubeadm {
        Ok(defaults) => {
            for (field, cause) in &defaults.unread {
                let map = Subject::object("ConfigMap", "kube-system", "kubelet-config");
                verdict.unseen(map, &Unobserved::invalid(format!("field {field} of KubeletConfiguration"), cause));
            }
            judge_drift(&mut verdict, &seen, &defaults.configuration);
            Some(&defaults.configuration)
        }
        Err(Unobserved::Absent { .. }) => None,
        Err(why) => {
            verdict.unseen(Subject::object("ConfigMap", "kube-system", "kubelet-config"), why);
            None
        }
    };
    judge_peers(&mut verdict, &seen, configured);
    note_machine_settings(&mut verdict, &seen);
    verdict
}

/// Access to the kubelet's API.
fn judge_safety(verdict: &mut Verdict, node: &str, kubelet: &KubeletConfiguration) {
    let mode = kubelet.text("authorization.mode").unwrap_or("AlwaysAllow");
    verdict.expect(Subject::node(node), mode == "Webhook", || {
        Finding::new("authorization.mode: Webhook", format!("authorization.mode: {mode}"))
            .impact("any certificate or token of the cluster allows running commands in every pod of the node")
            .fix(format!("set authorization.mode: Webhook in {FILE}"))
            .same_as(seen_by("authorization.mode"))
            .severity(Severity::Critical)
    });
    verdict.expect(Subject::node(node), !kubelet.is_on("authentication.anonymous.enabled"), || {
        let finding = Finding::new("authentication.anonymous.enabled: false", "authentication.anonymous.enabled: true")
            .fix(format!("set authentication.anonymous.enabled: false in {FILE}"))
            .same_as(seen_by("authentication.anonymous.enabled"));
        if mode == "Webhook" {
            finding.impact("anonymous requests are enabled, so only RBAC protects the kubelet").info()
        } else {
            finding
                .impact("anyone who can connect can run commands in every pod of the node")
                .severity(Severity::Critical)
        }
    });
    verdict.expect(Subject::node(node), kubelet.is_on("authentication.webhook.enabled"), || {
        Finding::new("authentication.webhook.enabled: true", "authentication.webhook.enabled: false")
            .impact("the kubelet does not accept tokens: metrics-server and monitoring get 401")
            .fix(format!("set authentication.webhook.enabled: true in {FILE}"))
            .same_as(seen_by("authentication.webhook.enabled"))
    });
    verdict.expect(Subject::node(node), kubelet.text("authentication.x509.clientCAFile").is_some(), || {
        Finding::new("authentication.x509.clientCAFile names the cluster's CA", "clientCAFile is not set")
            .impact("the kubelet accepts no client certificates, not even the API server's: logs, exec and port-forward fail")
            .fix(format!("set authentication.x509.clientCAFile: /etc/kubernetes/pki/ca.crt in {FILE}"))
    });
    let read_only = kubelet.get("readOnlyPort").and_then(Value::as_u64).unwrap_or(0);
    verdict.expect(Subject::node(node), read_only == 0, || {
        Finding::new("readOnlyPort: 0", format!("readOnlyPort: {read_only}"))
            .impact("anyone who can connect can read all pods of the node and their environment, without a credential")
            .fix(format!("remove readOnlyPort from {FILE}"))
            .same_as(seen_by("readOnlyPort"))
    });
    let tls = kubelet.text("tlsMinVersion").unwrap_or("VersionTLS12");
    verdict.expect(Subject::node(node), !["VersionTLS10", "VersionTLS11"].contains(&tls), || {
        Finding::new("tlsMinVersion: VersionTLS12 or VersionTLS13", format!("tlsMinVersion: {tls}"))
            .impact("the kubelet accepts insecure versions of TLS")
            .fix(format!("remove tlsMinVersion from {FILE}"))
            .same_as(seen_by("tlsMinVersion"))
            .severity(Severity::Minor)
    });
}

fn judge_timeouts(verdict: &mut Verdict, node: &str, kubelet: &KubeletConfiguration) {
    let timeout = kubelet.text("streamingConnectionIdleTimeout").unwrap_or("0s");
    verdict.expect(Subject::node(node), nanoseconds(timeout) != Some(0), || {
        Finding::new("streamingConnectionIdleTimeout is not 0", format!("streamingConnectionIdleTimeout: {timeout}"))
            .impact("forgotten exec and port-forward sessions stay open forever")
            .fix("on the node, remove --streaming-connection-idle-timeout from the kubelet's flags; systemctl restart kubelet")
            .severity(Severity::Minor)
    });
}

/// Settings that kubeadm sets for every kubelet and relies on.
fn judge_kubeadm(verdict: &mut Verdict, name: &str, node: &Node, kubelet: &KubeletConfiguration) {
    verdict.expect(Subject::node(name), kubelet.is_on("rotateCertificates"), || {
        Finding::new("rotateCertificates: true", "rotateCertificates: false")
            .impact("the kubelet does not renew its client certificate: the node fails a year after it joined")
            .fix(format!("set rotateCertificates: true in {FILE}"))
    });
    if node.is_control_plane() {
        verdict.expect(Subject::node(name), kubelet.text("staticPodPath").is_some(), || {
            Finding::new("staticPodPath: /etc/kubernetes/manifests", "staticPodPath is not set")
                .impact("after its next restart the kubelet does not start the control plane")
                .fix(format!("set staticPodPath: /etc/kubernetes/manifests in {FILE}"))
        });
    }
}

/// Settings of the ConfigMap that a kubelet does not run with.
fn judge_drift(
    verdict: &mut Verdict,
    seen: &[(&str, &Node, &KubeletConfiguration)],
    configured: &KubeletConfiguration,
) {
    for (name, node, kubelet) in seen {
        // kubeadm changes many of them for Windows.
        if node.operating_system == "windows" {
            continue;
        }
        let mut all_equal = true;
        for (path, value) in &configured.0 {
            if is_of_one_machine(path) || is_zero(value) || same(Some(value), kubelet.get(path)) {
                continue;
            }
            all_equal = false;
            verdict.find(
                Subject::node(*name),
                Finding::new(
                    format!("{path}: {value}, as ConfigMap kube-system/kubelet-config states"),
                    kubelet.get(path).map_or_else(|| format!("{path} is not set"), |value| format!("{path}: {value}")),
                )
                .impact("the node missed a change, or was changed by hand; the next upgrade resets it")
                .fix(REWRITE)
                .same_as(seen_by(path))
                .severity(Severity::Minor),
            );
        }
        if all_equal {
            verdict.confirm();
        }
    }
}

/// Settings that the ConfigMap leaves to defaults, in which one node differs from most.
fn judge_peers(
    verdict: &mut Verdict,
    seen: &[(&str, &Node, &KubeletConfiguration)],
    configured: Option<&KubeletConfiguration>,
) {
    // Only kubeadm gives all nodes the same; node pools of other distributions differ by design.
    let Some(configured) = configured else { return };
    let mut peers: BTreeMap<(&str, &str), Vec<(&str, &KubeletConfiguration)>> = BTreeMap::new();
    for (name, node, kubelet) in seen {
        // Defaults differ between operating systems and versions.
        peers.entry((&node.operating_system, &node.kubelet_version)).or_default().push((name, kubelet));
    }
    for peers in peers.values() {
        let paths: BTreeSet<&String> = peers.iter().flat_map(|(_, kubelet)| kubelet.0.keys()).collect();
        for path in paths {
            if is_of_one_machine(path) || configured.get(path).is_some_and(|value| !is_zero(value)) {
                continue;
            }
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
    // Without a majority it is unclear which node drifted.
    if values.len() == 1 || most.len() * 2 <= peers.len() {
        return verdict.confirm();
    }
    for (value, nodes) in values.iter().filter(|(value, _)| *value != usual) {
        verdict.find_together(
            nodes.iter().map(Subject::node),
            1,
            Finding::new(
                format!("{path}: {usual}, as on {} of {} nodes", most.len(), peers.len()),
                format!("{path}: {value}"),
            )
            .impact("these nodes differ from the ConfigMap and the kubelet's defaults")
            .fix(REWRITE)
            .same_as(seen_by(path))
            .info(),
        );
    }
}

/// The checks that see what a kubelet does by this setting.
fn seen_by(path: &str) -> &'static [&'static str] {
    match path {
        "authentication.anonymous.enabled" => &["KL-03"],
        "authorization.mode" | "authentication.webhook.enabled" => &["KL-04"],
        "clusterDNS" | "clusterDomain" | "resolvConf" => &["DN-05"],
        "readOnlyPort" | "healthzBindAddress" | "healthzPort" => &["KL-05"],
        "tlsMinVersion" | "tlsCipherSuites" => &["PK-14"],
        _ => &[],
    }
}

/// Settings whose right value depends on the machine in ways that /configz does not show.
fn note_machine_settings(verdict: &mut Verdict, seen: &[(&str, &Node, &KubeletConfiguration)]) {
    for (name, _, kubelet) in seen {
        if kubelet.text("cgroupDriver") == Some("cgroupfs") {
            verdict.note_about(Subject::node(*name), "cgroupDriver is cgroupfs, which is right only without systemd");
        }
        if kubelet.get("failCgroupV1") == Some(&Value::Bool(false)) {
            verdict.note_about(Subject::node(*name), "failCgroupV1 is false: the kubelet starts even on cgroup v1");
        }
        if !kubelet.is_on("serverTLSBootstrap") {
            let note = "serverTLSBootstrap is off: the serving certificate is not from the cluster's CA";
            verdict.note_about(Subject::node(*name), note);
        }
    }
}

fn is_of_one_machine(path: &str) -> bool {
    OF_ONE_MACHINE.iter().any(|one| path.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The values that kubeadm writes for settings that it leaves to the kubelet.
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

/// Whether a kubelet runs with the configured value: durations have many spellings, and false is left out.
fn same(configured: Option<&Value>, runs_with: Option<&Value>) -> bool {
    match (configured, runs_with) {
        (Some(Value::String(configured)), Some(Value::String(runs_with))) => {
            configured == runs_with
                || matches!((nanoseconds(configured), nanoseconds(runs_with)), (Some(one), Some(other)) if one == other)
        }
        (Some(Value::Bool(false)), None) => true,
        (configured, runs_with) => configured == runs_with,
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
    fn configured() -> Value {
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
        KubeletDefaults { configuration: KubeletConfiguration::new(configured()), ..KubeletDefaults::default() }
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
        let shown =
            |f: crate::check::Finding| format!("{} {}: {}, not {}", f.severity, f.subjects[0], f.seen, f.expected);
        verdict.findings(Severity::Major).into_iter().map(shown).collect()
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
        assert_eq!(findings[0], "critical Node n3: authorization.mode: AlwaysAllow, not authorization.mode: Webhook");
        let verdict =
            judged(Ok(changed("/authentication/anonymous/enabled", json!(true))), Err(&Unobserved::absent("k3s")));
        assert_eq!(
            seen(&verdict),
            ["info Node n3: authentication.anonymous.enabled: true, not authentication.anonymous.enabled: false"]
        );
    }

    #[test]
    fn one_node_that_missed_a_change_is_one_finding() {
        let verdict = judged(Ok(changed("/imageMinimumGCAge", json!("2m0s"))), Ok(&defaults()));
        assert_eq!(
            seen(&verdict),
            [
                "minor Node n3: imageMinimumGCAge: \"2m0s\", not imageMinimumGCAge: \"300s\", as ConfigMap kube-system/kubelet-config states"
            ]
        );
        let verdict = judged(Ok(changed("/maxPods", json!(250))), Ok(&defaults()));
        assert_eq!(seen(&verdict), ["info Node n3: maxPods: 250, not maxPods: 110, as on 2 of 3 nodes"]);
    }

    #[test]
    fn certificates_that_are_not_rotated_matter_where_kubeadm_counts_on_it() {
        let verdict = judged(Ok(changed("/rotateCertificates", json!(false))), Ok(&defaults()));
        assert_eq!(seen(&verdict)[0], "major Node n3: rotateCertificates: false, not rotateCertificates: true");
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
                "major Node n3: readOnlyPort: 10255, not readOnlyPort: 0",
                "minor Node n3: streamingConnectionIdleTimeout: 0s, not streamingConnectionIdleTimeout is not 0"
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
