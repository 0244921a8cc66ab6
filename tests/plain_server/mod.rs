//! An API server without TLS, whose answers a test decides.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

/// A request that came.
pub(crate) struct Asked {
    /// When.
    pub(crate) at: Instant,
    /// The path with its query.
    pub(crate) path: String,
    /// The user agent that it states.
    pub(crate) agent: String,
}

/// What a server does with a request.
pub(crate) enum Answer {
    /// Answers with this status, these header lines and this body.
    Now(u16, &'static str, String),
    /// Never answers.
    Never,
}

impl Answer {
    /// An object.
    pub(crate) fn object(value: &Value) -> Self {
        Self::Now(200, "", value.to_string())
    }

    /// An object does not exist.
    pub(crate) fn not_found() -> Self {
        let status = json!({ "kind": "Status", "apiVersion": "v1", "reason": "NotFound", "message": "not found" });
        Self::Now(404, "", status.to_string())
    }

    /// The version, as every run asks for it first.
    pub(crate) fn version() -> Self {
        Self::object(&json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "", "buildDate": "",
            "goVersion": "", "compiler": "", "platform": "",
        }))
    }
}

/// Starts a server, and returns its URL.
pub(crate) fn serve(answer: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            // What a client breaks off needs no answer.
            std::thread::spawn(move || drop(exchanges(stream, answer.as_ref())));
        }
    });
    url
}

fn exchanges(stream: TcpStream, answer: &impl Fn(Asked) -> Answer) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let at = Instant::now();
        let (mut agent, mut length) = (String::new(), 0);
        loop {
            let mut header = String::new();
            requests.read_line(&mut header)?;
            let Some((key, value)) = header.trim_end().split_once(": ") else { break };
            match key.to_ascii_lowercase().as_str() {
                "user-agent" => value.clone_into(&mut agent),
                "content-length" => length = value.parse().map_err(std::io::Error::other)?,
                _ => {}
            }
        }
        requests.read_exact(&mut vec![0; length])?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        match answer(Asked { at, path, agent }) {
            Answer::Now(status, headers, body) => write!(
                answers,
                "HTTP/1.1 {status} Some Reason\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )?,
            // Until the client gives up.
            Answer::Never => return requests.read_to_end(&mut Vec::new()).map(drop),
        }
    }
}

/// A run against the server at this URL, which writes `r.xml`, `r.json` and `r.jsonl` into the folder.
pub(crate) fn run(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let kubeconfig: PathBuf = folder.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{ "name": "a", "cluster": { "server": url } }],
        "contexts": [{ "name": "a", "context": { "cluster": "a" } }],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder).arg("run").arg("--kubeconfig").arg(kubeconfig).args(arguments);
    command.args(["--junit", "r.xml", "--json", "r.json", "--events", "r.jsonl"]);
    command.env_remove("HTTP_PROXY").env_remove("http_proxy");
    command
}
