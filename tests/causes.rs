//! Whether the report of each fault begins with its root cause, and names little else.
//!
//! A fault's script names its root first: the check of the first line of `expected`. The table of faults that are reported
//! otherwise, and the figures, are in `target/tmp/causes.txt`.

#[path = "fault/mod.rs"]
#[expect(dead_code, reason = "applying and reverting faults is for tests/faults.rs")]
mod fault;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use anstream::ColorChoice;
use fault::Fault;
use seaworthy::check::Outcome;
use seaworthy::event::Events;
use seaworthy::recording::Recording;
use seaworthy::report::text::Text;
use seaworthy::report::{Console, Report, Wanted};
use seaworthy::run::{Conclusion, Run, run};
use seaworthy::suites;

/// How many lines a screen has: the text of one fault should fit on it.
const SCREEN: usize = 50;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// What is written to the standard output.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end of a run, and how many lines its text has at 100 columns.
async fn conclude(path: &Path) -> (Conclusion, usize) {
    let recording = Recording::read(path).expect("a fixture is a recording");
    let checks = recording.header.checks.iter().map(|id| suites::check(id).expect("an id is never taken away"));
    let checks = checks.collect();
    let (events, mut received) = Events::channel();
    let concluded = run(Run::judging(recording, checks), events).await;
    let screen = Screen::default();
    let console = Console::new(Box::new(screen.clone()), ColorChoice::Never, 100);
    let mut text = Box::new(Text::new(console, &Wanted::default()));
    while let Some(event) = received.recv().await {
        text.event(&event).expect("memory can be written");
    }
    text.finish().expect("memory can be written");
    let shown = screen.0.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = String::from_utf8_lossy(&shown).lines().count();
    (concluded, lines)
}

#[tokio::test]
async fn a_fault_is_reported_by_its_root() {
    let mut table = String::new();
    let (mut faults, mut right, mut roots, mut results, mut unexplained) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
    let mut lengths = Vec::new();
    for fault in Fault::all() {
        let (concluded, lines) = conclude(&fixtures().join("faults").join(format!("{}.json.gz", fault.slug))).await;
        let named: Vec<&str> = concluded.roots.iter().map(|root| root.check.as_str()).collect();
        let expected = &fault.expected[0];
        // What is only a warning is below the gate, and not a root.
        let is_right = named.first() == Some(&expected.id.as_str()) || (expected.outcome == "warn" && named.is_empty());
        if lines > SCREEN {
            writeln!(table, "  {}: {lines} lines", fault.slug).expect("text can be written");
        }
        lengths.push(lines);
        if !is_right || named.len() > 1 {
            let mark = if is_right { " " } else { "X" };
            writeln!(table, "{mark} {}: {} and not {}", fault.slug, named.join(" "), expected.id)
                .expect("text can be written");
        }
        faults += 1;
        right += u32::from(is_right);
        roots += u32::try_from(named.len()).expect("there are few checks");
        results += u32::try_from(concluded.judged.len()).expect("there are few checks");
        let errors = concluded.judged.iter().filter(|check| check.outcome == Outcome::Error).count();
        unexplained += u32::try_from(errors).expect("there are few checks");
    }
    let share = |part: u32, whole: u32| 100.0 * f64::from(part) / f64::from(whole);
    writeln!(
        table,
        "{faults} faults: the right root first in {:.1} %, {:.2} roots per fault, {:.2} % of results are unexplained errors",
        share(right, faults),
        f64::from(roots) / f64::from(faults),
        share(unexplained, results)
    )
    .expect("text can be written");
    lengths.sort_unstable();
    let (median, most, longest) =
        (lengths[lengths.len() / 2], lengths[lengths.len() * 19 / 20], lengths[lengths.len() - 1]);
    writeln!(table, "the text of a fault has {median} lines in the median, and {longest} at most")
        .expect("text can be written");
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("causes.txt"), table).expect("the table can be written");
    assert!(share(right, faults) >= 97.0, "the right root comes first less often than it did");
    assert!(f64::from(roots) / f64::from(faults) <= 1.3, "a fault has more roots than it had");
    assert!(share(unexplained, results) <= 2.0);
    assert!(median <= SCREEN * 3 / 5 && most <= SCREEN, "of 20 texts, 19 have at most {most} lines, not {SCREEN}");
}

#[tokio::test]
async fn a_healthy_cluster_has_no_root() {
    for entry in fs::read_dir(fixtures().join("healthy")).expect("there are recordings of healthy clusters") {
        let path = entry.expect("a folder can be read").path();
        assert_eq!(conclude(&path).await.0.roots, [], "{}", path.display());
    }
}
