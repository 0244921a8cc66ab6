//! `docs/checks.md` is what `seaworthy explain` shows of all checks. Its anchors are the ids, in lower case, for links.
//!
//! `SNAPSHOTS=overwrite cargo test --test docs` writes it again, as `just docs` does.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Deserialize;
use snapbox::cmd::{Command, cargo_bin};
use snapbox::{Assert, Data};

const INTRODUCTION: &str = "\
# Checks

What each check asserts, why it matters, and how to fix what it finds. `seaworthy explain ID` prints the same.

This page is generated from the heads of the files in `suites/`: `just docs` writes it again.";

/// A check, as `seaworthy explain --output json` describes it.
#[derive(Deserialize)]
struct Check {
    id: String,
    name: String,
    suite: String,
    severity: String,
    title: String,
    why: String,
    fix: String,
    source: String,
    facts: Vec<Fact>,
    access: Vec<String>,
    permissions: Vec<String>,
}

#[derive(Deserialize)]
struct Fact {
    name: String,
}

impl Check {
    fn anchor(&self) -> String {
        self.id.to_lowercase()
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { id, name, suite, severity, title, why, fix, source, facts, access, permissions } = self;
        let code = |words: &[String]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let facts: Vec<_> = facts.iter().map(|fact| fact.name.clone()).collect();
        writeln!(f, "\n<a id=\"{}\"></a>\n\n### {id}: {title}\n", self.anchor())?;
        writeln!(f, "`{name}`, suite {suite}, severity {severity}")?;
        for (heading, text) in [("Why", why), ("Fix", fix), ("Source", source)] {
            writeln!(f, "\n#### {heading}\n\n{text}")?;
        }
        writeln!(f, "\n#### Needs\n")?;
        writeln!(f, "- access: {}\n- facts: {}", code(access), code(&facts))?;
        match permissions.as_slice() {
            [] => writeln!(f, "- permissions: none beyond those of every authenticated user"),
            some => writeln!(f, "- permissions: {}", code(some)),
        }
    }
}

fn page(checks: &[Check]) -> String {
    let mut suites: Vec<&str> = checks.iter().map(|check| check.suite.as_str()).collect();
    suites.dedup();
    let (mut contents, mut sections) = (String::new(), String::new());
    for suite in suites {
        let checks = || checks.iter().filter(|check| check.suite == suite);
        contents += &format!("\n### {suite}\n\n| check | severity | asserts |\n|---|---|---|\n");
        sections += &format!("\n## Suite {suite}\n");
        for check in checks() {
            let title = check.title.replace('|', "\\|");
            contents += &format!("| [{}](#{}) | {} | {title} |\n", check.id, check.anchor(), check.severity);
            sections += &check.to_string();
        }
    }
    format!("{INTRODUCTION}\n{contents}{sections}")
}

#[test]
fn the_page_of_checks_is_current() {
    let explained = Command::new(cargo_bin!("seaworthy")).args(["explain", "*", "--output", "json"]).assert().success();
    let checks: Vec<Check> =
        serde_json::from_slice(&explained.get_output().stdout).expect("the checks are explained as JSON");
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for check in &checks {
        *ids.entry(&check.id).or_default() += 1;
    }
    assert!(!ids.is_empty() && ids.values().all(|count| *count == 1), "an anchor for each check: {ids:?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md");
    Assert::new().action_env("SNAPSHOTS").eq(page(&checks), Data::read_from(path.as_ref(), None).raw());
}
