//! What a run leaves behind, how it is stopped, and what it reports when its probes are blocked, on a real cluster.
//!
//! Runs only when `SEAWORTHY_BED` names a program that makes clusters, one of which is up and has the probes' image. With
//! `SEAWORTHY_LONG` set, a run is killed at 50 moments instead of 5.

#![expect(clippy::disallowed_methods, reason = "a test waits in a thread of its own")]
#![expect(clippy::print_stdout, reason = "a test harness speaks on the standard output")]

mod bed;
mod each_right;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, output, seaworthy};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use seaworthy::check::{Judged, Outcome};
use seaworthy::recording::Recording;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that a trial waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a drill may take until a node is stopped, and a node until it is back.
const DRILL: Duration = Duration::from_secs(180);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(50);
/// What everything of ours is labelled with.
const OURS: &str = "app.kubernetes.io/managed-by=seaworthy";
/// The kinds of objects that runs create.
const KINDS: &str = "namespaces,pods,services,serviceaccounts,configmaps,secrets,networkpolicies,\
                     certificatesigningrequests,clusterroles,clusterrolebindings";
/// How long a run may go on after a signal.
const STOP: Duration = Duration::from_secs(2);
/// How long a run may go on after its verdict.
const EXIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They look at everything of ours in the cluster.
    arguments.test_threads = Some(1);
    let Some(bed) = Bed::named() else {
        println!("SEAWORTHY_BED is not set: no cluster is used here");
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    let trials: [(&str, Trying); 16] = [
        ("a_run_leaves_nothing", leaves_nothing),
        ("a_run_ends_a_second_after_its_verdict", ends_after_its_verdict),
        ("a_namespace_that_is_being_deleted_is_not_left_behind", being_deleted),
        ("a_named_namespace_keeps_what_is_not_ours", keeps_what_is_not_ours),
        ("a_signal_stops_a_run_that_cleans_up_and_reports", stopped_by_a_signal),
        ("what_a_killed_run_left_is_swept_and_nothing_else", killed_and_swept),
        ("a_right_that_a_killed_run_gave_goes_when_it_is_swept", killed_with_a_grant),
        ("a_run_sweeps_what_has_expired", sweeps_what_has_expired),
        ("a_run_may_be_killed_at_any_moment", killed_at_any_moment),
        ("a_quota_is_told_for_each_node", kept_out_by_a_quota),
        ("an_admission_policy_is_told_for_each_node", kept_out_by_a_policy),
        ("a_dead_admission_webhook_is_told_for_each_node", kept_out_by_a_webhook),
        ("a_missing_image_is_told_for_each_node", without_an_image),
        ("the_printed_rights_are_enough", printed_rights),
        ("each_printed_right_is_needed", each_right::each_printed_right),
        ("nodes_can_be_impersonated_with_constrained_rights_alone", constrained_impersonation),
    ];
    let trials = trials.into_iter().map(|(name, trial)| {
        let bed = bed.clone();
        Trial::test(name, move || trial(&bed))
    });
    let mut trials: Vec<_> = trials.collect();
    for (name, signal) in [
        ("a_drill_that_is_interrupted_brings_its_node_back", "-INT"),
        ("a_drill_that_is_killed_brings_its_node_back", "-KILL"),
    ] {
        let bed = bed.clone();
        trials.push(Trial::ignorable_test(name, move || brings_its_node_back(&bed, signal)));
    }
    trials.push(Trial::test("who_has_no_rights_sees_nothing_pass", move || no_rights(&bed)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

type Outcomes = Result<(), Failed>;
/// Tries something on a cluster.
type Trying = fn(&Bed) -> Outcomes;

/// One run of the program.
struct Run {
    folder: TempDir,
    command: Command,
}

impl Run {
    fn new(kubeconfig: &str, profile: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(seaworthy());
        command.args(["run", "--profile", profile, "--kubeconfig", kubeconfig]);
        command.arg("--json").arg(folder.path().join("verdicts.json"));
        command.arg("--junit").arg(folder.path().join("junit.xml"));
        Ok(Self { folder, command })
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    fn start(&mut self) -> Result<Child, Failed> {
        Ok(self.command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs to the end, which must be with one of these exit codes.
    fn ends_with(mut self, codes: &[i32]) -> Result<Verdicts, Failed> {
        let done = self.command.output()?;
        if !done.status.code().is_some_and(|code| codes.contains(&code)) {
            let said = [done.stdout, done.stderr].concat();
            return Err(format!("it ended with {}: {}", done.status, String::from_utf8_lossy(&said)).into());
        }
        Verdicts::read(&self.file("verdicts.json"))
    }
}

/// The checks with their outcomes.
struct Verdicts(Vec<Judged>);

impl Verdicts {
    fn read(path: &Path) -> Result<Self, Failed> {
        let document: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
        Ok(Self(serde_json::from_value(document["checks"].clone())?))
    }

    fn outcomes(&self) -> BTreeMap<&str, Outcome> {
        self.0.iter().map(|check| (check.id.as_str(), check.outcome)).collect()
    }

    /// The checks that fail or could not decide.
    fn broken(&self) -> BTreeMap<&str, Outcome> {
        let mut outcomes = self.outcomes();
        outcomes.retain(|_, outcome| matches!(outcome, Outcome::Fail | Outcome::Error | Outcome::Blocked));
        outcomes
    }

    /// Whether the checks that need probes could not look, and each says so of every node, for this reason.
    fn say_of_every_node(&self, bed: &Bed, why: &str) -> Outcomes {
        let nodes = bed.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
        let check = self.0.iter().find(|check| check.id == "SN-04").ok_or("SN-04 was not judged")?;
        // One check names the reason, and blocks the others.
        if !matches!(check.outcome, Outcome::Error | Outcome::Blocked) {
            return Err(format!("SN-04 is {}", check.outcome).into());
        }
        for node in nodes.split_whitespace() {
            let said =
                check.unseen.iter().find(|unseen| unseen.subjects.iter().any(|subject| subject.name.contains(node)));
            let said = said.ok_or_else(|| format!("nothing is said of {node}: {:?}", check.unseen))?;
            if !said.why.contains(why) {
                return Err(format!("{node}: {:?} does not say {why:?}", said.why).into());
            }
        }
        Ok(())
    }
}

fn expect(holds: bool, what: impl Into<String>) -> Outcomes {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

fn wait_for<T>(what: &str, look: impl Fn() -> Result<Option<T>, Failed>) -> Result<T, Failed> {
    wait_so_long_for(what, PATIENCE, look)
}

fn wait_so_long_for<T>(
    what: &str,
    patience: Duration,
    look: impl Fn() -> Result<Option<T>, Failed>,
) -> Result<T, Failed> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if began.elapsed() > patience {
            return Err(format!("{what}: not within {} s", patience.as_secs()).into());
        }
        thread::sleep(PAUSE);
    }
}

/// Everything of ours that may have an effect, as `kind/name`. A namespace that is being deleted has none: what is in it is
/// listed as well.
fn ours(bed: &Bed) -> Result<Vec<String>, Failed> {
    let named = |object: &Value| {
        let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
        format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default())
    };
    let is_ending =
        |object: &Value| object["kind"] == "Namespace" && !object["metadata"]["deletionTimestamp"].is_null();
    Ok(objects(bed, &["-l", OURS])?.iter().filter(|object| !is_ending(object)).map(named).collect())
}

/// Objects of the kinds that runs create, in all namespaces.
fn objects(bed: &Bed, selected: &[&str]) -> Result<Vec<Value>, Failed> {
    let listed = bed.kubectl(&[&["get", KINDS, "-A", "-o", "json"][..], selected].concat())?;
    let listed: Value = serde_json::from_str(&listed)?;
    Ok(serde_json::from_value(listed["items"].clone())?)
}

fn nothing_is_left(bed: &Bed) -> Outcomes {
    let left = ours(bed)?;
    expect(left.is_empty(), format!("left behind: {left:?}"))
}

/// Runs `seaworthy sweep`.
fn sweep(bed: &Bed, arguments: &[&str]) -> Result<String, Failed> {
    output(Command::new(seaworthy()).arg("sweep").args(["--kubeconfig", &bed.kubeconfig()?]).args(arguments))
}

/// The namespace that a run which goes on has made.
fn namespace_of_the_run(bed: &Bed) -> Result<String, Failed> {
    wait_for("the run makes its namespace", || {
        let active = "jsonpath={.items[?(@.status.phase=='Active')].metadata.name}";
        let made = bed.kubectl(&["get", "namespaces", "-l", OURS, "-o", active])?;
        Ok(made.split_whitespace().next().map(str::to_owned))
    })
}

/// A namespace that is gone, with all that is in it, when the trial ends.
struct Namespace<'a> {
    bed: &'a Bed,
    name: &'static str,
}

impl<'a> Namespace<'a> {
    fn new(bed: &'a Bed, name: &'static str, more: &str) -> Result<Self, Failed> {
        let namespace = Self { bed, name };
        bed.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n{more}"))?;
        Ok(namespace)
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let _ = self.bed.kubectl(&["delete", "namespace", self.name, "--wait=true"]);
    }
}

/// Cluster-wide objects that are gone when the trial ends.
struct Objects<'a>(&'a Bed, &'static [&'static str]);

impl Drop for Objects<'_> {
    fn drop(&mut self) {
        for object in self.1 {
            let _ = self.0.kubectl(&["delete", object, "--ignore-not-found"]);
        }
    }
}

fn leaves_nothing(bed: &Bed) -> Outcomes {
    Run::new(&bed.kubeconfig()?, "post-install")?.ends_with(&[0, 1])?;
    nothing_is_left(bed)
}

fn ends_after_its_verdict(bed: &Bed) -> Outcomes {
    for profile in ["audit", "post-install", "ci"] {
        let mut run = Run::new(&bed.kubeconfig()?, profile)?;
        let mut child = run.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut verdict = None;
        for line in BufReader::new(child.stdout.take().ok_or("its output is piped")?).lines() {
            if line?.contains("seaworthy: ") {
                verdict = Some(Instant::now());
            }
        }
        let code = child.wait()?.code();
        let took = verdict.ok_or("there is no verdict")?.elapsed();
        expect(matches!(code, Some(0 | 1)), format!("{profile} ended with {code:?}"))?;
        expect(took <= EXIT, format!("{profile} ended {took:?} after its verdict"))?;
        nothing_is_left(bed)?;
    }
    Ok(())
}

fn being_deleted(bed: &Bed) -> Outcomes {
    let namespaces = || bed.kubectl(&["get", "namespaces", "-l", OURS, "-o", "name"]);
    let first = Run::new(&bed.kubeconfig()?, "post-install")?.ends_with(&[0, 1])?;
    let deleting = namespaces()?;
    expect(!deleting.is_empty(), "the namespaces are deleted already: there is nothing to try")?;
    let said = sweep(bed, &[])?;
    let known = said.lines().filter(|line| line.contains(": its deletion began at ")).count();
    expect(known > 0 && said.ends_with("0 of 0 runs removed\n"), format!("swept: {said}"))?;
    // The next run is like the first.
    let next = Run::new(&bed.kubeconfig()?, "post-install")?.with(&["--wait"]).ends_with(&[0, 1])?;
    let (first, next) = (first.broken(), next.broken());
    expect(first == next, format!("{first:?} and then {next:?}"))?;
    sweep(bed, &["--wait"])?;
    let left = namespaces()?;
    expect(left.is_empty(), format!("they are still there: {left}"))
}

fn keeps_what_is_not_ours(bed: &Bed) -> Outcomes {
    let theirs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs, namespace: team-a}\n";
    let team = Namespace::new(bed, "team-a", theirs)?;
    Run::new(&bed.kubeconfig()?, "post-install")?.with(&["-n", team.name]).ends_with(&[0, 1])?;
    nothing_is_left(bed)?;
    bed.kubectl(&["get", "configmap", "theirs", "-n", team.name]).map(drop)
}

fn stopped_by_a_signal(bed: &Bed) -> Outcomes {
    let mut run = Run::new(&bed.kubeconfig()?, "post-install")?;
    let mut child = run.start()?;
    namespace_of_the_run(bed)?;
    output(Command::new("kill").args(["-INT", &child.id().to_string()]))?;
    let stopped = Instant::now();
    let code = child.wait()?.code();
    let took = stopped.elapsed();
    expect(code == Some(130), format!("it ended with {code:?}"))?;
    expect(took <= STOP, format!("it ended {took:?} after the signal"))?;
    nothing_is_left(bed)?;
    let judged = Verdicts::read(&run.file("verdicts.json"))?;
    expect(judged.outcomes().values().any(|outcome| *outcome == Outcome::Error), "nothing is undecided")?;
    expect(run.file("junit.xml").exists(), "there is no JUnit report")
}

fn killed_and_swept(bed: &Bed) -> Outcomes {
    // Ours by its label but not by its name: belongs to no run.
    let foreign = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: seaworthy-foreign\n  labels:\n    app.kubernetes.io/managed-by: seaworthy\n    seaworthy.dev/run: x7f4k\n";
    let mut run = Run::new(&bed.kubeconfig()?, "post-install")?;
    let mut child = run.start()?;
    let namespace = namespace_of_the_run(bed)?;
    child.kill()?;
    child.wait()?;
    bed.apply(foreign)?;
    let _foreign = Objects(bed, &["namespace/seaworthy-foreign"]);
    let said = sweep(bed, &[])?;
    expect(said.contains("kept: expires"), format!("a run that may live was swept: {said}"))?;
    let id = namespace.trim_start_matches("seaworthy-").to_owned();
    sweep(bed, &["--run", &id])?;
    let left = ours(bed)?;
    expect(left == ["namespace/seaworthy-foreign"], format!("left behind: {left:?}"))
}

fn killed_with_a_grant(bed: &Bed) -> Outcomes {
    let mut run = Run::new(&bed.kubeconfig()?, "ci")?.with(&["--select", "KL-04"]);
    let mut child = run.start()?;
    let binding = wait_for("the run grants a right", || {
        let bound =
            bed.kubectl(&["get", "clusterrolebindings", "-l", OURS, "-o", "jsonpath={.items[*].metadata.name}"])?;
        Ok(bound.split_whitespace().next().map(str::to_owned))
    })?;
    child.kill()?;
    child.wait()?;
    let id = binding.split('-').nth(1).unwrap_or_default();
    sweep(bed, &["--run", id])?;
    nothing_is_left(bed)
}

fn sweeps_what_has_expired(bed: &Bed) -> Outcomes {
    let mut run = Run::new(&bed.kubeconfig()?, "post-install")?;
    let mut child = run.start()?;
    let namespace = namespace_of_the_run(bed)?;
    child.kill()?;
    child.wait()?;
    let run = |profile| Run::new(&bed.kubeconfig()?, profile)?.ends_with(&[0, 1, 3]);
    run("post-install")?;
    expect(ours(bed)?.contains(&format!("namespace/{namespace}")), "a run that may live was removed")?;
    let expired = "seaworthy.dev/expires=2026-01-01T00:00:00Z";
    for namespace in ours(bed)?.iter().filter(|object| object.starts_with("namespace/")) {
        bed.kubectl(&["annotate", "--overwrite", namespace, expired])?;
    }
    run("audit")?;
    expect(ours(bed)?.contains(&format!("namespace/{namespace}")), "a run that may only read removed something")?;
    run("post-install")?;
    nothing_is_left(bed)
}

fn killed_at_any_moment(bed: &Bed) -> Outcomes {
    let kills = if env::var_os("SEAWORTHY_LONG").is_some() { 50 } else { 5 };
    let began = Instant::now();
    Run::new(&bed.kubeconfig()?, "ci")?.ends_with(&[0, 1])?;
    let whole = began.elapsed();
    for _ in 0..kills {
        // Nanoseconds of the clock are random enough.
        let random = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos() % 1_000_000;
        let moment = whole.mul_f64(f64::from(random) / 1_000_000.0);
        killed_after(bed, moment).map_err(|why| {
            let why = why.message().unwrap_or_default();
            Failed::from(format!("killed after {moment:?} of {whole:?}: {why}"))
        })?;
    }
    Ok(())
}

fn killed_after(bed: &Bed, moment: Duration) -> Outcomes {
    let uids = |objects: &[Value]| -> BTreeSet<String> {
        objects.iter().filter_map(|object| object["metadata"]["uid"].as_str()).map(str::to_owned).collect()
    };
    let before = uids(&objects(bed, &[])?);
    let mut run = Run::new(&bed.kubeconfig()?, "ci")?;
    for (flag, file) in [("--events", "run.jsonl"), ("--record", "recording.json.gz")] {
        let path = run.file(file);
        run.command.arg(flag).arg(path);
    }
    let mut child = run.start()?;
    // The moment is what is tried; no condition is waited for.
    thread::sleep(moment);
    child.kill()?;
    child.wait()?;
    whole_or_absent(&run)?;
    let mut runs = BTreeSet::new();
    for object in objects(bed, &[])?.iter().filter(|object| !uids(std::slice::from_ref(object)).is_subset(&before)) {
        let metadata = &object["metadata"];
        let is_of_kubernetes = matches!(
            (object["kind"].as_str(), metadata["name"].as_str()),
            (Some("ServiceAccount"), Some("default")) | (Some("ConfigMap"), Some("kube-root-ca.crt"))
        );
        if is_of_kubernetes {
            continue;
        }
        let (id, expires) =
            (&metadata["labels"]["seaworthy.dev/run"], &metadata["annotations"]["seaworthy.dev/expires"]);
        expect(metadata["labels"]["app.kubernetes.io/managed-by"] == "seaworthy", format!("not labelled: {metadata}"))?;
        runs.insert(id.as_str().ok_or_else(|| format!("of no run: {metadata}"))?.to_owned());
        expect(expires.is_string(), format!("does not expire: {metadata}"))?;
        let ends_alone = match object["kind"].as_str() {
            Some("Pod") => object["spec"]["activeDeadlineSeconds"].is_number(),
            Some("Secret") => object["data"]["expiration"].is_string(),
            _ => true,
        };
        expect(ends_alone, format!("does not end by itself: {metadata}"))?;
    }
    for id in runs {
        sweep(bed, &["--run", &id])?;
    }
    nothing_is_left(bed)
}

/// The reports of a run that was killed are whole, if they are there. The event stream may end at any event.
fn whole_or_absent(run: &Run) -> Outcomes {
    let read = |name: &str| fs::read_to_string(run.file(name)).ok();
    if let Some(verdicts) = read("verdicts.json") {
        let verdicts: Value = serde_json::from_str(&verdicts)?;
        expect(verdicts["exit_code"].is_number(), "verdicts.json is not whole")?;
    }
    if let Some(junit) = read("junit.xml") {
        expect(roxmltree::Document::parse(&junit).is_ok(), "junit.xml is not whole")?;
    }
    let recording = run.file("recording.json.gz");
    if recording.exists() {
        Recording::read(&recording)?;
    }
    if read("run.jsonl").is_some_and(|events| !events.is_empty()) {
        let replayed = Command::new(seaworthy()).arg("report").arg(run.file("run.jsonl")).output()?;
        let said = String::from_utf8_lossy(&replayed.stderr);
        let is_read = matches!(replayed.status.code(), Some(0 | 1));
        expect(is_read || said.contains("cut off before the end of the run"), said)?;
    }
    Ok(())
}

fn kept_out_by_a_quota(bed: &Bed) -> Outcomes {
    let quota =
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none, namespace: team-b}\nspec: {hard: {pods: \"0\"}}\n";
    let team = Namespace::new(bed, "team-b", quota)?;
    wait_for("the quota counts", || {
        let used =
            bed.kubectl(&["get", "resourcequota", "none", "-n", team.name, "-o", "jsonpath={.status.used.pods}"])?;
        Ok((used == "0").then_some(()))
    })?;
    let verdicts = Run::new(&bed.kubeconfig()?, "post-install")?.with(&["-n", team.name]).ends_with(&[1, 3])?;
    verdicts.say_of_every_node(bed, "exceeded quota")?;
    nothing_is_left(bed)
}

fn kept_out_by_a_policy(bed: &Bed) -> Outcomes {
    let policy = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-pods.seaworthy.test}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: "false", message: "no pods in here"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-pods.seaworthy.test}
spec:
  policyName: no-pods.seaworthy.test
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team-c}}}
"#;
    let team = Namespace::new(bed, "team-c", policy)?;
    let _policy = Objects(
        bed,
        &[
            "validatingadmissionpolicybinding/no-pods.seaworthy.test",
            "validatingadmissionpolicy/no-pods.seaworthy.test",
        ],
    );
    wait_for("the policy is in force", || {
        let pod = ["run", "denied", "-n", team.name, "--image=none", "--dry-run=server"];
        Ok(bed.kubectl(&pod).err().map(drop))
    })?;
    let verdicts = Run::new(&bed.kubeconfig()?, "post-install")?.with(&["-n", team.name]).ends_with(&[1, 3])?;
    verdicts.say_of_every_node(bed, "no pods in here")?;
    nothing_is_left(bed)
}

fn kept_out_by_a_webhook(bed: &Bed) -> Outcomes {
    let webhook = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: dead.seaworthy.test}
webhooks:
- name: dead.seaworthy.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
  clientConfig: {service: {namespace: team-d, name: nobody, path: /}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: team-d}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
"#;
    let team = Namespace::new(bed, "team-d", webhook)?;
    let _webhook = Objects(bed, &["validatingwebhookconfiguration/dead.seaworthy.test"]);
    wait_for("the webhook is called", || {
        let pod = ["run", "denied", "-n", team.name, "--image=none", "--dry-run=server"];
        Ok(bed.kubectl(&pod).err().map(drop))
    })?;
    let verdicts = Run::new(&bed.kubeconfig()?, "post-install")?.with(&["-n", team.name]).ends_with(&[1, 3])?;
    verdicts.say_of_every_node(bed, "dead.seaworthy.test")?;
    nothing_is_left(bed)
}

fn without_an_image(bed: &Bed) -> Outcomes {
    let missing = ["--probe-image", "seaworthy.test/nowhere:1"];
    let verdicts = Run::new(&bed.kubeconfig()?, "post-install")?.with(&missing).ends_with(&[1, 3])?;
    verdicts.say_of_every_node(bed, "seaworthy.test/nowhere:1 is not available on this node")?;
    nothing_is_left(bed)
}

/// A kubeconfig for a service account.
fn kubeconfig_of(bed: &Bed, namespace: &str, account: &str, folder: &Path) -> Result<String, Failed> {
    let token = bed.kubectl(&["create", "token", account, "-n", namespace, "--duration", "1h"])?;
    let mut config: serde_json::Value =
        serde_json::from_str(&bed.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"])?)?;
    config["users"][0]["user"] = serde_json::json!({ "token": token.trim() });
    let path = folder.join("kubeconfig");
    fs::write(&path, config.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

fn printed_rights(bed: &Bed) -> Outcomes {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: seaworthy, namespace: audit}\n";
    for (profile, place) in [("audit", None), ("post-install", None), ("post-install", Some("audit")), ("ci", None)] {
        let _namespace = Namespace::new(bed, "audit", account)?;
        let named: Vec<&str> = place.iter().flat_map(|namespace| ["-n", namespace]).collect();
        let mut rbac = Command::new(seaworthy());
        rbac.args(["rbac", "--profile", profile, "--subject", "ServiceAccount:audit/seaworthy"]).args(&named);
        let manifests = output(&mut rbac)?;
        bed.apply(&manifests)?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = kubeconfig_of(bed, "audit", "seaworthy", folder.path())?;
        let verdicts = Run::new(&kubeconfig, profile)?.with(&named).ends_with(&[0, 1, 3]);
        fs::write(folder.path().join("rbac.yaml"), &manifests)?;
        bed.kubectl(&["delete", "--ignore-not-found", "-f", &folder.path().join("rbac.yaml").to_string_lossy()])?;
        for check in &verdicts?.0 {
            let why: Vec<_> = check.unseen.iter().map(|unseen| &unseen.why).chain(&check.reason).collect();
            let refused = why.iter().any(|why| why.contains("not permitted"));
            expect(!refused && check.outcome != Outcome::Error, format!("{profile} {place:?}: {}: {why:?}", check.id))?;
        }
    }
    nothing_is_left(bed)
}

fn constrained_impersonation(bed: &Bed) -> Outcomes {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: auditor, namespace: constrained}\n";
    let namespace = Namespace::new(bed, "constrained", account)?;
    let checks = ["--select", "AA-11,AA-12,AA-13"];
    let mut rbac = Command::new(seaworthy());
    rbac.args(["rbac", "--profile", "post-install", "--constrained-impersonation"]);
    rbac.args(["--subject", "ServiceAccount:constrained/auditor"]).args(checks);
    let manifests = output(&mut rbac)?;
    expect(!manifests.contains("\"impersonate\""), "the right to be any user is granted")?;
    let _rights = Objects(bed, &["clusterrole/seaworthy", "clusterrolebinding/seaworthy"]);
    bed.apply(&manifests)?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = kubeconfig_of(bed, namespace.name, "auditor", folder.path())?;
    let run = Run::new(&kubeconfig, "post-install")?.with(&checks);
    for (id, outcome) in run.ends_with(&[0])?.outcomes() {
        expect(outcome == Outcome::Pass, format!("{id} is {outcome}"))?;
    }
    nothing_is_left(bed)
}

fn brings_its_node_back(bed: &Bed, signal: &str) -> Result<Completion, Failed> {
    let planes = ["get", "nodes", "-o", "name", "-l", "node-role.kubernetes.io/control-plane"];
    if bed.kubectl(&planes)?.lines().count() < 3 {
        return Ok(Completion::ignored_with("needs three control-plane nodes"));
    }
    let folder = tempfile::tempdir()?;
    let (stopped, started) = (folder.path().join("stopped"), folder.path().join("started"));
    let program = bed.program.display();
    let stop = format!("'{program}' stop {{node}} && echo {{node}} >'{}'", stopped.display());
    let start = format!("'{program}' start {{node}} && touch '{}'", started.display());
    let drill = ["--select", "HA-06", "--allow", "disrupt", "--stop-node", &stop, "--start-node", &start];
    let mut run = Run::new(&bed.kubeconfig()?, "ci")?.with(&drill);
    let mut child = run.start()?;
    let node = wait_so_long_for("a node is stopped", DRILL, || {
        let node = fs::read_to_string(&stopped).unwrap_or_default();
        Ok(node.ends_with('\n').then(|| node.trim().to_owned()))
    })?;
    output(Command::new("kill").args([signal, &child.id().to_string()]))?;
    let code = child.wait()?.code();
    expect(code == Some(130) || signal == "-KILL", format!("it ended with {code:?}"))?;
    wait_for("the node is started", || Ok(started.exists().then_some(())))?;
    wait_so_long_for("its API server is ready", DRILL, || {
        let ask = ["exec", &node, "curl", "-skf", "--max-time", "5", "https://127.0.0.1:6443/readyz"];
        Ok(output(Command::new(&bed.program).args(ask)).ok())
    })?;
    if signal == "-KILL" {
        let id = bed.kubectl(&[
            "get",
            "namespaces",
            "-l",
            OURS,
            "-o",
            "jsonpath={.items[?(@.status.phase=='Active')].metadata.labels.seaworthy\\.dev/run}",
        ])?;
        sweep(bed, &["--run", id.split_whitespace().next().ok_or("nothing is left of the run")?])?;
    }
    nothing_is_left(bed)?;
    Ok(Completion::Completed)
}

fn no_rights(bed: &Bed) -> Outcomes {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody, namespace: nowhere}\n";
    let namespace = Namespace::new(bed, "nowhere", account)?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = kubeconfig_of(bed, namespace.name, "nobody", folder.path())?;
    let verdicts = Run::new(&kubeconfig, "ci")?.ends_with(&[3])?;
    for (id, outcome) in verdicts.outcomes() {
        let is_unseen = matches!(outcome, Outcome::Error | Outcome::Blocked | Outcome::Skip);
        expect(is_unseen, format!("{id} is {outcome}"))?;
    }
    nothing_is_left(bed)
}
