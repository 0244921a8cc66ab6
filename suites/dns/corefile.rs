//! # The Corefile serves the cluster's zone and cannot loop
//!
//! ## Why
//! CoreDNS reloads a changed Corefile, and keeps the old one if the new one is invalid: the fault shows at the next
//! restart, when no name resolves. If the zone differs from the one in the pods' search list, no Service has a name.
//! Forwarding to a loopback address makes CoreDNS query itself without end.
//!
//! ## Fix
//! `kubectl -n kube-system edit configmap coredns`, then `kubectl -n kube-system rollout restart deployment coredns`
//! and `kubectl -n kube-system logs -l k8s-app=kube-dns`. With RKE2 both are named `rke2-coredns-rke2-coredns`; a finding
//! names the ConfigMap that the pods mount. Where the node's `/etc/resolv.conf` names 127.0.0.53, set
//! `resolvConf: /run/systemd/resolve/resolv.conf` in the kubelet's configuration instead of naming an address here.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go`; <https://coredns.io/plugins/kubernetes/>,
//! <https://coredns.io/plugins/loop/>, <https://coredns.io/plugins/forward/>; coredns/caddy `caddyfile`, coredns/coredns
//! `plugin.cfg` and `plugin/*/setup.go` of 1.14. `tests/corefiles` compares with the real CoreDNS.

use std::net::IpAddr;

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::cluster_domain::{ClusterDomain, DomainSource};
use crate::fact::facts::corefile::zones::Key;
use crate::fact::facts::corefile::{Corefile, NEWEST, ServerBlock, is_unknown};
use crate::fact::facts::dns_deployment::DnsDeployment;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubelet_defaults::KubeletDefaults;
use crate::fact::facts::service_cidrs::ServiceCidrs;
use crate::ports;
use crate::seen::Unobserved;
use crate::suites::dns::helpers::upstreams::upstream;

crate::check!("DN-03", "corefile", Major, judge);

/// What is expected of every Corefile.
const STARTS: &str = "a Corefile that CoreDNS can start with";
/// Plugins that serve the whole process, in whichever server block they stand, and what is lost without them.
const OF_THE_PROCESS: [(&str, &str); 3] = [
    ("health", "the liveness probe fails"),
    ("ready", "the readiness probe fails"),
    ("reload", "CoreDNS ignores changes of the Corefile until it restarts"),
];
/// Plugins that belong into the server block of the cluster's zone, and what is lost without them.
const OF_THE_ZONE: [(&str, &str); 3] = [
    ("errors", "errors are not logged"),
    ("cache", "no answer is cached"),
    ("loadbalance", "clients always use the first address"),
];
/// The plugin that belongs into a server block which forwards everything to the resolvers of a node.
const LOOP: (&str, &str) = ("loop", "a forwarding loop is not noticed");

fn judge(
    corefile: &Corefile,
    domain: &ClusterDomain,
    kubelets: Option<&KubeletDefaults>,
    dns: Option<&ClusterDns>,
    deployment: Result<&DnsDeployment, &Unobserved>,
    cidrs: Result<&ServiceCidrs, &Unobserved>,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
) -> Verdict {
    let scene = Scene { corefile, deployment: deployment.map_or("coredns", |deployment| &deployment.name) };
    let mut verdict = Verdict::new();
    judge_start(&mut verdict, &scene);
    let Ok(blocks) = &corefile.blocks else { return verdict };
    for name in &corefile.variables {
        let variable = Subject::cluster_object("environment variable", name);
        verdict.note_about(variable, "the Corefile uses it; its value was not seen");
    }
    for file in blocks.iter().flat_map(|block| block.plugins("import")).flat_map(|plugin| &plugin.arguments) {
        verdict.note_about(Subject::cluster_object("file", file), "the Corefile imports it; it was not checked");
    }
    if is_of_node_local_dns(blocks) {
        verdict.note_about(scene.subject(), "it is that of node-local-dns, a cache on every node");
        return verdict;
    }
    let configured = kubelets.and_then(|kubelets| kubelets.cluster_domain.as_deref());
    let expected = configured.or((domain.source == DomainSource::KubeadmConfig).then_some(domain.name.as_str()));
    // Either shows all families of Services; the address of the DNS Service shows one.
    if let (Err(why), Err(_)) = (cidrs, kubeadm)
        && !why.is_skip()
    {
        verdict.unseen(Subject::cluster(), why);
    }
    judge_zones(&mut verdict, &scene, blocks, expected, &reverse_zones(dns, cidrs.ok(), kubeadm.ok()));
    judge_plugins(&mut verdict, &scene, blocks);
    judge_forwarding(&mut verdict, &scene, blocks, dns.map(|dns| &dns.addresses[..]).unwrap_or_default());
    verdict
}

/// The Corefile, and the Deployment that uses it.
struct Scene<'a> {
    corefile: &'a Corefile,
    deployment: &'a str,
}

impl Scene<'_> {
    fn subject(&self) -> Subject {
        Subject::object("ConfigMap", "kube-system", &self.corefile.config_map)
    }

    /// How to make a change of the Corefile effective.
    fn edit(&self, change: &str) -> String {
        let Self { corefile: Corefile { config_map, .. }, deployment } = self;
        format!(
            "in the Corefile, {change}: kubectl -n kube-system edit configmap {config_map}; kubectl -n kube-system \
             rollout restart deployment {deployment}"
        )
    }

    /// Reports what differs, unless it holds.
    fn expect(&self, verdict: &mut Verdict, holds: bool, finding: impl FnOnce() -> Difference) {
        verdict.expect(self.subject(), holds, || finding().managed_by(self.corefile.manager.as_ref()));
    }
}

/// The reverse zones of the families of addresses that Services have.
fn reverse_zones(
    dns: Option<&ClusterDns>,
    cidrs: Option<&ServiceCidrs>,
    kubeadm: Option<&KubeadmConfig>,
) -> Vec<&'static str> {
    let addresses = dns.into_iter().flat_map(|dns| &dns.addresses).map(IpAddr::is_ipv6);
    let ranges = cidrs.into_iter().flat_map(|cidrs| cidrs.ranges.values()).flat_map(|cidr| &cidr.cidrs);
    let configured = kubeadm.and_then(|kubeadm| kubeadm.service_subnet.as_deref()).into_iter();
    let configured = configured.flat_map(|ranges| ranges.split(',')).map(|range| range.contains(':'));
    let families: Vec<bool> = addresses.chain(ranges.map(|range| !range.is_ipv4())).chain(configured).collect();
    let four = families.is_empty() || families.contains(&false);
    let six = families.contains(&true);
    [(four, "in-addr.arpa"), (six, "ip6.arpa")].into_iter().filter_map(|(has, zone)| has.then_some(zone)).collect()
}

/// Whether it is the Corefile of a cache on every node, which listens at a link-local address and asks CoreDNS.
fn is_of_node_local_dns(blocks: &[ServerBlock]) -> bool {
    let is_local = |address: &String| {
        let link_local = |address: IpAddr| match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        address.contains("__PILLAR__") || address.parse().is_ok_and(link_local)
    };
    blocks.iter().all(|block| block.plugins("kubernetes").next().is_none())
        && blocks.iter().flat_map(|block| block.plugins("bind")).flat_map(|bind| &bind.arguments).any(is_local)
}

fn judge_start(verdict: &mut Verdict, scene: &Scene<'_>) {
    let Corefile { blocks, refused, servers, .. } = scene.corefile;
    let all: Vec<&String> = blocks.as_ref().err().into_iter().chain(refused).collect();
    let because = match servers {
        Some(servers) if servers.started_with_it => Some("although a CoreDNS pod started with it".to_owned()),
        Some(servers) if servers.release.is_some_and(|release| release > NEWEST) => {
            Some(format!("which may hold for releases up to {NEWEST} only: the pods run {}", servers.image))
        }
        _ => None,
    };
    let (Some(first), Some(because)) = (all.first(), because) else {
        return scene.expect(verdict, all.is_empty(), || {
            let (first, rest) =
                all.split_first().map_or((String::new(), &[][..]), |(first, rest)| ((*first).clone(), rest));
            Finding::new(STARTS, first)
                .evidence(rest)
                .impact("CoreDNS continues with the previous Corefile, and will not start with this one")
                .fix(scene.edit("correct this"))
        });
    };
    if blocks.is_err() {
        // It runs, and this program cannot show what it does.
        verdict.unseen(scene.subject(), &Unobserved::invalid(scene.subject().to_string(), first));
        return;
    }
    verdict.confirm();
    for cause in all {
        verdict.note_about(scene.subject(), format!("CoreDNS would refuse it, {because}: {cause}"));
    }
}

fn judge_zones(
    verdict: &mut Verdict,
    scene: &Scene<'_>,
    blocks: &[ServerBlock],
    expected: Option<&str>,
    reverse: &[&str],
) {
    let zones: Vec<String> = blocks.iter().flat_map(ServerBlock::cluster_zones).collect();
    let seen = if zones.is_empty() { "there is no plugin kubernetes" } else { "it serves other zones" };
    let expected = expected.map(|expected| Key::of(expected).zone);
    let imports = blocks.iter().any(|block| block.plugins("import").next().is_some());
    let depends = match (zones.is_empty(), imports) {
        (true, true) => Some("what it imports"),
        _ if zones.iter().any(|zone| is_unknown(zone)) => Some("the value of a variable"),
        _ => None,
    };
    let serves = expected.as_ref().is_some_and(|expected| zones.contains(expected));
    if let Some(depends) = depends.filter(|_| !serves) {
        verdict.note_about(scene.subject(), format!("the zones of the plugin kubernetes depend on {depends}"));
        return verdict.confirm();
    }
    if let Some(expected) = expected {
        scene.expect(verdict, serves, || {
            let add = format!("add it to the plugin's line (kubernetes {expected} {})", reverse.join(" "));
            Finding::new(format!("the plugin kubernetes serves {expected}, the domain that pods search"), seen)
                .evidence(&zones)
                .impact("the Service names that pods look up do not resolve")
                .fix(scene.edit(&add))
                .severity(Severity::Critical)
        });
    } else {
        scene.expect(verdict, !zones.is_empty(), || {
            Finding::new("the plugin kubernetes serves the cluster's domain", seen)
                .impact("no Service name resolves")
                .fix(scene.edit(
                    "add the line that this prints on a node: echo kubernetes $(sed -n 's/^clusterDomain: //p' \
                     /var/lib/kubelet/config.yaml) in-addr.arpa ip6.arpa",
                ))
                .severity(Severity::Critical)
        });
        for zone in &zones {
            verdict.note_about(
                Subject::cluster_object("DNS zone", zone),
                "CoreDNS serves it; the cluster does not show which domain pods search",
            );
        }
    }
    // The root includes them.
    let has = |reverse: &str| zones.iter().any(|zone| zone == "." || zone.ends_with(reverse));
    let missing: Vec<&str> = reverse.iter().copied().filter(|zone| !has(zone)).collect();
    scene.expect(verdict, zones.is_empty() || missing.is_empty() || depends.is_some(), || {
        let missing = missing.join(" ");
        Finding::new(format!("the plugin kubernetes serves {}", reverse.join(" ")), format!("it lacks {missing}"))
            .impact("addresses of Services and pods do not resolve to names")
            .fix(scene.edit(&format!("add {missing} to the line of the plugin kubernetes and to its `fallthrough`")))
            .severity(Severity::Minor)
    });
}

fn judge_plugins(verdict: &mut Verdict, scene: &Scene<'_>, blocks: &[ServerBlock]) {
    // What is imported may contain any of them.
    let has = |block: &ServerBlock, name: &str| {
        block.plugins.iter().any(|plugin| plugin.name == name || plugin.name == "import")
    };
    let uses = |block: &ServerBlock, name: &str| block.plugins(name).next().is_some();
    let missing_in =
        |name: &str, asks: &dyn Fn(&ServerBlock) -> bool| blocks.iter().any(|block| asks(block) && !has(block, name));
    let missing = OF_THE_PROCESS.iter().filter(|(name, _)| !blocks.iter().any(|block| has(block, name)));
    let missing =
        missing.chain(OF_THE_ZONE.iter().filter(|(name, _)| missing_in(name, &|block| uses(block, "kubernetes"))));
    let missing: Vec<_> =
        missing.chain([LOOP].iter().filter(|(name, _)| missing_in(name, &forwards_to_resolvers_of_the_node))).collect();
    scene.expect(verdict, missing.is_empty(), || {
        let all: Vec<_> = OF_THE_PROCESS.iter().chain(&OF_THE_ZONE).chain([&LOOP]).map(|(name, _)| *name).collect();
        let (missing, consequences): (Vec<&str>, Vec<&str>) = missing.into_iter().copied().unzip();
        let missing = missing.join(", ");
        Finding::new(format!("the plugins {}", all.join(", ")), format!("it lacks {missing}"))
            .impact(consequences.join("; "))
            .fix(scene.edit(&format!(
                "add, each on its own line, {missing} (`loop` in every server block that forwards `.` to \
                 /etc/resolv.conf, the others in that with `kubernetes`)"
            )))
            .severity(Severity::Minor)
    });
}

/// Whether a server block forwards everything to the resolvers in a file: one of them may be CoreDNS itself.
fn forwards_to_resolvers_of_the_node(block: &ServerBlock) -> bool {
    block.plugins("forward").any(|forward| match &forward.arguments[..] {
        [zone, servers @ ..] => Key::of(zone).zone == "." && servers.iter().any(|server| server.starts_with('/')),
        [] => false,
    })
}

fn judge_forwarding(verdict: &mut Verdict, scene: &Scene<'_>, blocks: &[ServerBlock], own: &[IpAddr]) {
    for block in blocks {
        // The first argument is the zone that is forwarded, the others are the servers.
        for target in block.plugins("forward").flat_map(|plugin| plugin.arguments.iter().skip(1)) {
            let at = upstream(target);
            let comes_back = at.is_some_and(|at| comes_back(block, at.port()));
            // Another port of the loopback belongs to another process, such as a sidecar.
            let loops = at.is_some_and(|at| at.port() == ports::DNS && at.ip().is_loopback());
            scene.expect(verdict, !(loops && comes_back), || {
                Finding::new(
                    "forward to a resolver outside of the pod",
                    "it forwards to the loopback address: to itself",
                )
                .evidence([format!("forward … {target}")])
                .impact("CoreDNS queries itself: the plugin loop stops it, or queries circle until they time out")
                .fix(scene.edit(
                    "replace the address with /etc/resolv.conf (if that file names 127.0.0.53 on a node, first set \
                         resolvConf: /run/systemd/resolve/resolv.conf in its /var/lib/kubelet/config.yaml and restart \
                         the kubelet)",
                ))
                .severity(Severity::Critical)
            });
            let to_own_service = at.is_some_and(|at| own.contains(&at.ip()) && at.port() == ports::DNS);
            scene.expect(verdict, !(to_own_service && may_loop(block)), || {
                Finding::new("forward to a resolver outside of the cluster", "it forwards to its own Service")
                    .evidence([format!("forward … {target}")])
                    .impact(
                        "CoreDNS queries itself: queries for names outside of the cluster circle until they time out",
                    )
                    .fix(
                        scene.edit(&format!(
                            "replace {target} with /etc/resolv.conf or a resolver outside of the cluster"
                        )),
                    )
                    .severity(Severity::Critical)
            });
        }
    }
}

/// Whether a query that a server block forwards to its own process at a port arrives at the same server block.
fn comes_back(block: &ServerBlock, port: u16) -> bool {
    let mut binds = block.plugins("bind").flat_map(|bind| &bind.arguments).peekable();
    let listens = binds.peek().is_none()
        || binds.any(|address| address.parse().map_or(true, |at: IpAddr| at.is_loopback() || at.is_unspecified()));
    listens && may_loop(block) && block.all_keys().any(|key| key.port == port.to_string())
}

/// Whether a query that it forwards to its own process may come back: not if it first rewrites names of its zone to
/// those of another, or if only some clients see it.
fn may_loop(block: &ServerBlock) -> bool {
    let has = |name: &str| block.plugins(name).next().is_some();
    let serves_all = block.all_keys().any(|key| key.zone == ".");
    !has("view") && (serves_all || !has("rewrite"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::corefile::testing::{KUBEADM, corefile};
    use crate::fact::facts::corefile::{Servers, Surroundings};
    use crate::manager::Manager;

    const UNSEEN: Unobserved = Unobserved::Interrupted;

    fn judged(text: &str) -> Verdict {
        judged_as(&corefile(text))
    }

    fn judged_as(read: &Corefile) -> Verdict {
        let dns = ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![[10, 96, 0, 10].into()],
            labels: [].into(),
            ports: Vec::new(),
            servers: Ok(Vec::new()),
            manager: None,
        };
        judge(read, &cluster_local(), None, Some(&dns), Err(&UNSEEN), Err(&UNSEEN), Err(&UNSEEN))
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
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (6, vec![]));
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
        let verdict = judge(&corefile(&text), &domain, Some(&kubelets), None, Err(&UNSEEN), Err(&UNSEEN), Err(&UNSEEN));
        assert!(verdict.findings(Severity::Major).is_empty());
        // Elsewhere nothing shows which domain pods search.
        let domain = ClusterDomain { source: DomainSource::Corefile, ..domain };
        let verdict = judge(&corefile(&text), &domain, None, None, Err(&UNSEEN), Err(&UNSEEN), Err(&UNSEEN));
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
        assert_eq!(findings[0].seen, "line 9: kubernetes: it has no property upstream");
        assert_eq!((findings[1].seen.as_str(), findings[1].severity), ("it lacks ready, loop", Severity::Minor));
    }

    #[test]
    fn the_same_zone_twice_is_found() {
        let twice = format!("{KUBEADM}\nconsul.local {{\n errors\n}}\nconsul.local.:53 {{\n errors\n}}\n");
        assert_eq!(seen(&twice)[0].0, "consul.local:53 is served by two server blocks");
        let other_port = format!("{KUBEADM}\n.:5353 {{\n errors\n}}\n");
        assert!(seen(&other_port).is_empty());
    }

    #[test]
    fn the_fix_shows_what_manages_the_config_map() {
        let manager = Some(Manager::Owner("Addon.k3s.cattle.io kube-system/coredns".parse().unwrap()));
        let verdict = judge(
            &Corefile { manager, ..corefile(". {") },
            &cluster_local(),
            None,
            None,
            Err(&UNSEEN),
            Err(&UNSEEN),
            Err(&UNSEEN),
        );
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

    /// A case of `tests/corefiles`, as its README describes them.
    struct Case<'a> {
        name: &'a str,
        starts: bool,
        finds: Vec<&'a str>,
        surroundings: Surroundings,
        text: String,
    }

    fn cases(texts: &str) -> impl Iterator<Item = Case<'_>> {
        texts.split("=== ").skip(1).map(|case| {
            let (head, files) = case.split_once("\n---\n").unwrap();
            let mut lines = head.lines();
            let (name, starts) = lines.next().and_then(|line| line.rsplit_once(": ")).unwrap();
            let mut surroundings = Surroundings {
                directory: "/etc/coredns".into(),
                release: Some("1.14.6".parse().unwrap()),
                complete: true,
                ..Surroundings::default()
            };
            let mut finds = Vec::new();
            for line in lines {
                match line.split_once(' ') {
                    Some(("finds", found)) => finds.push(found),
                    Some(("env", variable)) => {
                        let (name, value) = variable.split_once('=').unwrap();
                        surroundings.variables.insert(name.into(), value.into());
                    }
                    _ => panic!("{name}: {line}"),
                }
            }
            let mut files = files.split("\n--- ");
            let text = format!("{}\n", files.next().unwrap());
            for file in files {
                let (path, text) = file.split_once('\n').unwrap();
                let path = format!("/etc/coredns/{path}");
                let (directory, name) = path.rsplit_once('/').unwrap();
                surroundings.directories.entry(directory.into()).or_default().insert(name.into(), text.into());
            }
            Case { name, starts: starts == "starts", finds, surroundings, text }
        })
    }

    #[test]
    fn the_corpus_is_judged_as_coredns_reads_it() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corefiles");
        let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
        let mut wrong = Vec::new();
        let mut tried = 0;
        for text in texts.map(|path| std::fs::read_to_string(path).unwrap()) {
            for Case { name, starts, finds, surroundings, text } in cases(&text) {
                tried += 1;
                let found = judged_as(&Corefile::read(&text, &surroundings)).findings(Severity::Major);
                let refused = found.iter().find(|finding| finding.expected == STARTS);
                let seen: Vec<String> =
                    found.iter().map(|found| format!("{} {}", found.severity, found.seen)).collect();
                if starts != refused.is_none() || (starts && seen != finds) {
                    wrong.push(format!("{name}: {seen:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {tried}: {wrong:#?}", wrong.len());
        assert!(tried >= 100, "{tried} cases");
    }

    #[test]
    fn what_a_running_pod_or_a_newer_release_accepts_is_noted() {
        let servers = |release: &str, started_with_it| {
            let servers =
                Servers { image: format!("coredns:{release}"), release: release.parse().ok(), started_with_it };
            let read = Corefile {
                servers: Some(servers),
                ..corefile(&KUBEADM.replace("    loop\n", "    loop\n    unbound\n"))
            };
            judged_as(&read)
        };
        let found = |verdict: &Verdict| {
            verdict.findings(Severity::Major).into_iter().map(|finding| finding.seen).collect::<Vec<_>>()
        };
        assert_eq!(found(&servers("v1.14.6", false)), ["line 21: CoreDNS does not have a plugin unbound"]);
        for verdict in [servers("v1.14.6", true), servers("v1.15.0", false)] {
            assert_eq!((found(&verdict).len(), crate::check::testing::notes(&verdict).len()), (0, 1));
        }
    }

    #[test]
    fn the_config_map_and_the_deployment_in_use_are_named() {
        let read = Corefile { config_map: "rke2-coredns-rke2-coredns".into(), ..corefile(". {") };
        let deployment = DnsDeployment {
            name: "rke2-coredns-rke2-coredns".into(),
            desired: 1,
            available: 1,
            updated: 1,
            manager: None,
        };
        let verdict = judge(&read, &cluster_local(), None, None, Ok(&deployment), Err(&UNSEEN), Err(&UNSEEN));
        let finding = &verdict.findings(Severity::Major)[0];
        assert_eq!(finding.subjects[0].to_string(), "ConfigMap kube-system/rke2-coredns-rke2-coredns");
        assert!(finding.fix.ends_with(
            "edit configmap rke2-coredns-rke2-coredns; kubectl -n kube-system rollout restart deployment \
             rke2-coredns-rke2-coredns"
        ));
    }

    #[test]
    fn reverse_zones_are_asked_for_the_families_of_services() {
        let cidrs = |subnets: &str| KubeadmConfig { service_subnet: Some(subnets.into()), ..KubeadmConfig::default() };
        assert_eq!(reverse_zones(None, None, Some(&cidrs("10.96.0.0/12,fd00::/108"))), ["in-addr.arpa", "ip6.arpa"]);
        assert_eq!(reverse_zones(None, None, Some(&cidrs("fd00::/108"))), ["ip6.arpa"]);
        assert_eq!(reverse_zones(None, None, None), ["in-addr.arpa"]);
    }

    #[test]
    fn the_corefile_of_node_local_dns_is_not_that_of_the_cluster() {
        let text = "cluster.local:53 {\n errors\n cache {\n  success 9984 30\n }\n bind __PILLAR__LOCAL__DNS__\n \
                    forward . __PILLAR__CLUSTER__DNS__ {\n  force_tcp\n }\n}\n.:53 {\n errors\n bind \
                    __PILLAR__LOCAL__DNS__\n forward . __PILLAR__UPSTREAM__SERVERS__\n}\n";
        let verdict = judged(text);
        assert!(verdict.findings(Severity::Major).is_empty());
        let note = "ConfigMap kube-system/coredns: it is that of node-local-dns, a cache on every node";
        assert_eq!(crate::check::testing::notes(&verdict), [note]);
    }

    #[test]
    fn an_unknown_zone_is_noted() {
        let verdict = judged(&KUBEADM.replace("kubernetes cluster.local", "kubernetes {$CLUSTER_DOMAIN}"));
        assert!(verdict.findings(Severity::Major).is_empty());
        let notes = crate::check::testing::notes(&verdict);
        assert!(notes.iter().any(|note| note.ends_with("depend on the value of a variable")), "{notes:?}");
    }
}
