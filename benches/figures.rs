//! The program's figures, as ratios to physical floors measured in the same run.
//!
//!     SEAWORTHY_KUBECONFIG=FILE SEAWORTHY_PROGRAM=PATH cargo bench --bench figures
//!
//! `SEAWORTHY_PROGRAM` is a static release build whose image the nodes have. The floor of a run with probes is what it takes
//! to create a bare pod on each node that does nothing (here the same image, asked for its version) and to see them
//! Succeeded: no tool that starts pods can be faster. Both are measured in turn, so that the machine's drift hits both.

#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a benchmark prints figures")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::{Value, json};

/// How often each is measured.
const ROUNDS: usize = 5;

fn main() {
    let (Some(kubeconfig), Some(program)) = (env::var_os("SEAWORTHY_KUBECONFIG"), env::var_os("SEAWORTHY_PROGRAM"))
    else {
        println!("SEAWORTHY_KUBECONFIG and SEAWORTHY_PROGRAM are not set: nothing is measured");
        return;
    };
    let bench = Bench {
        kubeconfig: kubeconfig.to_string_lossy().into_owned(),
        program: program.to_string_lossy().into_owned(),
    };
    bench.report();
}

struct Bench {
    kubeconfig: String,
    program: String,
}

/// What one run of the program took.
struct Run {
    verdict: Duration,
    peak_kib: u64,
}

impl Bench {
    fn report(&self) {
        let (mut floors, mut runs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            floors.push(self.floor());
            runs.push(self.run(&["run", "--profile", "post-install"]));
        }
        let audits: Vec<Run> = (0..ROUNDS).map(|_| self.run(&["run", "--profile", "audit"])).collect();
        let folder = env::temp_dir().join(format!("seaworthy-figures-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let recording = folder.join("recording.json").to_string_lossy().into_owned();
        self.run(&["run", "--profile", "post-install", "--record", &recording]);
        let judged: Vec<Duration> = (0..ROUNDS).map(|_| self.judge(&recording)).collect();
        fs::remove_dir_all(&folder).expect("what was written can be removed");

        let ratios = floors.iter().zip(&runs).map(|(floor, run)| run.verdict.as_secs_f64() / floor.as_secs_f64());
        println!("floor: bare pods that do nothing, until Succeeded   {:>7.2} s", seconds(&floors));
        println!("run --profile post-install, until the verdict       {:>7.2} s", seconds(&verdicts(&runs)));
        println!("  ratio, round by round (at most 1.5)               {:>7.2}", median(ratios.collect()));
        println!("run --profile audit, start-up included (at most 1)  {:>7.2} s", seconds(&verdicts(&audits)));
        println!("judge of a recording (at most 0.05)                 {:>7.3} s", seconds(&judged));
        let peak = runs.iter().chain(&audits).map(|run| run.peak_kib).max().unwrap_or_default();
        println!("peak resident memory (at most 40)                   {:>7.1} MiB", peak as f64 / 1024.0);
        let size = fs::metadata(&self.program).expect("the program is a file").len();
        println!("executable                                          {:>7.2} MB", size as f64 / 1e6);
    }

    /// Creates a bare pod on each node and waits for all to have succeeded.
    fn floor(&self) -> Duration {
        let nodes: Value =
            serde_json::from_str(&self.kubectl(&["get", "nodes", "-o", "json"], None)).expect("kubectl writes JSON");
        let image = format!("seaworthy.dev/probe:{}", env!("CARGO_PKG_VERSION"));
        let pods: Vec<Value> = nodes["items"]
            .as_array()
            .expect("a list has items")
            .iter()
            .enumerate()
            .map(|(i, node)| {
                json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "name": format!("floor-{i}"), "labels": { "app": "floor" } },
                    "spec": {
                        "nodeName": node["metadata"]["name"], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                        "automountServiceAccountToken": false,
                        "containers": [{ "name": "true", "image": image, "args": ["--version"] }],
                    },
                })
            })
            .collect();
        let count = pods.len();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods }).to_string();
        let began = Instant::now();
        self.kubectl(&["create", "-n", "default", "-f", "-"], Some(&list));
        loop {
            let phases = self.kubectl(
                &["get", "pods", "-n", "default", "-l", "app=floor", "-o", "jsonpath={.items[*].status.phase}"],
                None,
            );
            if phases.split_whitespace().filter(|phase| *phase == "Succeeded").count() == count {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let took = began.elapsed();
        self.kubectl(&["delete", "pods", "-n", "default", "-l", "app=floor", "--force", "--grace-period=0"], None);
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

    fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> String {
        use std::io::Write;
        let mut child = Command::new("kubectl")
            .args(["--kubeconfig", &self.kubeconfig])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        let mut stdin = child.stdin.take().expect("its input is piped");
        stdin.write_all(input.unwrap_or_default().as_bytes()).expect("kubectl reads its input");
        drop(stdin);
        let done = child.wait_with_output().expect("kubectl ends");
        assert!(done.status.success(), "kubectl {arguments:?}");
        String::from_utf8(done.stdout).expect("kubectl speaks UTF-8")
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

fn seconds(samples: &[Duration]) -> f64 {
    median(samples.iter().map(Duration::as_secs_f64).collect())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
