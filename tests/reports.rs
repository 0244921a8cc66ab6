//! Every report format on the recording that comes with the program: golden samples, schemas, and that replaying and
//! judging again give the same.
//!
//! `SNAPSHOTS=overwrite cargo test --test reports` writes the samples again.

mod xsd;

use std::fs;
use std::path::{Path, PathBuf};

use seaworthy::check::Check;
use seaworthy::event::Events;
use seaworthy::recording::Recording;
use seaworthy::report::{Progress, Reports, Wanted};
use seaworthy::run::{ExitCode, Run, run};
use seaworthy::suites;
use serde_json::Value;
use snapbox::cmd::{Command, cargo_bin};
use snapbox::{Assert, Data, Redactions};

fn seaworthy() -> Command {
    // Neither the developer's terminal nor a CI system decides what is compared.
    Command::new(cargo_bin!("seaworthy")).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sample(name: &str) -> PathBuf {
    root().join("reports").join(name)
}

fn assert_sample(name: &str, text: &str) {
    let mut redactions = Redactions::new();
    redactions.insert("[VERSION]", env!("CARGO_PKG_VERSION")).unwrap();
    let assert = Assert::new().action_env("SNAPSHOTS").redact_with(redactions).normalize_paths(false);
    assert.eq(without_times(text), Data::read_from(&sample(name), None));
}

/// The text with zero for everything that was measured.
fn without_times(text: &str) -> String {
    let patterns = [
        (r#""(at|elapsed)_ms":\d+"#, r#""${1}_ms":0"#),
        (r#" time="[0-9.]+""#, r#" time="0""#),
        (r" in [0-9.]+ (ms|s):", " in 0 s:"),
        (r#""(stop|duration)": \d+"#, r#""${1}": 0"#),
        (r"(?m)^(seaworthy_run_duration_seconds) .*$", "$1 0"),
    ];
    patterns.iter().fold(text.to_owned(), |text, (pattern, with)| {
        regex::Regex::new(pattern).unwrap().replace_all(&text, *with).into_owned()
    })
}

struct Example {
    directory: tempfile::TempDir,
    text: String,
    code: i32,
}

impl Example {
    fn new(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = seaworthy().current_dir(directory.path()).args(["run", "--example"]).args(flags).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        Self { directory, text, code: output.status.code().unwrap() }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }
}

#[test]
fn the_text_is_the_sample() {
    assert_sample("sample.txt", &Example::new(&[]).text);
}

#[test]
fn the_verbose_text_is_the_sample() {
    assert_sample("sample.verbose.txt", &Example::new(&["--verbose"]).text);
}

#[test]
fn the_files_are_the_samples() {
    let example = Example::new(&["--junit", "r.xml", "--json", "r.json", "--events", "r.jsonl", "--output", "json"]);
    assert_sample("sample.junit.xml", &example.read("r.xml"));
    assert_sample("sample.verdicts.json", &example.read("r.json"));
    assert_sample("sample.events.jsonl", &example.read("r.jsonl"));
    assert_eq!(example.text, example.read("r.json"), "the file and the standard output are the same");
    let verdicts: Value = serde_json::from_str(&example.text).unwrap();
    assert_eq!(verdicts["exit_code"], example.code);
}

/// The formats with a sample of their own, and its name.
const SAMPLES: [(&str, &str); 7] = [
    ("html", "sample.html"),
    ("sarif", "sample.sarif"),
    ("markdown", "sample.md"),
    ("github", "sample.github.txt"),
    ("tap", "sample.tap"),
    ("csv", "sample.csv"),
    ("ctrf", "sample.ctrf.json"),
];

#[test]
fn each_format_is_its_sample_also_from_the_stream() {
    let to = SAMPLES.map(|(format, name)| format!("{format}={name}"));
    let flags: Vec<&str> = to.iter().flat_map(|to| ["--report", to]).collect();
    let example = Example::new(&[flags.as_slice(), &["--events", "r.jsonl"]].concat());
    let written = SAMPLES.map(|(_, name)| example.read(name));
    for ((_, name), text) in SAMPLES.iter().zip(&written) {
        assert_sample(name, text);
    }
    let flags: Vec<&str> = to.iter().flat_map(|to| ["--to", to]).collect();
    let replayed = seaworthy().current_dir(example.directory.path()).args(["report", "--from", "r.jsonl"]).args(flags);
    assert_eq!(replayed.output().unwrap().status.code(), Some(0));
    assert_eq!(SAMPLES.map(|(_, name)| example.read(name)), written);
}

#[test]
fn a_stream_that_was_cut_off_gives_every_format_and_each_says_so() {
    let example = Example::new(&["--events", "r.jsonl"]);
    let events = example.read("r.jsonl");
    let cut: Vec<&str> = events.lines().take_while(|line| !line.contains("causes-found")).collect();
    // The last line is half a line, as a run that was killed leaves it.
    let half = &cut[cut.len() - 1][..40];
    let cut = format!("{}\n{half}", cut[..cut.len() - 1].join("\n"));
    fs::write(example.directory.path().join("cut.jsonl"), cut).unwrap();
    for (format, _) in SAMPLES {
        let output = seaworthy()
            .current_dir(example.directory.path())
            .args(["report", "cut.jsonl", "-o", format])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{format}: {text}");
        assert!(text.contains("cut off"), "{format}: {text}");
    }
}

#[test]
fn the_stream_is_named_once() {
    let refused = |args: &[&str]| {
        let output = seaworthy().arg("report").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["a.jsonl", "--from", "b.jsonl"]).contains("cannot be used with"));
    assert!(refused(&["--to", "csv"]).contains("<EVENTS>"));
}

#[test]
fn both_flags_choose_what_the_standard_output_shows() {
    assert_eq!(Example::new(&["--output", "tap"]).text, Example::new(&["--report", "tap"]).text);
}

#[test]
fn the_metrics_are_the_sample() {
    assert_sample("sample.openmetrics.prom", &Example::new(&["--report", "openmetrics"]).text);
}

#[test]
fn the_object_for_the_api_is_the_sample() {
    assert_sample("sample.openreports.json", &Example::new(&["--report", "openreports"]).text);
}

#[test]
fn the_exit_code_is_that_of_the_findings() {
    let code = |flags: &[&str]| Example::new(flags).code;
    let verdicts: Value = serde_json::from_str(&Example::new(&["-o", "json"]).text).unwrap();
    let expected = if verdicts["counts"]["fail"] != 0 {
        1
    } else if verdicts["counts"]["error"] != 0 {
        3
    } else {
        0
    };
    assert_eq!(code(&[]), expected);
    assert_eq!(code(&["--select", "CP-05"]), 0);
}

#[test]
fn replaying_the_events_gives_every_report_again() {
    let files = ["--junit", "r.xml", "--json", "r.json"];
    let example = Example::new(&[files.as_slice(), &["--events", "r.jsonl", "--verbose"]].concat());
    let (junit, json) = (example.read("r.xml"), example.read("r.json"));
    let replayed = seaworthy()
        .current_dir(example.directory.path())
        .args(["report", "r.jsonl", "--verbose"])
        .args(files)
        .output()
        .unwrap();
    assert_eq!(replayed.status.code(), Some(0), "the exit code is that of the replay");
    assert_eq!(example.read("r.xml"), junit);
    assert_eq!(example.read("r.json"), json);
    let without_files =
        |text: &str| text.lines().filter(|line| !line.starts_with("junit: ")).collect::<Vec<_>>().join("\n");
    assert_eq!(without_files(&String::from_utf8(replayed.stdout).unwrap()), without_files(&example.text));
}

#[test]
fn judging_the_recording_gives_the_same_bytes() {
    let output =
        seaworthy().current_dir(root()).args(["judge", "fixtures/example.json.gz", "-o", "json"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), Example::new(&["-o", "json"]).text);
}

#[test]
fn junit_conforms_to_its_schema() {
    let schema = fs::read_to_string(sample("junit.xsd")).unwrap();
    let document = fs::read_to_string(sample("sample.junit.xml")).unwrap();
    xsd::validate(&schema, &document).unwrap();
    for (from, to) in [
        (r#" classname=""#, r#" class=""#),
        ("<testsuites>", "<testsuites><testcase/>"),
        (r#" tests=""#, r#" tests="-"#),
        ("<system-out>", "<system-out><b/>"),
        ("</testsuites>", "text</testsuites>"),
    ] {
        let broken = document.replacen(from, to, 1);
        assert_ne!(broken, document);
        assert!(xsd::validate(&schema, &broken).is_err(), "{to} must not conform");
    }
}

#[test]
fn the_verdicts_conform_to_their_schema() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(sample("verdicts.schema.json")).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let verdicts: Value = serde_json::from_str(&fs::read_to_string(sample("sample.verdicts.json")).unwrap()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&verdicts).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut vacuous = verdicts.clone();
    vacuous["checks"][0] = serde_json::json!({
        "id": "CP-01", "name": "x", "suite": "x", "title": "x", "severity": "major", "outcome": "pass", "observations": 0
    });
    assert!(!validator.is_valid(&vacuous), "a pass that rests on nothing must not conform");
}

/// That the sample conforms to the schema, and that no broken one does.
fn assert_conforms(schema: &str, name: &str, broken: &[(&str, Value)]) {
    let read = |name: &str| serde_json::from_str::<Value>(&fs::read_to_string(sample(name)).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&read(schema)).unwrap();
    let value = read(name);
    let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    for (place, with) in broken {
        let mut other = value.clone();
        *other.pointer_mut(place).unwrap_or_else(|| panic!("{name} has no {place}")) = with.clone();
        assert!(!validator.is_valid(&other), "{place}: {with} must not conform");
    }
}

#[test]
fn sarif_conforms_to_its_schema() {
    let broken = [
        ("/version", "2.2.0".into()),
        ("/runs/0/results/0/level", "critical".into()),
        ("/runs/0/results/0/message", serde_json::json!({})),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startLine", 0.into()),
    ];
    assert_conforms("sarif-schema-2.1.0.json", "sample.sarif", &broken);
}

#[test]
fn ctrf_conforms_to_its_schema() {
    let broken = [
        ("/reportFormat", "JUnit".into()),
        ("/results/tests/0/status", "error".into()),
        ("/results/tests/0/name", "".into()),
        ("/results/summary/other", "0".into()),
    ];
    assert_conforms("ctrf.schema.json", "sample.ctrf.json", &broken);
}

#[test]
fn csv_has_a_header_and_the_finding_below_it() {
    let mut reader = csv::Reader::from_path(sample("sample.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (check, kind) = (place("check"), place("kind"));
    let rows: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
    assert!(rows.iter().any(|row| &row[check] == "DI-06" && &row[kind] == "finding"));
}

#[tokio::test]
async fn a_check_whose_judge_panics_is_an_error_of_its_own() {
    let recording = Recording::read(&root().join("fixtures/example.json.gz")).unwrap();
    let check = |id: &str| suites::check(id).unwrap();
    let panics: &Check = Box::leak(Box::new(Check { judge: |_| panic!("a bug"), ..*check("KL-01") }));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let wanted = Wanted {
        junit: Some(path("r.xml")),
        json: Some(path("r.json")),
        events: Some(path("r.jsonl")),
        ..Wanted::default()
    };
    let mut reports = Reports::open(&wanted, wanted.output, Progress::Hidden).unwrap();
    let (events, mut received) = Events::channel();
    let concluded = run(Run::judging(recording, vec![panics, check("CP-05")]), events).await;
    while let Some(event) = received.recv().await {
        reports.event(&event);
    }
    reports.finish().unwrap();
    assert_eq!(concluded.exit_code, ExitCode::Inconclusive);
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    let junit = read("r.xml");
    let document = roxmltree::Document::parse(&junit).unwrap();
    let named = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).collect::<Vec<_>>();
    assert_eq!((named("testcase").len(), named("error").len()), (2, 1), "{junit}");
    let message = named("error")[0].attribute("message").unwrap();
    assert_eq!(message, "the judge of KL-01: it panicked: a bug");
    let verdicts: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!((&verdicts["exit_code"], &verdicts["counts"]["pass"]), (&3.into(), &1.into()));
    assert!(read("r.jsonl").lines().last().unwrap().contains("run-finished"));
}
