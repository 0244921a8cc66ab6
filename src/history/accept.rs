//! Writes waivers for what a run found.

use std::fmt::Write;

use globset::GlobMatcher;
use jiff::civil::Date;
use serde_json::Value;

use super::Waivers;
use crate::check::Judged;

/// A finding about a subject that may be accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acceptable {
    /// The check.
    pub check: String,
    /// The subject, as reports name it.
    pub subject: String,
    /// What was seen of it.
    pub fingerprint: String,
}

/// What is written of each waiver beside its check and subject.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Why.
    pub reason: String,
    /// Who answers for that.
    pub owner: String,
    /// The last day.
    pub expires: Date,
    /// Whether another observation of the same subject is a new finding.
    pub only_as_seen: bool,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// No finding was chosen.
    #[error("no finding matches: {found} of that run could be accepted, of {checks}")]
    Nothing {
        /// How many findings there are.
        found: usize,
        /// The checks that have them.
        checks: String,
    },
    /// The file has waivers in another form than a list of lines.
    #[error("entries can be added only to a list with a line for each `- check:`: write its waivers in that form")]
    OtherForm,
    /// All are in the file.
    #[error("it accepts all {0} already")]
    Known(usize),
}

/// The findings that count, of these checks and about these subjects, each once for each subject. What follows from another is
/// accepted with that.
pub fn entries(
    checks: &[Judged],
    chosen: Option<&[GlobMatcher]>,
    subjects: Option<&GlobMatcher>,
) -> Result<Vec<Acceptable>, AcceptError> {
    let mut all = Vec::new();
    for check in checks {
        for finding in check.findings.iter().filter(|finding| finding.cause.is_none() && finding.waived.is_none()) {
            for subject in &finding.subjects {
                all.push(Acceptable {
                    check: check.id.clone(),
                    subject: subject.to_string(),
                    fingerprint: finding.fingerprint_with_seen(&check.id, subject),
                });
            }
        }
    }
    all.sort();
    let found = all.len();
    let names: std::collections::BTreeSet<String> = all.iter().map(|entry| entry.check.clone()).collect();
    all.retain(|entry| {
        chosen.is_none_or(|chosen| chosen.iter().any(|check| check.is_match(&entry.check)))
            && subjects.is_none_or(|subjects| subjects.is_match(&entry.subject))
    });
    if all.is_empty() {
        let checks = if names.is_empty() { "no check".into() } else { names.into_iter().collect::<Vec<_>>().join(" ") };
        return Err(AcceptError::Nothing { found, checks });
    }
    Ok(all)
}

/// A file of waivers with these added, and how many there are of them. What the file has, comments too, stays as it is.
pub fn append(
    file: &str,
    known: &Waivers,
    entries: &[Acceptable],
    terms: &Terms,
) -> Result<(String, usize), AcceptError> {
    let is_known = |entry: &&Acceptable| {
        known.0.iter().any(|waiver| waiver.check == entry.check && waiver.subject == globbed(&entry.subject))
    };
    let mut new: Vec<&Acceptable> = entries.iter().filter(|entry| !is_known(entry)).collect();
    if !terms.only_as_seen {
        // Several findings about one subject are one entry.
        new.dedup_by(|a, b| (&a.check, &a.subject) == (&b.check, &b.subject));
    }
    if new.is_empty() {
        return Err(AcceptError::Known(entries.len()));
    }
    let mut text = file.to_owned();
    if known.0.is_empty() {
        text = text.replace("waivers: []\n", "");
        if !text.contains("waivers:") {
            text.push_str("waivers:\n");
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    // As far to the right as the entries that there are.
    let item = |line: &str| line.trim_start().starts_with("- ").then(|| line.len() - line.trim_start().len());
    let indent = match text.lines().find_map(item) {
        Some(indent) => " ".repeat(indent),
        None if known.0.is_empty() => String::new(),
        None => return Err(AcceptError::OtherForm),
    };
    for entry in &new {
        let expires = terms.expires.to_string();
        let mut fields = vec![
            ("check", entry.check.as_str()),
            ("subject", ""),
            ("reason", terms.reason.as_str()),
            ("owner", terms.owner.as_str()),
            ("expires", expires.as_str()),
        ];
        let subject = globbed(&entry.subject);
        fields[1].1 = &subject;
        if terms.only_as_seen {
            fields.push(("fingerprint", &entry.fingerprint));
        }
        for (i, (name, value)) in fields.into_iter().enumerate() {
            // A JSON string is one of YAML.
            let start = if i == 0 { "- " } else { "  " };
            _ = writeln!(text, "{indent}{start}{name}: {}", Value::from(value));
        }
    }
    Ok((text, new.len()))
}

/// A name as a glob that matches it alone.
fn globbed(name: &str) -> String {
    globset::escape(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::{Finding, Severity, Subject, Verdict};

    const TODAY: Date = jiff::civil::date(2026, 11, 30);

    fn judged(names: &[&str]) -> Vec<Judged> {
        let mut verdict = Verdict::new();
        verdict.find_together(names.iter().map(|name| Subject::node(*name)), 1, Finding::new("x", "y").fix("z"));
        vec![Judged::new(crate::suites::check("KL-01").unwrap(), Ok(verdict), Severity::Minor)]
    }

    fn terms() -> Terms {
        Terms { reason: "a: \"b\"\nc".into(), owner: "o".into(), expires: TODAY, only_as_seen: true }
    }

    #[test]
    fn what_is_written_is_read_and_matches_what_was_found() {
        let checks = judged(&["n[1]", "n2"]);
        let all = entries(&checks, None, None).unwrap();
        let (text, number) = append("# ours\n", &Waivers::default(), &all, &terms()).unwrap();
        assert!(text.starts_with("# ours\nwaivers:\n- check: \"KL-01\"\n") && number == 2, "{text}");
        let read = Waivers::parse(&text, Path::new("w"), TODAY).unwrap();
        let finding = &checks[0].findings[0];
        for subject in &finding.subjects {
            assert_eq!(
                read.0.iter().filter(|waiver| waiver.matches("KL-01", finding, subject)).count(),
                1,
                "{subject}"
            );
        }
        assert_eq!(append(&text, &read, &all, &terms()), Err(AcceptError::Known(2)));
        let more = entries(&judged(&["n2", "n3"]), None, None).unwrap();
        let (text, number) = append(&text, &read, &more, &terms()).unwrap();
        assert_eq!((number, Waivers::parse(&text, Path::new("w"), TODAY).unwrap().0.len()), (1, 3));
    }

    #[test]
    fn entries_are_added_in_the_form_of_the_file() {
        let entry = |indent: &str| {
            let fields = ["- check: KL-02", "  subject: '*'", "  reason: r", "  owner: o", "  expires: 2026-12-31"];
            format!("waivers:\n{}\n", fields.map(|field| format!("{indent}{field}")).join("\n"))
        };
        let read = |text: &str| Waivers::parse(text, Path::new("w"), TODAY).unwrap();
        let all = entries(&judged(&["n1"]), None, None).unwrap();
        for file in [entry(""), entry("  "), "waivers: []\n".into()] {
            let (text, _) = append(&file, &read(&file), &all, &terms()).unwrap();
            assert_eq!(read(&text).0.len(), read(&file).0.len() + 1, "{text}");
        }
        let flow = "waivers: [{check: KL-02, subject: '*', reason: r, owner: o, expires: 2026-12-31}]\n";
        assert_eq!(append(flow, &read(flow), &all, &terms()), Err(AcceptError::OtherForm));
    }

    #[test]
    fn what_is_not_chosen_is_not_accepted() {
        let glob = |text: &str| globset::Glob::new(text).unwrap().compile_matcher();
        let checks = judged(&["n1", "n2"]);
        assert_eq!(entries(&checks, Some(&[glob("KL-*")]), Some(&glob("Node n2"))).unwrap().len(), 1);
        let none = entries(&checks, Some(&[glob("PK-*")]), None).unwrap_err();
        assert_eq!(none.to_string(), "no finding matches: 2 of that run could be accepted, of KL-01");
    }
}
