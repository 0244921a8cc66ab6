//! What a run takes on clusters of 100 to 5,000 nodes, beside the floor: the same lists over one connection.
//!
//!     SEAWORTHY_PROGRAM=PATH cargo test --test scale -- --nodes 100,1000,5000 --silent 100
//!
//! `SEAWORTHY_PROGRAM` is a static release build. For each size it starts an etcd, fills it with nodes that run 20 pods each
//! and all that belongs to them, starts a real API server on it, and answers for the kubelets of all nodes on loopback
//! addresses. Nothing runs on these nodes. It needs the programs of the testbed, Linux and no rights; 5,000 nodes take 4 GB
//! of memory and 3 GB of disk, for some minutes. It ends with 1 if a goal is missed.

#![expect(clippy::print_stdout, reason = "it prints figures")]

mod connection;
mod control_plane;
mod fill;
mod floor;
mod goals;
mod kubelets;
mod managed;
mod objects;
mod pki;
mod program;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use clap::Parser;
use serde_json::Value;

use self::control_plane::{ApiServer, Etcd, free_address, published_ip};
use self::fill::fill;
use self::floor::{Requests, floor};
use self::kubelets::{Kubelets, Manner};
use self::pki::Pki;
use self::program::{Took, run};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures what a run takes on large clusters
#[derive(Parser)]
struct Arguments {
    /// How many nodes the clusters have
    #[arg(long, value_delimiter = ',', default_value = "100,500")]
    nodes: Vec<usize>,
    /// What the kubelets do when they are dialled
    #[arg(long, value_enum, default_value_t = Manner::Answer)]
    kubelets: Manner,
    /// How many kubelets do not answer, whatever the others do
    #[arg(long, default_value_t = 0)]
    silent: usize,
    /// How many files the program may have open
    #[arg(long, default_value_t = 1024)]
    open_files: u32,
    /// Arguments of the run, instead of its profile: such as --select=SN-05
    #[arg(last = true)]
    run: Vec<String>,
}

/// What a run on a cluster of one size took.
struct Measured {
    nodes: usize,
    silent: usize,
    run: Took,
    judge: Took,
    requests: usize,
    lists_mb: f64,
    kubelets_mb: f64,
    floor: Duration,
    recording: u64,
    junit: u64,
    json: u64,
    /// The checks that could not be completed.
    errors: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(program) = env::var_os("SEAWORTHY_PROGRAM").map(PathBuf::from) else {
        println!("SEAWORTHY_PROGRAM is not set: nothing is measured");
        return ExitCode::FAILURE;
    };
    println!("{}", goals::HEAD);
    let mut all = Vec::new();
    for nodes in &arguments.nodes {
        match measure(&program, *nodes, &arguments).await {
            Ok(measured) => {
                println!("{}", goals::row(&measured));
                all.push(measured);
            }
            Err(why) => {
                println!("{nodes} nodes: {why}");
                return ExitCode::FAILURE;
            }
        }
    }
    let missed = goals::missed(&all);
    for goal in &missed {
        println!("missed: {goal}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(program: &Path, nodes: usize, arguments: &Arguments) -> Outcome<Measured> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let address = free_address(published_ip()?)?;
    let addresses = [address.ip(), "127.0.0.1".parse()?, "10.96.0.1".parse()?];
    let pki = Arc::new(Pki::new(folder, &addresses)?);
    let etcd = Etcd::start(folder).await?;
    let kubelets = Kubelets::start(&pki, nodes).await?;
    let began = Instant::now();
    let port = |node: usize| {
        // Spread evenly, and not where a sample of all nodes that is spread evenly, too, would hit only these.
        let step = nodes / arguments.silent.max(1);
        let is_silent = arguments.silent > 0 && node % step == step / 3;
        kubelets.port(if is_silent { Manner::Silent } else { arguments.kubelets })
    };
    fill(etcd.address, 1, |_| objects::of_cluster(nodes, &pki.ca_pem, address)).await?;
    fill(etcd.address, nodes, |node| objects::of_node(node, port(node))).await?;
    let api = ApiServer::start(folder, pki, address, &etcd).await?;
    println!("{nodes} nodes: filled and ready after {:.0?}", began.elapsed());
    let leases = async || {
        fill(etcd.address, 1, |_| objects::leaders()).await?;
        fill(etcd.address, nodes, |node| vec![objects::lease(node)]).await
    };
    leases().await?;
    let [recording, junit, json] = ["r.json.gz", "junit.xml", "verdicts.json"].map(|name| folder.join(name));
    let text = |path: &Path| path.display().to_string();
    let (kubeconfig, outputs) = (text(&api.kubeconfig), [text(&recording), text(&junit), text(&json)]);
    let [record, to_junit, to_json] = &outputs;
    let mut words =
        vec!["run", "--kubeconfig", &kubeconfig, "--record", record, "--junit", to_junit, "--json", to_json];
    words.extend(arguments.run.iter().map(String::as_str));
    let (sent, logged) = (kubelets.sent(), length(&api.audit));
    let took = blocking(program, &words, arguments.open_files).await?;
    let kubelets_mb = megabytes(kubelets.sent() - sent);
    let requests = Requests::after(&api.audit, usize::try_from(logged)?)?;
    let (floor, bytes) = floor(&api, &requests).await?;
    let judge = blocking(program, &["judge", record], arguments.open_files).await?;
    Ok(Measured {
        nodes,
        silent: arguments.silent,
        judge,
        run: took,
        requests: requests.number,
        lists_mb: megabytes(bytes),
        kubelets_mb,
        floor,
        recording: length(&recording),
        junit: length(&junit),
        json: length(&json),
        errors: errors(&fs::read_to_string(&json)?)?,
    })
}

/// Runs the program while this process answers for the kubelets.
async fn blocking(program: &Path, arguments: &[&str], open_files: u32) -> Outcome<Took> {
    let (program, arguments) = (program.to_owned(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&program, &arguments, open_files)
    });
    Ok(ran.await??)
}

/// The ids of the checks that could not be completed.
fn errors(verdicts: &str) -> Outcome<Vec<String>> {
    let verdicts: Value = serde_json::from_str(verdicts)?;
    let checks = verdicts["checks"].as_array().ok_or("there are no checks")?;
    let failed = checks.iter().filter(|check| check["outcome"] == "error");
    Ok(failed.filter_map(|check| check["id"].as_str().map(str::to_owned)).collect())
}

fn length(file: &Path) -> u64 {
    // A run that could not begin leaves no recording.
    fs::metadata(file).map_or(0, |file| file.len())
}

#[expect(clippy::cast_precision_loss, reason = "a figure has few digits")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
