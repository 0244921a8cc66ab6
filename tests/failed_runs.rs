//! A run that cannot begin writes every report all the same: one check names the cause, and it blocks all others.

mod xsd;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// What is in every file before the run.
const OLD: &str = "an older run, in which all was well";
/// The flags of the files, with their names.
const OUTPUTS: [(&str, &str); 4] =
    [("--junit", "junit.xml"), ("--json", "verdicts.json"), ("--events", "run.jsonl"), ("--record", "recording.json")];

/// A folder in which an older run has left its files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (_, name) in OUTPUTS {
            std::fs::write(folder.path(name), OLD).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A kubeconfig for the server at this URL.
    fn kubeconfig(&self, server: &str) -> PathBuf {
        let path = self.path("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [{ "name": "a", "cluster": { "server": server } }],
            "contexts": [{ "name": "prod", "context": { "cluster": "a" } }],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Runs the program with all outputs.
    fn run(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        self.command(kubeconfig, arguments).output().unwrap()
    }

    fn command(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
        command.arg("run").arg("--kubeconfig").arg(kubeconfig).args(arguments);
        command.env_remove("HTTPS_PROXY").env_remove("https_proxy");
        for (flag, name) in OUTPUTS {
            command.arg(flag).arg(self.path(name));
        }
        command
    }

    /// Every output has every selected check and states this cause, and none is the older one.
    #[track_caller]
    fn states(&self, done: &Output, code: i32, cause: &str) {
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), said.lines().count()), (Some(code), 1), "{said}");
        assert!(said.contains(cause), "{said}");
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(text.contains("could not be checked") && text.contains("1 cause behind"), "{text}");
        states_in_junit(&self.read("junit.xml"), cause);
        states_in_json(&self.read("verdicts.json"), code, cause);
        let events = self.read("run.jsonl");
        let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (started, finished) = (&events[0], &events[events.len() - 1]);
        assert_eq!((&started["event"], &finished["event"]), (&json!("run-started"), &json!("run-finished")));
        assert!(started["failed"].as_str().unwrap().contains(cause), "{started}");
        assert_eq!(finished["exit_code"], json!(code), "{finished}");
        assert!(!self.path("recording.json").exists());
    }
}

/// How many checks the profile audit has: all but AA-26.
fn checks() -> usize {
    seaworthy::suites::checks().count() - 1
}

#[track_caller]
fn states_in_junit(text: &str, cause: &str) {
    let schema = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/junit.xsd")).unwrap();
    let document = roxmltree::Document::parse(text).unwrap();
    xsd::validate(&schema, text).unwrap();
    let named = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).collect::<Vec<_>>();
    assert_eq!((named("testcase").len(), named("error").len(), named("failure").len()), (checks(), 1, 0), "{text}");
    let error = named("error")[0];
    assert!(error.parent().unwrap().attribute("name").unwrap().starts_with("CP-01 "), "{text}");
    assert!(error.attribute("message").unwrap().contains(cause), "{text}");
    let skipped = named("skipped");
    assert_eq!(skipped.len(), checks() - 1, "{text}");
    for skipped in skipped {
        let message = skipped.attribute("message").unwrap();
        let blocked = message.starts_with("blocked by CP-01: ") && message.contains(cause);
        assert!(blocked || message.starts_with("the profile "), "{message}");
    }
}

#[track_caller]
fn states_in_json(text: &str, code: i32, cause: &str) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/verdicts.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let verdicts: Value = serde_json::from_str(text).unwrap();
    jsonschema::validate(&schema, &verdicts).unwrap();
    assert_eq!((&verdicts["exit_code"], &verdicts["counts"]["error"]), (&json!(code), &json!(1)), "{text}");
    assert_eq!(verdicts["checks"].as_array().unwrap().len(), checks());
    let [root] = &verdicts["causes"].as_array().unwrap()[..] else { panic!("{}", verdicts["causes"]) };
    assert_eq!((&root["check"], &root["explains"]), (&json!("CP-01"), &verdicts["counts"]["blocked"]));
    assert!(verdicts["failed"].as_str().unwrap().contains(cause), "{text}");
}

/// A server that answers every request with this, and its URL.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            // A TLS handshake is answered at once, as by any server that does not speak TLS.
            while !request.ends_with(b"\r\n\r\n") && !request.starts_with(&[22]) {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            // A client that has gone needs no answer.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn every_output_states_why_a_run_failed() {
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";
    const LOGIN: &str =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    for (url, cause) in [
        ("https://127.0.0.1:1".to_owned(), "https://127.0.0.1:1: the API server cannot be reached"),
        (server(BUSY), "GET /version returned HTTP 503"),
        (server(LOGIN), "an HTML page"),
    ] {
        let folder = Folder::new();
        let done = folder.run(&folder.kubeconfig(&url), &[]);
        folder.states(&done, 3, cause);
        assert!(folder.read("verdicts.json").contains(r#""name": "prod""#));
    }
}

#[test]
fn a_server_that_hangs_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let path = folder.kubeconfig(&format!("https://{}", listener.local_addr().unwrap()));
    folder.states(
        &folder.run(&path, &["--request-timeout", "300ms"]),
        3,
        "did not answer within 0.3 s; --request-timeout",
    );
    let folder = Folder::new();
    let path = folder.kubeconfig(&format!("https://{}", listener.local_addr().unwrap()));
    folder.states(&folder.run(&path, &["--timeout", "300ms"]), 3, "did not answer within 0.3 s; --timeout");
}

#[test]
fn a_run_that_is_interrupted_before_it_begins_reports() {
    let folder = Folder::new();
    let begun = folder.path("begun");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "clusters": [{ "name": "a", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "a", "user": { "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "sh",
            "args": ["-c", format!("echo > {}; sleep 100", begun.display())],
        } } }],
        "contexts": [{ "name": "prod", "context": { "cluster": "a", "user": "a" } }],
    });
    let path = folder.path("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let mut command = folder.command(&path, &[]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !begun.exists() {
        std::thread::yield_now();
    }
    let process = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    folder.states(&child.wait_with_output().unwrap(), 130, "interrupted before the run began");
}

#[test]
fn a_kubeconfig_that_cannot_be_used_counts_as_a_failed_run() {
    let folder = Folder::new();
    let done = folder.run(&folder.kubeconfig("https://"), &[]);
    folder.states(&done, 2, "its server names no host");
    let folder = Folder::new();
    let done = folder.run(&folder.path("nowhere"), &[]);
    folder.states(&done, 2, "cannot read the kubeconfig");
}

#[test]
fn a_failed_run_is_reported_on_the_standard_output_as_json() {
    let folder = Folder::new();
    let path = folder.kubeconfig("https://127.0.0.1:1");
    let done = Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .args(["run", "-o", "json", "--kubeconfig"])
        .arg(path)
        .output()
        .unwrap();
    states_in_json(&String::from_utf8(done.stdout).unwrap(), 3, "cannot be reached");
}

#[test]
fn the_events_of_a_failed_run_give_the_same_reports() {
    let folder = Folder::new();
    folder.run(&folder.kubeconfig("https://127.0.0.1:1"), &[]);
    let done = Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .arg("report")
        .arg(folder.path("run.jsonl"))
        .arg("--junit")
        .arg(folder.path("again.xml"))
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&done.stderr).contains("the run failed: https://127.0.0.1:1: "));
    assert_eq!(folder.read("again.xml"), folder.read("junit.xml"));
}

#[test]
fn a_wrong_command_line_touches_no_file() {
    let folder = Folder::new();
    let path = folder.kubeconfig("https://127.0.0.1:1");
    for (arguments, code) in [
        (&["--select", "["][..], 2),
        (&["--profile", "nowhere.yaml"], 2),
        (&["--timeout", "soon"], 2),
        (&["--select", "KL-01", "--skip", "KL-01"], 4),
    ] {
        let done = folder.run(&path, arguments);
        assert_eq!(done.status.code(), Some(code), "{}", String::from_utf8_lossy(&done.stderr));
        for (_, name) in OUTPUTS {
            assert_eq!(folder.read(name), OLD);
        }
    }
}
