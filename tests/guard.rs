//! What guards a stopped node: it is started again whatever becomes of the one that had it stopped. No node is touched
//! here: the commands make files in a folder of the test's own.

#![expect(clippy::disallowed_methods, reason = "a test waits in a thread of its own")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use seaworthy::drill::Guarded;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_seaworthy");
/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(20);
/// Starts only what is stopped.
const START: &str = "test -e stopped && touch started";

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        thread::sleep(PAUSE);
    }
}

/// A guard, whose standard input another process holds open.
struct Post {
    folder: TempDir,
    holder: Child,
    guard: Child,
}

impl Post {
    fn new(stop: &str, start: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut holder = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().unwrap();
        let guard = Command::new(PROGRAM)
            .args(["guard", "--stop", stop, "--start", start])
            .current_dir(&folder)
            .stdin(holder.stdout.take().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, holder, guard }
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    /// Kills the holder as `kill -9` does, and waits for the guard's end.
    fn ends_with_its_holder(mut self) -> (Output, TempDir) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
        let guard = &mut self.guard;
        wait_for("the guard ends", || guard.try_wait().unwrap().is_some());
        (self.guard.wait_with_output().unwrap(), self.folder)
    }
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn a_node_is_started_when_the_one_who_had_it_stopped_is_killed() {
    let mut post = Post::new("touch stopped", START);
    wait_for("the node is stopped", || post.has("stopped"));
    assert!(!post.has("started") && post.guard.try_wait().unwrap().is_none());
    let (output, folder) = post.ends_with_its_holder();
    assert!(folder.path().join("started").exists());
    assert_eq!(said(&output), "{\"Ok\":null}\n{\"Ok\":null}\n");
}

#[test]
fn signals_do_not_end_a_guard() {
    let mut post = Post::new("touch stopped", START);
    wait_for("the node is stopped", || post.has("stopped"));
    for signal in ["-HUP", "-INT", "-TERM"] {
        let sent = Command::new("kill").args([signal, &post.guard.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
    thread::sleep(10 * PAUSE);
    assert!(!post.has("started") && post.guard.try_wait().unwrap().is_none());
    let (_, folder) = post.ends_with_its_holder();
    assert!(folder.path().join("started").exists());
}

#[test]
fn a_node_is_not_started_before_it_is_stopped() {
    let post = Post::new("sleep 1; touch stopped", START);
    let (output, folder) = post.ends_with_its_holder();
    assert!(folder.path().join("started").exists(), "{output:?}");
}

#[test]
fn a_node_that_could_not_be_stopped_is_started_all_the_same() {
    let (output, folder) = Post::new("touch stopped; exit 3", START).ends_with_its_holder();
    assert!(folder.path().join("started").exists());
    assert_eq!(said(&output), "{\"Err\":\"exit status: 3\"}\n{\"Ok\":null}\n");
}

#[test]
fn a_node_that_could_not_be_started_is_reported_to_people() {
    let (output, _folder) = Post::new("true", "echo much; exit 1").ends_with_its_holder();
    assert_eq!(said(&output), "{\"Ok\":null}\n{\"Err\":\"exit status: 1\"}\n");
    let message = "the node is still stopped (exit status: 1): run this by hand: echo much; exit 1\n";
    assert!(String::from_utf8_lossy(&output.stderr).ends_with(message), "{output:?}");
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn a_guarded_node_is_started_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (stopped, started) = (folder.path().join("stopped"), folder.path().join("started"));
    let (stop, start) = (format!("touch {}", stopped.display()), format!("touch {}; exit 2", started.display()));
    let mut guarded = Guarded::stop(Path::new(PROGRAM), &stop, &start).unwrap();
    assert_eq!(guarded.stopped().await, Ok(()));
    assert!(stopped.exists() && !started.exists());
    assert_eq!(guarded.start().await, Err("exit status: 2".into()));
    assert!(started.exists());
}

#[tokio::test]
async fn a_guarded_node_is_started_when_no_run_minds_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    drop(Guarded::stop(Path::new(PROGRAM), "exit 1", &format!("touch {}", started.display())).unwrap());
    wait_for("the node is started", || started.exists());
}
