//! Breaks a real cluster in every way that `tests/faults/` has a script for, and requires that the checks see it.
//!
//! Runs only when `SEAWORTHY_BED` names a program that makes such a cluster (`up`, `down`, `kubeconfig`, `exec`, `kubectl`).
//! A fault for another cluster than the one that is up is ignored, with the reason. With `SEAWORTHY_RECORDINGS` set to a
//! folder, the recording of each run is written there: that is how `fixtures/faults` is made. `SEAWORTHY_NAMESPACE` names
//! an existing namespace for the probes, which saves each run the removal of its own.
//!
//! Trials with a `+` in their names break the cluster in two ways at once: the report must name both as root causes.
//!
//! What went wrong is in the first word of a failure: the fault was `missed`, the program `failed`, or a script could not
//! `apply` or `revert` the fault. `tests/testbed/run-faults` reads it, and runs all faults on several clusters at once.

#![expect(clippy::print_stdout, reason = "a test harness speaks on the standard output")]

#[expect(dead_code, reason = "a fault's script makes its objects itself, and knows its kubeconfig")]
mod bed;
#[expect(dead_code, reason = "each fault is read when its turn comes")]
mod fault;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs, io};

use bed::{Bed, output};
use fault::{Cluster, Fault};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use seaworthy::check::{Judged, Root};
use seaworthy::report::OutputFile;
use tempfile::TempDir;

/// The file name of a run's recording.
const RECORDING: &str = "recording.json.gz";
/// Pairs of faults that have nothing to do with each other. The second is taken back first: while it lasts, a cluster may not
/// be healthy.
const PAIRS: [(&str, &str); 10] = [
    ("aggregated-api-dead", "node-port-blocked-on-one-node"),
    ("anonymous-bound-to-view", "tcp-53-cut-on-one-node"),
    ("bootstrap-token-without-expiry", "kubelet-stopped-on-one-node"),
    ("closed-webhook-without-backend", "kubelet-missed-a-configuration-change"),
    ("kubelet-read-only-port-open", "coredns-scaled-to-zero"),
    ("crash-loop-in-kube-system", "kubeadm-config-of-an-older-version"),
    ("kube-proxy-hung-on-one-node", "support-may-impersonate"),
    ("one-way-firewall-between-nodes", "policy-binding-names-no-policy"),
    ("service-addresses-dropped-on-one-node", "two-default-storage-classes"),
    ("kubelet-blocked-from-the-control-plane", "cluster-info-with-credentials"),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One cluster is broken in one way at a time.
    arguments.test_threads = Some(1);
    let Some(bed) = Bed::named() else {
        println!("SEAWORTHY_BED is not set: no cluster is broken here");
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    let recordings = env::var_os("SEAWORTHY_RECORDINGS").map(PathBuf::from);
    let trials = Fault::scripts().into_iter().map(|script| {
        let (bed, recordings) = (bed.clone(), recordings.clone());
        let slug = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A script is asked only when its turn comes: two hundred take their time.
        Trial::ignorable_test(slug, move || try_fault(&Fault::read(script), &bed, recordings.as_deref()))
    });
    let pairs = PAIRS.map(|(one, other)| {
        let bed = bed.clone();
        Trial::ignorable_test(format!("{one}+{other}"), move || try_pair([one, other].map(Fault::named), &bed))
    });
    libtest_mimic::run(&arguments, trials.chain(pairs).collect()).exit_code()
}

fn try_fault(fault: &Fault, bed: &Bed, recordings: Option<&Path>) -> Result<Completion, Failed> {
    if let Some(why) = unfit(fault, bed)? {
        return Ok(Completion::ignored_with(why));
    }
    let mut clock = Clock::new();
    let broken = Broken::apply(fault, bed)?;
    clock.lap("apply");
    let seen = run(fault, bed).map_err(|failed| named("failed", &failed));
    clock.lap("run");
    // A cluster that stays broken spoils all that follows: this is reported first.
    broken.revert()?;
    clock.lap("revert");
    println!("{}: {}", fault.slug, clock.laps.join(", "));
    let Seen { checks, folder, .. } = seen?;
    let missing = fault.missing(&checks);
    if !missing.is_empty() {
        return Err(format!("missed: {}", missing.join("\n")).into());
    }
    // A fault often breaks more than the checks that exist for it look at: people read that.
    for line in fault.also_red(&checks) {
        println!("{}: also {line}", fault.slug);
    }
    if let Some(recordings) = recordings {
        keep(fault, &folder.path().join(RECORDING), recordings)?;
    }
    Ok(Completion::Completed)
}

/// Requires that the report of a cluster with two faults names both.
fn try_pair(pair: [Fault; 2], bed: &Bed) -> Result<Completion, Failed> {
    for fault in &pair {
        if let Some(why) = unfit(fault, bed)? {
            return Ok(Completion::ignored_with(why));
        }
    }
    let broken = [Broken::apply(&pair[0], bed)?, Broken::apply(&pair[1], bed)?];
    let seen = run(&pair[0], bed).map_err(|failed| named("failed", &failed));
    for broken in broken.into_iter().rev() {
        broken.revert()?;
    }
    let roots = seen?.roots;
    let hidden = pair.iter().map(|fault| &fault.expected[0].id).filter(|id| !roots.contains(id));
    match hidden.map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(Completion::Completed),
        ref hidden => Err(format!("missed: {} behind {}", hidden.join(" "), roots.join(" ")).into()),
    }
}

/// Why a fault cannot be tried on this cluster, if it cannot.
fn unfit(fault: &Fault, bed: &Bed) -> Result<Option<String>, Failed> {
    let count =
        |selector| Ok::<_, Failed>(bed.kubectl(&["get", "nodes", "-o", "name", "-l", selector])?.lines().count());
    let mut is_booted = Command::new(&bed.program);
    is_booted.args(["exec", "n1", "test", "-d", "/run/systemd/system"]);
    let cluster = Cluster {
        nodes: count("")?,
        control_planes: count("node-role.kubernetes.io/control-plane")?,
        systemd: is_booted.output()?.status.success(),
    };
    // Under systemd everything is as it is without.
    if fault.cluster != (Cluster { systemd: cluster.systemd && fault.cluster.systemd, ..cluster }) {
        return Ok(Some(format!("needs a cluster of {}", fault.cluster)));
    }
    Ok(None)
}

/// How long each step took.
struct Clock {
    since: Instant,
    laps: Vec<String>,
}

impl Clock {
    fn new() -> Self {
        Self { since: Instant::now(), laps: Vec::new() }
    }

    fn lap(&mut self, step: &str) {
        self.laps.push(format!("{step} {:.1} s", self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }
}

/// A failure whose first word says what went wrong.
fn named(what: &str, failed: &Failed) -> Failed {
    format!("{what}: {}", failed.message().unwrap_or_default()).into()
}

/// A broken cluster, which is reverted whatever happens.
struct Broken<'a> {
    fault: &'a Fault,
    bed: &'a Bed,
    reverted: bool,
}

impl<'a> Broken<'a> {
    fn apply(fault: &'a Fault, bed: &'a Bed) -> Result<Self, Failed> {
        let broken = Self { fault, bed, reverted: false };
        broken.script("apply").map(|()| broken)
    }

    fn revert(mut self) -> Result<(), Failed> {
        self.reverted = true;
        self.script("revert")
    }

    fn script(&self, what: &str) -> Result<(), Failed> {
        let mut command = Command::new(&self.fault.script);
        output(command.arg(what).env("BED", &self.bed.program)).map(drop).map_err(|failed| named(what, &failed))
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if !self.reverted
            && let Err(failed) = self.script("revert")
        {
            println!("{}: {}", self.fault.slug, failed.message().unwrap_or_default());
        }
    }
}

/// What a run saw.
struct Seen {
    checks: Vec<Judged>,
    /// The checks that name root causes.
    roots: Vec<String>,
    /// Where the recording is.
    folder: TempDir,
}

/// Runs every check as an administrator would, and reads the verdicts.
fn run(fault: &Fault, bed: &Bed) -> Result<Seen, Failed> {
    let folder = tempfile::tempdir()?;
    let verdicts = folder.path().join("verdicts.json");
    let ask = |what: &str| output(Command::new(&fault.script).arg(what).env("BED", &bed.program));
    let (kubeconfig, settle, arguments) = (ask("kubeconfig")?, ask("settle")?, ask("arguments")?);
    let namespace = if ask("namespace")?.trim() == "own" { None } else { env::var_os("SEAWORTHY_NAMESPACE") };
    let ran = Command::new(bed::seaworthy())
        .args(["run", "--profile", &fault.profile, "--kubeconfig", kubeconfig.trim()])
        .args(Some(settle.trim()).filter(|time| !time.is_empty()).iter().flat_map(|time| ["--settle", time]))
        .arg("--json")
        .arg(&verdicts)
        .arg("--record")
        .arg(folder.path().join(RECORDING))
        .args(namespace.iter().flat_map(|name| [OsStr::new("--namespace"), name]))
        .args(arguments.lines())
        .output()?;
    let code = ran.status.code();
    if !matches!(code, Some(0 | 1 | 3)) || !verdicts.exists() {
        return Err(format!("seaworthy ended with {code:?}: {}", String::from_utf8_lossy(&ran.stderr)).into());
    }
    let document: serde_json::Value = serde_json::from_slice(&fs::read(&verdicts)?)?;
    let checks = serde_json::from_value(document["checks"].clone())?;
    let causes: Vec<Root> = serde_json::from_value(document["causes"].clone())?;
    Ok(Seen { checks, roots: causes.into_iter().map(|root| root.check).collect(), folder })
}

/// Writes the recording where recordings are kept.
fn keep(fault: &Fault, recording: &Path, recordings: &Path) -> Result<(), Failed> {
    let mut file = OutputFile::create(&recordings.join(format!("{}.json.gz", fault.slug)))?;
    file.write(|mut to| io::copy(&mut fs::File::open(recording)?, &mut to).map(drop))?;
    Ok(file.publish()?)
}
