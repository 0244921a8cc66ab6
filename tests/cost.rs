//! What a run costs the API server: it states the cost, keeps to a limit, waits where it is asked to, and names itself.

#[expect(dead_code, reason = "every request is answered here")]
mod plain_server;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plain_server::{Answer, Asked, run, serve};
use serde_json::Value;

/// A server on which nothing exists, and the requests that came.
fn empty() -> (String, Arc<Mutex<Vec<Asked>>>) {
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let came = asked.clone();
    let url = serve(move |request| {
        let answer = if request.path == "/version" { Answer::version() } else { Answer::not_found() };
        came.lock().unwrap().push(request);
        answer
    });
    (url, asked)
}

/// The last event of a run.
fn finished(folder: &tempfile::TempDir) -> Value {
    let events = std::fs::read_to_string(folder.path().join("r.jsonl")).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.into_iter().find(|event| event["event"] == "run-finished").unwrap()
}

#[test]
fn a_run_states_its_cost_and_names_itself() {
    let (url, asked) = empty();
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), &url, &["--record", "recording.json"]).output().unwrap();
    let asked = asked.lock().unwrap();
    let own = concat!("seaworthy/", env!("CARGO_PKG_VERSION"));
    let stranger: Vec<_> = asked.iter().filter(|request| request.agent != own).map(|request| &request.path).collect();
    assert!(asked.len() > 20 && stranger.is_empty(), "{stranger:?}");
    let cost = finished(&folder);
    assert_eq!(cost["requests"], asked.len(), "{cost}");
    assert!(cost["received_bytes"].as_u64().unwrap() > 1000, "{cost}");
    let verdicts: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(verdicts["cost"]["received_bytes"], cost["received_bytes"], "{verdicts}");
    let mut judge = std::process::Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    let judged = judge.current_dir(folder.path()).args(["judge", "recording.json", "-o", "json"]).output().unwrap();
    let judged: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!(judged["cost"], verdicts["cost"]);
    let text = String::from_utf8(done.stdout).unwrap();
    let stated = format!("cost: {} requests to the API server, ", asked.len());
    assert!(text.contains(&stated), "{text} does not contain {stated}");
}

#[test]
fn a_limit_of_requests_per_second_is_kept() {
    const QPS: usize = 20;
    let (url, asked) = empty();
    let folder = tempfile::tempdir().unwrap();
    let without_limit = {
        run(folder.path(), &url, &["--select", "AA-*"]).output().unwrap();
        std::mem::take(&mut *asked.lock().unwrap()).len()
    };
    let began = Instant::now();
    run(folder.path(), &url, &["--select", "AA-*", "--max-qps", &QPS.to_string()]).output().unwrap();
    let took = began.elapsed();
    let times: Vec<Instant> = asked.lock().unwrap().iter().map(|request| request.at).collect();
    assert_eq!(times.len(), without_limit, "no request is left out");
    let least = Duration::from_secs(1) * u32::try_from(times.len() - 1).unwrap() / u32::try_from(QPS).unwrap();
    assert!(took >= least, "{} requests in {took:?}", times.len());
    for (i, first) in times.iter().enumerate() {
        let second = times[i..].iter().take_while(|at| at.duration_since(*first) < Duration::from_secs(1)).count();
        // A server notices a request somewhat later than it is sent.
        assert!(second <= QPS + QPS / 4, "{second} requests within a second");
    }
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let times = came.clone();
    let url = serve(move |Asked { at, path, .. }| match path.as_str() {
        "/version" => Answer::version(),
        path if path.starts_with("/api/v1/nodes") => {
            let mut times = times.lock().unwrap();
            times.push(at);
            let busy = r#"{"kind":"Status","apiVersion":"v1","reason":"TooManyRequests","message":"wait","code":429}"#;
            if times.len() == 1 { Answer::Now(429, "Retry-After: 2\r\n", busy.into()) } else { Answer::not_found() }
        }
        _ => Answer::not_found(),
    });
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &url, &["--select", "KL-01"]).output().unwrap();
    let came = came.lock().unwrap();
    assert_eq!(came.len(), 2);
    assert!(came[1].duration_since(came[0]) >= Duration::from_secs(2), "{:?}", came[1].duration_since(came[0]));
    let cost = finished(&folder);
    assert_eq!(cost["retries"]["HTTP 429"], 1, "{cost}");
}
