//! # kube-proxy's mode is one that lasts
//!
//! ## Why
//! The mode ipvs is deprecated and will be removed; nodes that are upgraded past its removal lose all Services. A mode that
//! nobody chose changes with a release. The mode nftables needs a kernel that older nodes do not have.
//!
//! ## Fix
//! Choose the mode: `kubectl -n kube-system edit configmap kube-proxy`, `mode: nftables` (kernel 5.13 or newer on every node) or
//! `mode: iptables` in `config.conf`; then restart the proxies with `kubectl -n kube-system rollout restart daemonset
//! kube-proxy`. Rules of the old mode remain until a node is restarted or cleaned with `kube-proxy --cleanup`.
//!
//! ## Source
//! KEP-3866 (nftables, stable in 1.33, wants kernel 5.13), KEP-5495 (ipvs, deprecated in 1.35), KEP-5343 (another default);
//! kubernetes/kubernetes `staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go`. Which mode is in effect on a node only
//! the node itself tells, at `127.0.0.1:10249/proxyMode`.

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::Unobserved;
use crate::fact::facts::kube_proxy_config::KubeProxyConfig;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::server_version::ServerVersion;

crate::check!("SN-06", "proxy-mode", Minor, judge);

/// From when on the mode ipvs is deprecated.
const IPVS_DEPRECATED: u64 = 35;
/// From when on nftables is stable.
const NFTABLES_STABLE: u64 = 33;

fn judge(config: Result<&KubeProxyConfig, &Unobserved>, pods: &Pods, version: &ServerVersion) -> Verdict {
    let subject = || Subject::object("ConfigMap", "kube-system", "kube-proxy");
    let config = match config {
        Ok(config) => config,
        Err(Unobserved::Absent { evidence }) => {
            return Verdict::not_applicable(format!("{evidence}: kube-proxy is configured elsewhere, or does not run"));
        }
        Err(why) => {
            let mut verdict = Verdict::new();
            verdict.undecided(subject(), why);
            return verdict;
        }
    };
    // The ConfigMap often outlives the proxy where the network plugin has taken over.
    if !pods.0.values().any(|pod| pod.labels.get("k8s-app").is_some_and(|app| app == "kube-proxy")) {
        return Verdict::not_applicable("no pod has the label k8s-app=kube-proxy: its configuration is not in use");
    }
    let mut verdict = Verdict::new();
    let Some(mode) = &config.mode else {
        let fact = "the mode in kube-proxy-config".to_owned();
        verdict.undecided(subject(), &Unobserved::NotRecorded { fact });
        return verdict;
    };
    let minor = version.version.minor;
    match mode.as_str() {
        "" => {
            verdict.confirm();
            verdict.note("kube-proxy's mode is not set: it is iptables today, and another one in a release to come");
        }
        "iptables" => verdict.confirm(),
        "nftables" => drop(verdict.expect(subject(), minor >= NFTABLES_STABLE, || {
            Finding::new(
                format!("a mode that is stable in 1.{minor}"),
                format!("nftables, which is stable from 1.{NFTABLES_STABLE} on"),
            )
        })),
        "ipvs" => drop(verdict.expect(subject(), minor < IPVS_DEPRECATED, || {
            Finding::new("mode iptables or nftables", format!("mode ipvs, deprecated since 1.{IPVS_DEPRECATED}"))
                .so("nodes lose all Services when they are upgraded past its removal")
        })),
        // kube-proxy falls back to its default on Linux, or refuses to start.
        other => verdict.find(
            subject(),
            Finding::new("mode iptables or nftables", format!("mode {other}, which no proxy for Linux knows"))
                .so("kube-proxy does not start again with it")
                .severity(Severity::Major),
        ),
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::pods::Pod;

    fn judged(mode: Option<&str>, version: &str) -> Verdict {
        let config = KubeProxyConfig { mode: mode.map(Into::into), ..KubeProxyConfig::default() };
        let pod = Pod { labels: [("k8s-app".to_owned(), "kube-proxy".to_owned())].into(), ..Pod::default() };
        let version = ServerVersion { git: version.into(), version: version.parse().unwrap() };
        judge(Ok(&config), &Pods([("kube-system/kube-proxy-x".to_owned(), pod)].into()), &version)
    }

    fn seen(mode: &str, version: &str) -> Vec<String> {
        judged(Some(mode), version).findings(Severity::Minor).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn modes_that_last_pass() {
        for mode in ["", "iptables", "nftables"] {
            assert_eq!((judged(Some(mode), "v1.37.2").observations(), seen(mode, "v1.37.2").len()), (1, 0), "{mode}");
        }
        assert_eq!(judged(Some(""), "v1.37.2").notes().len(), 1);
    }

    #[test]
    fn ipvs_is_told_from_its_deprecation_on() {
        assert_eq!(seen("ipvs", "v1.37.2"), ["mode ipvs, deprecated since 1.35"]);
        assert!(seen("ipvs", "v1.34.9").is_empty());
    }

    #[test]
    fn an_unknown_mode_and_nftables_too_early_are_found() {
        assert_eq!(seen("userspace", "v1.37.2"), ["mode userspace, which no proxy for Linux knows"]);
        assert_eq!(seen("nftables", "v1.31.0"), ["nftables, which is stable from 1.33 on"]);
    }

    #[test]
    fn what_is_not_known_does_not_pass() {
        assert_eq!(judged(None, "v1.37.2").undecideds().len(), 1);
        let version = ServerVersion { git: "v1.37.2".into(), version: "v1.37.2".parse().unwrap() };
        let absent = Unobserved::absent("configmaps \"kube-proxy\" not found");
        assert!(judge(Err(&absent), &Pods::default(), &version).reason().is_some());
    }
}
