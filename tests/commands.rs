//! Black-box tests of the commands that need no cluster, and of what they say to bad input.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use snapbox::cmd::{Command, cargo_bin};

const EXAMPLE: &[u8] = include_bytes!("../fixtures/example.json.gz");

/// The commands for people.
const COMMANDS: [&str; 13] = [
    "completion",
    "explain",
    "image",
    "install",
    "judge",
    "list",
    "rbac",
    "report",
    "run",
    "status",
    "sweep",
    "test",
    "uninstall",
];

/// What a command printed, and how it ended.
struct Done {
    out: String,
    err: String,
    code: i32,
}

fn seaworthy(args: &[&str]) -> Done {
    let command = Command::new(cargo_bin!("seaworthy")).args(args);
    // No kubeconfig of the developer's: nothing here may reach a cluster.
    let command = command.env("KUBECONFIG", "/nowhere").env("HOME", "/nowhere").env_remove("NO_COLOR");
    let command = command.env_remove("KUBERNETES_SERVICE_HOST");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { out: text(output.stdout), err: text(output.stderr), code: output.status.code().unwrap() }
}

/// One line on the standard error, this exit code, and nothing on the standard output.
#[track_caller]
fn refused(args: &[&str], code: i32, says: &str) {
    let done = seaworthy(args);
    assert_eq!(done.code, code, "{}", done.err);
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    assert!(done.err.contains(says), "{} does not say {says}", done.err);
    assert!(done.out.is_empty(), "{}", done.out);
}

/// One line on the standard error, this exit code, and every check in the report.
#[track_caller]
fn not_begun(args: &[&str], code: i32, says: &str) {
    let done = seaworthy(&[args, &["-o", "json"]].concat());
    assert_eq!(done.code, code, "{}", done.err);
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    assert!(done.err.contains(says), "{} does not say {says}", done.err);
    let verdicts: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert!(verdicts["failed"].as_str().unwrap().contains(says), "{}", verdicts["failed"]);
    assert_eq!(verdicts["causes"].as_array().unwrap().len(), 1, "{}", verdicts["causes"]);
}

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    (directory, path.to_str().unwrap().to_owned())
}

fn unpacked() -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(EXAMPLE).read_to_end(&mut text).unwrap();
    text
}

#[test]
fn list_is_aligned_and_has_every_field() {
    let done = seaworthy(&["list", "--select", "CP-05"]);
    assert_eq!(done.code, 0);
    let lines: Vec<_> = done.out.lines().collect();
    let [heading, check] = lines[..] else { panic!("{}", done.out) };
    for (word, value) in [
        ("ID", "CP-05"),
        ("NAME", "leader-leases"),
        ("SUITE", "control-plane"),
        ("SEVERITY", "critical"),
        ("ACCESS", "read"),
    ] {
        assert_eq!(heading.find(word), check.find(value), "{}", done.out);
    }
    let wide = seaworthy(&["list", "--select", "CP-05", "--output", "wide"]);
    assert!(wide.out.contains("clock,leader-leases"), "{}", wide.out);
}

#[test]
fn list_and_explain_speak_json() {
    let listed: Value = serde_json::from_str(&seaworthy(&["list", "-o", "json"]).out).unwrap();
    let first = &listed.as_array().unwrap()[0];
    for field in ["id", "name", "suite", "severity", "access", "facts", "title"] {
        assert!(!first[field].is_null(), "{field}");
    }
    let explained: Value = serde_json::from_str(&seaworthy(&["explain", "CP-05", "-o", "json"]).out).unwrap();
    for field in ["why", "fix", "source", "permissions", "facts"] {
        assert!(!explained[0][field].is_null(), "{field}");
    }
}

#[test]
fn explain_says_everything_about_a_check() {
    let done = seaworthy(&["explain", "cp-05"]);
    assert_eq!(done.code, 0);
    for part in ["CP-05  leader-leases  critical", "\nWhy\n", "\nFix\n", "\nSource\n", "get leases.coordination.k8s.io"]
    {
        assert!(done.out.contains(part), "{part} is not in {}", done.out);
    }
    assert!(!done.out.contains('\u{1b}'));
    assert!(seaworthy(&["explain", "CP-05", "--color", "always"]).out.contains('\u{1b}'));
}

#[test]
fn an_unknown_check_is_answered_with_a_hint() {
    for command in
        [["explain", "XX-99"], ["list", "--select=XX-99"], ["rbac", "--select=XX-99"], ["run", "--select=XX-99"]]
    {
        refused(&command, 4, "`seaworthy list` shows all");
    }
    refused(&["run", "--skip", "*"], 4, "--skip leaves out everything");
}

#[test]
fn rbac_grants_what_the_selection_needs_and_nothing_else() {
    let done = seaworthy(&["rbac", "--select", "AA-17", "--subject", "ServiceAccount:ci/seaworthy"]);
    assert_eq!(done.code, 0);
    let documents: Vec<_> = done.out.split("---\n").collect();
    assert_eq!(documents.len(), 2, "one role and its binding: {}", done.out);
    let [role, binding]: [Value; 2] = [0, 1].map(|number: usize| serde_saphyr::from_str(documents[number]).unwrap());
    assert_eq!(role["rules"][0]["resourceNames"], serde_json::json!(["kubeadm-config"]), "{}", done.out);
    let subjects = serde_json::json!([{ "kind": "ServiceAccount", "name": "seaworthy", "namespace": "ci" }]);
    assert_eq!(binding["subjects"], subjects, "{}", done.out);
    let wrong = seaworthy(&["rbac", "--subject", "jane"]);
    assert!(wrong.code == 2 && wrong.err.contains("write ServiceAccount:NAMESPACE/NAME"), "{}", wrong.err);
}

#[test]
fn rbac_grants_what_a_cluster_report_needs_on_request() {
    let rule = "- apiGroups:\n  - openreports.io\n  resources:\n  - clusterreports\n  verbs:\n  - create\n  - patch\n";
    let with = seaworthy(&["rbac", "--push", "openreports"]);
    assert!(with.code == 0 && with.out.contains(rule), "{}", with.out);
    assert!(!seaworthy(&["rbac"]).out.contains("openreports"));
}

#[test]
fn rbac_follows_the_profile_and_the_namespace() {
    let creates = "\n  - create\n";
    let pods = |args: &[&str]| seaworthy(&[&["rbac"], args].concat()).out;
    let role = |text: &str, place: &str| {
        text.split("---\n").any(|document| document.contains(place) && document.contains(creates))
    };
    assert!(!role(&pods(&["--select", "CN-04"]), "kind: ClusterRole"), "audit creates nothing");
    assert!(role(&pods(&["--profile", "post-install", "--select", "CN-04"]), "kind: ClusterRole"));
    let given = pods(&["--profile", "post-install", "--select", "CN-04", "-n", "probes"]);
    assert!(role(&given, "namespace: probes") && !role(&given, "kind: ClusterRole"), "{given}");
}

#[test]
fn files_that_are_not_recordings_are_named() {
    let (_a, truncated) = file("cut.json.gz", &EXAMPLE[..EXAMPLE.len() / 2]);
    refused(&["judge", &truncated], 2, "cut.json.gz: the recording is truncated");
    let text = unpacked();
    let (_b, truncated) = file("cut.json", &text[..text.len() / 2]);
    refused(&["judge", &truncated], 2, "cut.json: the recording is truncated");
    let newer = String::from_utf8(text).unwrap().replacen("\"version\":1", "\"version\":99", 1);
    let (_c, newer) = file("newer.json", newer.as_bytes());
    refused(&["judge", &newer], 2, "has format version 99");
    for (name, bytes) in [("a.json", "{}"), ("b.html", "<html>"), ("c.json.gz", "\u{1f}\u{8b}")] {
        let (_d, other) = file(name, bytes.as_bytes());
        refused(&["judge", &other], 2, "not a recording of seaworthy");
    }
    refused(&["judge", "/nowhere.json"], 2, "/nowhere.json: cannot read the recording");
}

#[test]
fn a_check_whose_fact_is_not_recorded_could_not_be_checked() {
    let mut recording: Value = serde_json::from_slice(&unpacked()).unwrap();
    recording["facts"].as_object_mut().unwrap().remove("leader-leases");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let text = serde_json::to_string(&recording).unwrap();
    packed.write_all(text.as_bytes()).unwrap();
    let (_directory, path) = file("some.json.gz", &packed.finish().unwrap());
    let done = seaworthy(&["judge", &path, "--select", "CP-05"]);
    assert_eq!(done.code, 3, "{}", done.out);
    assert!(done.out.contains("the recording does not hold the fact leader-leases"), "{}", done.out);
}

#[test]
fn output_that_cannot_be_written_is_found_before_the_run() {
    for flag in ["--junit", "--json", "--events", "--record"] {
        // The kubeconfig does not exist either, but nothing is asked for it.
        refused(&["run", flag, "/nowhere/report"], 2, "/nowhere/report: cannot be written: ");
        refused(&["run", flag, "/"], 2, "/: cannot be written: ");
    }
}

#[test]
fn a_profile_is_read_strictly() {
    let (_directory, path) = file("mine.yaml", b"about: mine\nallow: [read]\nexpct: {}\n");
    refused(&["run", "--profile", &path], 2, "mine.yaml:3:1: not a profile: ");
    refused(&["run", "--profile", "audits"], 2, "there is no profile \"audits\"");
}

#[test]
fn a_drill_is_allowed_by_hand_and_with_both_commands() {
    const ALLOW: [&str; 5] = ["run", "--profile", "ci", "--allow", "disrupt"];
    let drill = |more: &[&'static str]| [&ALLOW[..], more].concat();
    let (stop, start) = ("--stop-node=stop {node}", "--start-node=start {node}");
    for more in [&[][..], &[stop], &[start]] {
        refused(&drill(more), 2, "--allow disrupt needs both --stop-node and --start-node");
    }
    refused(&drill(&[stop, "--start-node=start"]), 2, "--start-node: \"start\" does not contain {node}");
    refused(&drill(&["--stop-node=stop", start]), 2, "--stop-node: \"stop\" does not contain {node}");
    for profile in ["audit", "post-install"] {
        let other = ["run", "--profile", profile, "--allow", "disrupt", stop, start];
        refused(&other, 2, "--allow disrupt requires --profile ci, not ");
        refused(
            &["rbac", "--profile", profile, "--allow", "disrupt"],
            2,
            "--allow disrupt requires --profile ci, not ",
        );
    }
    refused(&["run", "--profile", "ci", stop, start], 2, "have no effect without --allow disrupt");
    refused(&["run", "--profile", "ci", start], 2, "have no effect without --allow disrupt");
    let word = seaworthy(&["run", "--profile", "ci", "--allow", "destroy"]);
    assert!(word.code == 2 && word.err.contains("[possible values: disrupt]"), "{}", word.err);
    // With all of it the kubeconfig is looked for, and not found.
    let complete = seaworthy(&drill(&[stop, start]));
    assert!(complete.err.contains("kubeconfig"), "{}", complete.err);
    let (_directory, path) = file("ci.yaml", b"about: mine\nallow: [read, disrupt]\n");
    refused(&["run", "--profile", &path], 2, "no profile allows disrupt");
}

#[test]
fn a_drill_needs_its_rights_only_where_it_is_allowed() {
    const ONLY: &str = "- patch\n";
    let rbac = |more: &[&str]| seaworthy(&[&["rbac", "--select", "HA-06", "--profile", "ci"], more].concat()).out;
    assert!(!rbac(&[]).contains(ONLY));
    assert!(rbac(&["--allow", "disrupt"]).contains(ONLY));
    let listed = seaworthy(&["list", "--select", "HA-06"]).out;
    assert!(listed.contains("disrupt"), "{listed}");
    let explained = seaworthy(&["explain", "HA-06"]).out;
    assert!(explained.contains("--allow disrupt"), "{explained}");
}

#[test]
fn a_cluster_that_is_not_there_is_not_replaced_by_the_example() {
    not_begun(&["run"], 3, "no kubeconfig: --kubeconfig is not given, KUBECONFIG names no file that exists (/nowhere)");
    assert_eq!(seaworthy(&["run", "--example", "--profile", "ci"]).code, 2);
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_named_with_what_is_wrong() {
    let refuse = |text: &str, more: &[&str], says: &str| {
        let (_directory, path) = file("kubeconfig", text.as_bytes());
        not_begun(&[&["run", "--kubeconfig", &path], more].concat(), 2, &format!("{path}: {says}"));
    };
    let contexts = "apiVersion: v1\nkind: Config\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    refuse("contexts: [", &[], "not a kubeconfig: ");
    refuse(contexts, &[], "current-context is not set: choose one with --context; available: a");
    refuse(contexts, &["--context", "b"], "there is no context \"b\"; available: a");
    let dangles = |text: &str, names: &str, has: &str| {
        let (_directory, path) = file("kubeconfig", text.as_bytes());
        let says = format!("context \"a\" names {names}, which does not exist; {path} has: {has}");
        not_begun(&["run", "--kubeconfig", &path, "--context", "a"], 2, &says);
    };
    dangles(contexts, "cluster \"a\"", "none");
    let cluster = "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";
    dangles(&format!("{contexts}{cluster}"), "user \"a\"", "u");
    refuse("", &[], "not a kubeconfig: it is empty");
    refuse("kind: Pod\napiVersion: v1\nmetadata: {}\n", &[], "not a kubeconfig: its kind is Pod instead of Config");
    refuse("about: mine\nallow: [read]\n", &[], "not a kubeconfig: it has no clusters, users or contexts");
    not_begun(&["run", "--kubeconfig", "/nowhere/at/all"], 2, "/nowhere/at/all: cannot read the kubeconfig: ");
}

#[test]
fn colour_is_for_terminals_and_on_request() {
    assert!(!seaworthy(&["run", "--example"]).out.contains('\u{1b}'));
    assert!(seaworthy(&["run", "--example", "--color", "always"]).out.contains('\u{1b}'));
    let forced =
        Command::new(cargo_bin!("seaworthy")).args(["run", "--example"]).env("NO_COLOR", "1").output().unwrap();
    assert!(!String::from_utf8(forced.stdout).unwrap().contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_is_not_an_error() {
    let whole = seaworthy(&["run", "--example", "-v"]).code;
    let mut child = std::process::Command::new(cargo_bin!("seaworthy"))
        .args(["run", "--example", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(whole), ""));
}

#[test]
fn event_streams_are_read_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.jsonl");
    let path = path.to_str().unwrap();
    seaworthy(&["run", "--example", "--events", path, "--output", "json"]);
    let lines: Vec<String> = BufReader::new(fs::File::open(path).unwrap()).lines().map(Result::unwrap).collect();
    let mut bad = lines.clone();
    bad[2] = "{\"event\":\"no-such-event\"}".into();
    fs::write(path, bad.join("\n")).unwrap();
    refused(&["report", path], 2, "run.jsonl:3: not an event of seaworthy");
    fs::write(path, lines[..10].join("\n")).unwrap();
    let cut = seaworthy(&["report", path]);
    assert_eq!(cut.code, 3);
    assert!(cut.err.contains("the stream is cut off"), "{}", cut.err);
    assert!(cut.out.contains("not judged") && cut.out.contains("cut off:"), "{}", cut.out);
    refused(&["report", "/nowhere.jsonl"], 2, "/nowhere.jsonl: cannot read the events");
}

#[test]
fn checks_are_trials() {
    let listed = seaworthy(&["test", "--", "--list", "--format", "terse"]);
    assert_eq!(listed.code, 0);
    assert!(listed.out.lines().any(|line| line == "control-plane::CP-05::leader-leases: test"), "{}", listed.out);
    assert!(seaworthy(&["test", "--", "--list", "--ignored"]).out.lines().all(|line| !line.ends_with(": test")));
    refused(&["test", "--", "no-such-check"], 4, "the filters match none");
    let none = seaworthy(&["test", "--", "--test-threads", "0"]);
    assert!(none.code == 2 && none.err.contains("no trial would ever run"), "{}", none.err);
}

#[test]
fn every_command_has_examples() {
    for command in COMMANDS {
        let help = seaworthy(&[command, "--help"]);
        assert_eq!(help.code, 0, "{}", help.err);
        assert!(help.out.contains("Examples:\n  "), "{command}: {}", help.out);
    }
}

#[test]
fn shells_are_completed() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = seaworthy(&["completion", shell]);
        assert!(script.code == 0 && script.out.contains("seaworthy"), "{shell}");
    }
}

#[test]
fn what_a_profile_leaves_out_is_run_by_name_and_needs_no_right_before() {
    const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
    assert!(!seaworthy(&["rbac"]).out.contains(TRACKING));
    let extended = seaworthy(&["rbac", "--select", "AA-26"]);
    assert_eq!(extended.code, 0, "{}", extended.err);
    assert!(extended.out.contains(TRACKING), "{}", extended.out);
}

#[test]
fn where_nothing_was_judged_the_verdict_is_open() {
    let (_directory, path) = file("example.json.gz", EXAMPLE);
    for (id, flags) in [("PK-17", "--profile ci"), ("HA-06", "--profile ci --allow disrupt")] {
        let done = seaworthy(&["judge", &path, "--select", id]);
        assert_eq!(done.code, 3, "{}", done.out);
        assert!(done.out.contains("inconclusive: nothing was judged; 1 check"), "{}", done.out);
        let words = done.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&format!("access: a run with {flags} does")), "{words}");
    }
    let one = seaworthy(&["judge", &path, "--select", "PK-17,CP-05", "-v"]);
    assert_eq!(one.code, 0, "a skip beside a pass: {}", one.out);
    let all = seaworthy(&["judge", &path, "-v"]);
    assert!(!all.out.contains("a run with"), "only what was asked for by name is explained: {}", all.out);
}

#[test]
fn nothing_is_written_over_what_is_also_read_or_written() {
    let (directory, path) = file("example.json.gz", EXAMPLE);
    let other = directory.path().join("other");
    let same = directory.path().join(".").join("other");
    let (other, same) = (other.to_str().unwrap(), same.to_str().unwrap());
    for flag in ["--junit", "--json", "--events"] {
        refused(&["judge", &path, flag, &path], 2, &format!("FILE and {flag} are the same file, "));
    }
    refused(&["judge", &path, "--json", other, "--junit", same], 2, "--junit and --json are the same file, ");
    refused(&["run", "--json", other, "--record", same], 2, "--json and --record are the same file, ");
    refused(&["run", "--kubeconfig", &path, "--json", &path], 2, "--kubeconfig and --json are the same file, ");
    refused(&["report", &path, "--json", &path], 2, "EVENTS and --json are the same file, ");
    assert_eq!(fs::read(&path).unwrap(), EXAMPLE);
    assert!(!fs::exists(other).unwrap());
    assert_eq!(seaworthy(&["judge", &path, "--json", "/dev/null", "--junit", "/dev/null"]).code, 1);
    let dash = seaworthy(&["judge", &path, "--json", "-"]);
    assert!(dash.code == 2 && dash.err.contains("/dev/stdout for the standard output"), "{}", dash.err);
}

#[test]
fn a_recording_and_a_stream_come_from_the_standard_input_too() {
    let piped = |command: &str, input: &[u8]| {
        let command = Command::new(cargo_bin!("seaworthy")).args([command, "-"]).stdin(input.to_vec());
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap())
    };
    let (code, said) = piped("judge", EXAMPLE);
    assert!(code == Some(1) && said.contains("judged from the standard input"), "{said}");
    let (code, said) = piped("report", EXAMPLE);
    assert!(code == Some(2) && said.contains("the standard input: it is a recording"), "{said}");
}

#[test]
fn confusing_recordings_and_streams_names_the_other_command() {
    let (directory, path) = file("example.json.gz", EXAMPLE);
    refused(&["report", &path], 2, &format!("`seaworthy judge {path}` judges it"));
    let (_directory, unzipped) = file("example.json", &unpacked());
    refused(&["report", &unzipped], 2, &format!("`seaworthy judge {unzipped}` judges it"));
    let events = directory.path().join("run.jsonl");
    let events = events.to_str().unwrap();
    seaworthy(&["judge", &path, "--events", events]);
    refused(&["judge", events], 2, &format!("`seaworthy report {events}` makes reports of it"));
}

#[test]
fn an_empty_selection_is_distinguished_from_one_that_is_left_out() {
    for empty in ["", ",", " , "] {
        refused(&["run", "--select", empty], 4, "--select, or the profile's select, is empty");
        refused(&["list", "--select", empty], 4, "--select, or the profile's select, is empty");
    }
}

#[test]
fn list_takes_ids_and_profiles() {
    assert_eq!(seaworthy(&["list", "PK-02"]).out, seaworthy(&["list", "--select", "PK-02"]).out);
    let listed = |profile| seaworthy(&["list", "--profile", profile]).out;
    assert!(listed("ci").contains("AA-26") && !listed("audit").contains("AA-26"));
    refused(&["list", "--profile", "audits"], 2, "there is no profile \"audits\"");
}

#[test]
fn severities_are_taken_in_any_case() {
    let (_directory, path) = file("example.json.gz", EXAMPLE);
    assert_eq!(seaworthy(&["judge", &path, "--fail-on", "Info"]).code, 1);
    assert!(seaworthy(&["judge", &path, "--fail-on", "x"]).err.contains("info, minor, major, critical"));
}

#[test]
fn rights_that_do_not_suffice_for_a_check_are_named() {
    let done = seaworthy(&["rbac", "--select", "PK-17"]);
    assert!(done.code == 0 && done.err.contains("PK-17 needs privileged access"), "{}", done.err);
    assert!(done.err.contains("--profile ci includes them"), "{}", done.err);
    assert_eq!(seaworthy(&["rbac", "--select", "PK-17", "--profile", "ci"]).err, "");
    assert_eq!(seaworthy(&["rbac"]).err, "");
}

#[test]
fn shells_offer_what_is_for_people() {
    let script = seaworthy(&["completion", "bash"]).out;
    for offered in ["post-install", "critical", "PK-02", "service-network"] {
        assert!(script.contains(offered), "{offered}");
    }
    for hidden in ["guard", "probe host", "probe__host"] {
        assert!(!script.contains(hidden), "{hidden}");
    }
}

#[test]
fn examples_are_not_broken_and_flags_stand_where_they_belong() {
    for command in COMMANDS {
        let help = seaworthy(&[command, "--help"]).out;
        let (_, examples) = help.split_once("Examples:").unwrap();
        for line in examples.lines() {
            assert!(line.len() <= 80, "{command}: {line}");
        }
    }
    let run = seaworthy(&["run", "--help"]).out;
    let (_, drills) = run.split_once("Drills:").unwrap();
    let (drills, _) = drills.split_once("Examples:").unwrap();
    for flag in ["--record", "--timeout", "--example"] {
        assert!(!drills.contains(&format!("{flag} ")) && !drills.contains(&format!("{flag}\n")), "{flag}");
    }
    assert!(seaworthy(&["--help"]).out.lines().all(|line| line.len() <= 100));
}
