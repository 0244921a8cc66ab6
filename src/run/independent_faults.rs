//! Two faults that have nothing to do with each other are two root causes: neither hides the other. Nor does a fault hide
//! that something could not be observed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::cause::{Graph, Obstacles, Places, Restarts, fold};
use crate::check::{Judged, Severity};
use crate::event::{Event, Events};
use crate::recording::Recording;
use crate::run::{Run, run};
use crate::seen::Unobserved;
use crate::suites;

/// Faults of many layers, each recorded on a cluster of the same three nodes, with the check that names the root.
const FAULTS: [(&str, &str); 30] = [
    ("nodes-may-list-pods", "AA-06"),
    ("anonymous-bound-to-view", "AA-18"),
    ("support-may-impersonate", "AA-20"),
    ("scheduler-role-emptied", "AA-21"),
    ("kube-proxy-of-another-minor", "AD-01"),
    ("pending-pod-in-kube-system", "AD-03"),
    ("pod-traffic-masqueraded-on-one-node", "CN-04"),
    ("network-plugin-missing-on-one-node", "CN-01"),
    ("scheduler-manifest-removed", "CP-03"),
    ("kubeadm-config-of-an-older-version", "CP-08"),
    ("aggregated-api-dead", "CP-10"),
    ("node-admission-webhook-dead", "CP-11"),
    ("cluster-info-names-a-gone-load-balancer", "DI-03"),
    ("bootstrap-token-without-expiry", "DI-06"),
    ("kubeadm-certs-orphaned", "DI-09"),
    ("coredns-crash-looping", "DN-02"),
    ("corefile-forwards-to-loopback", "DN-03"),
    ("tcp-53-cut-on-one-node", "DN-04"),
    ("etcd-without-client-authentication", "HA-04"),
    ("kubelet-stopped-on-one-node", "KL-01"),
    ("kubelet-four-minors-behind", "KL-02"),
    ("kubelet-takes-no-tokens", "KL-04"),
    ("kubelet-read-only-port-open", "KL-05"),
    ("kubelet-missed-a-configuration-change", "KL-06"),
    ("kubelet-silent-to-the-control-plane", "KL-09"),
    ("cluster-ca-expires-within-a-year", "PK-05"),
    ("kubelet-serving-certificate-expired", "PK-08"),
    ("etcd-server-certificate-without-address", "PK-15"),
    ("kube-proxy-hung-on-one-node", "SN-07"),
    ("service-addresses-dropped-on-one-node", "SN-09"),
];

/// Pairs of which one really stands in the way of the other.
const IN_THE_WAY: [(&str, &[&str]); 7] = [
    // They are on one node, and what does not run there cannot be seen to misbehave.
    (
        "kubelet-stopped-on-one-node",
        &[
            "pod-traffic-masqueraded-on-one-node",
            "network-plugin-missing-on-one-node",
            "kubelet-takes-no-tokens",
            "kubelet-silent-to-the-control-plane",
            "kubelet-serving-certificate-expired",
            "kube-proxy-hung-on-one-node",
            "service-addresses-dropped-on-one-node",
        ],
    ),
    (
        "network-plugin-missing-on-one-node",
        &[
            "pod-traffic-masqueraded-on-one-node",
            "kubelet-silent-to-the-control-plane",
            "kube-proxy-hung-on-one-node",
            "service-addresses-dropped-on-one-node",
        ],
    ),
    ("service-addresses-dropped-on-one-node", &["pod-traffic-masqueraded-on-one-node", "kube-proxy-hung-on-one-node"]),
    ("kubelet-serving-certificate-expired", &["kubelet-silent-to-the-control-plane"]),
    // Without a DNS server no name resolves anywhere, and a server that asks itself crashes.
    ("coredns-crash-looping", &["corefile-forwards-to-loopback", "tcp-53-cut-on-one-node"]),
    ("corefile-forwards-to-loopback", &["tcp-53-cut-on-one-node"]),
    // The wrong version in kubeadm-config is what kube-proxy is compared with.
    ("kubeadm-config-of-an-older-version", &["kube-proxy-of-another-minor"]),
];

fn is_in_the_way(one: &str, other: &str) -> bool {
    IN_THE_WAY
        .iter()
        .any(|(upper, lower)| *upper == one && lower.contains(&other) || *upper == other && lower.contains(&one))
}

fn path(slug: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/faults").join(format!("{slug}.json.gz"))
}

fn recording(slug: &str) -> Recording {
    Recording::read(&path(slug)).expect("a fixture is a recording")
}

/// What each check found in a recording, before causes are looked for, and where things are.
async fn judged(recording: Recording) -> (BTreeMap<String, Judged>, Places, Obstacles, Severity) {
    let checks = recording.header.checks.iter().filter_map(|id| suites::check(id)).collect();
    let (gate, (events, mut stream)) = (recording.header.gate, Events::channel());
    let run = run(Run::judging(recording, checks), events);
    let concluded = run.await;
    let mut judged = BTreeMap::new();
    while let Some(event) = stream.recv().await {
        if let Event::CheckJudged { check, .. } = event {
            judged.insert(check.id.clone(), check);
        }
    }
    (judged, Places::of(&concluded.facts), Obstacles::of(&concluded.facts), gate)
}

fn merged(one: &BTreeMap<String, Judged>, other: &BTreeMap<String, Judged>) -> Vec<Judged> {
    let mut merged = one.clone();
    for (id, check) in other {
        let both = merged.entry(id.clone()).or_insert_with(|| check.clone());
        both.outcome = both.outcome.min(check.outcome);
        both.findings.extend(
            check.findings.iter().filter(|finding| !both.findings.contains(finding)).cloned().collect::<Vec<_>>(),
        );
        both.unseen
            .extend(check.unseen.iter().filter(|unseen| !both.unseen.contains(unseen)).cloned().collect::<Vec<_>>());
    }
    merged.into_values().collect()
}

#[tokio::test]
async fn neither_of_two_faults_hides_the_other() {
    let graph = Graph::new(suites::checks());
    let mut recorded = Vec::new();
    for (slug, root) in FAULTS {
        recorded.push((slug, root, judged(recording(slug)).await));
    }
    let mut hidden = Vec::new();
    for (i, (slug, root, (one, places, _, gate))) in recorded.iter().enumerate() {
        for (other_slug, other_root, (other, ..)) in &recorded[i + 1..] {
            if is_in_the_way(slug, other_slug) {
                continue;
            }
            let mut both = merged(one, other);
            let roots = fold(&mut both, &graph, places, &Restarts::default(), &Obstacles::default(), *gate);
            let is_root = |id: &str| roots.iter().any(|root| root.check == id);
            if !is_root(root) || !is_root(other_root) {
                hidden.push((
                    *slug,
                    *other_slug,
                    roots.iter().map(|root| root.check.clone()).collect::<Vec<_>>().join(" "),
                ));
            }
        }
    }
    assert!(hidden.is_empty(), "{hidden:#?}");
}

/// A recording of a run that could not list pods.
fn without_pods(slug: &str, why: &Unobserved) -> Recording {
    let path = path(slug);
    let file = File::open(&path).expect("the fixture exists");
    let mut recording: serde_json::Value = serde_json::from_reader(GzDecoder::new(file)).expect("it is JSON");
    recording["facts"]["pods"] = serde_json::to_value(Err::<(), _>(why)).expect("it can be written");
    Recording::parse(recording.to_string().as_bytes(), &path).expect("it is a recording still")
}

#[tokio::test]
async fn no_fault_hides_that_something_was_not_observed() {
    let graph = Graph::new(suites::checks());
    let refused = Unobserved::Refused { missing: "list pods".into(), message: "forbidden".into() };
    let failed = Unobserved::invalid("GET /api/v1/pods", "HTTP 500: etcdserver: request timed out");
    let mut hidden = Vec::new();
    for (slug, root) in FAULTS {
        for why in [&refused, &failed] {
            let (judged, places, obstacles, gate) = judged(without_pods(slug, why)).await;
            let mut judged: Vec<Judged> = judged.into_values().collect();
            let is_without = |check: &Judged| check.unseen.iter().any(|unseen| unseen.why == why.to_string());
            assert!(judged.iter().filter(|check| is_without(check)).count() > 20, "{slug}");
            fold(&mut judged, &graph, &places, &Restarts::default(), &obstacles, gate);
            let blocked = judged.iter().filter(|check| {
                let unseen = check.unseen.iter().filter(|unseen| unseen.why == why.to_string());
                unseen.filter_map(|unseen| unseen.cause.as_ref()).any(|cause| cause.check == root)
            });
            hidden.extend(blocked.map(|check| format!("{slug}: {}", check.id)));
        }
    }
    assert!(hidden.is_empty(), "{hidden:#?}");
}
