//! # A service proxy of a supported version runs on every node
//!
//! ## Why
//! Without a proxy, a node's pods reach outdated endpoints at best, and no Service at all after a restart. A DaemonSet
//! that excludes a node still reports that all its pods are ready. Two proxies on one node overwrite each other's
//! rules.
//!
//! ## Fix
//! See what excludes kube-proxy: `kubectl -n kube-system get daemonset kube-proxy -o
//! jsonpath='{.spec.template.spec.nodeSelector} {.spec.template.spec.affinity} {.spec.template.spec.tolerations}'`;
//! kubeadm selects `kubernetes.io/os: linux` and tolerates everything. If the pod is there, read its log. To recreate
//! the DaemonSet: `kubeadm init phase addon kube-proxy --config kubeadm.yaml` with the cluster's own settings, as AD-01
//! shows. Where the network plugin does the work, remove kube-proxy:
//! `kubectl -n kube-system delete daemonset kube-proxy`, then its rules: drain and restart each node, or run
//! `kubectl debug node/NODE --profile=sysadmin --image=registry.k8s.io/kube-proxy:VERSION -- kube-proxy --cleanup` (the
//! program is only in its image).
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/proxy/manifests.go`;
//! <https://kubernetes.io/releases/version-skew-policy/#kube-proxy>;
//! <https://docs.cilium.io/en/stable/network/kubernetes/kubeproxy-free/>;
//! <https://docs.tigera.io/calico/latest/operations/ebpf/enabling-ebpf>

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes, silence};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::proxy_replacements::ProxyReplacements;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;
use crate::suites::pods::why_not_ready;
use crate::version::Version;

crate::check!("SN-05", "service-proxy", Critical, judge, builds_on: ["KL-01"]);

/// The values of Cilium's `kube-proxy-replacement` with which it does all of kube-proxy's work; old releases have
/// `strict`.
const ENTIRELY: [&str; 2] = ["true", "strict"];

/// How many minors kube-proxy may be older than the API server. With KL-02 it is then as close to its kubelet.
const PATIENCE: u64 = 3;

/// Agents that replace kube-proxy wherever they run, by a label of their pods.
const REPLACEMENTS: [(&str, &str, &str); 5] = [
    ("k8s-app", "anetd", "GKE Dataplane V2"),
    ("app", "ovnkube-node", "OVN-Kubernetes"),
    ("name", "ovnkube-node", "OVN-Kubernetes"),
    ("component", "antrea-agent", "Antrea"),
    ("k8s-app", "kube-router", "kube-router"),
];

fn judge(
    nodes: &Nodes,
    pods: &Pods,
    replacements: &ProxyReplacements,
    oldest: &OldestApiServer,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let by_node = Agents::by_node(pods);
    let (mut without, mut elsewhere) = (Vec::new(), None);
    for (name, node) in nodes.linux() {
        let agents = by_node.get(name.as_str());
        let proxy = agents.and_then(|agents| agents.proxy);
        let replacement = agents.and_then(|agents| agents.replacement(replacements));
        match (proxy, replacement) {
            (Some(_), Some((agent, Replaces::Surely))) => verdict.find(
                Subject::node(name),
                Finding::new(
                    "one service proxy",
                    format!("kube-proxy, and {agent}, which is configured to replace it"),
                )
                .impact("both write rules for the same Services")
                .fix(format!(
                    "if {agent} runs on every node, remove kube-proxy: kubectl -n kube-system delete daemonset \
                     kube-proxy; then, to remove its rules, drain and restart one node after the other"
                ))
                .severity(Severity::Major),
            ),
            (Some(proxy), _) => judge_proxy(&mut verdict, name, node, proxy, *oldest),
            (None, Some((agent, Replaces::Surely | Replaces::Maybe))) => {
                verdict.note_about(Subject::node(name), format!("{agent} does the work of kube-proxy"));
                verdict.confirm();
            }
            (None, Some((_, Replaces::Unknown(why)))) => verdict.unseen(Subject::node(name), why),
            (None, _) => match proxy_without_pod(node) {
                Some(how) => {
                    verdict.note_about(Subject::node(name), how);
                    elsewhere.get_or_insert(how);
                }
                None => without.push(name),
            },
        }
    }
    if verdict.observations() == 0 && without.is_empty() && verdict.saw_everything() {
        return verdict.does_not_apply(match elsewhere {
            Some(how) => format!("no Linux node has a pod of a service proxy: {how}"),
            None => "there is no Linux node".to_owned(),
        });
    }
    if !without.is_empty() {
        let finding = Finding::new(
            "a service proxy on every Linux node",
            "neither kube-proxy nor a known replacement runs there",
        );
        let everywhere = without.len() == nodes.linux().count();
        // kubeadm creates pods; platforms may run it as a process of the host, or have a proxy of another kind.
        let is_foreign = matches!(kubeadm, Err(Unobserved::Absent { .. }));
        let finding = if everywhere && is_foreign {
            finding
                .impact("no Service works, unless the platform has a service proxy of its own (SN-09 tests Services)")
                .fix("if SN-09 passes, nothing; otherwise install kube-proxy, or a network plugin that replaces it")
                .info()
        } else {
            finding.impact("pods there do not reach new Services and endpoints").fix(if everywhere {
                format!("install kube-proxy again: {}", again("addon kube-proxy"))
            } else {
                "see what excludes these nodes (kubeadm selects kubernetes.io/os: linux and tolerates any taint): \
                 kubectl -n kube-system get daemonset kube-proxy -o jsonpath='{.spec.template.spec.nodeSelector} \
                 {.spec.template.spec.affinity} {.spec.template.spec.tolerations}'"
                    .to_owned()
            })
        };
        verdict.find_together(without.iter().map(|name| Subject::node(*name)), without.len(), finding);
    }
    verdict
}

fn judge_proxy(verdict: &mut Verdict, name: &str, node: &Node, proxy: &Pod, oldest: OldestApiServer) {
    if node.is_silent() {
        return verdict.unseen(Subject::node(name), &silence(name));
    }
    verdict.expect(Subject::node(name), proxy.ready, || {
        Finding::new("kube-proxy is Ready", format!("its pod is not Ready: {}", why_not_ready(proxy)))
            .evidence([format!("{name}: Pod {}", proxy.key())])
            .impact("pods there do not reach new Services and endpoints")
            .fix(
                "read the events and logs of these pods: kubectl -n kube-system describe pods -l k8s-app=kube-proxy; \
                 kubectl -n kube-system logs -l k8s-app=kube-proxy --prefix --max-log-requests 50",
            )
    });
    let image = proxy.containers.iter().find(|container| container.name == "kube-proxy").map(|c| c.image.as_str());
    let Some(version) = image.and_then(Version::of_image) else {
        let pod = Subject::object("Pod", &proxy.namespace, &proxy.name);
        return verdict.note_about(pod, "its version was not checked: the tag of its image is not a version");
    };
    let (minor, newest) = (version.minor, oldest.0.minor);
    verdict.expect(Subject::node(name), minor <= newest && newest - minor <= PATIENCE, || {
        let expected = format!("kube-proxy 1.{} to 1.{newest}", newest.saturating_sub(PATIENCE));
        Finding::new(expected, format!("kube-proxy {version}"))
            .impact("unsupported version skew with the API server")
            .fix(if minor > newest {
                let oldest = oldest.0;
                format!(
                    "on the control-plane nodes with older API servers (the oldest is {oldest}): kubeadm upgrade node"
                )
            } else {
                format!("upgrade kube-proxy: {}", again("addon kube-proxy"))
            })
            .severity(Severity::Major)
    });
}

/// Why a node needs no pod of a service proxy.
fn proxy_without_pod(node: &Node) -> Option<&'static str> {
    let label = |key: &str| node.labels.get(key).map(String::as_str);
    if node.kubelet_version.contains("+k3s") {
        return Some("k3s runs kube-proxy in its own process");
    }
    if label("microk8s.io/cluster").is_some() {
        return Some("MicroK8s runs kube-proxy in its own process");
    }
    if label("type") == Some("virtual-kubelet") {
        return Some("a virtual node has no network of its own");
    }
    match label("eks.amazonaws.com/compute-type") {
        Some("auto") => Some("EKS Auto Mode runs kube-proxy on the host"),
        Some("fargate") => Some("AWS Fargate runs kube-proxy on the host"),
        _ => None,
    }
}

/// Whether an agent does the work of kube-proxy.
enum Replaces<'a> {
    Surely,
    Maybe,
    No,
    Unknown(&'a Unobserved),
}

/// The pods of a node that could be its service proxy.
#[derive(Default)]
struct Agents<'a> {
    proxy: Option<&'a Pod>,
    cilium: bool,
    calico: bool,
    other: Option<&'static str>,
}

impl<'a> Agents<'a> {
    fn by_node(pods: &'a Pods) -> BTreeMap<&'a str, Self> {
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        for pod in pods.0.values() {
            let Some(node) = pod.node.as_deref() else { continue };
            let is = |key: &str, value: &str| pod.labels.get(key).is_some_and(|found| found == value);
            // The labels differ between distributions; the container always has the name of the program.
            let is_proxy = || pod.containers.iter().any(|container| container.name.starts_with("kube-proxy"));
            if pod.namespace == "kube-system" && is_proxy() {
                let agents = all.entry(node).or_default();
                // While one pod replaces another, the one that is Ready counts.
                if agents.proxy.is_none_or(|other| !other.ready) {
                    agents.proxy = Some(pod);
                }
            } else if pod.ready && is("k8s-app", "cilium") {
                all.entry(node).or_default().cilium = true;
            } else if pod.ready && is("k8s-app", "calico-node") {
                all.entry(node).or_default().calico = true;
            } else if pod.ready
                && let Some((_, _, name)) = REPLACEMENTS.iter().find(|(key, value, _)| is(key, value))
            {
                all.entry(node).or_default().other = Some(name);
            }
        }
        all
    }

    fn replacement<'b>(&self, configured: &'b ProxyReplacements) -> Option<(&'static str, Replaces<'b>)> {
        if let Some(name) = self.other {
            // Some of these can also run next to kube-proxy.
            return Some((name, Replaces::Maybe));
        }
        if self.cilium {
            let replaces = match &configured.cilium {
                Ok(Some(value)) if ENTIRELY.contains(&value.as_str()) => Replaces::Surely,
                Ok(Some(value)) if value == "false" || value == "disabled" => Replaces::No,
                Ok(_) => Replaces::Maybe,
                Err(why) => Replaces::Unknown(why),
            };
            return Some(("Cilium", replaces));
        }
        self.calico.then_some((
            "Calico",
            match &configured.calico {
                Ok(Some(true)) => Replaces::Surely,
                Ok(_) | Err(Unobserved::Absent { .. }) => Replaces::No,
                Err(why) => Replaces::Unknown(why),
            },
        ))
    }
}

/// The network plugin that is configured to do all of kube-proxy's work.
pub fn replaced_entirely_by(replacements: &ProxyReplacements) -> Option<&'static str> {
    let cilium = matches!(&replacements.cilium, Ok(Some(value)) if ENTIRELY.contains(&value.as_str()));
    let calico = replacements.calico == Ok(Some(true));
    if cilium { Some("Cilium") } else { calico.then_some("Calico") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::Condition;
    use crate::fact::facts::pods::Container;
    use crate::object_ref::NamespacedName;
    use crate::object_ref::testing::named;
    use crate::seen::Seen;

    fn node(version: &str) -> Node {
        let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
        Node {
            operating_system: "linux".into(),
            kubelet_version: version.into(),
            conditions: [("Ready".to_owned(), ready)].into(),
            ..Node::default()
        }
    }

    fn nodes(version: &str) -> Nodes {
        Nodes(["n1", "n2", "n3"].map(|name| (name.to_owned(), node(version))).into())
    }

    fn agent(app: &str, node: &str, version: &str) -> (NamespacedName, Pod) {
        let name = format!("{app}-{node}");
        let pod = Pod {
            namespace: "kube-system".into(),
            name: name.clone(),
            labels: [("k8s-app".to_owned(), app.to_owned())].into(),
            node: Some(node.into()),
            phase: "Running".into(),
            ready: true,
            containers: vec![Container {
                name: app.into(),
                image: format!("registry.k8s.io/{app}:{version}").into(),
                ..Container::default()
            }],
            ..Pod::default()
        };
        (NamespacedName::new("kube-system", name.clone()), pod)
    }

    fn on(app: &str, nodes: &[&str], version: &str) -> Pods {
        Pods(nodes.iter().map(|node| agent(app, node, version)).collect())
    }

    fn none() -> ProxyReplacements {
        ProxyReplacements { cilium: Err(Unobserved::absent("none")), calico: Err(Unobserved::absent("none")) }
    }

    fn cilium(setting: Seen<Option<&str>>) -> ProxyReplacements {
        ProxyReplacements { cilium: setting.map(|setting| setting.map(str::to_owned)), ..none() }
    }

    fn judged(pods: &Pods, replacements: &ProxyReplacements) -> Verdict {
        let oldest = OldestApiServer("v1.37.2".parse().unwrap());
        judge(&nodes("v1.37.2"), pods, replacements, &oldest, Err(&Unobserved::Interrupted))
    }

    const ALL: [&str; 3] = ["n1", "n2", "n3"];

    #[test]
    fn kube_proxy_on_every_node_passes() {
        let verdict = judged(&on("kube-proxy", &ALL, "v1.37.2"), &none());
        assert_eq!((verdict.observations(), seen_of(&verdict)), (6, vec![]));
    }

    #[test]
    fn a_node_without_is_found() {
        let verdict = judged(&on("kube-proxy", &["n1", "n2"], "v1.37.2"), &none());
        assert_eq!(seen_of(&verdict), ["Node n3: neither kube-proxy nor a known replacement runs there"]);
    }

    #[test]
    fn one_that_is_not_ready_is_found() {
        let mut pods = on("kube-proxy", &ALL, "v1.37.2");
        let pod = pods.0.get_mut(&named("kube-system/kube-proxy-n2")).unwrap();
        (pod.ready, pod.containers[0].waiting) = (false, Some("CrashLoopBackOff".into()));
        let verdict = judged(&pods, &none());
        assert_eq!(seen_of(&verdict), ["Node n2: its pod is not Ready: Running, CrashLoopBackOff"]);
        assert_eq!(verdict.findings(Severity::Critical)[0].evidence, ["n2: Pod kube-system/kube-proxy-n2"]);
    }

    #[test]
    fn a_version_that_does_not_fit_is_found() {
        assert_eq!(seen_of(&judged(&on("kube-proxy", &ALL, "v1.38.0"), &none())).len(), 1);
        assert!(seen_of(&judged(&on("kube-proxy", &ALL, "v1.34.0"), &none())).is_empty());
        assert_eq!(seen_of(&judged(&on("kube-proxy", &ALL, "v1.33.0"), &none())).len(), 1);
    }

    #[test]
    fn cilium_counts_if_it_is_configured_to_replace_kube_proxy() {
        let pods = on("cilium", &ALL, "v1.19.0");
        let verdict = judged(&pods, &cilium(Ok(Some("true"))));
        assert_eq!((verdict.observations(), seen_of(&verdict)), (3, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict), ["Node n1, n2, n3: Cilium does the work of kube-proxy"]);
        assert_eq!(seen_of(&judged(&pods, &cilium(Ok(Some("false"))))).len(), 1);
        let refused = Unobserved::Refused { missing: "get configmaps".into(), message: "forbidden".into() };
        assert_eq!(judged(&pods, &cilium(Err(refused))).gaps().len(), 1);
    }

    #[test]
    fn two_proxies_on_one_node_are_found() {
        let mut pods = on("kube-proxy", &ALL, "v1.37.2");
        pods.0.extend(on("cilium", &ALL, "v1.19.0").0);
        assert!(seen_of(&judged(&pods, &cilium(Ok(Some("false"))))).is_empty());
        let verdict = judged(&pods, &cilium(Ok(Some("true"))));
        let seen = "Node n1, n2, n3: kube-proxy, and Cilium, which is configured to replace it";
        assert_eq!(seen_of(&verdict), [seen]);
        assert_eq!(verdict.findings(Severity::Critical)[0].severity, Severity::Major);
    }

    #[test]
    fn calico_replaces_kube_proxy_only_with_ebpf() {
        let pods = on("calico-node", &ALL, "v3.31.0");
        let calico = |enabled| ProxyReplacements { calico: Ok(enabled), ..none() };
        assert!(seen_of(&judged(&pods, &calico(Some(true)))).is_empty());
        assert_eq!(seen_of(&judged(&pods, &calico(None))).len(), 1);
    }

    #[test]
    fn a_silent_node_is_a_gap() {
        let mut nodes = nodes("v1.37.2");
        nodes.0.get_mut("n3").unwrap().conditions.get_mut("Ready").unwrap().status = "Unknown".into();
        let oldest = OldestApiServer("v1.37.2".parse().unwrap());
        let verdict =
            judge(&nodes, &on("kube-proxy", &ALL, "v1.37.2"), &none(), &oldest, Err(&Unobserved::Interrupted));
        assert_eq!((seen_of(&verdict), verdict.gaps().len()), (vec![], 1));
    }

    #[test]
    fn k3s_needs_no_pod() {
        let oldest = OldestApiServer("v1.37.2".parse().unwrap());
        let verdict = judge(&nodes("v1.37.2+k3s1"), &Pods::default(), &none(), &oldest, Err(&Unobserved::Interrupted));
        assert_eq!(
            verdict.reason(),
            Some("no Linux node has a pod of a service proxy: k3s runs kube-proxy in its own process")
        );
    }

    #[test]
    fn no_pods_are_an_info_finding_on_platforms_and_critical_with_kubeadm() {
        let oldest = OldestApiServer("v1.37.2".parse().unwrap());
        let judged = |pods: &Pods, why| judge(&nodes("v1.37.2"), pods, &none(), &oldest, Err(&why));
        let absent = || Unobserved::absent("there is no ConfigMap kube-system/kubeadm-config");
        let severity = |why| judged(&Pods::default(), why).findings(Severity::Critical)[0].severity;
        assert_eq!([severity(absent()), severity(Unobserved::Interrupted)], [Severity::Info, Severity::Critical]);
        assert_eq!(seen_of(&judged(&on("kube-proxy", &["n1"], "v1.37.2"), absent())).len(), 1, "others have one");
    }
}
