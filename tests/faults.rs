//! Breaks a real cluster in every way that `tests/faults/` knows, and looks whether the checks see it.
//!
//! Runs only when `SEAWORTHY_BED` names a program that makes such a cluster (`up`, `down`, `kubeconfig`, `exec`, `kubectl`).
//! A fault for another cluster than the one that is up is ignored, with the reason. With `SEAWORTHY_RECORDINGS` set to a
//! folder, what each run saw is written there, cut to what the fault's checks need: that is how `fixtures/faults` is made.
//! `SEAWORTHY_NAMESPACE` names an existing namespace for the probes, which saves the removal of one of each run's own.

#![expect(clippy::print_stdout, reason = "a test harness speaks on the standard output")]

#[expect(dead_code, reason = "a fault's script makes its objects itself, and knows its kubeconfig")]
mod bed;
#[expect(dead_code, reason = "each fault is read when its turn comes")]
mod fault;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use bed::{Bed, output};
use fault::{Cluster, Fault};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use seaworthy::check::Judged;
use seaworthy::fact::recording::Recording;
use seaworthy::run::Plan;
use seaworthy::suites;

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
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn try_fault(fault: &Fault, bed: &Bed, recordings: Option<&Path>) -> Result<Completion, Failed> {
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
        return Ok(Completion::ignored_with(format!("needs a cluster of {}", fault.cluster)));
    }
    let broken = Broken::apply(fault, bed)?;
    let seen = run(fault, bed, recordings);
    let mended = broken.revert();
    let (judged, recording) = seen?;
    mended?;
    let missing = fault.missing(&judged);
    if !missing.is_empty() {
        return Err(missing.join("\n").into());
    }
    // A fault often breaks more than the checks that exist for it look at: that is told, and read by people.
    for line in fault.also_red(&judged) {
        println!("{}: also {line}", fault.slug);
    }
    if let (Some(recording), Some(folder)) = (recording, recordings) {
        keep(fault, recording, folder)?;
    }
    Ok(Completion::Completed)
}

/// A broken cluster, which is mended whatever happens.
struct Broken<'a> {
    fault: &'a Fault,
    bed: &'a Bed,
    mended: bool,
}

impl<'a> Broken<'a> {
    fn apply(fault: &'a Fault, bed: &'a Bed) -> Result<Self, Failed> {
        let broken = Self { fault, bed, mended: false };
        output(Command::new(&fault.script).arg("apply").env("BED", &bed.program))?;
        Ok(broken)
    }

    fn revert(mut self) -> Result<(), Failed> {
        self.mended = true;
        output(Command::new(&self.fault.script).arg("revert").env("BED", &self.bed.program)).map(drop)
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if !self.mended {
            let _ = Command::new(&self.fault.script).arg("revert").env("BED", &self.bed.program).status();
        }
    }
}

/// Runs every check as an administrator would, and reads the verdicts.
fn run(fault: &Fault, bed: &Bed, recordings: Option<&Path>) -> Result<(Vec<Judged>, Option<PathBuf>), Failed> {
    let folder = tempfile::tempdir()?;
    let (verdicts, recording) = (folder.path().join("verdicts.json"), folder.path().join("recording.json"));
    let ask = |what: &str| output(Command::new(&fault.script).arg(what).env("BED", &bed.program));
    let (kubeconfig, arguments) = (ask("kubeconfig")?, ask("arguments")?);
    let ran = Command::new(bed::seaworthy())
        .args(["run", "--profile", &fault.profile, "--kubeconfig", kubeconfig.trim(), "--json"])
        .arg(&verdicts)
        .arg("--record")
        .arg(&recording)
        .args(env::var_os("SEAWORTHY_NAMESPACE").iter().flat_map(|name| [OsStr::new("--namespace"), name]))
        .args(arguments.lines())
        .output()?;
    let code = ran.status.code();
    if !matches!(code, Some(0 | 1 | 3)) || !verdicts.exists() {
        return Err(format!("seaworthy ended with {code:?}: {}", String::from_utf8_lossy(&ran.stderr)).into());
    }
    let document: serde_json::Value = serde_json::from_slice(&fs::read(&verdicts)?)?;
    let judged = serde_json::from_value(document["checks"].clone())?;
    let kept = recordings.is_some().then(|| folder.keep().join("recording.json"));
    Ok((judged, kept))
}

/// Cuts a recording to what the fault's own checks need, and puts it among the fixtures.
fn keep(fault: &Fault, recording: PathBuf, folder: &Path) -> Result<(), Failed> {
    let mut cut = Recording::read(&recording)?;
    let checks: Vec<_> = fault.expected.iter().filter_map(|expected| suites::check(&expected.id)).collect();
    cut.checks = checks.iter().map(|check| check.id.to_owned()).collect();
    let needed = Plan::new(checks).facts.nodes();
    cut.retain(|name| needed.contains_key(name));
    #[expect(clippy::disallowed_methods, reason = "a fixture is under version control")]
    let mut file = fs::File::create(folder.join(format!("{}.json.gz", fault.slug)))?;
    cut.write(&mut file, true)?;
    fs::remove_dir_all(recording.parent().unwrap_or(&recording))?;
    Ok(())
}
