//! # kube-proxy runs in a mode that is explicit, supported and fits the kernel
//!
//! ## Why
//! The mode ipvs is deprecated and will be removed: nodes that are upgraded past its removal lose all Services. A mode
//! that is not set changes with a release. The mode nftables needs a kernel that older nodes do not have.
//!
//! ## Fix
//! Choose the mode: `kubectl -n kube-system edit configmap kube-proxy`, `mode: nftables` (kernel 5.13 or newer on every
//! node) or `mode: iptables` in `config.conf`; then restart the proxies with `kubectl -n kube-system rollout restart
//! daemonset kube-proxy`. When it starts, kube-proxy removes the rules of the other mode, iptables or nftables. Rules
//! of ipvs remain until the node is restarted: drain it first
//! (`kubectl drain NODE --ignore-daemonsets --delete-emptydir-data`).
//!
//! ## Source
//! KEP-3866 (nftables, stable in 1.33, needs kernel 5.13), KEP-5495 (ipvs, deprecated in 1.35), KEP-5343 (another
//! default); kubernetes/kubernetes `staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go`. Only the node itself shows
//! which mode is in effect, at `127.0.0.1:10249/proxyMode`: privileged probes read it there.

use super::helpers::kube_proxy::{RESTART, configure};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::host_reports::{HostReports, PROXY_MODE};
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::server_version::ServerVersion;
use crate::seen::Unobserved;

crate::check!("SN-06", "proxy-mode", Minor, judge, blocked_by: ["KL-16"]);

/// The mode on Linux if none is set.
const DEFAULT: &str = "iptables";
/// The minor since which the mode ipvs is deprecated.
const IPVS_DEPRECATED: u64 = 35;
/// The minor since which nftables is stable.
const NFTABLES_STABLE: u64 = 33;
const CHOOSE: &str = "in config.conf, set mode: nftables, if every node has kernel 5.13 or newer, or mode: iptables";

fn judge(
    config: Result<&KubeProxyConfig, &Unobserved>,
    pods: &Pods,
    version: &ServerVersion,
    hosts: Result<&HostReports, &Unobserved>,
) -> Verdict {
    let subject = || Subject::object("ConfigMap", "kube-system", "kube-proxy");
    let config = match config {
        Ok(config) => config,
        Err(Unobserved::Absent { evidence }) => {
            return Verdict::not_applicable(format!("{evidence}: kube-proxy is configured elsewhere, or does not run"));
        }
        Err(why) => {
            let mut verdict = Verdict::new();
            verdict.unseen(subject(), why);
            return verdict;
        }
    };
    let proxies: Vec<&Pod> = pods.labelled("kube-system", "k8s-app", "kube-proxy").collect();
    // The ConfigMap often outlives the proxy where the network plugin has replaced it.
    if proxies.is_empty() {
        return Verdict::not_applicable("no pod has the label k8s-app=kube-proxy: its configuration is not in use");
    }
    let mut verdict = Verdict::new();
    let minor = version.version.minor;
    let Some(mode) = verdict.seen(subject, &config.mode()).copied() else { return verdict };
    match mode {
        "" => {
            verdict.confirm();
            verdict.note("kube-proxy's mode is not set: the default is iptables, and will change in a later release");
        }
        "iptables" => verdict.confirm(),
        "nftables" => drop(verdict.expect(subject(), minor >= NFTABLES_STABLE, || {
            Finding::new(
                format!("a mode that is stable in 1.{minor}"),
                format!("mode nftables, stable since 1.{NFTABLES_STABLE}"),
            )
            .impact("in this release the mode is not finished: some Services may not work")
            .fix(configure("in config.conf, set mode: iptables"))
            .managed_by(config.manager.as_ref())
        })),
        "ipvs" => drop(verdict.expect(subject(), minor < IPVS_DEPRECATED, || {
            Finding::new("mode iptables or nftables", format!("mode ipvs, deprecated since 1.{IPVS_DEPRECATED}"))
                .impact("nodes lose all Services when they are upgraded past its removal")
                .fix(format!("{}; afterwards, drain and reboot one node after the other", configure(CHOOSE)))
                .managed_by(config.manager.as_ref())
        })),
        // kube-proxy falls back to its default on Linux, or refuses to start.
        other => verdict.find(
            subject(),
            Finding::new("mode iptables or nftables", format!("mode {other}, which does not exist on Linux"))
                .impact("kube-proxy may not start again after its next restart")
                .fix(configure(CHOOSE))
                .managed_by(config.manager.as_ref())
                .severity(Severity::Major),
        ),
    }
    judge_effective(&mut verdict, mode, &proxies, hosts);
    verdict
}

/// Judges the modes in effect: a kube-proxy takes up another mode only when it restarts.
fn judge_effective(verdict: &mut Verdict, mode: &str, proxies: &[&Pod], hosts: Result<&HostReports, &Unobserved>) {
    let hosts = match hosts {
        Ok(hosts) => hosts,
        Err(Unobserved::NotAllowed { profile, .. }) => {
            return verdict.note(format!(
                "the mode in effect was not checked: profile {profile} does not allow privileged probes"
            ));
        }
        Err(why) => return verdict.unseen(Subject::cluster(), why),
    };
    let chosen = if mode.is_empty() { DEFAULT } else { mode };
    // A proxy that does not run is judged by SN-07.
    for node in proxies.iter().filter(|pod| pod.ready && !pod.deleting).filter_map(|pod| pod.node.as_deref()) {
        match hosts.lines(node, PROXY_MODE) {
            Ok(lines) if lines.concat() == chosen => verdict.confirm(),
            Ok(lines) => verdict.find(
                Subject::node(node),
                Finding::new(
                    format!("kube-proxy runs in the mode that its ConfigMap chooses, {chosen}"),
                    format!("it runs in mode {}", lines.concat()),
                )
                .impact("the mode changes when kube-proxy next restarts, at the latest in the next upgrade")
                .fix(format!("put the mode into effect: {RESTART}")),
            ),
            Err(why) => verdict.unseen(Subject::node(node), &why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::host_reports::{HostReport, HttpAnswer, Text};
    use crate::fact::facts::kube_proxy_config::testing::in_mode;
    use crate::object_ref::testing::named;
    use crate::seen::Access;

    fn judged(mode: &str, version: &str) -> Verdict {
        let hosts = Unobserved::NotAllowed { access: Access::Privileged, profile: "post-install".into() };
        judged_with(mode, version, Err(&hosts))
    }

    fn judged_with(mode: &str, version: &str, hosts: Result<&HostReports, &Unobserved>) -> Verdict {
        let config = in_mode(mode);
        let pod = Pod {
            namespace: "kube-system".into(),
            node: Some("n1".into()),
            ready: true,
            labels: [("k8s-app".to_owned(), "kube-proxy".to_owned())].into(),
            ..Pod::default()
        };
        let version = ServerVersion { git: version.into(), version: version.parse().unwrap() };
        judge(Ok(&config), &Pods([(named("kube-system/kube-proxy-x"), pod)].into()), &version, hosts)
    }

    /// The answers of a node whose proxy runs in this mode.
    fn runs_in(mode: &str) -> HostReports {
        let body = Text { lines: vec![mode.into()], cut: false };
        let gets = Ok([(PROXY_MODE.to_owned(), Ok(HttpAnswer { status: 200, body }))].into());
        let report = HostReport { gets, ..HostReport::unseen() };
        HostReports([("n1".to_owned(), report)].into())
    }

    fn seen(mode: &str, version: &str) -> Vec<String> {
        judged(mode, version).findings(Severity::Minor).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn supported_modes_pass() {
        for mode in ["", "iptables", "nftables"] {
            assert_eq!((judged(mode, "v1.37.2").observations(), seen(mode, "v1.37.2").len()), (1, 0), "{mode}");
        }
        assert_eq!(crate::check::testing::notes(&judged("", "v1.37.2")).len(), 2);
    }

    #[test]
    fn another_mode_in_effect_is_found() {
        let seen = |configured, effective| {
            let verdict = judged_with(configured, "v1.37.2", Ok(&runs_in(effective)));
            verdict.findings(Severity::Minor).into_iter().map(|finding| finding.seen).collect::<Vec<_>>()
        };
        assert!(seen("", "iptables").is_empty() && seen("nftables", "nftables").is_empty());
        assert_eq!(seen("nftables", "iptables"), ["it runs in mode iptables"]);
    }

    #[test]
    fn a_mode_that_was_not_seen_is_a_gap() {
        let mut hosts = runs_in("iptables");
        hosts.0.get_mut("n1").unwrap().gets = Err(Unobserved::Interrupted);
        assert_eq!(judged_with("iptables", "v1.37.2", Ok(&hosts)).gaps().len(), 1);
        assert_eq!(judged_with("iptables", "v1.37.2", Err(&Unobserved::Interrupted)).gaps().len(), 1);
    }

    #[test]
    fn ipvs_is_found_since_its_deprecation() {
        assert_eq!(seen("ipvs", "v1.37.2"), ["mode ipvs, deprecated since 1.35"]);
        assert!(seen("ipvs", "v1.34.9").is_empty());
    }

    #[test]
    fn an_unknown_mode_and_nftables_too_early_are_found() {
        assert_eq!(seen("userspace", "v1.37.2"), ["mode userspace, which does not exist on Linux"]);
        assert_eq!(seen("nftables", "v1.31.0"), ["mode nftables, stable since 1.33"]);
    }

    #[test]
    fn without_a_configuration_it_does_not_apply() {
        let version = ServerVersion { git: "v1.37.2".into(), version: "v1.37.2".parse().unwrap() };
        let absent = Unobserved::absent("configmaps \"kube-proxy\" not found");
        assert!(judge(Err(&absent), &Pods::default(), &version, Err(&Unobserved::Interrupted)).reason().is_some());
    }
}
