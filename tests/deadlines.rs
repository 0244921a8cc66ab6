//! A run ends within two seconds when its time is over or it is stopped, whatever it is doing, and its reports are written.
//! Judging takes bounded time, whatever the data.

#[expect(dead_code, reason = "when a request came and from whom does not matter here")]
mod plain_server;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use plain_server::{Answer, Asked, run, serve};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long a run may take to end.
const END: Duration = Duration::from_secs(2);

/// A list of this kind with these items.
fn list(api_version: &str, kind: &str, next: &str, items: &[Value]) -> Answer {
    Answer::object(&json!({
        "kind": format!("{kind}List"), "apiVersion": api_version, "metadata": { "continue": next }, "items": items,
    }))
}

/// A server whose list of pods has no end.
fn endless(Asked { path, .. }: Asked) -> Answer {
    match path.as_str() {
        "/version" => Answer::version(),
        path if path.starts_with("/api/v1/pods") => {
            let page = path.split("continue=").nth(1).and_then(|page| page.parse().ok()).unwrap_or(0_u64) + 1;
            let pod = |i| {
                json!({ "metadata": { "namespace": "a", "name": format!("pod-{page}-{i}") }, "spec": {
                "containers": [{ "name": "a", "image": "a" }] }, "status": {} })
            };
            list("v1", "Pod", &page.to_string(), &(0..500).map(pod).collect::<Vec<_>>())
        }
        _ => Answer::not_found(),
    }
}

/// A server on which two thousand users are granted two thousand rules each: judging that takes long without optimization.
fn powerful(Asked { path, .. }: Asked) -> Answer {
    const MANY: usize = 2000;
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let path = path.split('?').next().unwrap_or_default();
    match path.strip_prefix("/apis/rbac.authorization.k8s.io/v1").unwrap_or(path) {
        "/version" => Answer::version(),
        "/apis" => Answer::object(&json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": [{ "name": group, "versions": [{ "groupVersion": version, "version": "v1" }] }],
        })),
        "" => Answer::object(&json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
            "resources": (["clusterroles", "clusterrolebindings", "roles", "rolebindings"].map(|name| json!({ "name": name }))),
        })),
        "/clusterroles" => {
            let rule = |i| json!({ "apiGroups": [format!("g{i}")], "resources": ["*"], "verbs": ["*"] });
            let rules: Vec<Value> = (0..MANY).map(rule).collect();
            list(&version, "ClusterRole", "", &[json!({ "metadata": { "name": "many" }, "rules": rules })])
        }
        "/clusterrolebindings" => {
            let binding = |i| {
                json!({
                    "metadata": { "name": format!("b{i}") },
                    "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "many" },
                    "subjects": [{ "apiGroup": group, "kind": "User", "name": format!("u{i}") }],
                })
            };
            list(&version, "ClusterRoleBinding", "", &(0..MANY).map(binding).collect::<Vec<_>>())
        }
        "/roles" => list(&version, "Role", "", &[]),
        "/rolebindings" => list(&version, "RoleBinding", "", &[]),
        "/api/v1/pods" => list("v1", "Pod", "", &[]),
        _ => Answer::not_found(),
    }
}

/// Answers the first request, and no other.
fn silent(Asked { path, .. }: Asked) -> Answer {
    if path == "/version" { Answer::version() } else { Answer::Never }
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// All reports are whole, have every selected check, and state this exit code.
#[track_caller]
fn reported(folder: &Path, done: ExitStatus, code: i32) {
    assert_eq!(done.code(), Some(code));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let events: Vec<Value> = read("r.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let selected = events[0]["checks"].as_array().unwrap().len();
    assert!(events.iter().any(|event| event["event"] == "run-finished" && event["exit_code"] == code));
    let verdicts: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!((&verdicts["exit_code"], verdicts["checks"].as_array().unwrap().len()), (&code.into(), selected));
    let junit = read("r.xml");
    let document = roxmltree::Document::parse(&junit).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), selected);
}

/// How a server answers each request.
type Answering = fn(Asked) -> Answer;

/// The servers, with what a run does when it is stopped: an event shows that it has come so far.
const SERVERS: [(Answering, &str); 3] = [
    (silent, r#""event":"fact-started""#),
    (endless, r#""event":"fact-started","fact":"pods""#),
    (powerful, r#""event":"fact-observed","fact":"rbac""#),
];

#[test]
fn the_first_signal_ends_a_run_within_two_seconds() {
    for (server, begun) in SERVERS {
        let url = serve(server);
        for signal in [Signal::INT, Signal::TERM] {
            let folder = tempfile::tempdir().unwrap();
            let patience = ["--select", "AA-*", "--request-timeout", "60s"];
            let mut child = start(&mut run(folder.path(), &url, &patience));
            while !fs::read_to_string(folder.path().join("r.jsonl")).is_ok_and(|events| events.contains(begun)) {
                assert_eq!(child.try_wait().unwrap(), None, "it ended before it was stopped: {begun}");
                std::thread::yield_now();
            }
            let stopped = Instant::now();
            kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
            let done = child.wait().unwrap();
            assert!(stopped.elapsed() < END, "{signal:?}, {begun}: {:?}", stopped.elapsed());
            reported(folder.path(), done, 130);
        }
    }
}

#[test]
fn a_run_ends_within_two_seconds_after_its_time() {
    const TIME: Duration = Duration::from_secs(2);
    for (server, begun) in SERVERS {
        let url = serve(server);
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let arguments = ["--select", "AA-*", "--request-timeout", "60s", "--timeout", "2s"];
        let done = start(&mut run(folder.path(), &url, &arguments)).wait().unwrap();
        let took = began.elapsed();
        assert!(took < TIME + END, "{begun}: {took:?}");
        reported(folder.path(), done, done.code().unwrap());
        assert!(matches!(done.code(), Some(1 | 3)), "{begun}: {done}");
    }
}

/// The example, in which every map of objects has many more entries, equal to its first.
fn hostile(entries: usize) -> Vec<u8> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/example.json.gz");
    let mut recording: Value = serde_json::from_reader(GzDecoder::new(fs::File::open(example).unwrap())).unwrap();
    for fact in recording["facts"].as_object_mut().unwrap().values_mut() {
        multiply(&mut fact["Ok"], entries);
    }
    serde_json::to_vec(&recording).unwrap()
}

fn multiply(value: &mut Value, entries: usize) {
    match value {
        Value::Array(items) => {
            if let Some(first) = items.first().filter(|first| first.is_object()).cloned() {
                items.extend(std::iter::repeat_n(first, entries));
            }
        }
        Value::Object(fields) => {
            let all_alike = fields.len() > 1 && fields.values().all(Value::is_object);
            if let Some((key, first)) = fields.iter().next().map(|(key, value)| (key.clone(), value.clone()))
                && all_alike
            {
                fields.extend((0..entries).map(|i| (format!("{key}-{i}"), first.clone())));
            }
        }
        _ => {}
    }
}

#[test]
fn judging_takes_bounded_time_whatever_the_data() {
    let judge = |entries: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
        command.args(["judge", "-"]).stdin(Stdio::piped());
        let recording = hostile(entries);
        let began = Instant::now();
        let mut child = start(&mut command);
        child.stdin.take().unwrap().write_all(&recording).unwrap();
        assert!(matches!(child.wait().unwrap().code(), Some(1 | 3)));
        began.elapsed()
    };
    let (few, many) = (judge(250), judge(1000));
    // Quadratic would be sixteen times as long.
    assert!(many < few * 10, "{few:?} for 250 entries, {many:?} for 1,000");
}
