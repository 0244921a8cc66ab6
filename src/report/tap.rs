//! TAP 14: each check is a test point, with what is wrong in a block of YAML.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::Gathered;
use super::conclusion::{CUT_OFF, unfinished};
use super::documentation;
use super::excerpt::{TEXT, excerpt, line};
use super::plain;
use crate::check::{Finding, Judged, Outcome};

/// How many items of a list are written.
const LISTED: usize = 200;

/// Writes the document.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let (checks, unjudged) = (run.checks(), run.unjudged());
    writeln!(to, "TAP version 14")?;
    writeln!(to, "1..{}", checks.len() + unjudged.len())?;
    if let Some(started) = &run.started {
        let cluster = &started.cluster;
        let words = format!("seaworthy {}, cluster {}, {}", started.seaworthy, cluster.name, cluster.version);
        writeln!(to, "# {}", escaped(&words))?;
    }
    for (i, timed) in checks.iter().enumerate() {
        test_point(to, i + 1, &timed.check)?;
    }
    for (i, planned) in unjudged.iter().enumerate() {
        let name = format!("{} {}", planned.id, planned.name);
        writeln!(to, "not ok {} - {}", checks.len() + i + 1, escaped(&name))?;
        writeln!(to, "  ---\n  message: {}\n  ...", yaml(CUT_OFF))?;
    }
    match unfinished(run) {
        Some(why) => writeln!(to, "Bail out! {}", escaped(&why)),
        None => Ok(()),
    }
}

fn test_point(to: &mut dyn Write, number: usize, check: &Judged) -> io::Result<()> {
    let (ok, skip) = match check.outcome {
        Outcome::Pass | Outcome::Warn => (true, None),
        Outcome::Fail | Outcome::Error => (false, None),
        Outcome::Skip | Outcome::Waived => (true, Some(plain::line(check))),
        Outcome::Blocked => {
            let mut roots: Vec<&str> = check.causes().map(|cause| cause.check.as_str()).collect();
            roots.sort_unstable();
            roots.dedup();
            (true, Some(format!("blocked by {}", roots.join(", "))))
        }
    };
    let name = escaped(&format!("{} {}: {}", check.id, check.name, check.title));
    write!(to, "{} {number} - {name}", if ok { "ok" } else { "not ok" })?;
    if let Some(why) = skip {
        write!(to, " # SKIP {}", escaped(&why))?;
    }
    writeln!(to)?;
    if check.findings.is_empty() && check.unseen.is_empty() {
        return Ok(());
    }
    writeln!(to, "  ---\n  message: {}", yaml(&plain::line(check)))?;
    writeln!(to, "  severity: {}\n  outcome: {}", check.severity, check.outcome)?;
    writeln!(to, "  documentation: {}", yaml(&documentation::link(check)))?;
    if !check.findings.is_empty() {
        writeln!(to, "  findings:")?;
        check.findings.iter().try_for_each(|finding| write_finding(to, &check.id, finding))?;
    }
    if !check.unseen.is_empty() {
        writeln!(to, "  not-checked:")?;
    }
    for unseen in &check.unseen {
        writeln!(to, "    - why: {}", yaml(&unseen.why))?;
        list(to, "subjects", &unseen.subjects)?;
        if let Some(cause) = &unseen.cause {
            writeln!(to, "      cause: {}", yaml(&cause.check))?;
        }
    }
    writeln!(to, "  ...")
}

fn write_finding(to: &mut dyn Write, check: &str, finding: &Finding) -> io::Result<()> {
    writeln!(to, "    - severity: {}", finding.severity)?;
    list(to, "subjects", &finding.subjects)?;
    let cause = finding.cause.as_ref().map(|cause| cause.check.as_str());
    let accepted = finding.waived.as_ref().map(ToString::to_string);
    let texts = [
        ("expected", Some(finding.expected.as_str())),
        ("seen", Some(finding.seen.as_str())),
        ("impact", finding.impact.as_deref()),
        ("fix", Some(finding.fix.as_str())),
        ("cause", cause),
        ("accepted", accepted.as_deref()),
    ];
    for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
        writeln!(to, "      {key}: {}", yaml(text))?;
    }
    if !finding.evidence.is_empty() {
        list(to, "evidence", &finding.evidence)?;
    }
    writeln!(to, "      fingerprint: {}", yaml(&finding.fingerprint(check)))
}

fn list<T: ToString>(to: &mut dyn Write, key: &str, items: &[T]) -> io::Result<()> {
    let mut texts: Vec<String> = items.iter().take(LISTED).map(|item| yaml(&item.to_string())).collect();
    if items.len() > LISTED {
        texts.push(yaml(&format!("and {} more", items.len() - LISTED)));
    }
    writeln!(to, "      {key}: [{}]", texts.join(", "))
}

/// A text outside of YAML: one line in which nothing begins a directive.
fn escaped(text: &str) -> String {
    line(text, TEXT).replace('\\', "\\\\").replace('#', "\\#")
}

/// A text in double quotes, with escapes for what YAML does not hold as it is.
fn yaml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in excerpt(text, TEXT).chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            ' '..='~'
            | '\u{a0}'..='\u{2027}'
            | '\u{202f}'..='\u{2065}'
            | '\u{206a}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fefe}'
            | '\u{ff00}'..='\u{fffd}'
            | '\u{10000}'..='\u{1fffd}' => quoted.push(c),
            c => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    fn written(run: &Gathered) -> String {
        testing::written(write, run)
    }

    #[test]
    fn every_outcome_has_its_line() {
        let text = written(&testing::gathered(&testing::events()));
        assert!(text.starts_with("TAP version 14\n1..10\n# seaworthy 0.1.0, cluster bed, v1.37.2\n"), "{text}");
        let line = |id: &str| text.lines().find(|line| line.contains(&format!(" - {id} "))).unwrap();
        assert_eq!(line("PK-02"), "not ok 3 - PK-02 apiserver-names: The title of PK-02");
        assert!(
            line("AA-01").starts_with("not ok ")
                && line("DN-01").starts_with("ok ")
                && line("DN-05").starts_with("ok ")
        );
        assert!(line("CN-05").ends_with(" # SKIP no NetworkPolicy exists"), "{text}");
        assert!(!text.contains("Bail out!"));
    }

    #[test]
    fn a_run_that_was_cut_off_bails_out_and_keeps_its_plan() {
        let text = written(&testing::gathered(&testing::events()[..6]));
        assert!(text.contains("\n1..10\n"));
        assert_eq!(text.matches("ok ").count(), 10, "{text}");
        assert!(
            text.ends_with("Bail out! The run was cut off before its end: 2 of 10 checks were judged.\n"),
            "{text}"
        );
    }

    #[test]
    fn no_text_is_a_directive() {
        assert_eq!(escaped("a # SKIP \\ b\nok 2"), "a \\# SKIP \\\\ b ok 2");
        assert_eq!(yaml("a\"\\\n\u{202e}\u{feff}é"), "\"a\\\"\\\\\\n\\U0000202e\\U0000feffé\"");
    }
}
