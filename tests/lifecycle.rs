//! What a run leaves behind, how it is stopped, and what it reports when its probes are blocked, on a real cluster.
//!
//! Runs only when `SEAWORTHY_BED` names a program that makes clusters, one of which is up and has the probes' image.

#![expect(clippy::disallowed_methods, reason = "a test waits in a thread of its own")]
#![expect(clippy::print_stdout, reason = "a test harness speaks on the standard output")]

mod bed;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, output, seaworthy};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use seaworthy::check::{Judged, Outcome};
use tempfile::TempDir;

/// How long anything may take that a trial waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a drill may take until a node is stopped, and a node until it is back.
const DRILL: Duration = Duration::from_secs(180);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(50);
/// What everything of ours is labelled with.
const OURS: &str = "app.kubernetes.io/managed-by=seaworthy";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They look at everything of ours in the cluster.
    arguments.test_threads = Some(1);
    let Some(bed) = Bed::named() else {
        println!("SEAWORTHY_BED is not set: no cluster is used here");
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    let trials: [(&str, Trying); 11] = [
        ("a_run_leaves_nothing", leaves_nothing),
        ("a_named_namespace_keeps_what_is_not_ours", keeps_what_is_not_ours),
        ("a_signal_stops_a_run_that_cleans_up_and_reports", stopped_by_a_signal),
        ("what_a_killed_run_left_is_swept_and_nothing_else", killed_and_swept),
        ("a_right_that_a_killed_run_gave_goes_when_it_is_swept", killed_with_a_grant),
        ("a_quota_is_told_for_each_node", kept_out_by_a_quota),
        ("an_admission_policy_is_told_for_each_node", kept_out_by_a_policy),
        ("a_dead_admission_webhook_is_told_for_each_node", kept_out_by_a_webhook),
        ("a_missing_image_is_told_for_each_node", without_an_image),
        ("the_printed_rights_are_enough", printed_rights),
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

/// Everything of ours, as `kind/name`.
fn ours(bed: &Bed) -> Result<Vec<String>, Failed> {
    let kinds = "namespaces,pods,services,serviceaccounts,configmaps,secrets,certificatesigningrequests,clusterroles,\
                 clusterrolebindings";
    let listed = bed.kubectl(&["get", kinds, "-A", "-l", OURS, "-o", "name"])?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn nothing_is_left(bed: &Bed) -> Outcomes {
    let left = ours(bed)?;
    // What belongs to a namespace without being in it is collected once that is gone.
    let (collected, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|object| object.starts_with("clusterrole"));
    expect(left.is_empty(), format!("left behind: {left:?}"))?;
    if collected.is_empty() {
        return Ok(());
    }
    wait_for("the garbage collector takes what a run has granted", || Ok(ours(bed)?.is_empty().then_some(())))
}

/// The namespace that a run which goes on has made.
fn namespace_of_the_run(bed: &Bed) -> Result<String, Failed> {
    wait_for("the run makes its namespace", || {
        let made = bed.kubectl(&["get", "namespaces", "-l", OURS, "-o", "jsonpath={.items[*].metadata.name}"])?;
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
    let code = child.wait()?.code();
    expect(code == Some(130), format!("it ended with {code:?}"))?;
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
    let sweep = |arguments: &[&str]| -> Result<String, Failed> {
        output(Command::new(seaworthy()).arg("sweep").args(["--kubeconfig", &bed.kubeconfig()?]).args(arguments))
    };
    let said = sweep(&[])?;
    expect(said.contains("kept: expires"), format!("a run that may live was swept: {said}"))?;
    let id = namespace.trim_start_matches("seaworthy-").to_owned();
    sweep(&["--run", &id])?;
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
    output(Command::new(seaworthy()).args(["sweep", "--kubeconfig", &bed.kubeconfig()?, "--run", id]))?;
    nothing_is_left(bed)
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
            "jsonpath={.items[0].metadata.labels.seaworthy\\.dev/run}",
        ])?;
        output(Command::new(seaworthy()).args(["sweep", "--kubeconfig", &bed.kubeconfig()?, "--run", &id]))?;
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
