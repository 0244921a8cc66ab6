//! Whole runs against a real API server behind a proxy that injects faults, compared with runs that meet none.
//!
//! Whatever happens to requests, a run ends in time, does not panic, and writes whole reports in the place of older ones. No check
//! passes, is skipped or finds something only because of a fault. Nothing that the run creates is left behind.
//!
//! Runs only when `SEAWORTHY_BED` names a program that makes clusters, and inside of the network of one that is up, whose
//! packets iptables can redirect. `SEAWORTHY_SEEDS` is the number of seeds, or a range of them such as `17..18`;
//! `SEAWORTHY_RATE_RUNS` is how many runs the two rates of transient faults are measured with. A seed that fails prints the command
//! that repeats it.

#![expect(clippy::print_stdout, reason = "a test harness speaks on the standard output")]

#[expect(dead_code, reason = "the scripts of faults make objects here")]
mod bed;
mod compared;
mod injector;
mod xsd;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use std::{env, fs};

use base64::prelude::{BASE64_STANDARD, Engine};
use bed::{Bed, output, seaworthy};
use compared::Calm;
use futures_util::stream::{self, StreamExt};
use injector::{Counts, Fault, Identity, Injector, Origin, Weather};
use libtest_mimic::{Arguments, Failed, Trial};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use seaworthy::check::{Judged, Outcome};
use serde_json::Value;
use tokio::runtime::Runtime;

/// How many seeds are tried by default.
const SEEDS: u64 = 200;
/// With how many runs the rates are measured by default.
const RATE_RUNS: u64 = 40;
/// How many runs there are at the same time. They mostly wait.
const TOGETHER: usize = 4;
/// How long one request may take.
const REQUEST: &str = "3s";
/// How long a run that creates nothing may take, and the others.
const READING: Duration = Duration::from_secs(20);
const CREATING: Duration = Duration::from_secs(60);
/// How much longer a process may live: for the clean-up, which the time of the run does not limit, and for reports.
const ENDING: Duration = Duration::from_secs(30);
/// How long what a run created may take to be deleted after its end.
const DELETED: Duration = Duration::from_secs(30);
/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(250);
/// What is in each report before the run.
const OLD: &str = "an older run, in which all was well";
/// The label of what a run creates, with its id.
const RUN: &str = "seaworthy.dev/run";
/// What a run may create.
const KINDS: &str = "namespaces,pods,services,serviceaccounts,networkpolicies,secrets,certificatesigningrequests,\
                     clusterroles,clusterrolebindings";
/// The cluster is broken like this, so that there are failures that a fault could hide.
const SICK: [&str; 7] = [
    "anonymous-bound-to-view",
    "bootstrap-token-without-expiry",
    "two-default-storage-classes",
    "budget-forbids-every-eviction",
    "nodes-bound-to-system-node",
    "kubeadm-certs-orphaned",
    "kubeadm-config-readable-by-everyone",
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TOGETHER);
    let Some(bed) = Bed::named() else {
        println!("SEAWORTHY_BED is not set: no cluster is used here, and no fault is injected");
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(&Arc::default(), 0..SEEDS, RATE_RUNS)).exit_code();
    }
    match tried(&arguments, bed) {
        Ok(code) => code,
        Err(why) => {
            println!("{}", why.message().unwrap_or("it failed"));
            ExitCode::FAILURE
        }
    }
}

fn tried(arguments: &Arguments, bed: Bed) -> Result<ExitCode, Failed> {
    let seeds = seeds()?;
    let rate_runs = match env::var("SEAWORTHY_RATE_RUNS") {
        Ok(runs) => runs.parse()?,
        Err(_) => RATE_RUNS,
    };
    let _sick = Sick::new(&bed)?;
    let sea: Shared = Arc::default();
    if sea.set(Sea::new(bed.clone())?).is_err() {
        return Err("there is one cluster".into());
    }
    let is_whole = seeds.end - seeds.start >= SEEDS && arguments.filter.is_none();
    let concluded = libtest_mimic::run(arguments, trials(&sea, seeds, rate_runs));
    let counts = sea.get().ok_or("there is a cluster")?.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (fault, count) in &counts {
        println!("{fault:<16} {count:>6}");
    }
    let never: Vec<_> =
        Fault::ALL.iter().filter(|fault| !counts.contains_key(fault)).map(ToString::to_string).collect();
    if is_whole && !never.is_empty() {
        return Err(format!("never injected: {}", never.join(", ")).into());
    }
    Ok(concluded.exit_code())
}

/// The seeds that are tried.
fn seeds() -> Result<Range<u64>, Failed> {
    let Ok(named) = env::var("SEAWORTHY_SEEDS") else { return Ok(0..SEEDS) };
    Ok(match named.split_once("..") {
        Some((first, end)) => first.parse()?..end.parse()?,
        None => 0..named.parse()?,
    })
}

type Shared = Arc<OnceLock<Sea>>;
/// What a trial does with the cluster.
type Try = Box<dyn FnOnce(&Sea) -> Result<(), Failed> + Send>;

fn trials(sea: &Shared, seeds: Range<u64>, rate_runs: u64) -> Vec<Trial> {
    let trial = |name: String, try_it: Try| {
        let sea = sea.clone();
        Trial::test(name, move || try_it(sea.get().ok_or("there is a cluster")?))
    };
    let mut trials = Vec::new();
    if rate_runs > 0 {
        trials.push(trial(
            "at_2_percent_of_transient_faults_19_of_20_runs_lose_no_check".into(),
            Box::new(move |sea| {
                let lost = sea.lost(2, rate_runs)?;
                let whole = lost.iter().filter(|lost| **lost == 0).count();
                expect(whole * 20 >= lost.len() * 19, || format!("{whole} of {} runs lost no check", lost.len()))
            }),
        ));
        trials.push(trial(
            "at_10_percent_of_transient_faults_the_median_run_loses_at_most_2_checks".into(),
            Box::new(move |sea| {
                let mut lost = sea.lost(10, rate_runs)?;
                lost.sort_unstable();
                let median = lost.get(lost.len() / 2).copied().unwrap_or_default();
                expect(median <= 2, || format!("the median run lost {median} checks"))
            }),
        ));
    }
    trials.extend(seeds.map(|seed| trial(format!("seed_{seed}"), Box::new(move |sea| sea.try_seed(seed)))));
    trials
}

fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what().into()) }
}

/// A broken cluster; it is healthy again when the trials end.
struct Sick<'a>(&'a Bed);

impl<'a> Sick<'a> {
    fn new(bed: &'a Bed) -> Result<Self, Failed> {
        let sick = Self(bed);
        SICK.iter().try_for_each(|fault| sick.script(fault, "apply"))?;
        Ok(sick)
    }

    fn script(&self, fault: &str, what: &str) -> Result<(), Failed> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(fault);
        output(Command::new(script).arg(what).env("BED", &self.0.program)).map(drop)
    }
}

impl Drop for Sick<'_> {
    fn drop(&mut self) {
        for fault in SICK.iter().rev() {
            if let Err(why) = self.script(fault, "revert") {
                println!("{fault}: {}", why.message().unwrap_or("it was not reverted"));
            }
        }
    }
}

/// What a seed stands for.
#[derive(Debug)]
struct Plan {
    profile: &'static str,
    weather: Weather,
}

impl Plan {
    /// Every second seed has all faults, the others have one alone. One of twenty creates pods.
    fn of(seed: u64) -> Self {
        const MIXED: [u32; 5] = [2, 5, 10, 20, 50];
        const ALONE: [u32; 3] = [10, 50, 100];
        let place = |number: u64, length: usize| usize::try_from(number).map_or(0, |number| number % length);
        let half = seed / 2;
        let (mut percent, faults) = if seed.is_multiple_of(2) {
            (MIXED[place(half, MIXED.len())], Fault::ALL.to_vec())
        } else {
            let round = half / Fault::ALL.len() as u64;
            (ALONE[place(round, ALONE.len())], vec![Fault::ALL[place(half, Fault::ALL.len())]])
        };
        let mut weather = Weather { seed, percent, faults, spares_version: false };
        // Runs without probes watch nothing.
        let only_streams = weather.faults == [Fault::WatchEnded];
        let profile = match (seed % 33, seed % 67) {
            _ if only_streams => "post-install",
            (_, 23) => "ci",
            (7, _) => "post-install",
            _ => "audit",
        };
        if profile != "audit" && !only_streams || weather.faults.iter().all(|fault| fault.is_rare()) {
            percent = percent.min(10);
        }
        // Otherwise most of such runs would end with their first request.
        weather.spares_version = percent >= 50 && !weather.number("version").is_multiple_of(4);
        Self { profile, weather: Weather { percent, ..weather } }
    }

    fn creates(&self) -> bool {
        self.profile != "audit"
    }
}

/// A cluster whose API server is behind proxies.
struct Sea {
    bed: Bed,
    runtime: Runtime,
    kubeconfig: String,
    address: std::net::SocketAddr,
    origin: Arc<Origin>,
    /// What runs without faults show, by profile.
    calm: Mutex<BTreeMap<&'static str, Arc<Calm>>>,
    counts: Mutex<Counts>,
    /// Held by a run that creates something.
    creating: Mutex<()>,
    /// Held by a run that rehearses a node's join, and shared by all others.
    rehearsing: RwLock<()>,
}

impl Sea {
    fn new(bed: Bed) -> Result<Self, Failed> {
        let kubeconfig = bed.kubeconfig()?;
        let view = ["config", "view", "--raw", "--minify", "--flatten", "-o", "json"];
        let config: Value = serde_json::from_str(&bed.kubectl(&view)?)?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let server = cluster["server"].as_str().ok_or("the kubeconfig names no server")?;
        let address = server.trim_start_matches("https://").parse()?;
        let decoded = |value: &Value| {
            let text = value.as_str().ok_or("the kubeconfig has no certificates")?;
            Ok::<_, Failed>(BASE64_STANDARD.decode(text)?)
        };
        let authorities = chain(&decoded(&cluster["certificate-authority-data"])?)?;
        let administrator = identity(&decoded(&user["client-certificate-data"])?, &decoded(&user["client-key-data"])?)?;
        let nodes = bed.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
        let node = nodes.split_whitespace().next().ok_or("the cluster has no node")?;
        let file = |name: &str| {
            output(Command::new(&bed.program).args(["exec", node, "cat"]).arg(format!("/etc/kubernetes/pki/{name}")))
        };
        let server = identity(file("apiserver.crt")?.as_bytes(), file("apiserver.key")?.as_bytes())?;
        let origin = Arc::new(Origin::new(address, authorities, server, administrator).map_err(|why| why.to_string())?);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (calm, counts, creating) = (Mutex::default(), Mutex::default(), Mutex::default());
        let rehearsing = RwLock::default();
        Ok(Self { bed, runtime, kubeconfig, address, origin, calm, counts, creating, rehearsing })
    }

    /// What runs without faults show: one that reaches the API server itself, and two through the proxy.
    fn calm(&self, profile: &'static str) -> Result<Arc<Calm>, Failed> {
        // Trials that need it wait meanwhile.
        let mut known = self.calm.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calm) = known.get(profile) {
            return Ok(calm.clone());
        }
        let plan = Plan { profile, weather: Weather::calm() };
        let direct = self.runtime.block_on(Ran::of(self, &plan, None))?;
        let mut runs = vec![direct.verdicts()?];
        for _ in 0..2 {
            let (ran, _) = self.runtime.block_on(self.run(&plan))?;
            runs.push(ran.verdicts()?);
        }
        let calm = Arc::new(Calm::of(&runs));
        let (errors, failures) = (calm.with(Outcome::Error), calm.with(Outcome::Fail));
        let unsteady = calm.unsteady();
        println!(
            "{profile}: {} checks; without faults {} fail, and these differ from run to run: {unsteady:?}",
            calm.count(),
            failures.len()
        );
        expect(errors.is_empty(), || format!("{profile}: without faults these are errors: {errors:?}"))?;
        expect(failures.len() >= 4, || format!("{profile}: too few checks fail for faults to hide any: {failures:?}"))?;
        Ok(known.entry(profile).or_insert(calm).clone())
    }

    /// One run through a proxy with this weather, and what was injected.
    async fn run(&self, plan: &Plan) -> Result<(Ran, Counts), Failed> {
        let injector = Injector::start(self.origin.clone(), plan.weather.clone()).await?;
        let redirect = Redirect::new(self.address, injector.address.port())?;
        let ran = Ran::of(self, plan, Some(redirect.group)).await?;
        drop(redirect);
        let counts = injector.counts();
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (fault, count) in &counts {
            *all.entry(*fault).or_default() += count;
        }
        drop(all);
        let failures = injector.failures();
        expect(failures.is_empty(), || format!("the proxy failed: {}", failures.join("; ")))?;
        Ok((ran, counts))
    }

    fn try_seed(&self, seed: u64) -> Result<(), Failed> {
        let plan = Plan::of(seed);
        // What other runs see while a node's join is rehearsed, as a token that was just deleted, is not due to faults.
        let (_alone, _beside) = match plan.profile {
            "ci" => (Some(self.rehearsing.write().unwrap_or_else(PoisonError::into_inner)), None),
            _ => (None, Some(self.rehearsing.read().unwrap_or_else(PoisonError::into_inner))),
        };
        // Two runs that create namespaces would see each other's.
        let _creator = plan.creates().then(|| self.creating.lock().unwrap_or_else(PoisonError::into_inner));
        let calm = self.calm(plan.profile)?;
        let (ran, counts) = self.runtime.block_on(self.run(&plan)).map_err(|why| repeatable(seed, &plan, why))?;
        let wrong = ran.wrong(&calm).and_then(|mut wrong| {
            wrong.extend(self.left_behind(&ran)?);
            Ok(wrong)
        });
        let wrong = wrong.map_err(|why| repeatable(seed, &plan, why))?;
        if wrong.is_empty() {
            return Ok(());
        }
        let injected: Vec<_> = counts.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
        let what = format!("{}\ninjected: {}\nstderr: {}", wrong.join("\n"), injected.join(", "), ran.printed.trim());
        Err(repeatable(seed, &plan, what.into()))
    }

    /// What a run has left in the cluster.
    fn left_behind(&self, ran: &Ran) -> Result<Option<String>, Failed> {
        let Some(run) = ran.created() else { return Ok(None) };
        let began = Instant::now();
        loop {
            let selector = format!("{RUN}={run}");
            let left = self.bed.kubectl(&["get", KINDS, "-A", "-l", &selector, "-o", "name"])?;
            if left.trim().is_empty() {
                return Ok(None);
            }
            if began.elapsed() > DELETED {
                return Ok(Some(format!("left behind: {}", left.split_whitespace().collect::<Vec<_>>().join(", "))));
            }
            self.runtime.block_on(async { tokio::time::sleep(PAUSE).await });
        }
    }

    /// How many checks each of these runs loses to transient faults.
    fn lost(&self, percent: u32, runs: u64) -> Result<Vec<usize>, Failed> {
        let _beside = self.rehearsing.read().unwrap_or_else(PoisonError::into_inner);
        let calm = self.calm("audit")?;
        let one = async |seed: u64| {
            let weather = Weather { seed, percent, faults: Fault::TRANSIENT.to_vec(), spares_version: false };
            let (ran, counts) = self.run(&Plan { profile: "audit", weather }).await?;
            let wrong = ran.wrong(&calm)?;
            expect(wrong.is_empty(), || format!("seed {seed} at {percent} %: {}", wrong.join("\n")))?;
            let verdicts = ran.verdicts()?;
            let lost = calm.lost(&verdicts);
            for (why, checks) in compared::reasons(&verdicts, &lost) {
                println!("{percent} %, seed {seed}: {} lost: {why}", checks.join(" "));
            }
            Ok::<_, Failed>((lost.len(), counts.values().sum::<usize>(), ran.took))
        };
        let all = stream::iter(0..runs).map(one).buffer_unordered(TOGETHER).collect::<Vec<_>>();
        let all = self.runtime.block_on(all).into_iter().collect::<Result<Vec<_>, _>>()?;
        let median = |mut numbers: Vec<usize>| {
            numbers.sort_unstable();
            numbers.get(numbers.len() / 2).copied().unwrap_or_default()
        };
        let lost: Vec<_> = all.iter().map(|(lost, ..)| *lost).collect();
        println!(
            "{percent} % of transient faults, {} runs: {} faults a run (median); {} runs lost no check, the median run {}, the worst {}; the longest took {:.1} s",
            all.len(),
            median(all.iter().map(|(_, faults, _)| *faults).collect()),
            lost.iter().filter(|lost| **lost == 0).count(),
            median(lost.clone()),
            lost.iter().max().copied().unwrap_or_default(),
            all.iter().map(|(.., took)| took.as_secs_f64()).fold(0.0, f64::max),
        );
        Ok(lost)
    }
}

/// The failure of a seed, with the command that repeats it.
fn repeatable(seed: u64, plan: &Plan, why: Failed) -> Failed {
    let Plan { profile, weather: Weather { percent, faults, .. } } = plan;
    let faults = match &faults[..] {
        [one] => one.to_string(),
        _ => "all faults".into(),
    };
    format!(
        "{}\nprofile {profile}, {percent} % of requests, {faults}; to repeat it:\n\
         SEAWORTHY_RATE_RUNS=0 SEAWORTHY_SEEDS={seed}..{} scripts/clusters.sh weather",
        why.message().unwrap_or("it failed"),
        seed + 1
    )
    .into()
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failed> {
    Ok(CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?)
}

fn identity(certificates: &[u8], key: &[u8]) -> Result<Identity, Failed> {
    Ok(Identity { chain: chain(certificates)?, key: PrivateKeyDer::from_pem_slice(key)? })
}

/// Has the connections of one group of processes to the API server made to a proxy.
struct Redirect {
    group: u32,
    /// The rules, each with its table.
    rules: [(&'static str, String); 2],
}

impl Redirect {
    fn new(server: std::net::SocketAddr, port: u16) -> Result<Self, Failed> {
        // No group of people has such an id, and no other proxy that port.
        let group = 1_000_000 + u32::from(port);
        let theirs = format!("OUTPUT -p tcp -d {} --dport {} -m owner --gid-owner {group}", server.ip(), server.port());
        let rules = [
            // The proxy's own connections may have source ports that the kernel still knows from redirected ones.
            ("raw", format!("{theirs} -j CT --zone-orig {port}")),
            ("nat", format!("{theirs} -j REDIRECT --to-ports {port}")),
        ];
        let redirect = Self { group, rules };
        redirect.iptables("-I")?;
        Ok(redirect)
    }

    fn iptables(&self, what: &str) -> Result<(), Failed> {
        self.rules.iter().try_for_each(|(table, rule)| {
            output(Command::new("iptables").args(["-w", "-t", table, what]).args(rule.split(' '))).map(drop)
        })
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        if let Err(why) = self.iptables("-D") {
            println!("{}", why.message().unwrap_or("a rule of iptables is left"));
        }
    }
}

/// A run that has ended.
struct Ran {
    folder: tempfile::TempDir,
    code: Option<i32>,
    printed: String,
    took: Duration,
}

impl Ran {
    /// Runs the program, as a process of this group.
    async fn of(sea: &Sea, plan: &Plan, group: Option<u32>) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let limit = if plan.creates() { CREATING } else { READING };
        let mut command = tokio::process::Command::new(seaworthy());
        command.args(["run", "--profile", plan.profile, "--kubeconfig", &sea.kubeconfig]);
        command.args(["--request-timeout", REQUEST, "--timeout", &format!("{}s", limit.as_secs())]);
        for (flag, name) in [("--junit", "junit.xml"), ("--json", "verdicts.json"), ("--events", "run.jsonl")] {
            let path = folder.path().join(name);
            fs::write(&path, OLD)?;
            command.arg(flag).arg(path);
        }
        if let Some(group) = group {
            command.gid(group);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        let began = Instant::now();
        let Ok(done) = tokio::time::timeout(limit + ENDING, command.output()).await else {
            return Err(format!("the run has not ended within {} s", (limit + ENDING).as_secs()).into());
        };
        let done = done?;
        let printed = String::from_utf8_lossy(&done.stderr).into_owned();
        Ok(Self { folder, code: done.status.code(), printed, took: began.elapsed() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn document(&self) -> Result<Value, Failed> {
        let text = fs::read_to_string(self.file("verdicts.json"))?;
        expect(text != OLD, || "the JSON report is an older one".into())?;
        Ok(serde_json::from_str(&text).map_err(|why| format!("the JSON report: {why}"))?)
    }

    fn verdicts(&self) -> Result<Vec<Judged>, Failed> {
        Ok(serde_json::from_value(self.document()?["checks"].clone())?)
    }

    /// The id of the run, if it may have created anything.
    fn created(&self) -> Option<String> {
        let events = fs::read_to_string(self.file("run.jsonl")).ok()?;
        let started: Value = serde_json::from_str(events.lines().next()?).ok()?;
        Some(started["namespace"].as_str()?.strip_prefix("seaworthy-")?.to_owned())
    }

    /// All that must not be, whatever happened to requests.
    fn wrong(&self, calm: &Calm) -> Result<Vec<String>, Failed> {
        let mut wrong = Vec::new();
        if !matches!(self.code, Some(0 | 1 | 3)) || self.printed.contains("panicked at") {
            wrong.push(format!("it ended with {:?}", self.code));
        }
        let document = self.document()?;
        if document["exit_code"] != serde_json::json!(self.code) {
            wrong.push(format!("the JSON report states the exit code {}, not {:?}", document["exit_code"], self.code));
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
        let schema = serde_json::from_str(&fs::read_to_string(folder.join("verdicts.schema.json"))?)?;
        wrong.extend(jsonschema::validate(&schema, &document).err().map(|why| format!("the JSON report: {why}")));
        let junit = fs::read_to_string(self.file("junit.xml"))?;
        let schema = fs::read_to_string(folder.join("junit.xsd"))?;
        wrong.extend(xsd::validate(&schema, &junit).err().map(|why| format!("the JUnit report: {why}")));
        let cases = junit.matches("<testcase ").count();
        if cases != calm.count() {
            wrong.push(format!("the JUnit report has {cases} test cases for {} checks", calm.count()));
        }
        for line in fs::read_to_string(self.file("run.jsonl"))?.lines() {
            wrong.extend(serde_json::from_str::<Value>(line).err().map(|why| format!("an event is not JSON: {why}")));
        }
        wrong.extend(calm.wrong(&self.verdicts()?));
        Ok(wrong)
    }
}
