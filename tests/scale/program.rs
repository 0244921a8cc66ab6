//! Runs the program, and measures what it takes.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, process};

/// How often the memory is looked at. What is looked at is its highest value so far.
const OFTEN: Duration = Duration::from_millis(5);
/// The clock ticks in a second, in `/proc`.
const TICKS: u64 = 100;

/// What one process took.
pub(crate) struct Took {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_mib: u64,
    pub(crate) lines: usize,
    pub(crate) longest: usize,
    pub(crate) exit_code: Option<i32>,
}

/// Runs the program to its end. `open_files` is the limit of open files.
pub(crate) fn run(program: &Path, arguments: &[&str], open_files: u32) -> io::Result<Took> {
    let before = children()?;
    let began = Instant::now();
    // A shell sets the limit, and becomes the program.
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -n {open_files} && exec \"$0\" \"$@\"")])
        .arg(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let (ended, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let status = format!("/proc/{}/status", child.id());
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut text = String::new();
    let (wall, code) = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                // A process that has ended has no memory.
                if let Some(kib) = fs::read_to_string(&status).ok().as_deref().and_then(highest) {
                    peak.fetch_max(kib, Ordering::Relaxed);
                }
                thread::park_timeout(OFTEN);
            }
        });
        let read = stdout.read_to_string(&mut text);
        let code = child.wait();
        ended.store(true, Ordering::Relaxed);
        read.and(code).map(|code| (began.elapsed(), code))
    })?;
    Ok(Took {
        wall,
        cpu: children()?.saturating_sub(before),
        peak_mib: peak.load(Ordering::Relaxed).div_ceil(1024),
        lines: text.lines().count(),
        longest: text.lines().map(|line| line.chars().count()).max().unwrap_or_default(),
        exit_code: code.code(),
    })
}

/// The most memory that was resident, in KiB.
fn highest(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The time that ended children of this process took.
fn children() -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process::id()))?;
    // After the name, which may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or_default());
    Ok(Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS))
}
