//! # A service proxy of a supported version runs on every node
//!
//! ## Why
//! Without a proxy, a node's pods reach outdated endpoints at best, and no Service at all after a restart. A DaemonSet
//! that excludes a node still reports that all its pods are ready. Two proxies on one node overwrite each other's
//! rules.
//!
//! ## Fix
//! See what keeps kube-proxy away: `kubectl -n kube-system get daemonset kube-proxy -o
//! jsonpath='{.spec.template.spec.nodeSelector} {.spec.template.spec.affinity} {.spec.template.spec.tolerations}'`; kubeadm
//! selects `kubernetes.io/os: linux` and tolerates everything. If the pod is there, read its log. To recreate the DaemonSet: `kubeadm init phase addon kube-proxy --config kubeadm.yaml` with the cluster's own settings, as AD-01 shows. Where
//! the network plugin does the work, remove kube-proxy:
//! `kubectl -n kube-system delete daemonset kube-proxy`, then its rules, by restarting each node after it was drained, or by
//! `kubectl debug node/NODE --profile=sysadmin --image=registry.k8s.io/kube-proxy:VERSION -- kube-proxy --cleanup`: the program
//! is in its image only.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/proxy/manifests.go`;
//! <https://kubernetes.io/releases/version-skew-policy/#kube-proxy>;
//! <https://docs.cilium.io/en/stable/network/kubernetes/kubeproxy-free/>;
//! <https://docs.tigera.io/calico/latest/operations/ebpf/enabling-ebpf>

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes, silence};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::proxy_replacements::ProxyReplacements;
use crate::seen::Unobserved;
use crate::suites::pods::why_not_ready;
use crate::version::Version;

crate::check!("SN-05", "service-proxy", Critical, judge);

/// The values of Cilium's `kube-proxy-replacement` by which it does all of kube-proxy's work; `strict` is that of old releases.
const ENTIRELY: [&str; 2] = ["true", "strict"];

/// How many minors kube-proxy may be older than the API server. With that and KL-02, it is no further from its kubelet.
const PATIENCE: u64 = 3;

/// Agents that take over kube-proxy's work wherever they run, by a label of their pods.
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
    let (mut without, mut elsewhere, mut replaced, mut both) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
    for (name, node) in nodes.linux() {
        let agents = by_node.get(name.as_str());
        let proxy = agents.and_then(|agents| agents.proxy);
        let replacement = agents.and_then(|agents| agents.replacement(replacements));
        match (proxy, replacement) {
            (Some(_), Some((_, Replaces::Surely))) => both.push(name.as_str()),
            (Some(proxy), _) => judge_proxy(&mut verdict, name, node, proxy, *oldest),
            (None, Some((agent, Replaces::Surely | Replaces::Maybe))) => {
                replaced.entry(agent).or_insert_with(Vec::new).push(name.as_str());
                verdict.confirm();
            }
            (None, Some((_, Replaces::Unknown(why)))) => verdict.unseen(Subject::node(name), why),
            (None, _) => match proxy_without_pod(node) {
                Some(how) => elsewhere.push((name.as_str(), how)),
                None => without.push(name.as_str()),
            },
        }
    }
    if verdict.observations() == 0 && without.is_empty() && both.is_empty() && verdict.saw_everything() {
        return Verdict::not_applicable(match elsewhere.first() {
            Some((_, how)) => format!("{} have no pod of a service proxy: {how}", names(elsewhere.iter().map(|e| e.0))),
            None => "there is no Linux node".to_owned(),
        });
    }
    if !without.is_empty() {
        let finding = Finding::new(
            format!("a service proxy on each of {} Linux nodes", nodes.linux().count()),
            format!("neither kube-proxy nor a known replacement runs on {}", names(&without)),
        );
        // kubeadm makes pods; platforms may run it as a process of the host, or do without by means of their own.
        let is_foreign = matches!(kubeadm, Err(Unobserved::Absent { .. }));
        let finding = if is_foreign && without.len() == nodes.linux().count() {
            finding.impact("unless the platform does its work by other means (SN-09 tries it), no Service works").info()
        } else {
            finding.impact("pods there do not learn of new Services and endpoints")
        };
        verdict.find(Subject::nodes(&without), finding);
    }
    if !both.is_empty() {
        verdict.find(
            Subject::nodes(&both),
            Finding::new("one service proxy", "kube-proxy and a network plugin that is told to replace it")
                .impact("both write rules for the same Services")
                .severity(Severity::Major),
        );
    }
    for (agent, nodes) in replaced {
        verdict.note(format!("{agent} does the work of kube-proxy on {}", names(nodes)));
    }
    verdict
}

fn judge_proxy(verdict: &mut Verdict, name: &str, node: &Node, proxy: &Pod, oldest: OldestApiServer) {
    if node.is_silent() {
        return verdict.unseen(Subject::node(name), &silence(name));
    }
    verdict.expect(Subject::node(name), proxy.ready, || {
        Finding::new("kube-proxy is Ready", format!("{} is not Ready ({})", proxy.name, why_not_ready(proxy)))
            .impact("pods there do not learn of new Services and endpoints")
    });
    let image = proxy.containers.iter().find(|container| container.name == "kube-proxy").map(|c| c.image.as_str());
    let Some(version) = image.and_then(Version::of_image) else {
        return verdict.note(format!("the image of {} does not tell its version", proxy.name));
    };
    let minor = version.minor;
    verdict.expect(Subject::node(name), minor <= oldest.0.minor && oldest.0.minor - minor <= PATIENCE, || {
        let eldest = oldest.0.minor.saturating_sub(PATIENCE);
        Finding::new(format!("kube-proxy 1.{eldest} to 1.{}", oldest.0.minor), version.to_string())
            .impact("it does not know the APIs of the API server, or the API server its")
            .severity(Severity::Major)
    });
}

/// Why a node needs no pod for it.
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
        Some("auto") => Some("EKS Auto Mode runs it on the host"),
        Some("fargate") => Some("AWS Fargate runs it on the host"),
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
            // Distributions label it in ways of their own; all call the container by its program.
            let is_proxy = || pod.containers.iter().any(|container| container.name.starts_with("kube-proxy"));
            if pod.namespace == "kube-system" && is_proxy() {
                let agents = all.entry(node).or_default();
                // While one replaces another, the better one counts.
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

    fn replacement<'b>(&self, told: &'b ProxyReplacements) -> Option<(&'static str, Replaces<'b>)> {
        if let Some(name) = self.other {
            // Whether these leave room for kube-proxy beside them is theirs to say.
            return Some((name, Replaces::Maybe));
        }
        if self.cilium {
            let replaces = match &told.cilium {
                Ok(Some(value)) if ENTIRELY.contains(&value.as_str()) => Replaces::Surely,
                Ok(Some(value)) if value == "false" || value == "disabled" => Replaces::No,
                Ok(_) => Replaces::Maybe,
                Err(why) => Replaces::Unknown(why),
            };
            return Some(("Cilium", replaces));
        }
        self.calico.then_some((
            "Calico",
            match &told.calico {
                Ok(Some(true)) => Replaces::Surely,
                Ok(_) | Err(Unobserved::Absent { .. }) => Replaces::No,
                Err(why) => Replaces::Unknown(why),
            },
        ))
    }
}

/// The network plugin whose configuration leaves no doubt that it does kube-proxy's work.
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
                image: format!("registry.k8s.io/{app}:{version}"),
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

    fn cilium(told: Seen<Option<&str>>) -> ProxyReplacements {
        ProxyReplacements { cilium: told.map(|told| told.map(str::to_owned)), ..none() }
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
        assert_eq!(seen_of(&verdict), ["Node n3: neither kube-proxy nor a known replacement runs on n3"]);
        assert_eq!(verdict.findings(Severity::Critical)[0].expected, "a service proxy on each of 3 Linux nodes");
    }

    #[test]
    fn one_that_is_not_ready_is_found() {
        let mut pods = on("kube-proxy", &ALL, "v1.37.2");
        let pod = pods.0.get_mut(&named("kube-system/kube-proxy-n2")).unwrap();
        (pod.ready, pod.containers[0].waiting) = (false, Some("CrashLoopBackOff".into()));
        assert_eq!(
            seen_of(&judged(&pods, &none())),
            ["Node n2: kube-proxy-n2 is not Ready (Running, CrashLoopBackOff)"]
        );
    }

    #[test]
    fn a_version_that_does_not_fit_is_found() {
        assert_eq!(seen_of(&judged(&on("kube-proxy", &ALL, "v1.38.0"), &none())).len(), 1);
        assert!(seen_of(&judged(&on("kube-proxy", &ALL, "v1.34.0"), &none())).is_empty());
        assert_eq!(seen_of(&judged(&on("kube-proxy", &ALL, "v1.33.0"), &none())).len(), 1);
    }

    #[test]
    fn cilium_counts_as_it_is_told() {
        let pods = on("cilium", &ALL, "v1.19.0");
        let verdict = judged(&pods, &cilium(Ok(Some("true"))));
        assert_eq!((verdict.observations(), seen_of(&verdict)), (3, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict), ["Cilium does the work of kube-proxy on n1, n2, n3"]);
        assert_eq!(seen_of(&judged(&pods, &cilium(Ok(Some("false"))))).len(), 1);
        let refused = Unobserved::Refused { missing: "get configmaps".into(), message: "forbidden".into() };
        assert_eq!(judged(&pods, &cilium(Err(refused))).gaps().len(), 1);
    }

    #[test]
    fn two_proxies_on_one_node_are_found() {
        let mut pods = on("kube-proxy", &ALL, "v1.37.2");
        pods.0.extend(on("cilium", &ALL, "v1.19.0").0);
        assert!(seen_of(&judged(&pods, &cilium(Ok(Some("false"))))).is_empty());
        let findings = judged(&pods, &cilium(Ok(Some("true")))).findings(Severity::Critical);
        assert_eq!(
            (findings[0].subjects[0].to_string().as_str(), findings[0].severity),
            ("Nodes n1, n2, n3", Severity::Major)
        );
    }

    #[test]
    fn calico_replaces_it_only_with_ebpf() {
        let pods = on("calico-node", &ALL, "v3.31.0");
        let calico = |told| ProxyReplacements { calico: Ok(told), ..none() };
        assert!(seen_of(&judged(&pods, &calico(Some(true)))).is_empty());
        assert_eq!(seen_of(&judged(&pods, &calico(None))).len(), 1);
    }

    #[test]
    fn a_silent_node_is_undecided() {
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
            Some("n1, n2, n3 have no pod of a service proxy: k3s runs kube-proxy in its own process")
        );
    }

    #[test]
    fn a_platform_may_do_it_by_means_of_its_own_and_kubeadm_not() {
        let oldest = OldestApiServer("v1.37.2".parse().unwrap());
        let judged = |pods: &Pods, why| judge(&nodes("v1.37.2"), pods, &none(), &oldest, Err(&why));
        let absent = || Unobserved::absent("there is no ConfigMap kube-system/kubeadm-config");
        let severity = |why| judged(&Pods::default(), why).findings(Severity::Critical)[0].severity;
        assert_eq!([severity(absent()), severity(Unobserved::Interrupted)], [Severity::Info, Severity::Critical]);
        assert_eq!(seen_of(&judged(&on("kube-proxy", &["n1"], "v1.37.2"), absent())).len(), 1, "others have one");
    }
}
