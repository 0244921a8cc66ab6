//! The program's figures, as ratios to physical floors and to a peer that are measured in the same run.
//!
//!     SEAWORTHY_KUBECONFIG=FILE SEAWORTHY_PROGRAM=PATH cargo bench --bench figures
//!
//! `SEAWORTHY_PROGRAM` is a static release build whose image the nodes have. The floor of a run with probes is what it takes
//! to create a bare pod on each node that does nothing (here the same image, asked for its version) and to see them
//! Succeeded by one watch: no tool that starts pods can be faster. The floor's client is connected before its clock starts;
//! the program's time includes its start. Both are measured in turn, so that the machine's drift hits both.
//!
//! With `SEAWORTHY_SONOBUOY` naming that program, and `SEAWORTHY_SHELL_IMAGE` an image with a shell that the nodes have,
//! Sonobuoy's run of a trivial DaemonSet plugin, until its results are retrieved, is measured in the same rounds.

#![expect(clippy::disallowed_types, reason = "the floor is what another client of the API server needs")]
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a benchmark prints figures")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

/// How often each is measured, unless `SEAWORTHY_ROUNDS` says otherwise.
const ROUNDS: usize = 5;
/// The label of the floor's pods.
const FLOOR: &str = "app=seaworthy-floor";

#[tokio::main]
async fn main() {
    let (Some(kubeconfig), Some(program)) = (env::var_os("SEAWORTHY_KUBECONFIG"), env::var_os("SEAWORTHY_PROGRAM"))
    else {
        println!("SEAWORTHY_KUBECONFIG and SEAWORTHY_PROGRAM are not set: nothing is measured");
        return;
    };
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no provider is installed yet");
    let file = Kubeconfig::read_from(&kubeconfig).expect("SEAWORTHY_KUBECONFIG names a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let bench = Bench {
        client: Client::try_from(config.expect("the kubeconfig has a context")).expect("the kubeconfig is complete"),
        kubeconfig: kubeconfig.to_string_lossy().into_owned(),
        program: program.to_string_lossy().into_owned(),
        sonobuoy: env::var("SEAWORTHY_SONOBUOY").ok(),
        rounds: env::var("SEAWORTHY_ROUNDS")
            .map_or(ROUNDS, |rounds| rounds.parse().expect("SEAWORTHY_ROUNDS is a number")),
        folder: tempfile::tempdir().expect("the temporary folder can be written"),
    };
    bench.report().await;
}

struct Bench {
    client: Client,
    kubeconfig: String,
    program: String,
    sonobuoy: Option<String>,
    rounds: usize,
    folder: tempfile::TempDir,
}

/// What one run of the program took.
struct Run {
    verdict: Duration,
    peak_kib: u64,
}

impl Bench {
    async fn report(&self) {
        let (mut floors, mut runs, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            floors.push(self.floor().await);
            runs.push(self.run(&["run", "--profile", "post-install"]));
            peers.extend(self.sonobuoy.as_ref().map(|sonobuoy| self.peer(sonobuoy)));
        }
        let audits: Vec<Run> = (0..self.rounds).map(|_| self.run(&["run", "--profile", "audit"])).collect();
        let recording = self.folder.path().join("recording.json").to_string_lossy().into_owned();
        self.run(&["run", "--profile", "post-install", "--record", &recording]);
        let judged: Vec<Duration> = (0..self.rounds).map(|_| self.judge(&recording)).collect();

        println!("floor: bare pods that do nothing, until Succeeded   {:>7.2} s", seconds(&floors));
        println!("run --profile post-install, until the verdict       {:>7.2} s", seconds(&verdicts(&runs)));
        println!("  ratio to the floor, round by round (at most 1.5)  {:>7.2}", median(ratios(&runs, &floors)));
        if !peers.is_empty() {
            println!("sonobuoy run --wait and retrieve, trivial plugin    {:>7.2} s", seconds(&peers));
            println!("  ratio to it, round by round (at most 0.2)         {:>7.2}", median(ratios(&runs, &peers)));
        }
        println!("run --profile audit, start-up included (at most 1)  {:>7.2} s", seconds(&verdicts(&audits)));
        println!("judge of a recording (at most 0.05)                 {:>7.3} s", seconds(&judged));
        let peak = runs.iter().chain(&audits).map(|run| run.peak_kib).max().unwrap_or_default();
        println!("peak resident memory (at most 40)                   {:>7.1} MiB", peak as f64 / 1024.0);
        let size = fs::metadata(&self.program).expect("the program is a file").len();
        println!("executable                                          {:>7.2} MB", size as f64 / 1e6);
    }

    /// Creates a bare pod on each node and waits for all to have succeeded.
    async fn floor(&self) -> Duration {
        let nodes = Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await.expect("nodes are listed");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "default");
        let image = format!("seaworthy.dev/probe:{}", env!("CARGO_PKG_VERSION"));
        let wanted: Vec<Pod> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| {
                let pod = json!({
                    "metadata": { "name": format!("seaworthy-floor-{i}"), "labels": { "app": "seaworthy-floor" } },
                    "spec": {
                        "nodeName": node.metadata.name, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                        "automountServiceAccountToken": false,
                        "tolerations": [{ "operator": "Exists" }],
                        "containers": [{ "name": "true", "image": image, "args": ["--version"] }],
                    },
                });
                serde_json::from_value(pod).expect("it is a pod")
            })
            .collect();
        let began = Instant::now();
        let parameters = PostParams::default();
        for made in join_all(wanted.iter().map(|pod| pods.create(&parameters, pod))).await {
            made.expect("the pod is admitted");
        }
        let watched = pods.watch(&WatchParams::default().labels(FLOOR), "0").await.expect("pods are watched");
        let mut watched = watched.boxed();
        let mut succeeded = std::collections::BTreeSet::new();
        while succeeded.len() < wanted.len() {
            let event = watched.try_next().await.expect("the watch goes on").expect("the watch goes on");
            if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
                && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
            {
                succeeded.insert(pod.metadata.name);
            }
        }
        let took = began.elapsed();
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete_collection(&at_once, &ListParams::default().labels(FLOOR)).await.expect("pods are deleted");
        took
    }

    /// Runs the program, until the line that concludes its report.
    fn run(&self, arguments: &[&str]) -> Run {
        let began = Instant::now();
        let mut child = Command::new(&self.program)
            .args(arguments)
            .args(["--kubeconfig", &self.kubeconfig])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let status = format!("/proc/{}/status", child.id());
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut verdict = None;
        let mut peak_kib = 0;
        for line in lines.map_while(Result::ok) {
            if line.contains(" checks in ") {
                verdict = Some(began.elapsed());
                peak_kib = peak(&fs::read_to_string(&status).unwrap_or_default());
            }
        }
        child.wait().expect("the program ends");
        Run { verdict: verdict.expect("the report has a conclusion"), peak_kib }
    }

    fn judge(&self, recording: &str) -> Duration {
        let began = Instant::now();
        let done = Command::new(&self.program).args(["judge", recording]).output().expect("the program can be started");
        assert!(matches!(done.status.code(), Some(0 | 1)), "{done:?}");
        began.elapsed()
    }

    /// Sonobuoy's run of a DaemonSet plugin that does nothing, until its results are here. Its clean-up is not counted.
    fn peer(&self, sonobuoy: &str) -> Duration {
        let image = env::var("SEAWORTHY_SHELL_IMAGE").expect("SEAWORTHY_SHELL_IMAGE names an image with a shell");
        let plugin = self.folder.path().join("trivial.yaml");
        let results = "/tmp/sonobuoy/results";
        let done = format!("echo ok > {results}/out && printf {results}/out > {results}/done && sleep 3600");
        let manifest = json!({
            "sonobuoy-config": { "driver": "DaemonSet", "plugin-name": "trivial", "result-format": "raw" },
            "spec": {
                "name": "plugin", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", done],
                "volumeMounts": [{ "name": "results", "mountPath": results }],
            },
        });
        fs::write(&plugin, manifest.to_string()).expect("the temporary folder can be written");
        let sonobuoy = |arguments: &[&str], folder: &Path| {
            let mut command = Command::new(sonobuoy);
            let done = command.args(arguments).args(["--kubeconfig", &self.kubeconfig]).current_dir(folder).output();
            let done = done.expect("sonobuoy can be started");
            assert!(done.status.success(), "{done:?}");
        };
        let began = Instant::now();
        let plugin = plugin.to_string_lossy().into_owned();
        sonobuoy(&["run", "--plugin", &plugin, "--image-pull-policy", "IfNotPresent", "--wait"], self.folder.path());
        sonobuoy(&["retrieve"], self.folder.path());
        let took = began.elapsed();
        sonobuoy(&["delete", "--wait"], self.folder.path());
        took
    }
}

/// The peak of resident memory in KiB, from `/proc/PID/status`.
fn peak(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn verdicts(runs: &[Run]) -> Vec<Duration> {
    runs.iter().map(|run| run.verdict).collect()
}

fn ratios(runs: &[Run], others: &[Duration]) -> Vec<f64> {
    runs.iter().zip(others).map(|(run, other)| run.verdict.as_secs_f64() / other.as_secs_f64()).collect()
}

fn seconds(samples: &[Duration]) -> f64 {
    median(samples.iter().map(Duration::as_secs_f64).collect())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
