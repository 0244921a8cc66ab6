//! # The Corefile serves the cluster's zone and cannot loop
//!
//! ## Why
//! CoreDNS reloads a changed Corefile, and keeps the old one if the new one is invalid: the fault shows at the next
//! restart, when no name resolves. If the zone differs from the one in the pods' search list, no Service has a name.
//! Forwarding to a loopback address makes CoreDNS query itself without end.
//!
//! ## Fix
//! `kubectl -n kube-system edit configmap coredns`, then `kubectl -n kube-system rollout restart deployment coredns`
//! and `kubectl -n kube-system logs -l k8s-app=kube-dns`. Where the node's `/etc/resolv.conf` names 127.0.0.53, set
//! `resolvConf: /run/systemd/resolve/resolv.conf` in the kubelet's configuration instead of naming an address here.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go`; <https://coredns.io/plugins/kubernetes/>,
//! <https://coredns.io/plugins/loop/>, <https://coredns.io/plugins/forward/>

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::cluster_domain::{ClusterDomain, DomainSource};
use crate::fact::facts::corefile::zones::Key;
use crate::fact::facts::corefile::{Corefile, ServerBlock};
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::manager::Manager;
use crate::ports;

crate::check!("DN-03", "corefile", Major, judge);

/// The zones of addresses.
const REVERSE: [&str; 2] = ["in-addr.arpa", "ip6.arpa"];
/// Plugins that serve the whole process, in whichever server block they stand, and what is lost without them.
const OF_THE_PROCESS: [(&str, &str); 3] = [
    ("health", "the liveness probe fails"),
    ("ready", "the readiness probe fails"),
    ("reload", "CoreDNS ignores changes of the Corefile until it restarts"),
];
/// Plugins that belong into the server block of the cluster's zone, and what is lost without them.
const OF_THE_ZONE: [(&str, &str); 4] = [
    ("errors", "errors are not logged"),
    ("cache", "no answer is cached"),
    ("loop", "a forwarding loop is not noticed"),
    ("loadbalance", "clients always use the first address"),
];

fn judge(
    corefile: &Corefile,
    domain: &ClusterDomain,
    kubelets: Option<&KubeletDefaults>,
    dns: Option<&ClusterDns>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let manager = corefile.manager.as_ref();
    let blocks = match &corefile.blocks {
        Ok(blocks) => blocks,
        Err(cause) => {
            let finding = Finding::new("a Corefile that CoreDNS can parse", cause)
                .impact("CoreDNS continues with the previous Corefile, and will not start with this one")
                .fix(edit("correct the syntax"))
                .managed_by(manager);
            verdict.find(subject(), finding);
            return verdict;
        }
    };
    for file in blocks.iter().flat_map(|block| block.plugins("import")).flat_map(|plugin| &plugin.arguments) {
        verdict.note_about(Subject::cluster_object("file", file), "the Corefile imports it; it was not checked");
    }
    let configured = kubelets.and_then(|kubelets| kubelets.cluster_domain.as_deref());
    let expected = configured.or((domain.source == DomainSource::KubeadmConfig).then_some(domain.name.as_str()));
    judge_zones(&mut verdict, blocks, expected, manager);
    judge_plugins(&mut verdict, blocks, manager);
    judge_forwarding(&mut verdict, blocks, dns.map(|dns| &dns.addresses[..]).unwrap_or_default(), manager);
    judge_duplicates(&mut verdict, blocks, manager);
    verdict
}

fn subject() -> Subject {
    Subject::object("ConfigMap", "kube-system", "coredns")
}

/// How to make a change of the Corefile effective.
fn edit(change: &str) -> String {
    format!(
        "in the Corefile, {change}: kubectl -n kube-system edit configmap coredns; kubectl -n kube-system rollout \
         restart deployment coredns"
    )
}

fn judge_zones(verdict: &mut Verdict, blocks: &[ServerBlock], expected: Option<&str>, manager: Option<&Manager>) {
    let zones: Vec<String> = blocks.iter().flat_map(ServerBlock::cluster_zones).collect();
    let seen = if zones.is_empty() { "there is no plugin kubernetes" } else { "it serves other zones" };
    if let Some(expected) = expected {
        let expected = Key::of(expected).zone;
        verdict.expect(subject(), zones.contains(&expected), || {
            Finding::new(format!("the plugin kubernetes serves {expected}, the domain that pods search"), seen)
                .evidence(&zones)
                .impact("the Service names that pods look up do not resolve")
                .fix(edit(&format!("add it to the plugin's line (kubernetes {expected} in-addr.arpa ip6.arpa)")))
                .managed_by(manager)
                .severity(Severity::Critical)
        });
    } else {
        verdict.expect(subject(), !zones.is_empty(), || {
            Finding::new("the plugin kubernetes serves the cluster's domain", seen)
                .impact("no Service name resolves")
                .fix(edit(
                    "add the plugin (kubernetes DOMAIN in-addr.arpa ip6.arpa), where DOMAIN is clusterDomain in \
                     /var/lib/kubelet/config.yaml on a node",
                ))
                .managed_by(manager)
                .severity(Severity::Critical)
        });
        for zone in &zones {
            verdict.note_about(
                Subject::cluster_object("DNS zone", zone),
                "CoreDNS serves it; the cluster does not show which domain pods search",
            );
        }
    }
    let missing: Vec<&str> = REVERSE.into_iter().filter(|zone| !zones.iter().any(|z| z.ends_with(zone))).collect();
    verdict.expect(subject(), zones.is_empty() || missing.is_empty(), || {
        let missing = missing.join(" ");
        Finding::new(format!("the plugin kubernetes serves {}", REVERSE.join(" ")), format!("it lacks {missing}"))
            .impact("addresses of Services and pods do not resolve to names")
            .fix(edit(&format!("add {missing} to the line of the plugin kubernetes and to its `fallthrough`")))
            .managed_by(manager)
            .severity(Severity::Minor)
    });
}

fn judge_plugins(verdict: &mut Verdict, blocks: &[ServerBlock], manager: Option<&Manager>) {
    let has = |block: &ServerBlock, name: &str| block.plugins(name).next().is_some();
    let in_process = |name: &str| blocks.iter().any(|block| has(block, name));
    let in_zone = |name: &str| {
        // A loop can only arise where something is forwarded.
        let of_zone = if name == "loop" { "forward" } else { "kubernetes" };
        blocks.iter().filter(|block| has(block, of_zone)).all(|block| has(block, name))
    };
    let missing = OF_THE_PROCESS.iter().filter(|(name, _)| !in_process(name));
    let missing: Vec<_> = missing.chain(OF_THE_ZONE.iter().filter(|(name, _)| !in_zone(name))).collect();
    verdict.expect(subject(), missing.is_empty(), || {
        let all: Vec<_> = OF_THE_PROCESS.iter().chain(&OF_THE_ZONE).map(|(name, _)| *name).collect();
        let (missing, consequences): (Vec<&str>, Vec<&str>) = missing.into_iter().copied().unzip();
        let missing = missing.join(", ");
        Finding::new(format!("the plugins {}", all.join(", ")), format!("it lacks {missing}"))
            .impact(consequences.join("; "))
            .fix(edit(&format!(
                "add, each on its own line, {missing} (`loop` in every server block with `forward`, the others in that \
                 with `kubernetes`)"
            )))
            .managed_by(manager)
            .severity(Severity::Minor)
    });
    let removed: Vec<&str> = blocks
        .iter()
        .flat_map(|block| &block.plugins)
        .flat_map(|plugin| {
            let is_removed = plugin.name == "proxy" || plugin.name == "upstream";
            let has_removed = plugin.name == "kubernetes" && plugin.properties.iter().any(|name| name == "upstream");
            [is_removed.then_some(plugin.name.as_str()), has_removed.then_some("kubernetes … upstream")]
        })
        .flatten()
        .collect();
    verdict.expect(subject(), removed.is_empty(), || {
        Finding::new("only plugins and options that CoreDNS still has", "some were removed from CoreDNS")
            .evidence(removed)
            .impact("CoreDNS does not start with this Corefile")
            .fix(edit("replace `proxy` by `forward`, and delete the lines with `upstream`"))
            .managed_by(manager)
    });
}

fn judge_forwarding(verdict: &mut Verdict, blocks: &[ServerBlock], own: &[IpAddr], manager: Option<&Manager>) {
    // The first argument is the zone that is forwarded, the others are the servers.
    let targets =
        blocks.iter().flat_map(|block| block.plugins("forward")).flat_map(|plugin| plugin.arguments.iter().skip(1));
    for target in targets {
        let at = upstream(target);
        // Another port of the loopback belongs to another process, such as a sidecar.
        let loops = at.is_some_and(|at| at.port() == ports::DNS && at.ip().is_loopback());
        verdict.expect(subject(), !loops, || {
            Finding::new("forward to a resolver outside of the pod", "it forwards to the loopback address: to itself")
                .evidence([format!("forward … {target}")])
                .impact("CoreDNS queries itself: the plugin loop stops it, or queries circle until they time out")
                .fix(edit(
                    "replace the address by /etc/resolv.conf (if that file names 127.0.0.53 on a node, first set \
                     resolvConf: /run/systemd/resolve/resolv.conf in its /var/lib/kubelet/config.yaml and restart the \
                     kubelet)",
                ))
                .managed_by(manager)
                .severity(Severity::Critical)
        });
        verdict.expect(subject(), !at.is_some_and(|at| own.contains(&at.ip())), || {
            Finding::new("forward to a resolver outside of the cluster", "it forwards to its own Service")
                .evidence([format!("forward … {target}")])
                .impact("CoreDNS queries itself: queries for names outside of the cluster circle until they time out")
                .fix(edit(&format!("replace {target} by /etc/resolv.conf or a resolver outside of the cluster")))
                .managed_by(manager)
                .severity(Severity::Critical)
        });
    }
}

/// The address of `10.0.0.1`, `10.0.0.1:53`, `[fd00::1]:53`, `dns://…`; a file or a name has none.
fn upstream(target: &str) -> Option<SocketAddr> {
    let (scheme, rest) = target.split_once("://").unwrap_or(("dns", target));
    let rest = rest.split('%').next().unwrap_or(rest);
    let port = if scheme == "tls" { 853 } else { ports::DNS };
    rest.parse().ok().or_else(|| Some(SocketAddr::new(rest.parse().ok()?, port)))
}

fn judge_duplicates(verdict: &mut Verdict, blocks: &[ServerBlock], manager: Option<&Manager>) {
    let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
    for key in blocks.iter().flat_map(|block| &block.keys) {
        *seen.entry(Key::of(key)).or_default() += 1;
    }
    let twice = seen.iter().filter(|(_, count)| **count > 1).map(|(key, _)| format!("{}:{}", key.zone, key.port));
    let twice: Vec<String> = twice.collect();
    verdict.expect(subject(), twice.is_empty(), || {
        Finding::new("one server block for each zone and port", "several server blocks for the same zone and port")
            .evidence(twice)
            .impact("CoreDNS does not start with this Corefile")
            .fix(edit("merge the server blocks of the same zone and port"))
            .managed_by(manager)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::corefile::testing::{KUBEADM, corefile};

    fn judged(text: &str) -> Verdict {
        let dns = ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![[10, 96, 0, 10].into()],
            labels: [].into(),
            ports: Vec::new(),
            servers: Ok(Vec::new()),
            manager: None,
        };
        let domain = cluster_local();
        judge(&corefile(text), &domain, None, Some(&dns))
    }

    /// What was seen, and the evidence for it.
    fn seen(text: &str) -> Vec<(String, Vec<String>)> {
        judged(text).findings(Severity::Major).into_iter().map(|finding| (finding.seen, finding.evidence)).collect()
    }

    fn one(seen: &str, evidence: &str) -> [(String, Vec<String>); 1] {
        [(seen.to_owned(), vec![evidence.to_owned()])]
    }

    #[test]
    fn what_kubeadm_writes_passes() {
        let verdict = judged(KUBEADM);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (7, vec![]));
    }

    #[test]
    fn another_zone_is_found() {
        let findings = judged(&KUBEADM.replace("cluster.local", "harbour.local")).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].seen, "it serves other zones");
        assert_eq!(findings[0].evidence, ["harbour.local", "in-addr.arpa", "ip6.arpa"]);
        assert_eq!(findings[0].expected, "the plugin kubernetes serves cluster.local, the domain that pods search");
        let kubelets = KubeletDefaults { cluster_domain: Some("harbour.local.".into()), ..KubeletDefaults::default() };
        let text = KUBEADM.replace("cluster.local", "harbour.local");
        let domain = cluster_local();
        let verdict = judge(&corefile(&text), &domain, Some(&kubelets), None);
        assert!(verdict.findings(Severity::Major).is_empty());
        // Elsewhere nothing shows which domain pods search.
        let verdict = judge(&corefile(&text), &ClusterDomain { source: DomainSource::Corefile, ..domain }, None, None);
        assert_eq!((verdict.findings(Severity::Major), crate::check::testing::notes(&verdict).len()), (vec![], 1));
    }

    #[test]
    fn forwarding_to_itself_is_found() {
        let forward = |to: &str| seen(&KUBEADM.replace("forward . /etc/resolv.conf", &format!("forward . {to}")));
        let loopback = "it forwards to the loopback address: to itself";
        assert_eq!(forward("127.0.0.53"), one(loopback, "forward … 127.0.0.53"));
        assert_eq!(forward("dns://[::1]:53"), one(loopback, "forward … dns://[::1]:53"));
        let service = "it forwards to its own Service";
        assert_eq!(forward("192.0.2.1 10.96.0.10"), one(service, "forward … 10.96.0.10"));
        assert!(forward("127.0.0.1:5353").is_empty());
        assert!(forward("tls://9.9.9.9").is_empty());
    }

    #[test]
    fn missing_and_removed_plugins_are_found() {
        let text = KUBEADM.replace("    loop\n", "").replace("    ready\n", "").replace("ttl 30", "upstream");
        let findings = judged(&text).findings(Severity::Major);
        assert_eq!(findings[0].evidence, ["kubernetes … upstream"]);
        assert_eq!((findings[1].seen.as_str(), findings[1].severity), ("it lacks ready, loop", Severity::Minor));
    }

    #[test]
    fn the_same_zone_twice_is_found() {
        let twice = format!("{KUBEADM}\nconsul.local {{\n errors\n}}\nconsul.local.:53 {{\n errors\n}}\n");
        assert_eq!(seen(&twice), one("several server blocks for the same zone and port", "consul.local:53"));
        let other_port = format!("{KUBEADM}\n.:5353 {{\n errors\n}}\n");
        assert!(seen(&other_port).is_empty());
    }

    #[test]
    fn the_fix_shows_what_manages_the_config_map() {
        let manager = Some(Manager::Owner("Addon.k3s.cattle.io kube-system/coredns".parse().unwrap()));
        let verdict = judge(&Corefile { manager, ..corefile("{") }, &cluster_local(), None, None);
        let advice = "restart deployment coredns; change it in Addon.k3s.cattle.io kube-system/coredns, because its \
                      operator reverts an edit in place";
        let fix = &verdict.findings(Severity::Major)[0].fix;
        assert!(fix.ends_with(advice), "{fix}");
    }

    #[test]
    fn a_text_that_does_not_parse_is_found() {
        let findings = judged(".:53 {\n errors\n").findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "line 1: the server block is never closed"));
    }

    #[test]
    fn imports_are_noted() {
        let verdict = judged(&KUBEADM.replace("    loop\n", "    loop\n    import custom/*.override\n"));
        assert!(verdict.findings(Severity::Major).is_empty());
        let note = "file custom/*.override: the Corefile imports it; it was not checked";
        assert_eq!(crate::check::testing::notes(&verdict), [note]);
    }
}
