//! What the program says of servers that are not API servers, that hang, that refuse, or that impersonate one: against
//! servers on the loopback interface.

mod server;

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};
use server::{Answer, failure, kubeconfig, nothing, object, presents, reply, run_with, version, written};
use tokio::net::TcpListener;

/// A CA with a certificate of its for the loopback address.
struct Authority {
    pem: String,
    config: Arc<rustls::ServerConfig>,
}

impl Authority {
    fn new(name: &str) -> Self {
        Self::with_names(name, &["127.0.0.1", "kubernetes"])
    }

    /// A CA whose server presents the CA's own certificate.
    fn self_signed(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), config: presents(certificate.into(), &key) }
    }

    /// A CA with a certificate of its for these names.
    fn with_names(name: &str, names: &[&str]) -> Self {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::from_params(&params, &key);
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        Self { pem: certificate.pem(), config: presents(leaf.into(), &leaf_key) }
    }
}

async fn serve(authority: &Authority, answer: Answer) -> SocketAddr {
    server::serve(std::slice::from_ref(&authority.config), answer).await
}

/// Runs the program against the server, as a client that trusts this CA.
async fn run(address: SocketAddr, ca: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    run_with(kubeconfig(&folder, &format!("https://{address}"), ca), arguments).await
}

/// The standard error says this first, and the exit code is 3.
#[track_caller]
fn inconclusive(done: &Output, says: &[&str]) {
    ended(done, 3, says);
}

/// The standard error says this first, and the exit code is 1: the server's certificate is a finding.
#[track_caller]
fn found(done: &Output, says: &[&str]) {
    ended(done, 1, says);
}

/// The standard error says this first, and the exit code is this one.
#[track_caller]
fn ended(done: &Output, code: i32, says: &[&str]) {
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    let first = said.lines().next().unwrap_or_default();
    for part in says {
        assert!(first.contains(part), "{said} does not say {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_page_is_not_a_cluster() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, |_| reply(200, "text/html", "<html>Please log in</html>")).await;
    inconclusive(&run(address, &ca.pem, &[]).await, &["this is not a Kubernetes API", "an HTML page"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ca_is_named() {
    let (ours, proxy) = (Authority::new("kubernetes"), Authority::new("company-proxy"));
    let address = serve(&proxy, |_| version()).await;
    found(&run(address, &ours.pem, &[]).await, &["CN=company-proxy issued it", "intercepts TLS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_named() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, |_| failure(401, "Unauthorized", "Unauthorized")).await;
    let done = run(address, &ca.pem, &[]).await;
    inconclusive(&done, &["rejects the credential of a in"]);
    assert!(!String::from_utf8_lossy(&done.stderr).contains("not-a-real-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let began = std::time::Instant::now();
    let done = run(address, &Authority::new("kubernetes").pem, &["--request-timeout", "1s"]).await;
    inconclusive(&done, &["did not answer within 1 s"]);
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// Answers the first request of a run, and no other.
fn hanging(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() == "/version" { version() } else { nothing() }
}

/// The files of a run whose JUnit has every check of the profile audit (all but AA-26), of which the one that is not blocked names the cause.
#[track_caller]
fn names_one_cause(folder: &std::path::Path, done: &Output, code: i32, cause: &str) {
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let verdicts: Value = serde_json::from_str(&read("r.json")).unwrap();
    let named: Vec<_> = verdicts["causes"].as_array().unwrap().iter().collect();
    let because = |id: &Value| {
        let check = verdicts["checks"].as_array().unwrap().iter().find(|check| check["id"] == *id).unwrap();
        check["unseen"][0]["why"].as_str().unwrap().to_owned()
    };
    assert!(named.iter().any(|root| because(&root["check"]).contains(cause)), "{cause}: {}", verdicts["causes"]);
    let junit = read("r.xml");
    let document = roxmltree::Document::parse(&junit).unwrap();
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testcase"), count("error")), (seaworthy::suites::checks().count() - 1, named.len()), "{junit}");
    assert!(read("r.jsonl").contains(r#""event":"run-finished""#));
}

fn command(folder: &tempfile::TempDir, address: SocketAddr, ca: &str, arguments: &[&str]) -> tokio::process::Command {
    let path = kubeconfig(folder, &format!("https://{address}"), ca);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder.path()).arg("run").arg("--kubeconfig").arg(path).args(arguments);
    command.args(["--junit", "r.xml", "--json", "r.json", "--events", "r.jsonl"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_time_is_over_reports() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, hanging).await;
    let folder = tempfile::tempdir().unwrap();
    let done = command(&folder, address, &ca.pem, &["--timeout", "1s"]).output().await.unwrap();
    names_one_cause(folder.path(), &done, 3, "the run was over after 1 s, as --timeout sets it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_reports() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, hanging).await;
    let folder = tempfile::tempdir().unwrap();
    let child = command(&folder, address, &ca.pem, &["--request-timeout", "60s"]).spawn().unwrap();
    let events = folder.path().join("r.jsonl");
    while !std::fs::read_to_string(&events).is_ok_and(|text| text.contains("fact-started")) {
        tokio::task::yield_now().await;
    }
    let process = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let done = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    names_one_cause(folder.path(), &done, 130, "the run was stopped before this was observed");
}

/// No user may do anything, and the server knows no other user.
fn closed(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match request.headers().get("Authorization").map(hyper::http::HeaderValue::as_bytes) {
        None | Some(b"Bearer not-a-real-token") => failure(403, "Forbidden", "User \"a\" cannot do anything"),
        Some(_) => failure(401, "Unauthorized", "Unauthorized"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_rights_sees_nothing_pass() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, closed).await;
    let done = run(address, &ca.pem, &["-o", "json", "--profile", "ci"]).await;
    assert_eq!(done.status.code(), Some(3));
    let verdicts: Value = serde_json::from_slice(&done.stdout).unwrap();
    for check in verdicts["checks"].as_array().unwrap() {
        assert!(matches!(check["outcome"].as_str(), Some("error" | "blocked" | "skip")), "{check}");
    }
}

fn not_found() -> Response<Full<Bytes>> {
    reply(404, "text/plain; charset=utf-8", "404 page not found\n")
}

/// What a proxy answers that lets nothing through but the version.
fn proxy(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() == "/version" { version() } else { not_found() }
}

/// A cluster that serves two groups of APIs, and nothing in them, with a proxy in front that hides the nodes and the roles.
fn partial(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let versions = |group: &str| json!([{ "groupVersion": format!("{group}/v1"), "version": "v1" }]);
    let list = |version: &str, kind: &str| {
        object(200, &json!({ "kind": kind, "apiVersion": version, "metadata": {}, "items": [] }))
    };
    match request.uri().path() {
        "/version" => version(),
        "/apis" => {
            let groups = ["admissionregistration.k8s.io", "rbac.authorization.k8s.io"]
                .map(|name| json!({ "name": name, "versions": versions(name) }));
            object(200, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        "/apis/admissionregistration.k8s.io/v1" => object(
            200,
            &json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "admissionregistration.k8s.io/v1",
            "resources": [{ "name": "validatingadmissionpolicies" }, { "name": "validatingadmissionpolicybindings" }] }),
        ),
        "/apis/rbac.authorization.k8s.io/v1" => object(
            200,
            &json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "rbac.authorization.k8s.io/v1",
            "resources": [{ "name": "clusterroles" }, { "name": "clusterrolebindings" }, { "name": "roles" },
                { "name": "rolebindings" }] }),
        ),
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies" => {
            list("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyList")
        }
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings" => {
            list("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBindingList")
        }
        "/api/v1/pods" => list("v1", "PodList"),
        _ => not_found(),
    }
}

/// The outcomes of all checks, by their ids.
async fn outcomes(answer: Answer, arguments: &[&str]) -> (Option<i32>, std::collections::BTreeMap<String, Value>) {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, answer).await;
    let done = run(address, &ca.pem, &[&["-o", "json"], arguments].concat()).await;
    let verdicts: Value = serde_json::from_slice(&done.stdout).unwrap();
    let checks = verdicts["checks"].as_array().unwrap().iter();
    (done.status.code(), checks.map(|check| (check["id"].as_str().unwrap().to_owned(), check.clone())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_a_proxy_is_not_absence() {
    let (code, checks) = outcomes(proxy, &[]).await;
    assert_eq!(code, Some(3));
    for (id, check) in &checks {
        match check["outcome"].as_str() {
            Some("error" | "blocked") => {}
            // What the profile leaves out is skipped wherever it runs.
            Some("skip") => assert!(check["reason"].as_str().unwrap().starts_with("the profile "), "{check}"),
            // The endpoint's certificate is seen without a request.
            outcome => assert_eq!((id.as_str(), outcome), ("PK-01", Some("pass")), "{check}"),
        }
    }
    assert!(checks["KL-01"].to_string().contains("HTTP 404 that is not a Status: 404 page not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_list_of_apis_shows_that_one_is_not_served() {
    let (_, checks) = outcomes(partial, &["--select", "KL-01,AA-19,CP-12,SN-02"]).await;
    let said = |id: &str| checks[id].to_string();
    // Nodes are in v1, and roles are listed: a proxy hides them.
    for id in ["KL-01", "AA-19"] {
        assert_eq!(checks[id]["outcome"], "error", "{}", said(id));
        assert!(said(id).contains("HTTP 404 that is not a Status"), "{}", said(id));
    }
    // The version is served with one of two kinds of policies.
    assert_eq!(checks["CP-12"]["outcome"], "skip", "{}", said("CP-12"));
    assert!(
        said("SN-02").contains("this cluster does not serve servicecidrs in networking.k8s.io/v1"),
        "{}",
        said("SN-02")
    );
}

fn one_node() -> Response<Full<Bytes>> {
    object(
        200,
        &json!({ "kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": [{
            "metadata": { "name": "n1" },
            "status": { "nodeInfo": { "operatingSystem": "linux", "architecture": "amd64", "bootID": "", "machineID": "",
                "systemUUID": "", "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "v1.37.2",
                "kubeProxyVersion": "" } },
        }] }),
    )
}

/// Whether something was deleted from [`crowded`].
static CROWDED_LOST: AtomicBool = AtomicBool::new(false);

/// Every namespace exists already, whatever its name.
fn crowded(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method().as_str(), request.uri().path()) {
        (_, "/version") => version(),
        ("POST", "/api/v1/namespaces") => failure(409, "AlreadyExists", "namespaces already exists"),
        (_, "/api/v1/nodes") => one_node(),
        ("DELETE", _) => {
            CROWDED_LOST.store(true, Ordering::Relaxed);
            object(200, &json!({ "kind": "Status", "apiVersion": "v1" }))
        }
        _ => failure(404, "NotFound", "not found"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_our_naming_that_is_not_ours_is_left_alone() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, crowded).await;
    let done = run(address, &ca.pem, &["-o", "json", "--profile", "post-install", "--select", "CN-04"]).await;
    let verdicts: Value = serde_json::from_slice(&done.stdout).unwrap();
    let said = verdicts["checks"][0].to_string();
    assert!(said.contains("it exists and is not of this run"), "{said}");
    assert!(!CROWDED_LOST.load(Ordering::Relaxed), "something was deleted");
    assert_eq!(done.status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_does_not_exist_is_wrong_usage() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, crowded).await;
    let done = run(address, &ca.pem, &["--profile", "post-install", "-n", "team-a"]).await;
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no namespace team-a: create it"), "{said}");
}

/// Whether the namespace of the run was deleted from [`sleepy`].
static SLEEPY_IS_CLEAN: AtomicBool = AtomicBool::new(false);

/// Everything can be made, and no pod ever runs.
fn sleepy(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    match request.method().as_str() {
        "GET" if path == "/version" => version(),
        "GET" if path == "/api/v1/nodes" => one_node(),
        "POST" if path.starts_with("/api/v1/namespaces") => {
            let kind = match path.rsplit('/').next() {
                Some("serviceaccounts") => "ServiceAccount",
                Some("pods") => "Pod",
                Some("services") => "Service",
                _ => "Namespace",
            };
            object(201, &json!({ "kind": kind, "apiVersion": "v1", "metadata": { "name": "made", "uid": "1" } }))
        }
        "DELETE" => {
            SLEEPY_IS_CLEAN.fetch_or(path.starts_with("/api/v1/namespaces/seaworthy-"), Ordering::Relaxed);
            object(200, &json!({ "kind": "Status", "apiVersion": "v1" }))
        }
        _ => failure(404, "NotFound", "not found"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_made_is_removed_also_when_its_time_is_over() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, sleepy).await;
    let arguments = ["-o", "json", "--profile", "post-install", "--select", "CN-04", "--timeout", "2s"];
    let done = run(address, &ca.pem, &arguments).await;
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(SLEEPY_IS_CLEAN.load(Ordering::Relaxed), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs the program as a user whose credential comes from a plugin: this shell script.
async fn run_plugin(script: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "IfAvailable", "command": "sh",
        "args": ["-c", script], "env": [{ "name": "PLUGIN_SECRET", "value": "of-the-environment" }],
    });
    let path = written(&folder, &json!({ "server": "https://127.0.0.1:1" }), &json!({ "exec": exec }));
    run_with(path, arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_credential_plugin_prints_is_never_shown() {
    const CREDENTIAL: &str = r#"{"kind": "ExecCredential", "status": {"token": "opaque-token-0815"}}"#;
    let fails = format!("echo '{CREDENTIAL}'; echo opaque-token-0815 >&2; echo 'log in first' >&2; exit 7");
    let done = run_plugin(&fails, &[]).await;
    inconclusive(&done, &["user \"a\" has no credential: exec sh: ", "ended with exit status: 7: log in first"]);
    let strange = run_plugin("echo status: [opaque-token-0815", &[]).await;
    inconclusive(&strange, &["exec sh: the credential plugin did not print an ExecCredential"]);
    let bare = run_plugin("echo opaque-token-0815; exit 1", &[]).await;
    inconclusive(&bare, &["exec sh: the credential plugin ended with exit status: 1"]);
    for done in [done, strange, bare] {
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!said.contains("0815") && !said.contains("of-the-environment"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_plugin_has_a_deadline() {
    let began = std::time::Instant::now();
    let done = run_plugin("sleep 100", &["--timeout", "1s"]).await;
    let message = "the credential plugin sh of user \"a\" did not end within 1 s; --timeout sets the deadline";
    inconclusive(&done, &[message]);
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_plugin_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "sh",
        "args": ["-c", format!("echo > {}; sleep 100", begun.display())],
    });
    let path = written(&folder, &json!({ "server": "https://127.0.0.1:1" }), &json!({ "exec": exec }));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    let run = command.arg("run").arg("--kubeconfig").arg(path).args(["--request-timeout", "90s"]);
    let child = run.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !begun.exists() {
        tokio::task::yield_now().await;
    }
    let process = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let done = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    ended(&done, 130, &["interrupted before the run began"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_user_is_not_a_fault_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = json!({ "server": "https://127.0.0.1:1" });
    for (user, says) in [
        (
            json!({ "client-certificate": "/nowhere", "client-key": "/nowhere" }),
            "its client-certificate /nowhere cannot be read: ",
        ),
        (json!({ "client-certificate-data": "AA==" }), "it has a client-certificate, and no client-key"),
        (json!({ "client-certificate-data": "-", "client-key-data": "-" }), "is not base64"),
        (json!({ "client-certificate-data": "A A==", "client-key-data": "AA==" }), "is not base64"),
        (json!({ "tokenFile": "nowhere" }), "nowhere cannot be read: "),
        (
            json!({ "exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1", "command": "no-such-plugin", "installHint": "get it",
            } }),
            "exec no-such-plugin: the credential plugin cannot be started: No such file or directory (os error 2) (get it)",
        ),
        (json!({ "exec": {} }), "its exec names no command"),
        (
            json!({ "auth-provider": { "name": "gcp", "config": { "access-token": "opaque-token" } } }),
            "its auth-provider gcp is not supported",
        ),
    ] {
        let path = written(&folder, &cluster, &user);
        let done = run_with(path.clone(), &[]).await;
        ended(&done, 2, &[&format!("{}: context \"a\": user \"a\": ", path.display()), says]);
    }
    for (ca, says) in
        [("-", "its certificate-authority-data (line 1) is not base64"), ("AA==", "holds no certificate in PEM form")]
    {
        let path =
            written(&folder, &json!({ "server": "https://127.0.0.1:1", "certificate-authority-data": ca }), &json!({}));
        ended(&run_with(path, &[]).await, 2, &["context \"a\": cluster \"a\": ", says]);
    }
    let path =
        written(&folder, &json!({ "server": "https://127.0.0.1:1", "certificate-authority": "/nowhere" }), &json!({}));
    ended(&run_with(path, &[]).await, 2, &["cluster \"a\": its certificate-authority /nowhere cannot be read: "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_no_header_can_carry_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = json!({ "server": "https://127.0.0.1:1" });
    let (file, token) = (folder.path().join("token"), "opaque-0815\n");
    std::fs::write(&file, "opaque-0815\nopaque-0815\n").unwrap();
    for (user, says) in [
        (json!({ "token": token }), "its token ends with a line break"),
        (json!({ "token": "opaque-\u{1}0815" }), "its token contains a control character"),
        (json!({ "tokenFile": file }), "contains a line break"),
        (
            json!({ "auth-provider": { "name": "oidc", "config": { "id-token": token } } }),
            "its auth-provider's id-token ends with a line break",
        ),
        (json!({ "token": "a", "as": "0815\n" }), "its as ends with a line break"),
    ] {
        let done = run_with(written(&folder, &cluster, &user), &[]).await;
        ended(&done, 2, &["user \"a\": its ", says, "which an HTTP header cannot carry"]);
        assert!(!String::from_utf8_lossy(&done.stderr).contains("0815"));
    }
    for expires in ["", r#", "expirationTimestamp": "2100-01-01T00:00:00Z""#] {
        let script =
            format!(r#"printf '%s' '{{"kind":"ExecCredential","status":{{"token":"opaque-0815\n"{expires}}}}}'"#);
        let done = run_plugin(&script, &[]).await;
        inconclusive(&done, &["user \"a\" has no credential: exec sh: the token that", "ends with a line break"]);
        assert!(!String::from_utf8_lossy(&done.stderr).contains("0815"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_taken_as_kubectl_takes_it() {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, closed).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, " not-a-real-token\r\n").unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let lines: Vec<_> = BASE64_STANDARD.encode(&ca.pem).as_bytes().chunks(64).map(<[u8]>::to_vec).collect();
    let cluster = json!({
        "server": format!("https://{address}"), "tls-server-name": "", "certificate-authority": "", "proxy-url": "",
        "certificate-authority-data": String::from_utf8(lines.join(&b"\r\n"[..])).unwrap(),
    });
    let plugin = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "echo",
        "args": ["kind: ExecCredential\nstatus: {token: not-a-real-token}"],
    });
    for user in [
        json!({ "tokenFile": file }),
        json!({ "tokenFile": file, "token": "another" }),
        json!({ "tokenFile": empty, "token": "not-a-real-token" }),
        json!({ "tokenFile": "nowhere", "token": "not-a-real-token" }),
        json!({ "token": "not-a-real-token", "username": "", "password": "" }),
        json!({ "token": "not-a-real-token", "client-key-data": "-" }),
        json!({
            "token": "not-a-real-token", "tokenFile": "", "client-certificate": "", "client-certificate-data": "",
            "client-key": "", "client-key-data": "",
        }),
        json!({ "exec": plugin }),
    ] {
        let done = run_with(written(&folder, &cluster, &user), &["-o", "json", "--select", "CP-01"]).await;
        let said = String::from_utf8_lossy(&done.stderr);
        let verdicts: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{user}: {said}"));
        assert_eq!(verdicts["checks"][0]["outcome"], "error", "{user}");
    }
    let done = run_with(written(&folder, &cluster, &json!({ "tokenFile": empty })), &[]).await;
    ended(&done, 2, &["its tokenFile ", " is empty"]);
    let both = json!({ "token": "a", "username": "a", "password": "a" });
    ended(&run_with(written(&folder, &cluster, &both), &[]).await, 2, &["both a token and a username"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_a_url_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (server, says) in [
        ("//localhost", "its server \"//localhost\" is not a URL with a scheme: write https://localhost"),
        ("user:hunter2-0815@localhost:6443/k8s", "write https://localhost:6443/k8s"),
        ("https://", "its server names no host"),
        ("https://user:hunter2-0815@127.0.0.1:99999", "its server has the port \"99999\""),
        ("unix:///run/api.sock", "its server "),
        ("https://127.0.0.1:6443 ", "is not a URL"),
        ("", "it has no server"),
    ] {
        let done = run_with(written(&folder, &json!({ "server": server }), &json!({ "token": "a" })), &[]).await;
        ended(&done, 2, &["context \"a\": cluster \"a\": ", says]);
        assert!(!String::from_utf8_lossy(&done.stderr).contains("0815"));
    }
}

/// The credential that [`guarded`] was last shown.
static SHOWN: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

/// A server that remembers the credential.
fn guarded(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/version" {
        return failure(404, "NotFound", "not found");
    }
    // Strangers show none.
    if let Some(shown) = request.headers().get("Authorization") {
        shown.to_str().unwrap().clone_into(&mut SHOWN.lock().unwrap());
    }
    version()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_url_is_used_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let unreachable = json!({ "server": "https://user:hunter%32-0815@127.0.0.1:1" });
    let done = run_with(written(&folder, &unreachable, &json!({})), &[]).await;
    inconclusive(&done, &["https://127.0.0.1:1: the API server cannot be reached"]);
    assert!(!String::from_utf8_lossy(&done.stderr).contains("0815"));

    let ca = Authority::new("kubernetes");
    let address = serve(&ca, guarded).await;
    let server = format!("https://user:hunter%32-0815@{address}");
    let path = kubeconfig(&folder, &server, &ca.pem);
    let files = ["junit", "json", "events", "record"].map(|name| folder.path().join(format!("output.{name}")));
    let mut arguments = vec!["--verbose"];
    for (flag, file) in ["--junit", "--json", "--events", "--record"].into_iter().zip(&files) {
        arguments.extend([flag, file.to_str().unwrap()]);
    }
    let done = run_with(path, &arguments).await;
    // Base64 of user:hunter2-0815, as in Go.
    assert_eq!(*SHOWN.lock().unwrap(), "Basic dXNlcjpodW50ZXIyLTA4MTU=");
    let written = files.iter().map(|file| std::fs::read(file).unwrap());
    for output in written.chain([done.stdout, done.stderr]) {
        let text = String::from_utf8(output).unwrap();
        assert!(!text.contains("0815") && !text.contains("dXNlcjpodW50"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_scheme_is_named() {
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, |_| version()).await;
    let folder = tempfile::tempdir().unwrap();
    let done = run_with(kubeconfig(&folder, &format!("http://{address}"), &ca.pem), &[]).await;
    inconclusive(&done, &["expects TLS, but the kubeconfig uses http://", "in the server of cluster \"a\" in "]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    });
    inconclusive(
        &run(plain, &ca.pem, &[]).await,
        &["does not speak TLS, but the kubeconfig uses https:// (it answered \"HTTP/1.1 400 Bad"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_no_client_takes_is_described_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("kubernetes");
    let address = serve(&ca, |_| version()).await;
    let server = format!("https://{address}");
    let done = run_with(written(&folder, &json!({ "server": server }), &json!({})), &[]).await;
    found(
        &done,
        &["does not trust CN=kubernetes, the issuer of the", "cluster \"a\" in ", "has no certificate-authority"],
    );
    let elsewhere = Authority::with_names("kubernetes", &["api.example.com"]);
    let address = serve(&elsewhere, |_| version()).await;
    let done = run(address, &elsewhere.pem, &[]).await;
    found(&done, &["is for api.example.com, not for 127.0.0.1: ", "cluster \"a\" in ", "tls-server-name"]);
    let itself = Authority::self_signed("127.0.0.1");
    let address = serve(&itself, |_| version()).await;
    found(&run(address, &itself.pem, &[]).await, &["it is the certificate of a CA", "cluster \"a\" in "]);
}
