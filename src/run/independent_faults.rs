//! Two faults that have nothing to do with each other are two root causes: neither hides the other.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cause::{Graph, Places, fold};
use crate::check::{Judged, Severity};
use crate::event::{Event, Events, Planned, RunStarted};
use crate::recording::Recording;
use crate::run::{Plan, Run, Source, run};
use crate::suites;

/// Faults of many layers, each recorded on a cluster of the same three nodes, with the check that names the root.
const FAULTS: [(&str, &str); 30] = [
    ("anonymous-bound-to-view", "AA-18"),
    ("bootstrap-token-misnamed", "DI-05"),
    ("bootstrappers-may-read-secrets", "DI-07"),
    ("certificate-subject-restriction-off", "AA-16"),
    ("closed-webhook-without-backend", "CP-11"),
    ("coredns-crash-looping", "DN-02"),
    ("front-proxy-names-empty", "PK-07"),
    ("full-packets-dropped-between-two-nodes", "CN-05"),
    ("get-nodes-binding-missing", "DI-07"),
    ("image-missing-in-kube-system", "AD-03"),
    ("kubeadm-config-of-an-older-version", "CP-08"),
    ("kubelet-authorization-alwaysallow", "KL-04"),
    ("kubelet-cluster-dns-differs-on-one-node", "DN-05"),
    ("kubelet-health-port-open", "KL-05"),
    ("kubelet-speaks-old-tls", "PK-14"),
    ("kubelet-streams-never-time-out", "KL-06"),
    ("kubernetes-service-at-another-address", "SN-01"),
    ("metrics-api-without-server", "CP-10"),
    ("network-agent-missing-on-one-node", "CN-02"),
    ("node-port-blocked-on-one-node", "SN-10"),
    ("node-under-pid-pressure", "KL-01"),
    ("nodes-bound-to-system-node", "AA-04"),
    ("one-way-firewall-between-nodes", "CN-04"),
    ("service-rules-flushed-under-a-frozen-kube-proxy", "SN-07"),
    ("tokens-lengthened-by-a-policy", "AA-25"),
    ("trust-bundle-of-another-ca", "PK-16"),
    ("two-default-storage-classes", "AD-04"),
    ("udp-53-dropped-on-one-node", "DN-04"),
    ("apiserver-certificate-without-service-address", "PK-02"),
    ("etcd-peer-certificate-of-the-cluster-ca", "PK-15"),
];

/// What each check found in a recording, before causes are looked for, and where things are.
async fn judged(slug: &str) -> (BTreeMap<String, Judged>, Places, Severity) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/faults").join(format!("{slug}.json.gz"));
    let recording = Recording::read(&path).expect("a fixture is a recording");
    let plan = Plan::new(recording.checks.iter().filter_map(|id| suites::check(id)).collect());
    let started = RunStarted {
        seaworthy: recording.seaworthy.clone(),
        at: recording.at,
        cluster: recording.cluster.clone(),
        profile: recording.profile.clone(),
        gate: recording.gate,
        checks: plan.checks.iter().copied().map(Planned::from).collect(),
        namespace: None,
        recording: None,
    };
    let (gate, (events, mut stream)) = (recording.gate, Events::channel());
    let run = run(Run { plan, source: Source::Recorded(recording), gate, named: Default::default(), started }, events);
    let concluded = run.await;
    let mut judged = BTreeMap::new();
    while let Some(event) = stream.recv().await {
        if let Event::CheckJudged { check, .. } = event {
            judged.insert(check.id.clone(), check);
        }
    }
    (judged, Places::of(&concluded.facts), gate)
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
        recorded.push((slug, root, judged(slug).await));
    }
    let mut hidden = Vec::new();
    for (i, (slug, root, (one, places, gate))) in recorded.iter().enumerate() {
        for (other_slug, other_root, (other, ..)) in &recorded[i + 1..] {
            let mut both = merged(one, other);
            let roots = fold(&mut both, &graph, places, *gate);
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
