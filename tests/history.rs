//! What is accepted and what is known, from outside: waivers, `accept`, `--baseline` and `diff`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use snapbox::cmd::{Command, cargo_bin};

/// A folder in which commands run.
struct Place(tempfile::TempDir);

/// What a command ended with.
struct Done {
    code: i32,
    text: String,
    said: String,
}

fn recording(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).display().to_string()
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let output = Command::new(cargo_bin!("seaworthy")).current_dir(self.0.path()).args(arguments).output().unwrap();
        Done {
            code: output.status.code().unwrap(),
            text: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn verdicts(&self, arguments: &[&str]) -> (i32, Value) {
        let done = self.run(&[arguments, &["-o", "json"]].concat());
        (done.code, serde_json::from_str(&done.text).unwrap_or_else(|e| panic!("{e}: {}", done.said)))
    }
}

fn outcome<'a>(verdicts: &'a Value, id: &str) -> &'a str {
    let checks = verdicts["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).map_or("", |check| check["outcome"].as_str().unwrap())
}

const TERMS: [&str; 6] = ["--reason", "known: \"planned\"", "--owner", "ops", "--expires", "90d"];

#[test]
fn what_is_accepted_does_not_count_until_it_changes() {
    let place = Place::new();
    assert_eq!(place.run(&["run", "--example", "--events", "run.jsonl"]).code, 1);
    let accept = place.run(&[&["accept", "--from", "run.jsonl", "--fingerprint"], &TERMS[..]].concat());
    assert_eq!(accept.code, 0, "{}", accept.said);
    assert!(
        accept.said.contains("waivers.yaml: ") && accept.said.contains(" waivers added, until "),
        "{}",
        accept.said
    );
    let (code, verdicts) = place.verdicts(&["run", "--example", "--waivers", "waivers.yaml"]);
    assert_eq!((code, &verdicts["counts"]["fail"], &verdicts["counts"]["blocked"]), (0, &0.into(), &0.into()));
    assert_eq!(
        (outcome(&verdicts, "AA-18"), outcome(&verdicts, "AA-17")),
        ("waived", "waived"),
        "one follows from the other"
    );
    assert_eq!((outcome(&verdicts, "WV-01"), &verdicts["causes"]), ("pass", &Value::Array(Vec::new())));
    let again = place.run(&[&["accept", "--from", "run.jsonl", "--fingerprint"], &TERMS[..]].concat());
    assert_eq!(again.code, 2, "{}", again.said);
    assert!(again.said.contains("waivers.yaml: it accepts all "), "{}", again.said);
    // Another fingerprint is another finding; the waiver that matches nothing is one, too.
    let file = place.path("waivers.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = regex::Regex::new("fingerprint: \"[0-9a-f]{32}\"")
        .unwrap()
        .replace_all(&text, "fingerprint: \"0\"")
        .into_owned();
    fs::write(&file, changed).unwrap();
    let (code, verdicts) = place.verdicts(&["run", "--example", "--waivers", "waivers.yaml"]);
    assert_eq!((code, outcome(&verdicts, "AA-18"), outcome(&verdicts, "WV-01")), (1, "fail", "fail"));
}

#[test]
fn every_format_shows_what_is_accepted() {
    let place = Place::new();
    place.run(&["run", "--example", "--events", "run.jsonl"]);
    place.run(&[&["accept", "--from", "run.jsonl", "--check", "DI-06"], &TERMS[..]].concat());
    let shown = |format: &str| place.run(&["run", "--example", "--waivers", "waivers.yaml", "-o", format]).text;
    assert!(shown("text").contains("1 accepted or known finding of DI-06: -v lists them"), "{}", shown("text"));
    assert!(
        place
            .run(&["run", "--example", "--waivers", "waivers.yaml", "-v"])
            .text
            .contains("known: \"planned\" (ops): Secret")
    );
    assert!(shown("junit").contains("message=\"waived until "));
    let tap = shown("tap");
    let point = tap.lines().find(|line| line.contains(" DI-06 token-hygiene: ")).unwrap();
    assert!(point.starts_with("ok ") && point.contains(" # SKIP waived until "), "{point}");
    let sarif: Value = serde_json::from_str(&shown("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let suppressed: Vec<_> = results.iter().filter(|result| result.get("suppressions").is_some()).collect();
    assert_eq!((suppressed.len(), &suppressed[0]["ruleId"]), (1, &"DI-06".into()));
    let markdown = shown("markdown");
    assert!(markdown.contains(" waived |") && !markdown.contains("DI-06"), "{markdown}");
    assert!(!shown("github").contains("DI-06"));
    assert!(shown("csv").lines().any(|line| line.starts_with("DI-06,token-hygiene,") && line.contains("waived until")));
}

#[test]
fn a_file_of_waivers_with_a_mistake_is_one_error_with_its_place() {
    let place = Place::new();
    fs::write(
        place.path("w.yaml"),
        "waivers:\n- check: PK-08\n  subject: '*'\n  reason: r\n  owner: o\n  expires: 2999-01-01\n",
    )
    .unwrap();
    let done = place.run(&["run", "--example", "--waivers", "w.yaml", "--junit", "r.xml"]);
    assert_eq!((done.code, done.said.lines().count()), (2, 1), "{}", done.said);
    assert!(
        done.said.contains("w.yaml:6:12: not a file of waivers: expires is 2999-01-01: a waiver may last until "),
        "{}",
        done.said
    );
    assert!(!place.path("r.xml").exists());
    let done =
        place.run(&[&["accept", "--from", &recording("example.json.gz"), "--check", "KL-01"], &TERMS[..]].concat());
    assert_eq!(done.code, 2);
    assert!(done.said.contains("no finding matches: ") && !place.path("waivers.yaml").exists(), "{}", done.said);
}

#[test]
fn a_baseline_leaves_what_is_new() {
    let place = Place::new();
    place.run(&["run", "--example", "--json", "old.json", "--events", "old.jsonl"]);
    for baseline in ["old.json", "old.jsonl", &recording("example.json.gz")] {
        let (code, verdicts) = place.verdicts(&["run", "--example", "--baseline", baseline]);
        assert_eq!((code, outcome(&verdicts, "DI-06")), (0, "waived"), "{baseline}");
    }
    let fault = recording("faults/anonymous-bound-to-view.json.gz");
    let (code, verdicts) = place.verdicts(&["judge", &recording("example.json.gz"), "--baseline", &fault]);
    assert_eq!((code, outcome(&verdicts, "DI-06")), (1, "fail"), "the other run did not have it");
    let broken = place.path("broken");
    for (text, message) in
        [("{}", "not an event of seaworthy"), ("hello", "not an event of seaworthy"), ("", "it holds no events")]
    {
        fs::write(&broken, text).unwrap();
        let done = place.run(&["run", "--example", "--baseline", "broken"]);
        assert_eq!((done.code, done.said.lines().count()), (2, 1), "{}", done.said);
        assert!(
            done.said.contains(message) && done.said.contains("what --record, --events or --json wrote"),
            "{}",
            done.said
        );
    }
}

#[test]
fn a_baseline_of_another_cluster_is_refused() {
    let place = Place::new();
    place.run(&["run", "--example", "--json", "old.json"]);
    let other = fs::read_to_string(place.path("old.json"))
        .unwrap()
        .replace("https://10.77.0.11:6443", "https://other.test:6443");
    fs::write(place.path("other.json"), other).unwrap();
    let done = place.run(&["run", "--example", "--baseline", "other.json"]);
    assert_eq!(done.code, 2, "{}", done.said);
    assert!(
        done.said.contains("other.json is a run of ") && done.said.contains("(https://other.test:6443)"),
        "{}",
        done.said
    );
    assert_eq!(place.run(&["run", "--example", "--baseline", "other.json", "--force"]).code, 0);
    assert_eq!(place.run(&["diff", "old.json", "other.json"]).code, 2);
    assert_eq!(place.run(&["diff", "old.json", "other.json", "--force"]).code, 0);
}

#[test]
fn a_baseline_that_was_cut_off_is_inconclusive() {
    let place = Place::new();
    place.run(&["run", "--example", "--events", "old.jsonl"]);
    let text = fs::read_to_string(place.path("old.jsonl")).unwrap();
    let cut: Vec<&str> = text.lines().filter(|line| !line.contains("\"run-finished\"")).collect();
    fs::write(place.path("cut.jsonl"), cut.join("\n") + "\n{\"event\":\"check-ju").unwrap();
    let done = place.run(&["run", "--example", "--baseline", "cut.jsonl"]);
    assert_eq!(done.code, 3, "{}", done.said);
    assert!(done.said.contains("cut.jsonl: that run was cut off before its end"), "{}", done.said);
}

#[test]
fn a_diff_shows_what_is_new_and_what_is_gone() {
    let place = Place::new();
    let (healthy, fault) =
        (recording("healthy/three-nodes.json.gz"), recording("faults/anonymous-bound-to-view.json.gz"));
    let done = place.run(&["diff", &healthy, &fault]);
    assert_eq!(done.code, 1, "{}", done.said);
    assert!(done.text.contains("NEW  AA-18  critical"), "{}", done.text);
    let back: Value = serde_json::from_str(&place.run(&["diff", &fault, &healthy, "-o", "json"]).text).unwrap();
    assert!(back["gone"].as_array().unwrap().iter().any(|entry| entry["check"] == "AA-18"), "{back}");
    assert!(back["new"].as_array().unwrap().iter().all(|entry| entry["check"] != "AA-18"));
    assert!(!back["incomparable"].as_object().unwrap().is_empty(), "one of the profiles skips checks");
    let same = place.run(&["diff", &fault, &fault, "-o", "markdown"]);
    assert!(same.code == 0 && same.text.starts_with("## 0 new, 0 with another severity, 0 gone, "), "{}", same.text);
}

#[test]
fn a_check_that_was_not_completed_is_not_fixed() {
    let place = Place::new();
    let example = recording("example.json.gz");
    place.run(&["judge", &example, "--json", "old.json"]);
    place.run(&["judge", &example, "--skip", "DI-06", "--json", "new.json"]);
    let diff: Value = serde_json::from_str(&place.run(&["diff", "old.json", "new.json", "-o", "json"]).text).unwrap();
    assert_eq!(
        (&diff["gone"], &diff["incomparable"]["DI-06"]),
        (&Value::Array(Vec::new()), &"it did not run in the new run".into())
    );
}
