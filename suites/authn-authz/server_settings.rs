//! # Every API server authorizes with Node and RBAC, and restricts nodes
//!
//! ## Why
//! The other checks ask what is decided; this one reads why, of every instance. One API server of three that was started
//! with `AlwaysAllow`, without NodeRestriction or with a file of tokens is a door that only every third knock finds. A
//! changed authorization file that could not be read leaves the old rules in force without a word.
//!
//! ## Fix
//! In `/etc/kubernetes/manifests/kube-apiserver.yaml` on the node that the finding names: `--authorization-mode=Node,RBAC`,
//! `--enable-admission-plugins=NodeRestriction`, no `--token-auth-file` (use service accounts, certificates or OIDC). A file
//! that does not load: the API server's log says which line.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/component-base/zpages/flagz`, `staging/src/k8s.io/apiserver/pkg/server/options`;
//! KEP-4828, KEP-3221. Settings are those that `/flagz` tells (default since 1.36), else the static pod's flags. What a
//! file of `--authorization-config` orders does not show: then the metrics must show that the Node authorizer decides.

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_flags::ApiServerFlags;
use crate::fact::facts::api_server_metrics::ApiServerMetrics;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Pod, Pods};
use crate::prometheus::Sample;
use crate::seen::Unobserved;

crate::check!("AA-03", "server-settings", Major, judge);

const DECISIONS: &str = "apiserver_authorization_decisions_total";
const ADMISSIONS: &str = "apiserver_admission_controller_admission_duration_seconds_count";
/// When a configuration file was last read, with success or without.
const RELOADS: [(&str, &str); 2] = [
    ("apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds", "authorization"),
    ("apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds", "authentication"),
];

/// What an API server was told.
struct Settings<'a> {
    source: &'static str,
    value: Box<dyn Fn(&str) -> String + 'a>,
}

impl Settings<'_> {
    /// The values of a flag that is a list, as `[Node,RBAC]` or `Node,RBAC`.
    fn list(&self, flag: &str) -> Vec<String> {
        let value = (self.value)(flag);
        let words = value.trim_matches(['[', ']']).split([',', ' ']).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }

    /// The value of a flag that names a file; empty without one.
    fn file(&self, flag: &str) -> String {
        (self.value)(flag)
    }
}

fn judge(
    flags: &ApiServerFlags,
    pods: &Pods,
    metrics: Result<&ApiServerMetrics, &Unobserved>,
    nodes: &Nodes,
) -> Verdict {
    let mut verdict = Verdict::new();
    let is_managed = nodes.control_plane().next().is_none();
    let mut silent = Vec::new();
    for (address, told) in &flags.0 {
        let subject = Subject::address(address);
        let pod = || pods.static_pods("kube-apiserver").find(|pod| pod.advertised_address() == Some(*address));
        let settings = match told {
            Ok(flags) => {
                Settings { source: "/flagz", value: Box::new(|flag| flags.get(flag).cloned().unwrap_or_default()) }
            }
            Err(why) => match pod().filter(|pod| pod.has_flags()) {
                Some(pod) => of_pod(pod),
                None if is_managed => {
                    verdict.note(format!("{address} does not tell its settings: {why}"));
                    continue;
                }
                None => {
                    silent.push((subject, why));
                    continue;
                }
            },
        };
        let samples = metrics.ok().and_then(|metrics| metrics.0.get(&address.to_string())?.as_ref().ok());
        judge_settings(&mut verdict, &subject, &settings, samples);
    }
    match metrics {
        Ok(metrics) => {
            for (address, seen) in &metrics.0 {
                match seen {
                    Ok(samples) => judge_metrics(&mut verdict, &Subject::address(address), samples, is_managed),
                    // The settings were seen without them.
                    Err(why) => verdict.note(format!("the metrics of {address} were not seen: {why}")),
                }
            }
        }
        Err(why) => verdict.note(format!("metrics were not seen: {why}")),
    }
    let serve_no_settings = silent.iter().all(|(_, why)| matches!(why, Unobserved::Absent { .. }));
    if let Some((_, why)) = silent.first()
        && verdict.observations() == 0
        && serve_no_settings
    {
        return Verdict::not_applicable(format!("no API server serves its settings or is a static pod: {why}"));
    }
    for (subject, why) in silent {
        verdict.unseen(subject, why);
    }
    if is_managed && verdict.observations() == 0 {
        return Verdict::not_applicable(
            "the control plane is managed elsewhere and tells neither its settings nor its decisions",
        );
    }
    verdict
}

fn of_pod(pod: &Pod) -> Settings<'_> {
    Settings { source: "its static pod", value: Box::new(|flag| pod.flag(flag).join(",")) }
}

fn judge_settings(verdict: &mut Verdict, subject: &Subject, settings: &Settings<'_>, samples: Option<&Vec<Sample>>) {
    let file = settings.file("authorization-config");
    if file.is_empty() {
        let modes = settings.list("authorization-mode");
        let has = |mode: &str| modes.iter().any(|one| one == mode);
        let shown =
            if modes.is_empty() { "no --authorization-mode, which is AlwaysAllow".into() } else { modes.join(",") };
        let is_open = modes.is_empty() || has("AlwaysAllow");
        verdict.expect(subject.clone(), !is_open && has("Node") && has("RBAC"), || {
            let finding = Finding::new(
                "--authorization-mode with Node and RBAC and without AlwaysAllow",
                format!("{shown} ({})", settings.source),
            );
            if is_open {
                finding.so("this instance refuses nobody anything").severity(Severity::Critical)
            } else {
                finding.so("this instance decides by other rules than the cluster's roles and nodes")
            }
        });
    } else {
        let decides = samples.map(|samples| of(samples, DECISIONS).any(|sample| sample.label("type") == "Node"));
        match decides {
            Some(decides) => {
                verdict.expect(subject.clone(), decides, || {
                    Finding::new("decisions of the Node authorizer", format!("none since it started, with {file}"))
                        .so("either the file leaves the Node authorizer out, or no kubelet uses this instance")
                        .info()
                });
            }
            None => verdict.unseen(
                subject.clone(),
                &Unobserved::invalid(file, "what it orders does not show, and the metrics were not seen"),
            ),
        }
    }
    let (on, off) = (settings.list("enable-admission-plugins"), settings.list("disable-admission-plugins"));
    let named = |plugins: &[String]| plugins.iter().any(|plugin| plugin == "NodeRestriction");
    verdict.expect(subject.clone(), named(&on) && !named(&off), || {
        Finding::new(
            "--enable-admission-plugins with NodeRestriction",
            format!("enabled: {}; disabled: {} ({})", shown(&on), shown(&off), settings.source),
        )
        .so("through this instance a node changes other nodes and their pods")
    });
    let tokens = settings.file("token-auth-file");
    verdict.expect(subject.clone(), tokens.is_empty(), || {
        Finding::new("no --token-auth-file", format!("{tokens} ({})", settings.source))
            .so("its tokens never expire, lie in plain text, and change only with a restart")
    });
    let profiling = settings.file("profiling");
    if profiling != "false" {
        verdict.note(format!("{}: profiling is on, for those who may get /debug/pprof", subject.name));
    }
}

fn judge_metrics(verdict: &mut Verdict, subject: &Subject, samples: &[Sample], is_managed: bool) {
    for (metric, what) in RELOADS {
        let last = |status: &str| {
            of(samples, metric)
                .filter(|sample| sample.label("status") == status)
                .map(|sample| sample.value)
                .fold(0.0, f64::max)
        };
        let (failed, succeeded) = (last("failure"), last("success"));
        if failed > 0.0 || succeeded > 0.0 {
            verdict.expect(subject.clone(), succeeded >= failed, || {
                Finding::new(
                    format!("the {what} configuration was read the last time that it changed"),
                    "the last reading failed",
                )
                .so("the rules of before are in force, and the next restart fails")
            });
        }
    }
    if is_managed && of(samples, DECISIONS).any(|sample| sample.label("type") == "Node") {
        verdict.confirm();
    }
    if is_managed && of(samples, ADMISSIONS).any(|sample| sample.label("name") == "NodeRestriction") {
        verdict.confirm();
    }
}

fn of<'a>(samples: &'a [Sample], metric: &'a str) -> impl Iterator<Item = &'a Sample> {
    samples.iter().filter(move |sample| sample.name == metric)
}

fn shown(plugins: &[String]) -> String {
    if plugins.is_empty() { "none".into() } else { plugins.join(",") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Seen;

    type Told<'a> = &'a [(&'a str, &'a str)];

    const RIGHT: Told<'static> = &[
        ("authorization-mode", "[Node,RBAC]"),
        ("authorization-config", ""),
        ("enable-admission-plugins", "[NodeRestriction]"),
        ("disable-admission-plugins", "[]"),
        ("token-auth-file", ""),
        ("profiling", "false"),
    ];

    fn address() -> SocketAddr {
        ([10, 77, 0, 11], 6443).into()
    }

    fn flags(told: Seen<Told<'_>>) -> ApiServerFlags {
        let told = told.map(|told| told.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        ApiServerFlags([(address(), told)].into())
    }

    fn metrics(samples: &[(&str, &str, &str, f64)]) -> ApiServerMetrics {
        let samples = samples.iter().map(|(name, label, value, number)| Sample {
            name: (*name).into(),
            labels: BTreeMap::from([((*label).to_owned(), (*value).to_owned())]),
            value: *number,
        });
        ApiServerMetrics([(address().to_string(), Ok(samples.collect()))].into())
    }

    fn judged(told: Seen<Told<'_>>, pod: &[&str], samples: &[(&str, &str, &str, f64)], is_managed: bool) -> Verdict {
        let label = (!is_managed).then(|| ("node-role.kubernetes.io/control-plane".to_owned(), String::new()));
        let nodes = Nodes([("n1".to_owned(), Node { labels: label.into_iter().collect(), ..Node::default() })].into());
        let (path, mut api) = static_pod("kube-apiserver", "n1", pod);
        api.addresses = vec!["10.77.0.11".into()];
        let pods = if pod.is_empty() { Pods::default() } else { Pods([(path, api)].into()) };
        judge(&flags(told), &pods, Ok(&metrics(samples)), &nodes)
    }

    fn changed(flag: &str, value: &str) -> Vec<Finding> {
        let told: Vec<_> = RIGHT.iter().map(|(k, v)| (*k, if *k == flag { value } else { v })).collect();
        judged(Ok(&told), &[], &[], false).findings(Severity::Major)
    }

    #[test]
    fn right_settings_pass_from_either_source() {
        let verdict = judged(Ok(RIGHT), &[], &[], false);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (3, vec![]));
        let pod = ["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"];
        let verdict = judged(Err(Unobserved::absent("no /flagz")), &pod, &[], false);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (3, vec![]));
    }

    #[test]
    fn wrong_settings_are_found() {
        let open = changed("authorization-mode", "[AlwaysAllow]");
        assert_eq!((open[0].severity, open[0].seen.as_str()), (Severity::Critical, "AlwaysAllow (/flagz)"));
        assert_eq!(changed("authorization-mode", "[RBAC]")[0].severity, Severity::Major);
        assert_eq!(changed("enable-admission-plugins", "[]")[0].seen, "enabled: none; disabled: none (/flagz)");
        assert_eq!(changed("disable-admission-plugins", "[NodeRestriction]").len(), 1);
        assert_eq!(changed("token-auth-file", "/etc/tokens.csv")[0].seen, "/etc/tokens.csv (/flagz)");
        let bare = judged(Err(Unobserved::absent("no /flagz")), &["--v=2"], &[], false).findings(Severity::Major);
        assert_eq!(bare[0].seen, "no --authorization-mode, which is AlwaysAllow (its static pod)");
    }

    #[test]
    fn a_file_is_judged_by_the_decisions() {
        let told: Vec<_> =
            RIGHT.iter().map(|(k, v)| (*k, if *k == "authorization-config" { "/etc/authz.yaml" } else { v })).collect();
        let decided = [(DECISIONS, "type", "Node", 7.0)];
        assert!(judged(Ok(&told), &[], &decided, false).findings(Severity::Major).is_empty());
        let findings = judged(Ok(&told), &[], &[], false).findings(Severity::Major);
        assert!(findings[0].seen.contains("/etc/authz.yaml"));
        assert_eq!(findings[0].severity, Severity::Info, "perhaps no kubelet uses this instance");
    }

    #[test]
    fn a_file_that_was_not_read_again_is_found() {
        let reload = |status, at| (RELOADS[0].0, "status", status, at);
        let judged = |samples: &[_]| judged(Ok(RIGHT), &[], samples, false).findings(Severity::Major);
        assert_eq!(judged(&[reload("success", 5.0), reload("failure", 9.0)])[0].seen, "the last reading failed");
        assert!(judged(&[reload("success", 9.0), reload("failure", 5.0)]).is_empty());
    }

    #[test]
    fn settings_that_nobody_tells_are_undecided_or_managed() {
        let why = || Err(Unobserved::unreachable("10.77.0.11:6443", "refused"));
        assert_eq!(judged(why(), &[], &[], false).gaps().len(), 1);
        assert!(judged(why(), &[], &[], true).reason().is_some());
        // K3s serves no /flagz and has no static pods.
        let absent = || Err(Unobserved::absent("GET /flagz: HTTP 404"));
        assert!(judged(absent(), &[], &[], false).reason().unwrap().contains("HTTP 404"));
        let reload = [(RELOADS[0].0, "status", "success", 9.0)];
        assert_eq!(judged(absent(), &[], &reload, false).gaps().len(), 1, "something else was seen");
        let decided = [(DECISIONS, "type", "Node", 7.0), (ADMISSIONS, "name", "NodeRestriction", 7.0)];
        assert_eq!(judged(why(), &[], &decided, true).observations(), 2);
    }
}
