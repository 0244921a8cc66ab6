//! The figures as a table, and which goals they miss.

use std::time::Duration;

use super::Measured;

/// The head of the table.
pub(crate) const HEAD: &str = "\
 nodes silent |  wall s   CPU s  MiB  requests  lists MB  kubelets MB | floor s  ratio | lines  longest  JUnit MB  JSON MB  recording MB | judge s  MiB | exit  errors";

/// The most memory that may be resident.
const MIB: u64 = 150;
/// The most lines of text.
const LINES: usize = 100;
/// How many nodes a cluster has for which the goals of time are set. In a smaller one a run's own time is the most of it.
const LARGE: usize = 5000;
/// How long a connection may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A row of the table.
pub(crate) fn row(of: &Measured) -> String {
    format!(
        "{:>6} {:>6} | {:>7.2} {:>7.2} {:>4} {:>9} {:>9.1} {:>12.1} | {:>7.2} {:>6.2} | {:>5} {:>8} {:>9.2} {:>8.2} {:>13.2} | {:>7.2} {:>4} | {:>4}  {}",
        of.nodes,
        of.silent,
        of.run.wall.as_secs_f64(),
        of.run.cpu.as_secs_f64(),
        of.run.peak_mib,
        of.requests,
        of.lists_mb,
        of.kubelets_mb,
        of.floor.as_secs_f64(),
        of.run.wall.as_secs_f64() / of.floor.as_secs_f64(),
        of.run.lines,
        of.run.longest,
        megabytes(of.junit),
        megabytes(of.json),
        megabytes(of.recording),
        of.judge.wall.as_secs_f64(),
        of.judge.peak_mib,
        of.run.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        of.errors.join(" "),
    )
}

/// What is not as it must be, in words.
pub(crate) fn missed(all: &[Measured]) -> Vec<String> {
    let mut missed = Vec::new();
    for of in all {
        let mut goal = |holds: bool, words: String| {
            if !holds {
                missed.push(format!("{} nodes: {words}", of.nodes));
            }
        };
        let waits = if of.silent > 0 { DEADLINE } else { Duration::ZERO };
        let most = of.floor.mul_f64(2.5) + waits;
        let wall = of.run.wall;
        goal(of.nodes < LARGE || wall <= most, format!("the run took {wall:.1?}, not {most:.1?}"));
        goal(of.run.peak_mib <= MIB, format!("{} MiB were resident, not {MIB}", of.run.peak_mib));
        goal(of.run.lines <= LINES, format!("the text has {} lines, not {LINES}", of.run.lines));
        goal(of.recording <= 10 << 20, format!("the recording has {} bytes, not 10 MiB", of.recording));
        goal(of.junit <= 5_000_000, format!("JUnit XML has {} bytes, not 5 MB", of.junit));
        goal(of.json <= 5_000_000, format!("JSON has {} bytes, not 5 MB", of.json));
        let judge = of.judge.wall;
        goal(judge <= Duration::from_secs(2), format!("judge took {judge:.1?}, not 2 s"));
        goal(of.judge.peak_mib <= MIB, format!("{} MiB were resident in judge, not {MIB}", of.judge.peak_mib));
        goal(matches!(of.run.exit_code, Some(0 | 1 | 3)), format!("the run ended with {:?}", of.run.exit_code));
        let is_expected = of.silent > 0 || of.errors.is_empty();
        goal(is_expected, format!("could not be completed: {}", of.errors.join(" ")));
    }
    missed.extend(growth(all));
    missed
}

/// Time grows with the nodes, and not faster.
fn growth(all: &[Measured]) -> Option<String> {
    let large = all.iter().filter(|of| of.nodes >= 500);
    let (least, most) = (large.clone().min_by_key(|of| of.nodes)?, large.max_by_key(|of| of.nodes)?);
    if least.nodes == most.nodes {
        return None;
    }
    let ratio = |of: fn(&Measured) -> f64| (of(most) / of(least)).ln();
    let exponent = ratio(|of| of.run.wall.as_secs_f64()) / ratio(|of| number(of.nodes));
    let words = format!("from {} to {} nodes time grows with exponent {exponent:.2}, not 1.1", least.nodes, most.nodes);
    (exponent > 1.1).then_some(words)
}

#[expect(clippy::cast_precision_loss, reason = "a cluster has few nodes")]
fn number(of: usize) -> f64 {
    of as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure has few digits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
