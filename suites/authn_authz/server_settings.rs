//! # Every API server authorizes with Node and RBAC, and restricts nodes
//!
//! ## Why
//! Other checks ask for decisions; this one reads the settings behind them, of every instance. One API server of three
//! that was started with `AlwaysAllow`, without NodeRestriction or with a token file is a hole that only every third
//! request finds. A changed authorization file that could not be read leaves the old rules in force silently.
//!
//! ## Fix
//! In `/etc/kubernetes/manifests/kube-apiserver.yaml` on the node that the finding names:
//! `--authorization-mode=Node,RBAC`, `--enable-admission-plugins=NodeRestriction`, no `--token-auth-file` (use service
//! accounts, certificates or OIDC). If a file does not load, the API server's log names the line.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/component-base/zpages/flagz`,
//! `staging/src/k8s.io/apiserver/pkg/server/options`; KEP-4828, KEP-3221. The settings are those of `/flagz` (default
//! since 1.36), otherwise the static pod's flags. The content of an `--authorization-config` file is not visible: then
//! the metrics must show that the Node authorizer decides.

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

/// The settings of one API server.
struct Settings<'a> {
    address: Subject,
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

/// How to change settings.
fn change(how: &str) -> String {
    format!("on the control-plane node at each address, in /etc/kubernetes/manifests/kube-apiserver.yaml, {how}")
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
    for (address, shown) in &flags.0 {
        let subject = Subject::address(address);
        let pod = || pods.static_pods("kube-apiserver").find(|pod| pod.advertised_address() == Some(*address));
        let settings = match shown {
            Ok(flags) => Settings {
                address: subject,
                source: "/flagz",
                value: Box::new(|flag| flags.get(flag).cloned().unwrap_or_default()),
            },
            Err(why) => match pod().filter(|pod| pod.has_flags()) {
                Some(pod) => of_pod(subject, pod),
                None if is_managed => {
                    verdict.note_about(subject, format!("its settings were not seen: {why}"));
                    continue;
                }
                None => {
                    silent.push((subject, why));
                    continue;
                }
            },
        };
        let samples = metrics.ok().and_then(|metrics| metrics.0.get(&address.to_string())?.as_ref().ok());
        judge_settings(&mut verdict, &settings, samples);
    }
    match metrics {
        Ok(metrics) => {
            for (address, seen) in &metrics.0 {
                match seen {
                    Ok(samples) => judge_metrics(&mut verdict, &Subject::address(address), samples, is_managed),
                    // The settings were seen without them.
                    Err(why) => {
                        verdict.note_about(Subject::address(address), format!("its metrics were not seen: {why}"));
                    }
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
        return verdict.does_not_apply(format!("no API server serves its settings or is a static pod: {why}"));
    }
    for (subject, why) in silent {
        verdict.unseen(subject, why);
    }
    if is_managed && verdict.observations() == 0 {
        return verdict
            .does_not_apply("the control plane is managed elsewhere and shows neither its settings nor its decisions");
    }
    verdict
}

fn of_pod(address: Subject, pod: &Pod) -> Settings<'_> {
    Settings { address, source: "its static pod", value: Box::new(|flag| pod.flag(flag).join(",")) }
}

fn judge_settings(verdict: &mut Verdict, settings: &Settings<'_>, samples: Option<&Vec<Sample>>) {
    let subject = || settings.address.clone();
    let file = settings.file("authorization-config");
    if file.is_empty() {
        judge_modes(verdict, settings);
    } else {
        let decides = samples.map(|samples| of(samples, DECISIONS).any(|sample| sample.label("type") == "Node"));
        match decides {
            Some(decides) => {
                verdict.expect(subject(), decides, || {
                    Finding::new(
                        "the Node authorizer decides about requests of kubelets",
                        format!("it has not decided about any since this API server started with {file}"),
                    )
                    .impact("either the file leaves out the Node authorizer, or no kubelet uses this API server")
                    .fix(change(&format!(
                        "find the file of --authorization-config ({file}), and add - {{type: Node, name: node}} to its \
                         authorizers if it is not there"
                    )))
                    .info()
                });
            }
            None => verdict.unseen(
                subject(),
                &Unobserved::invalid(file, "its content is not visible, and the metrics were not seen"),
            ),
        }
    }
    let file = settings.file("authentication-config");
    if !file.is_empty() && samples.is_none() {
        let why = "whether it was reloaded when it last changed is not visible, and the metrics were not seen";
        verdict.unseen(subject(), &Unobserved::invalid(file, why));
    }
    let (on, off) = (settings.list("enable-admission-plugins"), settings.list("disable-admission-plugins"));
    let named = |plugins: &[String]| plugins.iter().any(|plugin| plugin == "NodeRestriction");
    verdict.expect(subject(), named(&on) && !named(&off), || {
        let seen = if named(&off) { "it is disabled" } else { "it is not enabled" };
        Finding::new("the admission plugin NodeRestriction is on", format!("{seen} ({})", settings.source))
            .impact("through this API server, a node can change other nodes and their pods")
            .fix(change(
                "add NodeRestriction to --enable-admission-plugins and remove it from --disable-admission-plugins",
            ))
    });
    let tokens = settings.file("token-auth-file");
    verdict.expect(subject(), tokens.is_empty(), || {
        Finding::new("no static tokens are accepted", format!("--token-auth-file={tokens} ({})", settings.source))
            .impact("these tokens never expire, are stored in plain text, and change only with a restart")
            .fix(change("remove --token-auth-file, once its users have service accounts, certificates or OIDC instead"))
    });
    if settings.file("profiling") != "false" {
        verdict.note_about(subject(), "profiling is on, for clients that may get /debug/pprof");
    }
}

fn judge_modes(verdict: &mut Verdict, settings: &Settings<'_>) {
    let modes = settings.list("authorization-mode");
    let has = |mode: &str| modes.iter().any(|one| one == mode);
    let is_open = modes.is_empty() || has("AlwaysAllow");
    verdict.expect(settings.address.clone(), !is_open && has("Node") && has("RBAC"), || {
        let seen = match modes.as_slice() {
            [] => "no --authorization-mode is set, which means AlwaysAllow".to_owned(),
            modes => format!("--authorization-mode={}", modes.join(",")),
        };
        let finding = Finding::new(
            "--authorization-mode contains Node and RBAC, and not AlwaysAllow",
            format!("{seen} ({})", settings.source),
        )
        .fix(change("set --authorization-mode=Node,RBAC"));
        if is_open {
            finding.impact("this API server denies nothing").severity(Severity::Critical)
        } else {
            finding.impact("this API server decides by other rules than the cluster's roles and nodes")
        }
    });
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
                    format!("the {what} configuration was reloaded when it last changed"),
                    "the last reload failed",
                )
                .impact("the previous rules are in force, and the API server does not start with this file")
                .fix(format!(
                    "correct the file of --{what}-config on that control-plane node; the log names the error: kubectl \
                     -n kube-system logs -l component=kube-apiserver --tail=-1 --prefix | grep -i reload"
                ))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Seen;

    type Flags<'a> = &'a [(&'a str, &'a str)];

    const RIGHT: Flags<'static> = &[
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

    fn flags(shown: Seen<Flags<'_>>) -> ApiServerFlags {
        let shown = shown.map(|shown| shown.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        ApiServerFlags([(address(), shown)].into())
    }

    fn metrics(samples: &[(&str, &str, &str, f64)]) -> ApiServerMetrics {
        let samples = samples.iter().map(|(name, label, value, number)| Sample {
            name: (*name).into(),
            labels: BTreeMap::from([((*label).to_owned(), (*value).to_owned())]),
            value: *number,
        });
        ApiServerMetrics([(address().to_string(), Ok(samples.collect()))].into())
    }

    fn judged(shown: Seen<Flags<'_>>, pod: &[&str], samples: &[(&str, &str, &str, f64)], is_managed: bool) -> Verdict {
        let label = (!is_managed).then(|| ("node-role.kubernetes.io/control-plane".to_owned(), String::new()));
        let nodes = Nodes([("n1".to_owned(), Node { labels: label.into_iter().collect(), ..Node::default() })].into());
        let (path, mut api) = static_pod("kube-apiserver", "n1", pod);
        api.addresses = vec!["10.77.0.11".into()];
        let pods = if pod.is_empty() { Pods::default() } else { Pods([(path, api)].into()) };
        judge(&flags(shown), &pods, Ok(&metrics(samples)), &nodes)
    }

    fn changed(flag: &str, value: &str) -> Vec<Finding> {
        let shown: Vec<_> = RIGHT.iter().map(|(k, v)| (*k, if *k == flag { value } else { v })).collect();
        judged(Ok(&shown), &[], &[], false).findings(Severity::Major)
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
        assert_eq!(
            (open[0].severity, open[0].seen.as_str()),
            (Severity::Critical, "--authorization-mode=AlwaysAllow (/flagz)")
        );
        assert_eq!(changed("authorization-mode", "[RBAC]")[0].severity, Severity::Major);
        assert_eq!(changed("enable-admission-plugins", "[]")[0].seen, "it is not enabled (/flagz)");
        assert_eq!(changed("disable-admission-plugins", "[NodeRestriction]")[0].seen, "it is disabled (/flagz)");
        assert!(open[0].fix.starts_with("on the control-plane node at each address, in /etc/kubernetes/"));
        assert_eq!(changed("token-auth-file", "/etc/tokens.csv")[0].seen, "--token-auth-file=/etc/tokens.csv (/flagz)");
        let bare = judged(Err(Unobserved::absent("no /flagz")), &["--v=2"], &[], false).findings(Severity::Major);
        assert_eq!(bare[0].seen, "no --authorization-mode is set, which means AlwaysAllow (its static pod)");
    }

    #[test]
    fn a_file_is_judged_by_the_decisions() {
        let shown: Vec<_> =
            RIGHT.iter().map(|(k, v)| (*k, if *k == "authorization-config" { "/etc/authz.yaml" } else { v })).collect();
        let decided = [(DECISIONS, "type", "Node", 7.0)];
        assert!(judged(Ok(&shown), &[], &decided, false).findings(Severity::Major).is_empty());
        let findings = judged(Ok(&shown), &[], &[], false).findings(Severity::Major);
        assert!(findings[0].seen.contains("/etc/authz.yaml"));
        assert_eq!(findings[0].severity, Severity::Info, "perhaps no kubelet uses this instance");
    }

    #[test]
    fn a_file_that_was_not_reloaded_is_found() {
        let reload = |status, at| (RELOADS[0].0, "status", status, at);
        let judged = |samples: &[_]| judged(Ok(RIGHT), &[], samples, false).findings(Severity::Major);
        assert_eq!(judged(&[reload("success", 5.0), reload("failure", 9.0)])[0].seen, "the last reload failed");
        assert!(judged(&[reload("success", 9.0), reload("failure", 5.0)]).is_empty());
    }

    #[test]
    fn invisible_settings_are_inconclusive_or_managed() {
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
