//! # Nodes start their kubelet, runtime and control plane after a reboot
//!
//! ## Why
//! The init system starts the kubelet and the container runtime; the kubelet starts everything else. A service that was started
//! by hand, or never enabled, works until the node reboots, and then the node stays down. If the init system also starts a
//! control-plane component, such as the etcd of a distribution's package, it competes with the static pod for the same ports.
//!
//! ## Fix
//! On the node that is named: `systemctl enable kubelet containerd` (`crio`, or `docker` and `cri-docker`). If the kubelet was
//! started by hand, stop it, then `systemctl enable --now kubelet`. For a component beside its static pod: `systemctl disable
//! --now etcd`, once it is clear that nothing uses it.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/preflight/checks.go` (`ServiceCheck`), `cmd/kubeadm/app/constants/constants.go`;
//! systemd.unit(5), sd_booted(3), kernel `Documentation/admin-guide/cgroup-v2.rst` (`cgroup.events`). Privileged probes read
//! which services have processes in the node's control groups, and what a boot starts according to the unit files in
//! /etc/systemd/system and /usr/lib/systemd: by links, by Wants=, Requires=, BindsTo= and Upholds= of started units, by sockets,
//! timers and paths. They do not use D-Bus. Units that are enabled only until the next boot (`systemctl enable --runtime`) do not
//! count, and units of generators are not visible. Only kubeadm clusters on nodes with systemd are judged: other distributions
//! start their kubelets in other ways. Tested with systemd 252 on cgroup v1; for cgroup v2 only the reading was tested.

use std::collections::BTreeSet;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::host_reports::{Definition, HostReports, Services, UnitFiles};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;

crate::check!("KL-08", "init-system", Major, judge);

/// Targets that a normal boot does not reach.
const NO_USUAL_BOOT: [&str; 7] = [
    "emergency.target",
    "halt.target",
    "kexec.target",
    "poweroff.target",
    "reboot.target",
    "rescue.target",
    "shutdown.target",
];

/// The unit that kubeadm starts.
const KUBELET: &str = "kubelet.service";
/// Parts of unit names with which other distributions run a kubelet.
const OTHER_KUBELETS: [&str; 4] = ["kubelet", "kubelite", "k3s", "rke2"];
/// The units of container runtimes, by the name that nodes report.
const RUNTIMES: [(&str, &[&str]); 3] = [
    ("containerd", &["containerd.service"]),
    ("cri-o", &["crio.service", "cri-o.service"]),
    ("docker", &["docker.service", "cri-docker.service"]),
];
/// The directory of minikube.
const MINIKUBE: &str = "/var/lib/minikube";
/// Components that kubeadm runs in pods on control-plane nodes.
const CONTROL_PLANE: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", ETCD];
const ETCD: &str = "etcd";
const KUBE_PROXY: &str = "kube-proxy";

/// Why a node is not judged.
const WITHOUT: &str = "systemd is not the init system, so it is unknown what starts the kubelet";

fn judge(hosts: &HostReports, nodes: &Nodes, pods: &Pods, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let Some(kubeadm) = kubeadm else {
        return Verdict::not_applicable(
            "not a kubeadm cluster (no ConfigMap kube-system/kubeadm-config): its kubelets are started in another way",
        );
    };
    if kubeadm.certificates_dir.as_deref().is_some_and(|directory| directory.starts_with(MINIKUBE)) {
        return Verdict::not_applicable(format!(
            "certificatesDir of kubeadm-config is below {MINIKUBE}: minikube starts the kubelets itself"
        ));
    }
    let mut verdict = Verdict::new();
    let mut without: Vec<&str> = Vec::new();
    for (name, report) in &hosts.0 {
        let Some(services) = verdict.seen(|| Subject::node(name), &report.services) else { continue };
        for (group, why) in &services.unseen {
            let why = Unobserved::invalid(format!("the control group {group} on {name}"), why);
            verdict.unseen(Subject::node(name), &why);
        }
        if !services.systemd {
            if services.unseen.is_empty() {
                without.push(name);
            }
            continue;
        }
        let Some(files) = verdict.seen(|| Subject::node(name), &report.units) else { continue };
        if let Some((directory, why)) = files.unlisted.first_key_value() {
            let why = Unobserved::invalid(format!("{directory} on {name}"), why);
            verdict.unseen(Subject::node(name), &why);
            continue;
        }
        let look = Look { name, node: nodes.0.get(name), services, files, pods, kubeadm };
        look.kubelet(&mut verdict);
        look.runtime(&mut verdict);
        look.components(&mut verdict);
    }
    if !without.is_empty() && verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply(format!("{WITHOUT}: {} nodes", without.len()));
    }
    for node in without {
        verdict.note_about(Subject::node(node), WITHOUT);
    }
    verdict
}

/// The observations of one node.
struct Look<'a> {
    name: &'a str,
    node: Option<&'a Node>,
    services: &'a Services,
    files: &'a UnitFiles,
    pods: &'a Pods,
    kubeadm: &'a KubeadmConfig,
}

impl Look<'_> {
    /// A probe ran on the node, so its kubelet runs.
    fn kubelet(&self, verdict: &mut Verdict) {
        if self.runs(KUBELET) {
            return self.starts(verdict, KUBELET, "after the next reboot the node stays down");
        }
        let is_other = |unit: &&String| OTHER_KUBELETS.iter().any(|word| unit.contains(word));
        let others: Vec<&String> = self.services.running.iter().filter(is_other).collect();
        if !others.is_empty() {
            for unit in others {
                self.note(verdict, format!("the kubelet seems to run in {unit}, which is not judged"));
            }
            return;
        }
        // A control group that was not seen may be the kubelet's.
        if !self.services.unseen.is_empty() {
            return;
        }
        verdict.find(
            Subject::node(self.name),
            Finding::new(format!("the kubelet runs in {KUBELET}"), format!("it runs, but {KUBELET} has no process"))
                .impact("nothing restarts it when it exits, and after the next reboot the node stays down")
                .fix(format!("on the node, stop the kubelet, then systemctl enable --now {KUBELET}")),
        );
    }

    fn runtime(&self, verdict: &mut Verdict) {
        let machine = self.node.and_then(|node| node.machine.as_ref());
        let runtime = machine.map_or("", |machine| machine.runtime.split("://").next().unwrap_or_default());
        let known = RUNTIMES.iter().find(|(name, _)| *name == runtime).map_or(&[][..], |(_, units)| units);
        let running: Vec<&str> = known.iter().copied().filter(|unit| self.runs(unit)).collect();
        if running.is_empty() {
            self.note(verdict, format!("the runtime {runtime} does not run in a service with a known name"));
        }
        for unit in running {
            self.starts(verdict, unit, "after the next reboot no pod starts on the node");
        }
    }

    /// A service that runs is also started at boot.
    fn starts(&self, verdict: &mut Verdict, unit: &str, impact: &str) {
        let starts = self.starts_at_boot(unit);
        let read = |unit: &str| self.files.units.get(unit).is_some_and(|unit| unit.defined != Definition::Elsewhere);
        // Packages let the kubelet's unit start its runtime, too.
        if !starts && unit != KUBELET && !read(KUBELET) {
            let why = format!("/etc/systemd/system and /usr/lib/systemd do not show what {KUBELET} starts");
            return verdict
                .unseen(Subject::node(self.name), &Unobserved::invalid(format!("{unit} on {}", self.name), why));
        }
        let masked = self.files.units.get(unit).is_some_and(|unit| unit.defined == Definition::Masked);
        verdict.expect(Subject::node(self.name), starts, || {
            let (seen, remedy) = if masked {
                ("it runs, but is masked, so systemd will not start it again", format!("systemctl unmask {unit} && "))
            } else {
                ("it runs, but is not enabled, so nothing starts it at boot", String::new())
            };
            Finding::new(format!("{unit} is started at boot"), seen)
                .impact(impact)
                .fix(format!("on the node: {remedy}systemctl enable {unit}"))
        });
    }

    /// The init system does not run what kubeadm runs in pods.
    fn components(&self, verdict: &mut Verdict) {
        let on_control_plane = self.node.is_some_and(Node::is_control_plane);
        for component in CONTROL_PLANE {
            // The init system of the same nodes often runs an external etcd.
            if component == ETCD && (self.kubeadm.external_etcd || self.has_other_etcd()) {
                continue;
            }
            let is_static = self.pods.static_pods(component).any(|pod| self.is_here(pod));
            let belongs = is_static || on_control_plane && component != ETCD;
            self.component(verdict, component, belongs.then_some("the static pod"));
        }
        let mut proxies = self.pods.labelled("kube-system", "k8s-app", KUBE_PROXY);
        let proxy = proxies.any(|pod| self.is_here(pod) && !pod.deleting).then_some("the pod of its DaemonSet");
        self.component(verdict, KUBE_PROXY, proxy);
    }

    fn component(&self, verdict: &mut Verdict, component: &str, pod: Option<&str>) {
        let unit = format!("{component}.service");
        let (runs, starts) = (self.runs(&unit), self.starts_at_boot(&unit));
        let Some(pod) = pod else {
            if runs {
                self.note(verdict, format!("{unit} runs, and kubeadm runs no pod of it"));
            }
            return;
        };
        verdict.expect(Subject::node(self.name), !runs && !starts, || {
            let seen = match (runs, starts) {
                (true, true) => "the unit runs, and is started at boot",
                (true, false) => "the unit runs",
                (false, _) => "the unit does not run now, but is started at boot",
            };
            let finding = Finding::new(format!("no {unit} beside {pod} of kubeadm"), seen)
                .fix(format!("on the node, once it is clear that nothing uses it: systemctl disable --now {unit}"));
            if starts {
                finding.impact("after the next reboot it may take the ports before the pod does")
            } else {
                finding.impact("both compete for the same ports, or for the same work").severity(Severity::Minor)
            }
        });
    }

    /// Whether an API server keeps some resources in another etcd, which may be on any node.
    fn has_other_etcd(&self) -> bool {
        self.pods.static_pods("kube-apiserver").any(|pod| !pod.flag("etcd-servers-overrides").is_empty())
    }

    fn is_here(&self, pod: &Pod) -> bool {
        pod.node.as_deref() == Some(self.name)
    }

    fn runs(&self, unit: &str) -> bool {
        self.services.running.contains(unit)
    }

    /// Whether a boot reaches one of the units that start this one.
    fn starts_at_boot(&self, unit: &str) -> bool {
        let (mut left, mut known) = (vec![unit], BTreeSet::new());
        while let Some(name) = left.pop() {
            if name.ends_with(".target") {
                if !NO_USUAL_BOOT.contains(&name) {
                    return true;
                }
                continue;
            }
            let unit = self.files.units.get(name).filter(|unit| unit.defined != Definition::Masked);
            if known.insert(name) {
                left.extend(unit.into_iter().flat_map(|unit| &unit.started_by).map(String::as_str));
            }
        }
        false
    }

    fn note(&self, verdict: &mut Verdict, note: String) {
        verdict.note_about(Subject::node(self.name), note);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fact::facts::host_reports::{HostReport, Unit};
    use crate::fact::facts::nodes::Machine;
    use crate::fact::facts::pods::Container;
    use crate::object_ref::NamespacedName;

    /// A node in order: what runs there, and its unit files.
    fn in_order() -> (Services, UnitFiles) {
        let running = ["kubelet.service", "containerd.service"].map(Into::into).into();
        let unit = || Unit { defined: Definition::Read, started_by: ["multi-user.target".into()].into() };
        let units = [(KUBELET.to_owned(), unit()), ("containerd.service".to_owned(), unit())].into();
        (Services { systemd: true, running, unseen: BTreeMap::new() }, UnitFiles { units, unlisted: BTreeMap::new() })
    }

    fn report((services, units): (Services, UnitFiles)) -> HostReport {
        HostReport { services: Ok(services), units: Ok(units), ..HostReport::unseen() }
    }

    fn without_systemd(name: &str) -> HostReport {
        let units = Err(Unobserved::absent(format!("systemd is not the init of {name}")));
        HostReport { services: Ok(Services::default()), units, ..HostReport::unseen() }
    }

    fn pod(node: &str, name: &str, component: &str, command: &[&str]) -> (NamespacedName, Pod) {
        let label = if component == KUBE_PROXY { "k8s-app" } else { "component" };
        let annotations = [("kubernetes.io/config.mirror".to_owned(), "x".to_owned())];
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let pod = Pod {
            namespace: "kube-system".into(),
            name: name.into(),
            node: Some(node.into()),
            labels: [(label.to_owned(), component.to_owned())].into(),
            annotations: if component == KUBE_PROXY { BTreeMap::new() } else { annotations.into() },
            containers: vec![Container { command, ..Container::default() }],
            ..Pod::default()
        };
        (NamespacedName::new("kube-system", name.to_owned()), pod)
    }

    /// The verdict about a control-plane node n1 and a worker n2, each of which has this runtime.
    fn judged<const N: usize>(
        reports: [HostReport; N],
        runtime: &str,
        kubeadm: &KubeadmConfig,
        flags: &[&str],
    ) -> Verdict {
        let machine = || {
            Some(Machine {
                machine_id: String::new(),
                system_uuid: String::new(),
                boot_id: String::new(),
                runtime: runtime.into(),
                kernel: String::new(),
            })
        };
        let labels = BTreeMap::from([("node-role.kubernetes.io/control-plane".to_owned(), String::new())]);
        let control = Node { labels, machine: machine(), ..Node::default() };
        let worker = Node { machine: machine(), ..Node::default() };
        let nodes = Nodes([("n1".to_owned(), control), ("n2".to_owned(), worker)].into());
        let pods = [
            pod("n1", "etcd-n1", ETCD, &[]),
            pod("n1", "kube-apiserver-n1", "kube-apiserver", flags),
            pod("n1", "kube-proxy-a", KUBE_PROXY, &[]),
            pod("n2", "kube-proxy-b", KUBE_PROXY, &[]),
        ];
        let hosts = ["n1".to_owned(), "n2".to_owned()].into_iter().zip(reports).collect();
        judge(&HostReports(hosts), &nodes, &Pods(pods.into()), Some(kubeadm))
    }

    fn found(verdict: &Verdict) -> Vec<(Severity, String)> {
        let found = verdict.findings(Severity::Major).into_iter();
        found
            .map(|finding| {
                (
                    finding.severity,
                    format!(
                        "{}: {}: {}",
                        crate::check::subject::listed(&finding.subjects),
                        finding.expected,
                        finding.seen
                    ),
                )
            })
            .collect()
    }

    /// What is found of a worker and a control-plane node that were changed in the same way.
    fn seen(change: impl Fn(&mut Services, &mut UnitFiles)) -> Vec<(Severity, String)> {
        let node = || {
            let (mut services, mut files) = in_order();
            change(&mut services, &mut files);
            report((services, files))
        };
        found(&judged([node(), node()], "containerd://2.4.0", &KubeadmConfig::default(), &[]))
    }

    #[test]
    fn nodes_in_order_pass() {
        let verdict =
            judged([report(in_order()), report(in_order())], "containerd://2.4.0", &KubeadmConfig::default(), &[]);
        assert_eq!(
            (found(&verdict), crate::check::testing::notes(&verdict), verdict.gaps().len()),
            (Vec::new(), vec![], 0)
        );
        assert!(verdict.observations() >= 10);
    }

    #[test]
    fn what_runs_and_is_not_started_at_boot_is_found() {
        let found = seen(|_, files| files.units.get_mut(KUBELET).unwrap().started_by.clear());
        let text = "Node n1, n2: kubelet.service is started at boot: it runs, but is not enabled, so nothing starts it at boot";
        assert_eq!(found, [(Severity::Major, text.to_owned())]);
        let found = seen(|_, files| files.units.get_mut("containerd.service").unwrap().defined = Definition::Masked);
        assert!(found.len() == 1 && found[0].1.contains("is masked"), "{found:?}");
        let found = seen(|_, files| drop(files.units.remove("containerd.service")));
        assert!(found.len() == 1 && found[0].1.contains("containerd.service"), "{found:?}");
    }

    #[test]
    fn a_unit_is_started_by_what_is_started_itself() {
        let by = |unit: &'static str| {
            move |_: &mut Services, files: &mut UnitFiles| {
                files.units.get_mut("containerd.service").unwrap().started_by = [unit.to_owned()].into();
            }
        };
        assert_eq!(seen(by(KUBELET)), []);
        assert_eq!(seen(by("docker.service")).len(), 1, "which nothing starts");
        let circle = seen(|_, files| {
            files.units.get_mut("containerd.service").unwrap().started_by = [KUBELET.to_owned()].into();
            files.units.get_mut(KUBELET).unwrap().started_by = ["containerd.service".to_owned()].into();
        });
        assert_eq!(circle.len(), 2);
    }

    #[test]
    fn a_kubelet_in_no_unit_is_found_and_one_in_another_is_named() {
        let found = seen(|services, _| {
            services.running.remove(KUBELET);
        });
        assert!(found.len() == 1 && found[0].1.ends_with("kubelet.service has no process"), "{found:?}");
        let (mut services, files) = in_order();
        services.running.remove(KUBELET);
        services.running.insert("snap.kubelet.daemon.service".into());
        let nodes = [report((services, files))];
        let verdict = judged(nodes, "containerd://2.4.0", &KubeadmConfig::default(), &[]);
        assert!(
            found_none(&verdict) && crate::check::testing::notes(&verdict)[0].contains("snap.kubelet.daemon.service"),
            "{verdict:?}"
        );
    }

    fn found_none(verdict: &Verdict) -> bool {
        verdict.findings(Severity::Major).is_empty()
    }

    #[test]
    fn components_beside_their_pods_are_found() {
        let runs = |unit: &'static str| {
            move |services: &mut Services, _: &mut UnitFiles| {
                services.running.insert(unit.into());
            }
        };
        assert_eq!(seen(runs("etcd.service"))[0].0, Severity::Minor);
        assert!(seen(runs("etcd.service"))[0].1.starts_with("Node n1: no etcd.service beside the static pod"));
        assert!(seen(runs("kube-scheduler.service"))[0].1.starts_with("Node n1: "), "though its pod is gone");
        assert!(seen(runs("kube-proxy.service"))[0].1.starts_with("Node n1, n2: "));
        let later = seen(|_, files| {
            let unit = Unit { defined: Definition::Read, started_by: ["multi-user.target".into()].into() };
            files.units.insert("etcd.service".into(), unit);
        });
        assert!(later[0].0 == Severity::Major && later[0].1.contains("does not run now"), "{later:?}");
    }

    #[test]
    fn an_etcd_that_may_be_meant_is_not_found() {
        let node = || {
            let (mut services, files) = in_order();
            services.running.insert("etcd.service".into());
            report((services, files))
        };
        let external = KubeadmConfig { external_etcd: true, ..KubeadmConfig::default() };
        assert!(found_none(&judged([node()], "containerd://2.4.0", &external, &[])));
        let flags = ["kube-apiserver", "--etcd-servers-overrides=/events#https://10.0.0.9:2379"];
        assert!(found_none(&judged([node()], "containerd://2.4.0", &KubeadmConfig::default(), &flags)));
        let worker = judged([report(in_order()), node()], "containerd://2.4.0", &KubeadmConfig::default(), &[]);
        assert!(found_none(&worker) && crate::check::testing::notes(&worker)[0].contains("etcd.service"), "{worker:?}");
    }

    #[test]
    fn a_runtime_of_no_known_unit_is_named() {
        let verdict = judged([report(in_order())], "rkt://1.0", &KubeadmConfig::default(), &[]);
        assert!(found_none(&verdict) && crate::check::testing::notes(&verdict)[0].contains("rkt"), "{verdict:?}");
    }

    #[test]
    fn what_was_not_seen_does_not_pass() {
        let kubeadm = KubeadmConfig::default();
        let skipped = judged([without_systemd("n1"), without_systemd("n2")], "containerd://2.4.0", &kubeadm, &[]);
        assert!(skipped.reason().unwrap().contains("2 nodes"));
        let mixed = judged([report(in_order()), without_systemd("n2")], "containerd://2.4.0", &kubeadm, &[]);
        assert!(mixed.reason().is_none() && crate::check::testing::notes(&mixed)[0].contains("n2"), "{mixed:?}");
        let old = judged([HostReport::unseen()], "containerd://2.4.0", &kubeadm, &[]);
        assert_eq!((old.gaps().len(), old.observations()), (1, 0));
        let (mut services, mut files) = in_order();
        files.units.remove(KUBELET);
        files.units.remove("containerd.service");
        services.running.remove(KUBELET);
        services.unseen.insert("system.slice/kubelet.service".into(), "permission denied".into());
        let unread = judged([report((services, files))], "containerd://2.4.0", &kubeadm, &[]);
        assert!(found_none(&unread) && unread.gaps().len() == 2, "{unread:?}");
        assert!(judge(&HostReports(BTreeMap::new()), &Nodes::default(), &Pods::default(), None).reason().is_some());
        let certificates_dir = Some("/var/lib/minikube/certs".to_owned());
        let minikube = KubeadmConfig { certificates_dir, ..KubeadmConfig::default() };
        assert!(judged([report(in_order())], "docker://27.4.0", &minikube, &[]).reason().unwrap().contains("minikube"));
    }
}
