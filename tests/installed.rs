//! A periodic audit in a real cluster: it is installed, runs under exactly its rights, reports a fault while there is one, cleans
//! up after a run that was killed, and is removed without a trace.
//!
//! Runs only when `SEAWORTHY_BED` names a program that makes clusters, one of which is up and has the probes' image.

#![expect(clippy::disallowed_methods, reason = "a test waits in a thread of its own")]
#![expect(clippy::print_stdout, reason = "a test harness speaks on the standard output")]

mod bed;
#[expect(dead_code, reason = "one fault is tried, on a cluster that is up")]
mod fault;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, output, seaworthy};
use fault::Fault;
use libtest_mimic::{Arguments, Failed, Trial};
use seaworthy::check::{Judged, Outcome};
use serde_json::Value;

/// How long a Job may take, on a machine that does other work.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(250);
/// Where the node keeps what the volume holds.
const FOLDER: &str = "/var/lib/seaworthy-results";
/// What everything of the installation is labelled with.
const INSTALLED: &str = "seaworthy.dev/installation=seaworthy";
/// The same for what runs create.
const OF_RUNS: &str = "app.kubernetes.io/managed-by=seaworthy";
/// The fault that is tried: no pod is needed to see it.
const FAULT: &str = "anonymous-bound-to-view";

/// A volume of the node, as a cluster without a provisioner has it.
const VOLUME: &str = "apiVersion: v1
kind: PersistentVolume
metadata: {name: seaworthy-results}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: seaworthy, name: seaworthy}
  hostPath: {path: /var/lib/seaworthy-results}
";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each begins where the one before it has ended.
    arguments.test_threads = Some(1);
    let Some(bed) = Bed::named() else {
        println!("SEAWORTHY_BED is not set: no cluster is used here");
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    let trials: [(&str, Trying); 8] = [
        ("1_a_run_under_exactly_its_rights_sees_everything", sees_everything),
        ("2_a_fault_is_reported_while_there_is_one", reports_a_fault),
        ("3_an_installation_is_brought_up_to_date", is_brought_up_to_date),
        ("4_a_run_with_probes_works_from_inside", probes_from_inside),
        ("5_a_killed_run_leaves_whole_files_and_the_next_one_sweeps", killed),
        ("6_a_run_that_cannot_begin_is_a_failed_job", fails),
        ("7_a_namespace_of_others_is_left_alone", leaves_others_alone),
        ("8_nothing_is_left_after_the_end", leaves_nothing),
    ];
    let trials = trials.into_iter().map(|(name, trial)| {
        let bed = bed.clone();
        Trial::test(name, move || trial(&bed))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

type Outcomes = Result<(), Failed>;
type Trying = fn(&Bed) -> Outcomes;

fn expect(holds: bool, what: impl Into<String>) -> Outcomes {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

fn wait_for<T>(what: &str, look: impl Fn() -> Result<Option<T>, Failed>) -> Result<T, Failed> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(PAUSE);
    }
}

/// Runs the program as the administrator.
fn program(bed: &Bed, arguments: &[&str]) -> Result<String, Failed> {
    output(Command::new(seaworthy()).args(arguments).args(["--kubeconfig", &bed.kubeconfig()?]))
}

fn on_node(bed: &Bed, command: &[&str]) -> Result<String, Failed> {
    output(Command::new(&bed.program).args(["exec", "n1"]).args(command))
}

/// Installs with a volume, and with these flags.
fn install(bed: &Bed, flags: &[&str]) -> Result<String, Failed> {
    let results = ["install", "--apply", "--results", "pvc", "--storage-class", "", "--report", "json"];
    program(bed, &[&results, flags].concat())
}

/// Begins a run, as the CronJob would.
fn begin(bed: &Bed, job: &str) -> Outcomes {
    bed.kubectl(&["create", "job", "-n", "seaworthy", "--from=cronjob/seaworthy", job]).map(drop)
}

fn last_run(bed: &Bed) -> Result<Value, Failed> {
    let status: Value = serde_json::from_str(&program(bed, &["status", "--output", "json"])?)?;
    Ok(status[0]["last"].clone())
}

/// Waits until this Job has ended.
fn end(bed: &Bed, job: &str) -> Result<Value, Failed> {
    wait_for(&format!("job {job} ends"), || {
        let last = last_run(bed)?;
        Ok((last["job"] == job && last["state"] != "running").then_some(last))
    })
}

/// Runs a Job to its end, in which it must have worked, and returns what the run reported.
fn run(bed: &Bed, job: &str) -> Result<Vec<Judged>, Failed> {
    begin(bed, job)?;
    let last = end(bed, job)?;
    expect(last["state"] == "complete", format!("{last}"))?;
    expect(last["verdict"].as_str().is_some_and(|verdict| verdict.contains("seaworthy:")), format!("{last}"))?;
    judged(bed)
}

/// What the last report in the volume states.
fn judged(bed: &Bed) -> Result<Vec<Judged>, Failed> {
    let report: Value = serde_json::from_str(&on_node(bed, &["cat", &format!("{FOLDER}/latest.json")])?)?;
    Ok(serde_json::from_value(report["checks"].clone())?)
}

/// The event streams in the volume.
fn streams(bed: &Bed) -> Result<Vec<String>, Failed> {
    let listed = on_node(bed, &["ls", FOLDER])?;
    let is_stream = |name: &&str| Path::new(name).extension().is_some_and(|extension| extension == "jsonl");
    Ok(listed.split_whitespace().filter(is_stream).map(str::to_owned).collect())
}

/// A check that lacks a permission would be an error, or be skipped with the permission in its reason.
fn nothing_was_refused(judged: &[Judged]) -> Outcomes {
    let refused = judged.iter().filter_map(|check| {
        let reasons = check.reason.iter().chain(check.unseen.iter().map(|unseen| &unseen.why));
        let mut refused = reasons.filter(|why| why.contains("not permitted") || why.contains("not granted"));
        Some(format!("{}: {}", check.id, refused.next()?))
    });
    let refused: Vec<_> = refused.collect();
    expect(refused.is_empty(), refused.join("\n"))
}

fn number(judged: &[Judged], outcome: Outcome) -> usize {
    judged.iter().filter(|check| check.outcome == outcome).count()
}

fn sees_everything(bed: &Bed) -> Outcomes {
    on_node(bed, &["mkdir", "-p", FOLDER])?;
    on_node(bed, &["chown", "65534:65534", FOLDER])?;
    bed.apply(VOLUME)?;
    let said = install(bed, &[])?;
    expect(said.contains("CronJob seaworthy/seaworthy: applied"), said)?;
    let judged = run(bed, "audit-1")?;
    nothing_was_refused(&judged)?;
    expect(number(&judged, Outcome::Pass) > 40, format!("{} checks pass", number(&judged, Outcome::Pass)))?;
    let errors: Vec<_> = judged.iter().filter(|check| check.outcome == Outcome::Error).map(|check| &check.id).collect();
    expect(errors.is_empty(), format!("in error: {errors:?}"))?;
    let streams = streams(bed)?;
    let [stream] = &streams[..] else { return Err(format!("{streams:?}").into()) };
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join(stream);
    fs::write(&copy, on_node(bed, &["cat", &format!("{FOLDER}/{stream}")])?)?;
    output(Command::new(seaworthy()).arg("report").arg(copy).args(["--output", "junit"])).map(drop)
}

fn reports_a_fault(bed: &Bed) -> Outcomes {
    let fault = Fault::named(FAULT);
    let script = |what: &str| output(Command::new(&fault.script).arg(what).env("BED", &bed.program));
    script("apply")?;
    let broken = run(bed, "audit-2");
    script("revert")?;
    let missing = fault.missing(&broken?);
    expect(missing.is_empty(), missing.join("\n"))?;
    let repaired = run(bed, "audit-3")?;
    let ids: Vec<_> = fault.expected.iter().map(|expected| expected.id.as_str()).collect();
    let still: Vec<_> = repaired
        .iter()
        .filter(|check| ids.contains(&check.id.as_str()) && check.outcome == Outcome::Fail)
        .map(|check| &check.id)
        .collect();
    expect(still.is_empty(), format!("still failing: {still:?}"))
}

fn is_brought_up_to_date(bed: &Bed) -> Outcomes {
    let schedule = |schedule: &str| install(bed, &["--schedule", schedule]);
    schedule("17 3 * * *")?;
    let now = bed.kubectl(&["get", "cronjob", "-n", "seaworthy", "seaworthy", "-o", "jsonpath={.spec.schedule}"])?;
    expect(now == "17 3 * * *", now)?;
    // What someone else has set is not overwritten without a word.
    let patch = r#"{"spec": {"schedule": "0 5 * * *"}}"#;
    bed.kubectl(&["patch", "cronjob", "-n", "seaworthy", "seaworthy", "--type=merge", "-p", patch])?;
    let refused = schedule("17 3 * * *").err().ok_or("another manager's field was overwritten")?;
    let refused = refused.message().unwrap_or_default().to_owned();
    expect(refused.contains("--force-conflicts takes these fields over"), refused)?;
    install(bed, &["--schedule", "17 3 * * *", "--force-conflicts"]).map(drop)
}

fn probes_from_inside(bed: &Bed) -> Outcomes {
    install(bed, &["--profile", "post-install"])?;
    let judged = run(bed, "audit-4")?;
    nothing_was_refused(&judged)?;
    for id in ["SN-04", "DN-01"] {
        let check = judged.iter().find(|check| check.id == id).ok_or_else(|| format!("{id} was not judged"))?;
        expect(check.outcome == Outcome::Pass, format!("{id} is {}: {:?}", check.outcome, check.reason))?;
    }
    let left = namespaces_of_runs(bed)?;
    expect(left.is_empty(), format!("left behind: {left:?}"))
}

/// Those that are not being deleted.
fn namespaces_of_runs(bed: &Bed) -> Result<Vec<String>, Failed> {
    let active = "jsonpath={.items[?(@.status.phase=='Active')].metadata.name}";
    let found = bed.kubectl(&["get", "namespaces", "-l", OF_RUNS, "-o", active])?;
    Ok(found.split_whitespace().map(str::to_owned).collect())
}

fn killed(bed: &Bed) -> Outcomes {
    let before = streams(bed)?;
    begin(bed, "audit-5")?;
    let namespaces = wait_for("the run makes its namespace", || {
        Ok(Some(namespaces_of_runs(bed)?).filter(|namespaces| !namespaces.is_empty()))
    })?;
    // As the kernel does when memory is short: without a signal that can be handled.
    on_node(
        bed,
        &[
            "sh",
            "-c",
            "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q '^/seaworthy run ' && kill -9 ${p#/proc/}; done; true",
        ],
    )?;
    let last = end(bed, "audit-5")?;
    expect(last["state"] == "failed", format!("{last}"))?;
    expect(last["reason"].as_str().is_some_and(|reason| reason.contains("exit code 137")), format!("{last}"))?;
    judged(bed)?;
    expect(streams(bed)? == before, "a run that was killed is in the history")?;
    for namespace in &namespaces {
        let expired = "seaworthy.dev/expires=2026-01-01T00:00:00Z";
        bed.kubectl(&["annotate", "--overwrite", "namespace", namespace, expired])?;
    }
    run(bed, "audit-6")?;
    let left = namespaces_of_runs(bed)?;
    expect(left.is_empty(), format!("left behind: {left:?}"))
}

fn fails(bed: &Bed) -> Outcomes {
    install(bed, &["--image", "seaworthy.dev/missing:1", "--deadline", "5s"])?;
    begin(bed, "audit-7")?;
    let last = end(bed, "audit-7")?;
    let reason = last["reason"].as_str().unwrap_or_default();
    expect(last["state"] == "failed" && reason.contains("DeadlineExceeded"), format!("{last}"))
}

fn leaves_others_alone(bed: &Bed) -> Outcomes {
    bed.kubectl(&["create", "namespace", "team-d"])?;
    let said = program(bed, &["install", "--apply", "--name", "second", "-n", "team-d"])?;
    expect(said.contains("Namespace team-d: it exists and is not of this installation: left as it is"), said)?;
    let status = program(bed, &["status", "--name", "second"])?;
    expect(status.contains("CronJob team-d/second") && status.contains("none yet"), status)?;
    program(bed, &["uninstall", "--name", "second", "--yes"])?;
    let labelled = bed.kubectl(&["get", "namespace", "team-d", "-o", "jsonpath={.metadata.labels}"])?;
    expect(!labelled.contains("pod-security") && !labelled.contains("installation"), labelled)?;
    bed.kubectl(&["get", "cronjob", "-n", "seaworthy", "seaworthy"])?;
    bed.kubectl(&["delete", "namespace", "team-d"]).map(drop)
}

fn leaves_nothing(bed: &Bed) -> Outcomes {
    let listed = program(bed, &["uninstall", "--dry-run"])?;
    for object in ["Namespace seaworthy", "ClusterRole seaworthy", "PersistentVolumeClaim seaworthy/seaworthy"] {
        expect(listed.contains(object), format!("{object} is not listed: {listed}"))?;
    }
    expect(bed.kubectl(&["get", "cronjob", "-n", "seaworthy", "seaworthy"]).is_ok(), "a dry run removed something")?;
    program(bed, &["uninstall", "--yes"])?;
    let kinds = "cronjobs,jobs,pods,configmaps,persistentvolumeclaims,serviceaccounts,roles,rolebindings,clusterroles,\
                 clusterrolebindings,namespaces";
    let left = bed.kubectl(&["get", kinds, "-A", "-l", INSTALLED, "-o", "name"])?;
    expect(left.is_empty(), format!("left behind: {left}"))?;
    let again = program(bed, &["uninstall", "--yes"])?;
    expect(again.contains("nothing has the label"), again)?;
    bed.kubectl(&["delete", "persistentvolume", "seaworthy-results", "--ignore-not-found"])?;
    on_node(bed, &["rm", "-r", FOLDER]).map(drop)
}
