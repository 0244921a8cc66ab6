//! Many clusters at once: recordings, and servers on the loopback interface that hang, refuse, or are no API servers.

#![expect(clippy::disallowed_methods, reason = "a test waits in a thread of its own")]

#[expect(dead_code, reason = "whole runs are for other tests")]
mod plain_server;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use plain_server::Answer;
use serde_json::{Value, json};

/// A secret that no output may hold.
const TOKEN: &str = "opaque-0815-token";
/// How much memory 200 clusters may take, in KiB.
const MOST_MEMORY: u64 = 200 << 10;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn fleet(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder).arg("fleet").args(arguments).env("HOME", "/nowhere").env("KUBECONFIG", "/nowhere");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "KUBERNETES_SERVICE_HOST", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    fleet(folder, arguments).output().unwrap()
}

/// The joint report in a file, which conforms to its schema.
#[track_caller]
fn joint(folder: &Path) -> Value {
    conforming(&fs::read_to_string(folder.join("f.json")).unwrap())
}

#[track_caller]
fn conforming(text: &str) -> Value {
    let joint: Value = serde_json::from_str(text).unwrap();
    let schema = include_str!("../reports/fleet.schema.json");
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&joint).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    joint
}

#[track_caller]
fn cluster<'a>(joint: &'a Value, name: &str) -> &'a Value {
    let found = joint["clusters"].as_array().unwrap().iter().find(|cluster| cluster["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not among {}", names(joint).join(", ")))
}

fn names(joint: &Value) -> Vec<&str> {
    joint["clusters"].as_array().unwrap().iter().map(|cluster| cluster["name"].as_str().unwrap()).collect()
}

/// A folder with recordings, each a copy of one of the fixtures.
fn recordings(folder: &Path, copies: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("recordings")).unwrap();
    for (name, fixture) in copies {
        let copy = folder.join(format!("recordings/{name}.json.gz"));
        fs::copy(fixtures().join(format!("{fixture}.json.gz")), copy).unwrap();
    }
}

fn kubeconfig(server: &str, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "admin@x",
        "clusters": [{ "name": "x", "cluster": { "server": server } }],
        "users": [{ "name": "admin", "user": user }],
        "contexts": [{ "name": "admin@x", "context": { "cluster": "x", "user": "admin" } }],
    })
}

/// A folder with kubeconfigs of these servers.
fn kubeconfigs(folder: &Path, servers: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("clusters")).unwrap();
    for (name, server) in servers {
        let config = kubeconfig(server, &json!({ "token": TOKEN }));
        fs::write(folder.join(format!("clusters/{name}.conf")), config.to_string()).unwrap();
    }
}

/// A server that accepts connections and says nothing.
fn hanging() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A port at which nothing listens.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("https://{}", listener.local_addr().unwrap())
}

/// A login page, over TLS.
fn lying() -> (String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new([]).unwrap();
    ca.distinguished_name.push(rcgen::DnType::CommonName, "kubernetes");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "kubernetes".to_owned()];
    let params = rcgen::CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &rcgen::Issuer::from_params(&ca, &ca_key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            std::thread::spawn(move || {
                let mut connection = rustls::ServerConnection::new(config).unwrap();
                let mut tls = rustls::Stream::new(&mut connection, &mut stream);
                let page = "<html>Please log in</html>";
                let mut request = [0; 4096];
                while tls.read(&mut request).is_ok_and(|read| read > 0) {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                        page.len()
                    );
                    if std::io::Write::write_all(&mut tls, answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, pem)
}

/// How much memory a process has had at most, in KiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_hundred_clusters_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let healthy =
        ["high-availability", "one-node", "three-nodes", "three-nodes-nftables"].map(|it| format!("healthy/{it}"));
    let mut faults: Vec<String> = fs::read_dir(fixtures().join("faults"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| format!("faults/{}", name.trim_end_matches(".json.gz")))
        .collect();
    faults.sort();
    let all = healthy.iter().cycle().take(20).chain(faults.iter().take(180));
    let copies: Vec<(String, &String)> =
        all.enumerate().map(|(i, fixture)| (format!("cluster-{i:03}"), fixture)).collect();
    recordings(folder.path(), &copies.iter().map(|(name, of)| (name.as_str(), of.as_str())).collect::<Vec<_>>());
    let start = Instant::now();
    let flags =
        ["--recordings", "recordings", "--json", "f.json", "--junit", "f.xml", "--markdown", "f.md", "-o", "json"];
    let mut child = fleet(folder.path(), &flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // When the report begins to come, everything is done; and it does not fit into the pipe, so the process is still there.
    let mut report = BufReader::with_capacity(1, child.stdout.take().unwrap());
    let mut first = String::new();
    report.read_line(&mut first).unwrap();
    let (took, memory) = (start.elapsed(), peak(child.id()));
    let mut rest = String::new();
    report.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(format!("{first}{rest}"), fs::read_to_string(folder.path().join("f.json")).unwrap());
    let joint = joint(folder.path());
    assert_eq!(names(&joint).len(), 200);
    assert!(joint["counts"]["not seaworthy"].as_u64().unwrap() > 100, "{}", joint["counts"]);
    assert_eq!(cluster(&joint, "cluster-000")["verdict"], "seaworthy");
    let junit = fs::read_to_string(folder.path().join("f.xml")).unwrap();
    let junit = roxmltree::Document::parse(&junit).unwrap();
    let suites: BTreeSet<_> = junit
        .descendants()
        .filter_map(|node| node.has_tag_name("testsuite").then(|| node.attribute("name")).flatten())
        .collect();
    assert_eq!(suites, names(&joint).into_iter().collect());
    assert!(fs::metadata(folder.path().join("f.md")).unwrap().len() <= 65_536);
    assert!(memory < MOST_MEMORY, "{memory} KiB");
    assert!(took < Duration::from_secs(600), "{took:?}");
}

#[test]
fn the_same_cause_is_reported_once_with_its_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let ca = "faults/cluster-ca-expires-within-a-year";
    recordings(folder.path(), &[("a", ca), ("b", "healthy/one-node"), ("c", ca), ("d", ca)]);
    let flags = ["--recordings", "recordings", "--json", "f.json", "--junit", "f.xml"];
    let one_by_one = run(folder.path(), &[&flags[..], &["--parallel", "1"]].concat());
    assert_eq!(one_by_one.status.code(), Some(1));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let (json, junit) = (read("f.json"), read("f.xml"));
    let at_once = run(folder.path(), &[&flags[..], &["--parallel", "4"]].concat());
    assert_eq!((read("f.json"), read("f.xml")), (json, junit), "no matter which cluster ends first");
    let joint = joint(folder.path());
    let of_ca: Vec<_> = joint["causes"].as_array().unwrap().iter().filter(|cause| cause["outcome"] == "fail").collect();
    assert_eq!(of_ca.len(), 1, "{of_ca:?}");
    let clusters: Vec<_> =
        of_ca[0]["clusters"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!((clusters, &of_ca[0]["check"]), (vec!["a", "c", "d"], &json!("PK-05")));
    assert_eq!(cluster(&joint, "b")["checks"]["PK-05"], "pass");
    let text = String::from_utf8(at_once.stdout).unwrap();
    assert!(text.contains("in 3 of 4 clusters") && text.contains("clusters  a, c, d\n"), "{text}");
    assert!(
        text.contains("\nseaworthy (1): b\n") && text.contains("not seaworthy: 3 of 4 clusters; 1 seaworthy;"),
        "{text}"
    );
}

/// `SNAPSHOTS=overwrite cargo test --test fleet` writes the sample again.
#[test]
fn the_text_is_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let ca = "faults/cluster-ca-expires-within-a-year";
    let copies = [("eu-1", ca), ("eu-2", ca), ("us-1", "faults/coredns-crash-looping"), ("us-2", "healthy/one-node")];
    recordings(folder.path(), &copies);
    fs::create_dir(folder.path().join("clusters")).unwrap();
    fs::write(folder.path().join("clusters/us-3.conf"), "hello").unwrap();
    let done = run(folder.path(), &["--kubeconfigs", "clusters", "--recordings", "recordings"]);
    let text = String::from_utf8(done.stdout).unwrap();
    let text = regex::Regex::new(r"checks in [0-9.]+ m?s").unwrap().replace(&text, "checks in 0 s").into_owned();
    let mut redactions = snapbox::Redactions::new();
    redactions.insert("[VERSION]", env!("CARGO_PKG_VERSION")).unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample.fleet.txt");
    let assert = snapbox::Assert::new().action_env("SNAPSHOTS").redact_with(redactions);
    assert.eq(text, snapbox::Data::read_from(&sample, None));
}

#[test]
fn a_cluster_that_hangs_refuses_or_lies_is_a_row_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    recordings(folder.path(), &[("fine", "healthy/three-nodes")]);
    let ((_open, hangs), refuses, (lies, ca)) = (hanging(), refusing(), lying());
    kubeconfigs(folder.path(), &[("hangs", &hangs), ("refuses", &refuses)]);
    let mut config = kubeconfig(&lies, &json!({ "token": TOKEN }));
    config["clusters"][0]["cluster"]["certificate-authority-data"] = BASE64_STANDARD.encode(ca).into();
    fs::write(folder.path().join("clusters/lies.conf"), config.to_string()).unwrap();
    fs::write(folder.path().join("clusters/notes.txt"), "not a kubeconfig").unwrap();
    let flags = [
        "--recordings",
        "recordings",
        "--kubeconfigs",
        "clusters",
        "--request-timeout",
        "1s",
        "--json",
        "f.json",
        "--junit",
        "f.xml",
        "--record-dir",
        "made",
        "--events-dir",
        "events",
    ];
    fs::create_dir(folder.path().join("made")).unwrap();
    fs::write(folder.path().join("made/refuses.json.gz"), "old").unwrap();
    let start = Instant::now();
    let done = run(folder.path(), &flags);
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    // The file that is no kubeconfig is the worst of it.
    assert_eq!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
    let joint = joint(folder.path());
    assert_eq!(names(&joint), ["hangs", "lies", "notes.txt", "refuses", "fine"]);
    for (name, says, code) in [
        ("hangs", "did not answer within 1 s", 3),
        ("refuses", "refused", 3),
        ("lies", "this is not a Kubernetes API", 3),
        ("notes.txt", "not a kubeconfig", 2),
    ] {
        let row = cluster(&joint, name);
        let why = row["failed"].as_str().unwrap();
        assert!(why.contains(says), "{name}: {why}");
        assert_eq!((&row["verdict"], &row["exit_code"]), (&json!("not checked"), &json!(code)));
        assert!(row["recording"].is_null(), "{row}");
    }
    assert_eq!(cluster(&joint, "fine")["verdict"], "seaworthy");
    assert!(fs::read_dir(folder.path().join("made")).unwrap().next().is_none(), "an older file must not pass for new");
    for name in ["hangs", "fine"] {
        let events = fs::read_to_string(folder.path().join(format!("events/{name}.jsonl"))).unwrap();
        assert!(events.lines().last().unwrap().contains("run-finished"), "{name}");
    }
    let junit = fs::read_to_string(folder.path().join("f.xml")).unwrap();
    assert_eq!(junit.matches("<testsuite ").count(), 5);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(said.contains("5 of 5 after "), "{said}");
    for text in [&said, &junit, &joint.to_string()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[test]
fn clusters_that_hang_do_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_open, url) = hanging();
    let timed = |number: usize| {
        let name = format!("of-{number}");
        fs::create_dir(folder.path().join(&name)).unwrap();
        for i in 0..number {
            let config = kubeconfig(&url, &json!({ "token": TOKEN }));
            fs::write(folder.path().join(format!("{name}/c{i}.conf")), config.to_string()).unwrap();
        }
        let start = Instant::now();
        let done = run(
            folder.path(),
            &["--kubeconfigs", &name, "--request-timeout", "4s", "--parallel", "20", "--select", "CP-01,CP-02"],
        );
        assert_eq!(done.status.code(), Some(3));
        start.elapsed()
    };
    let (one, many) = (timed(1), timed(20));
    assert!(many < one * 2, "one takes {one:?}, twenty take {many:?}");
}

#[test]
fn a_fleet_that_is_stopped_reports() {
    let folder = tempfile::tempdir().unwrap();
    recordings(folder.path(), &[("fine", "healthy/one-node")]);
    let url = plain_server::serve(|asked| if asked.path == "/version" { Answer::version() } else { Answer::Never });
    kubeconfigs(folder.path(), &[("stuck", &url), ("waits", &url)]);
    let flags = [
        "--kubeconfigs",
        "clusters",
        "--recordings",
        "recordings",
        "--parallel",
        "1",
        "--request-timeout",
        "60s",
        "--json",
        "f.json",
        "--junit",
        "f.xml",
        "--events-dir",
        "events",
    ];
    let child = fleet(folder.path(), &flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let events = folder.path().join("events/stuck.jsonl");
    let begun = Instant::now();
    while !fs::read_to_string(&events).is_ok_and(|text| text.contains("fact-started")) {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", String::from_utf8_lossy(&done.stderr));
    let joint = joint(folder.path());
    for name in ["stuck", "waits", "fine"] {
        assert_eq!(cluster(&joint, name)["verdict"], "interrupted", "{name}");
    }
    assert!(cluster(&joint, "waits")["failed"].as_str().unwrap().contains("before this cluster was asked"));
    assert!(fs::read_to_string(folder.path().join("f.xml")).unwrap().contains("before this cluster was asked"));
    assert!(String::from_utf8_lossy(&done.stdout).contains("interrupted: 3 clusters"));
}

/// One line on the standard error, exit code 2, and no file.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], says: &str) {
    let done = run(folder, arguments);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains(says), "{said} does not say {says}");
}

#[test]
fn wrong_sources_are_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let mut config = kubeconfig("https://127.0.0.1:1", &json!({}));
    config["contexts"] =
        json!(["a", "b"].map(|name| json!({ "name": name, "context": { "cluster": "x", "user": name } })));
    fs::write(folder.path().join("config"), config.to_string()).unwrap();
    let folder = folder.path();
    let known = "config: no context matches \"c*\"; available: a, b";
    refused(folder, &["--kubeconfig", "config", "--contexts", "c*"], known);
    refused(folder, &["--kubeconfig", "config", "--contexts", "a,c*"], known);
    refused(folder, &["--kubeconfig", "config", "--context", "a"], "choose clusters by --contexts");
    refused(folder, &["--kubeconfigs", "empty"], "--kubeconfigs empty: the folder has no such file");
    refused(folder, &["--recordings", "nowhere"], "--recordings nowhere: ");
    refused(folder, &["--recordings", "empty", "--json", "x", "--junit", "x"], "--junit and --json are the same file");
    refused(folder, &["--recordings", "empty", "--secrets-plugins"], "name one of these");
}

#[test]
fn clusters_of_one_name_are_told_apart_and_a_cluster_is_checked_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = refusing();
    for name in ["eu", "us"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        let config = kubeconfig(&url, &json!({}));
        fs::write(folder.path().join(format!("{name}/admin.conf")), config.to_string()).unwrap();
    }
    let mut config = kubeconfig(&url, &json!({}));
    let context = |name: &str, namespace: &str| json!({ "name": name, "context": { "cluster": "x", "user": "admin", "namespace": namespace } });
    config["contexts"] =
        json!([context("prod", "a"), context("prod-b", "b"), { "name": "test", "context": { "cluster": "y" } }]);
    fs::write(folder.path().join("config"), config.to_string()).unwrap();
    let flags = [
        "--kubeconfigs",
        "eu",
        "us",
        "--kubeconfig",
        "config",
        "--contexts",
        "*",
        "--select",
        "CP-01",
        "--json",
        "f.json",
    ];
    let done = run(folder.path(), &flags);
    let joint = joint(folder.path());
    assert_eq!(names(&joint), ["prod", "test", "eu/admin", "us/admin"]);
    assert_eq!(done.status.code(), Some(2), "a context without its cluster");
    assert!(cluster(&joint, "test")["failed"].as_str().unwrap().contains("cluster \"y\", which does not exist"));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("context \"prod-b\" has the cluster and the user of \"prod\": checked once"), "{said}");
}

/// A Secret of a management cluster.
fn secret(name: &str, labels: &Value, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> =
        data.iter().map(|(key, value)| ((*key).to_owned(), BASE64_STANDARD.encode(value).into())).collect();
    json!({
        "metadata": { "name": name, "namespace": "fleet", "labels": labels }, "type": "cluster.x-k8s.io/secret", "data": data,
    })
}

#[test]
fn secrets_of_a_management_cluster_are_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let member =
        plain_server::serve(|asked| if asked.path == "/version" { Answer::version() } else { Answer::not_found() });
    let exec = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": ["ran"], "interactiveMode": "Never",
    } });
    let of_cluster_api = |name: &str, value: &str| {
        secret(&format!("{name}-kubeconfig"), &json!({ "cluster.x-k8s.io/cluster-name": name }), &[("value", value)])
    };
    let of_argocd = |name: &str, server: &str, config: &str| {
        let label = json!({ "argocd.argoproj.io/secret-type": "cluster" });
        secret(&format!("cluster-{name}"), &label, &[("name", name), ("server", server), ("config", config)])
    };
    let items = json!([
        of_cluster_api("one", &kubeconfig(&member, &json!({ "token": TOKEN })).to_string()),
        of_cluster_api("plugin", &kubeconfig("https://127.0.0.1:1", &exec).to_string()),
        of_cluster_api("broken", &format!("users: [{TOKEN}")),
    ]);
    let config = json!({ "bearerToken": TOKEN, "tlsClientConfig": { "insecure": false } }).to_string();
    let hostile = "\u{1b}[2Jb\u{202e}";
    let others = json!([
        of_argocd("one", &member, &config),
        of_argocd(hostile, "https://127.0.0.1:1", &config),
        of_argocd("garbage", &member, TOKEN),
    ]);
    let list = |items: &Value| json!({ "kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": items });
    let (first, second) = (list(&items), list(&others));
    let management = plain_server::serve(move |asked| match asked.path.as_str() {
        "/version" => Answer::version(),
        path if path.starts_with("/api/v1/namespaces/fleet/secrets?labelSelector=cluster.x-k8s.io") => {
            Answer::object(&first)
        }
        path if path.starts_with("/api/v1/namespaces/fleet/secrets?labelSelector=argocd") => Answer::object(&second),
        _ => Answer::not_found(),
    });
    fs::write(folder.path().join("config"), kubeconfig(&management, &json!({})).to_string()).unwrap();
    let flags = [
        "--kubeconfig",
        "config",
        "--context",
        "admin@x",
        "--cluster-api",
        "--argocd",
        "--secrets-namespace",
        "fleet",
        "--json",
        "f.json",
        "--junit",
        "f.xml",
        "--record-dir",
        "made",
        "--select",
        "CP-01,KL-01",
    ];
    let done = run(folder.path(), &flags);
    let joint = joint(folder.path());
    assert_eq!(done.status.code(), Some(2), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(names(&joint).len(), 6, "{:?}", names(&joint));
    let says = |name: &str, says: &str| {
        let why = cluster(&joint, name)["failed"].as_str().unwrap().to_owned();
        assert!(why.contains(says) && why.contains("Secret fleet/"), "{why}");
    };
    says("plugin", "it names the credential plugin \"touch\", which only runs with --secrets-plugins");
    says("broken", "not a kubeconfig");
    says("garbage", "its field config is not JSON as Argo CD writes it");
    assert!(!folder.path().join("ran").exists());
    let reached: Vec<_> =
        joint["clusters"].as_array().unwrap().iter().filter(|row| row["cluster"]["version"] == "v1.37.2").collect();
    assert_eq!(reached.len(), 2, "both clusters of the name one are asked: {:?}", names(&joint));
    assert!(reached.iter().all(|row| Path::new(folder.path()).join(row["recording"].as_str().unwrap()).exists()));
    let outputs = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let files = ["f.json", "f.xml"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
    for text in outputs.iter().chain(&files) {
        assert!(!text.contains("0815") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }
    let done = run(folder.path(), &["--kubeconfig", "config", "--cluster-api"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(
        said.contains("the Secrets of Cluster API cannot be listed") && said.contains("--secrets-namespace"),
        "{said}"
    );
}

#[test]
fn a_recording_that_is_made_gives_the_same_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let url =
        plain_server::serve(|asked| if asked.path == "/version" { Answer::version() } else { Answer::not_found() });
    kubeconfigs(folder.path(), &[("a", &url)]);
    let flags = ["--record-dir", "made", "--json", "f.json", "--select", "control-plane"];
    run(folder.path(), &[&["--kubeconfigs", "clusters"], &flags[..]].concat());
    let live = joint(folder.path());
    let recording = live["clusters"][0]["recording"].as_str().unwrap().to_owned();
    run(folder.path(), &["--recordings", &recording, "--json", "f.json"]);
    let judged = joint(folder.path());
    for field in ["checks", "counts", "verdict", "exit_code", "cluster"] {
        assert_eq!(live["clusters"][0][field], judged["clusters"][0][field], "{field}");
    }
}
