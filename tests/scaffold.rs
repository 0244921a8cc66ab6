//! `scripts/new-check.sh` in a copy of the folders that it writes to. That the result compiles, and fails for the right
//! reason, takes a build: `scripts/check.sh scaffold` proves it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

use tempfile::TempDir;

struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        for folder in ["scripts", "suites", "tests/faults"] {
            copied(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &copy.path(folder))
                .expect("a folder is copied");
        }
        copy
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn new_check(&self, arguments: &[&str]) -> Output {
        Command::new(self.path("scripts/new-check.sh")).args(arguments).output().expect("the script is executable")
    }
}

fn copied(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The ids of the checks of a suite.
fn ids(copy: &Copy, suite: &str) -> BTreeSet<String> {
    let files = fs::read_dir(copy.path(suite)).expect("a suite is a folder");
    let texts = files.map(|file| fs::read_to_string(file.expect("a folder can be read").path()));
    let id = |text: io::Result<String>| {
        let text = text.expect("a source can be read");
        Some(text.split_once("crate::check!(\"")?.1.split('"').next()?.to_owned())
    };
    texts.filter_map(id).collect()
}

#[test]
fn a_new_check_has_a_file_a_failing_test_an_entry_and_a_fault() {
    let copy = Copy::new();
    let before = ids(&copy, "suites/cloud_identity");
    let made = copy.new_check(&["sample-check", "cloud-identity"]);
    assert!(made.status.success(), "{made:?}");
    let after = ids(&copy, "suites/cloud_identity");
    let id = after.last().expect("there is a new one");
    assert!(id.starts_with("CI-") && !before.contains(id) && after.len() == before.len() + 1, "{after:?}");

    let check = copy.text("suites/cloud_identity/sample_check.rs");
    assert!(check.contains(&format!("crate::check!(\"{id}\", \"sample-check\", Minor, judge);")), "{check}");
    assert!(check.contains(&format!("{id} finds nothing yet: write its judge")), "{check}");
    let list = copy.text("suites/cloud_identity/mod.rs");
    assert_eq!(list.matches("sample_check").count(), 2, "{list}");

    let expected = Command::new(copy.path("tests/faults/sample-check-broken")).arg("expected").output();
    let expected = expected.expect("a fault is executable");
    assert_eq!(String::from_utf8_lossy(&expected.stdout), format!("{id} fail what this node shows instead\n"));
}

#[test]
fn an_id_that_was_taken_away_is_not_used_again() {
    let copy = Copy::new();
    let retired = copy.text("suites/retired-ids") + "CI-07\n";
    fs::write(copy.path("suites/retired-ids"), retired).expect("a file can be written");
    assert!(copy.new_check(&["sample-check", "cloud-identity"]).status.success());
    assert!(copy.text("suites/cloud_identity/sample_check.rs").contains("crate::check!(\"CI-08\""));
}

#[test]
fn what_exists_is_not_overwritten_and_what_is_unknown_is_refused() {
    let copy = Copy::new();
    let name = |name: &str| format!("a name is of lower-case words with hyphens between them, not {name}\n");
    for (arguments, why) in [
        (["Sample", "cloud-identity"], name("Sample")),
        (["instance-metadata", "cloud-identity"], "there is a check of that name: instance-metadata\n".into()),
    ] {
        let refused = copy.new_check(&arguments);
        assert_eq!((refused.status.code(), String::from_utf8_lossy(&refused.stderr).into_owned()), (Some(2), why));
    }
    let unknown = copy.new_check(&["sample-check", "clouds"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).starts_with("there is no suite clouds: "), "{unknown:?}");
    let incomplete = copy.new_check(&["sample-check"]);
    let usage = String::from_utf8_lossy(&incomplete.stderr).into_owned();
    assert!(incomplete.status.code() == Some(2) && usage.contains("cloud-identity"), "{usage}");
    fs::write(copy.path("tests/faults/sample-check-broken"), "mine").expect("a file can be written");
    assert_eq!(copy.new_check(&["sample-check", "cloud-identity"]).status.code(), Some(2));
    assert_eq!(copy.text("tests/faults/sample-check-broken"), "mine");
}
