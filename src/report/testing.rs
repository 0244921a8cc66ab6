//! A run in which everything happens, as events.

use std::collections::BTreeMap;

use crate::check::outcome::Unseen;
use crate::check::{Finding, Judged, Note, Outcome, Severity, Subject};
use crate::cluster::ClusterSummary;
use crate::event::{CleanedUp, Cost, Event, Planned, RunFinished, RunStarted};
use crate::report::Gathered;
use crate::report::format::Writer;

/// A check with this outcome, and nothing else.
pub(crate) fn judged(id: &str, name: &str, suite: &str, outcome: Outcome) -> Judged {
    Judged {
        id: id.into(),
        name: name.into(),
        suite: suite.into(),
        title: format!("The title of {id}"),
        severity: Severity::Major,
        outcome,
        observations: 3,
        findings: Vec::new(),
        unseen: Vec::new(),
        reason: None,
        notes: Vec::new(),
    }
}

/// A finding about this.
pub(crate) fn finding(subject: Subject, seen: &str) -> Finding {
    Finding {
        subjects: vec![subject],
        expected: "10.96.0.1   first address of the service range 10.96.0.0/12".into(),
        seen: seen.into(),
        evidence: Vec::new(),
        evidence_of: BTreeMap::new(),
        impact: Some("every pod that verifies the API server at its ClusterIP fails".into()),
        fix: "Add the name to `apiServer.certSANs`.".into(),
        severity: Severity::Critical,
        same_as: &[],
        comes_from: None,
        explains: None,
        cause: None,
        waived: None,
    }
}

fn unseen(subject: Option<Subject>, why: &str, missing: Option<&str>) -> Unseen {
    Unseen { subjects: subject.into_iter().collect(), why: why.into(), missing: missing.map(Into::into), cause: None }
}

/// The checks of the run, in the order of the plan.
pub(crate) fn checks() -> Vec<Judged> {
    let names = "n1, kubernetes, kubernetes.default, kubernetes.default.svc, 10.77.0.11";
    let fail = Judged {
        severity: Severity::Critical,
        findings: vec![
            Finding {
                subjects: ["10.77.0.11:6443", "10.77.0.12:6443"].map(Subject::address).into(),
                evidence: vec!["10.96.0.1".into(), "kubernetes.default".into()],
                ..finding(Subject::cluster(), names)
            },
            Finding {
                fix: "kubeadm init phase certs apiserver".into(),
                severity: Severity::Minor,
                ..finding(Subject::node("n3"), "no certificate")
            },
        ],
        unseen: vec![unseen(Some(Subject::address("10.77.0.13:6443")), "connection refused", None)],
        ..judged("PK-02", "apiserver-names", "pki", Outcome::Fail)
    };
    let lacks = |missing: &str| unseen(None, &format!("not permitted: {missing} (forbidden)"), Some(missing));
    let at = |node: &str| unseen(Some(Subject::node(node)), &format!("the probe on {node} did not start"), None);
    let warn = Judged {
        findings: vec![Finding {
            fix: "kubectl -n kube-system scale deployment coredns --replicas=2".into(),
            severity: Severity::Info,
            impact: None,
            expected: "two replicas".into(),
            ..finding(Subject::cluster(), "one")
        }],
        ..judged("DN-01", "dns-replicas", "dns", Outcome::Warn)
    };
    let skip = |id: &str, reason: &str| Judged {
        reason: Some(reason.into()),
        observations: 0,
        ..judged(id, "skipped", "cni", Outcome::Skip)
    };
    vec![
        Judged { unseen: vec![lacks("list pods")], ..judged("AA-01", "rbac", "authn-authz", Outcome::Error) },
        Judged {
            unseen: vec![lacks("list pods"), lacks("list nodes")],
            ..judged("AA-02", "nodes", "authn-authz", Outcome::Error)
        },
        fail,
        Judged { unseen: vec![at("n1"), at("n2")], ..judged("SN-04", "api", "service-network", Outcome::Error) },
        Judged { unseen: vec![at("n2"), at("n3")], ..judged("SN-05", "dataplane", "service-network", Outcome::Error) },
        warn,
        Judged {
            notes: vec![Note { subjects: vec![Subject::node("n1")], text: "one search domain more than usual".into() }],
            ..judged("DN-05", "pod-resolver", "dns", Outcome::Pass)
        },
        skip("CN-01", "the profile audit does not allow create access"),
        skip("CN-04", "the profile audit does not allow create access"),
        skip("CN-05", "no NetworkPolicy exists"),
    ]
}

/// The events of the run. The checks are judged in another order than planned.
pub(crate) fn events() -> Vec<Event> {
    let checks = checks();
    let planned =
        |check: &Judged| Planned { id: check.id.clone(), name: check.name.clone(), suite: check.suite.clone() };
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for check in &checks {
        *counts.entry(check.outcome).or_default() += 1;
    }
    let started = RunStarted {
        seaworthy: "0.1.0".into(),
        at: "2026-11-23T14:00:00Z".parse().expect("a constant"),
        cluster: ClusterSummary {
            name: "bed".into(),
            server: "https://10.77.0.11:6443".into(),
            version: "v1.37.2".into(),
        },
        profile: "audit".into(),
        gate: Severity::Minor,
        checks: checks.iter().map(planned).collect(),
        namespace: Some("seaworthy-7f3k9".into()),
        failed: None,
        recording: None,
    };
    let observed = |fact: &str, elapsed_ms, unobserved: Option<&str>| Event::FactObserved {
        fact: fact.into(),
        elapsed_ms,
        unobserved: unobserved.map(Into::into),
    };
    let mut events = vec![
        Event::RunStarted(started),
        Event::FactStarted { fact: "pods".into() },
        observed("clock", 12, None),
        observed("pods", 1234, Some("not permitted: list pods (forbidden)")),
    ];
    let judged = |(i, check): (usize, Judged)| Event::CheckJudged { at_ms: 100 * i as u64, check };
    events.extend(checks.into_iter().rev().enumerate().map(judged));
    events.push(Event::RunFinished(RunFinished {
        counts,
        observations: 3,
        elapsed_ms: 3449,
        cost: Cost {
            requests: 1042,
            retries: [("HTTP 503".to_owned(), 2), ("the connection was closed".to_owned(), 1)].into(),
            kubelet_requests: 96,
            received_bytes: 4_193_280,
            pods: 3,
        },
        exit_code: 1,
        interrupted: false,
    }));
    let namespace = Some("seaworthy-7f3k9".into());
    events.push(Event::CleanedUp(CleanedUp { namespace, finalizing: true, ..CleanedUp::default() }));
    events
}

/// The run that these events report.
pub(crate) fn gathered(events: &[Event]) -> Gathered {
    let mut run = Gathered::default();
    for event in events {
        run.event(event);
    }
    run
}

/// A run with one check, whose texts all come from outside.
pub(crate) fn with_texts(texts: &[String; 8], outcome: Outcome) -> Vec<Event> {
    let [id, name, suite, title, expected, seen, why, cluster] = texts;
    let finding = Finding {
        expected: expected.clone(),
        impact: Some(why.clone()),
        fix: title.clone(),
        evidence: vec![cluster.clone()],
        ..finding(Subject::object(name.as_str(), suite.as_str(), id.as_str()), seen)
    };
    let check = Judged {
        title: title.clone(),
        findings: vec![finding],
        unseen: vec![Unseen {
            subjects: vec![Subject::node(seen.as_str())],
            why: why.clone(),
            missing: None,
            cause: None,
        }],
        reason: Some(why.clone()),
        ..judged(id, name, suite, outcome)
    };
    let mut events = events();
    if let Some(Event::RunStarted(started)) = events.first_mut() {
        started.cluster.name.clone_from(cluster);
        started.cluster.version.clone_from(why);
        started.profile.clone_from(title);
        started.checks.clear();
    }
    events.truncate(1);
    events.push(Event::CheckJudged { at_ms: 7, check });
    events
}

/// Adds a check to a run.
pub(crate) fn add(run: &mut Gathered, check: Judged) {
    run.event(&Event::CheckJudged { at_ms: 0, check });
}

/// What is written of a run.
pub(crate) fn written(write: Writer, run: &Gathered) -> String {
    let mut bytes = Vec::new();
    write(run, &mut bytes).expect("memory can be written");
    String::from_utf8(bytes).expect("a report is a text")
}
