//! Documents that state what the code is.
//!
//! `docs/checks.md` is what `seaworthy explain` shows of all checks. Its anchors are the ids, in lower case, for links.
//! `SNAPSHOTS=overwrite cargo test --test docs` writes it again, as `just docs` does.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use seaworthy::compliance;
use serde::Deserialize;
use snapbox::cmd::{Command, cargo_bin};
use snapbox::{Assert, Data};

const INTRODUCTION: &str = "\
# Checks

What each check asserts, why it matters, and how to fix what it finds. `seaworthy explain ID` prints the same.
Under _Follows from_ are the checks whose findings about the same place explain those of a check, or why it could not be checked:
reports name these first.

This page is generated from the heads of the files in `suites/`: `just docs` writes it again.";

const COVERAGE: &str = "\
# Compliance

Which recommendations and controls of published catalogues the checks cover, and which they do not. Only ids are here: their texts have
their own licences. `seaworthy explain ID` shows those of a check, and reports that have a place for them carry them.

A check covers an id if it finds a cluster that does not do what the id asks for. Where it would find only a part of those clusters, or
something related, the id is not covered. A pass is evidence for the time of the run, never a certificate. Files on the nodes, audit
logs, admission plugins apart from NodeRestriction and PodSecurity, and what people do, are mostly not covered.

This page is generated from `suites/compliance.yaml`: `just docs` writes it again.
";

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
    builds_on: Vec<String>,
    blocked_by: Vec<String>,
    facts: Vec<Fact>,
    access: Vec<String>,
    permissions: Vec<String>,
    maps: BTreeMap<String, Vec<String>>,
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
        let Self { id, name, suite, severity, title, why, fix, source, .. } = self;
        let Self { builds_on, blocked_by, facts, access, permissions, .. } = self;
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
        }?;
        if !self.maps.is_empty() {
            writeln!(f, "\n#### Covers\n")?;
            for (framework, ids) in &self.maps {
                writeln!(f, "- [{framework}](compliance.md): {}", ids.join(", "))?;
            }
        }
        if builds_on.is_empty() && blocked_by.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n#### Follows from\n")?;
        for (what, ids) in [("findings", builds_on), ("errors", blocked_by)] {
            if !ids.is_empty() {
                let links: Vec<_> = ids.iter().map(|id| format!("[{id}](#{})", id.to_lowercase())).collect();
                writeln!(f, "- {what}: {}", links.join(", "))?;
            }
        }
        Ok(())
    }
}

fn page(checks: &[Check]) -> String {
    let mut suites: Vec<&str> = checks.iter().map(|check| check.suite.as_str()).collect();
    suites.dedup();
    let (mut contents, mut sections) = (String::new(), String::new());
    for suite in suites {
        let checks = || checks.iter().filter(|check| check.suite == suite);
        contents.extend(["\n### ", suite, "\n\n| check | severity | asserts |\n|---|---|---|\n"]);
        sections.extend(["\n## Suite ", suite, "\n"]);
        for check in checks() {
            let title = check.title.replace('|', "\\|");
            contents.extend([format!("| [{}](#{}) | {} | {title} |\n", check.id, check.anchor(), check.severity)]);
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

/// What the checks cover of published catalogues, and what they do not.
fn coverage() -> String {
    let mut text = COVERAGE.to_owned();
    for (key, framework) in compliance::frameworks() {
        let sections: Vec<_> = framework.sections().collect();
        let ids = || sections.iter().flat_map(|(_, ids)| ids);
        let covered = ids().filter(|id| !compliance::covering(key, id).is_empty()).count();
        let name = &framework.name;
        text.extend([format!("\n## {name}\n\nKey `{key}`. {covered} of {} ids are covered.\n", ids().count())]);
        text += "\n| id | checks |\n|---|---|\n";
        for id in ids() {
            let checks = compliance::covering(key, id);
            if !checks.is_empty() {
                let links: Vec<_> =
                    checks.iter().map(|check| format!("[{check}](checks.md#{})", check.to_lowercase())).collect();
                text.extend([format!("| {id} | {} |\n", links.join(", "))]);
            }
        }
        text += "\nNot covered:\n\n| section | ids |\n|---|---|\n";
        for (section, ids) in &sections {
            let left: Vec<_> = ids.iter().filter(|id| compliance::covering(key, id).is_empty()).cloned().collect();
            if !left.is_empty() {
                text.extend([format!("| {section} | {} |\n", left.join(", "))]);
            }
        }
    }
    text
}

#[test]
fn the_page_of_compliance_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compliance.md");
    Assert::new().action_env("SNAPSHOTS").eq(coverage(), Data::read_from(path.as_ref(), None).raw());
}

/// The sources below a folder, joined.
fn sources(folder: &str) -> String {
    let mut left = vec![PathBuf::from(folder)];
    let mut text = String::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the package can be read");
            left.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).expect("a source can be read");
        }
    }
    text
}

#[test]
fn the_parsers_that_the_security_policy_names_are_dependencies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let policy = fs::read_to_string(root.join("SECURITY.md")).expect("there is a security policy");
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("there is a lock file");
    let (_, table) = policy.split_once("| parsed bytes |").expect("there is a table of parsers");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.flat_map(|row| row.trim_matches('|').split('|').skip(1)).flat_map(|cell| cell.split(','));
    let names: Vec<&str> = cells.filter_map(|name| name.split_whitespace().next()).collect();
    for name in &names {
        assert!(lock.contains(&format!("name = \"{name}\"\n")), "SECURITY.md names {name}, which Cargo.lock does not");
    }
    assert!(names.len() > 30, "the table of parsers names {} crates", names.len());
}

/// Each promise names tests, or files, in the last column of its row.
#[test]
fn the_tests_that_the_security_policy_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let policy = fs::read_to_string(root.join("SECURITY.md")).expect("there is a security policy");
    let code =
        sources(concat!(env!("CARGO_MANIFEST_DIR"), "/src")) + &sources(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    let mut promises = 0;
    for row in policy.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| it never")) {
        let tested = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        for name in tested.split('`').skip(1).step_by(2) {
            let exists =
                if name.contains('/') { root.join(name).exists() } else { code.contains(&format!("fn {name}(")) };
            assert!(exists, "SECURITY.md names {name}, which does not exist");
        }
        promises += 1;
    }
    assert!(promises > 5, "the table of promises has {promises} rows");
}
