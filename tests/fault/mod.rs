//! The faults in `tests/faults/`, and what each must make the checks say.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use seaworthy::check::subject::listed;
use seaworthy::check::{Finding, Judged, Outcome, Severity};

/// A script that breaks a cluster, and what must be seen then.
pub(crate) struct Fault {
    /// The script's name.
    pub(crate) slug: String,
    /// The script.
    pub(crate) script: PathBuf,
    /// The cluster that it breaks.
    pub(crate) cluster: Cluster,
    /// The profile that sees it.
    pub(crate) profile: String,
    /// What must be seen.
    pub(crate) expected: Vec<Expected>,
    /// The checks that may say anything.
    pub(crate) any: BTreeSet<String>,
}

/// A cluster, as faults tell them apart.
#[derive(PartialEq, Eq)]
pub(crate) struct Cluster {
    /// How many nodes it has.
    pub(crate) nodes: usize,
    /// How many of them are of the control plane.
    pub(crate) control_planes: usize,
    /// Whether systemd is their init.
    pub(crate) systemd: bool,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes, {} of them control plane", self.nodes, self.control_planes)?;
        f.write_str(if self.systemd { ", under systemd" } else { "" })
    }
}

/// What one check must say.
pub(crate) struct Expected {
    /// The check's id.
    pub(crate) id: String,
    /// Its outcome.
    pub(crate) outcome: String,
    /// What a finding, or the reason why nothing was seen, must contain.
    pub(crate) text: String,
}

impl Fault {
    /// All faults, by name.
    pub(crate) fn all() -> Vec<Self> {
        Self::scripts().into_iter().map(Self::read).collect()
    }

    /// The scripts of all faults, by name.
    pub(crate) fn scripts() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
        let entries = std::fs::read_dir(&folder).expect("the faults are in tests/faults");
        let mut scripts: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
        // A script has no extension; a README and a linter's settings are not scripts.
        scripts.retain(|path| {
            path.is_file() && path.file_name().is_some_and(|name| !name.to_string_lossy().contains('.'))
        });
        scripts.sort();
        scripts
    }

    /// The fault of this name.
    pub(crate) fn named(slug: &str) -> Self {
        Self::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(slug))
    }

    /// The fault of a script, which is asked for what it says of itself.
    pub(crate) fn read(script: PathBuf) -> Self {
        let say = |what: &str| {
            let said = Command::new(&script).arg(what).output().expect("a fault is an executable script");
            assert!(said.status.success(), "{} {what}: {said:?}", script.display());
            String::from_utf8(said.stdout).expect("a script speaks UTF-8")
        };
        let slug = script.file_name().expect("a script has a name").to_string_lossy().into_owned();
        let mut fault = Self {
            cluster: cluster(&say("cluster")),
            profile: say("profile").trim().to_owned(),
            slug,
            expected: Vec::new(),
            any: BTreeSet::new(),
            script: script.clone(),
        };
        for line in say("expected").lines() {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                [id, "any"] => drop(fault.any.insert(id.to_owned())),
                [id, outcome, text] => {
                    fault.expected.push(Expected { id: id.into(), outcome: outcome.into(), text: text.into() });
                }
                _ => panic!("{}: expected what? {line:?}", fault.slug),
            }
        }
        assert!(!fault.expected.is_empty(), "{}: no check must see it", fault.slug);
        fault
    }

    /// What should have been seen and was not.
    pub(crate) fn missing(&self, judged: &[Judged]) -> Vec<String> {
        self.expected.iter().filter_map(|expected| expected.missing(judged)).collect()
    }

    /// The checks that are red other than those that the fault names.
    pub(crate) fn also_red(&self, judged: &[Judged]) -> Vec<String> {
        let listed = |id: &str| {
            self.any.contains("*") || self.any.contains(id) || self.expected.iter().any(|expected| expected.id == id)
        };
        let red =
            judged.iter().filter(|check| matches!(check.outcome, Outcome::Fail | Outcome::Error) && !listed(&check.id));
        red.map(|check| format!("{} is {}: {}", check.id, check.outcome, reported(check))).collect()
    }
}

impl Expected {
    fn missing(&self, judged: &[Judged]) -> Option<String> {
        let Some(check) = judged.iter().find(|check| check.id == self.id) else {
            return Some(format!("{} was not judged", self.id));
        };
        let reported = reported(check);
        let outcome = by_itself(check);
        if outcome.name() != self.outcome {
            return Some(format!("{} is {outcome} and should be {}: {reported}", self.id, self.outcome));
        }
        let named = reported.to_lowercase().contains(&self.text.to_lowercase());
        (!named).then(|| format!("{} does not name {:?}: {reported}", self.id, self.text))
    }
}

/// The outcome of a check if nothing followed from anything else.
fn by_itself(check: &Judged) -> Outcome {
    match check.outcome {
        // Recordings are judged, and faults are tried, with the gate at minor.
        Outcome::Blocked if check.findings.iter().any(|finding| finding.severity >= Severity::Minor) => Outcome::Fail,
        Outcome::Blocked => Outcome::Error,
        outcome => outcome,
    }
}

/// Everything that a check reports.
fn reported(check: &Judged) -> String {
    let findings = check.findings.iter().map(|f| {
        let Finding { subjects, expected, seen, evidence, impact, .. } = f;
        let impact = impact.as_deref().unwrap_or_default();
        format!("{}: expected {expected}; seen {seen} ({}); {impact}", listed(subjects), evidence.join(", "))
    });
    let unseen = check.unseen.iter().map(|unseen| format!("{}: {}", listed(&unseen.subjects), unseen.why));
    findings.chain(unseen).chain(check.reason.clone()).collect::<Vec<_>>().join(" | ")
}

/// `--nodes 4 --control-planes 3 --init systemd`, as the testbed takes it.
fn cluster(arguments: &str) -> Cluster {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let after = |flag: &str| words.get(words.iter().position(|word| *word == flag)? + 1).copied();
    let number = |flag: &str| after(flag)?.parse().ok();
    Cluster {
        nodes: number("--nodes").expect("a fault says how many nodes it needs"),
        control_planes: number("--control-planes").unwrap_or(1),
        systemd: after("--init") == Some("systemd"),
    }
}
