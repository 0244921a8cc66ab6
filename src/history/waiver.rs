//! Waivers: findings that someone accepts until a day.

use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher};
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::check::{Finding, Subject};
use crate::suites;

/// The longest that a waiver may last.
fn longest() -> Span {
    1.year()
}

/// A file of waivers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    waivers: Vec<Spanned<Entry>>,
}

/// A waiver, as the file states it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    check: Spanned<String>,
    subject: Spanned<String>,
    reason: Spanned<String>,
    owner: Spanned<String>,
    expires: Spanned<String>,
    fingerprint: Option<Spanned<String>>,
}

/// A finding that someone accepts until a day.
#[derive(Clone, Debug)]
pub struct Waiver {
    /// The file and the line.
    pub origin: String,
    /// The check, or a glob of its id.
    pub check: String,
    /// The glob of the subject, as reports name it.
    pub subject: String,
    /// Why it is accepted.
    pub reason: String,
    /// Who answers for that.
    pub owner: String,
    /// The last day.
    pub expires: Date,
    /// What was seen, if another one is not accepted.
    pub fingerprint: Option<String>,
    checks: GlobMatcher,
    subjects: GlobMatcher,
}

impl Waiver {
    /// Whether it is about this check.
    pub fn is_about(&self, check: &str) -> bool {
        self.checks.is_match(check)
    }

    /// Whether it is past its last day.
    pub fn is_expired(&self, today: Date) -> bool {
        self.expires < today
    }

    /// Whether it is about what a finding of this check has about a subject.
    pub fn matches(&self, check: &str, finding: &Finding, subject: &Subject) -> bool {
        let is_seen = |print: &String| *print == finding.fingerprint_with_seen(check, subject);
        self.is_about(check)
            && self.subjects.is_match(subject.to_string())
            && self.fingerprint.as_ref().is_none_or(is_seen)
    }
}

/// Why waivers could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaiverError {
    /// The file cannot be read.
    #[error("{}: cannot read the waivers: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not hold waivers.
    #[error("{origin}: not a file of waivers: {cause}")]
    Malformed {
        /// The file, with line and column.
        origin: String,
        /// What is wrong.
        cause: String,
    },
}

/// The waivers of one or several files.
#[derive(Clone, Debug, Default)]
pub struct Waivers(pub Vec<Waiver>);

impl Waivers {
    /// Reads files.
    pub fn read(paths: &[PathBuf], today: Date) -> Result<Self, WaiverError> {
        let mut all = Vec::new();
        for path in paths {
            let text = std::fs::read_to_string(path)
                .map_err(|source| WaiverError::Unreadable { path: path.clone(), source })?;
            all.extend(Self::parse(&text, path, today)?.0);
        }
        Ok(Self(all))
    }

    /// Reads a text; `path` is what errors call it.
    pub fn parse(text: &str, path: &Path, today: Date) -> Result<Self, WaiverError> {
        let origin = path.display();
        let file: File = serde_saphyr::from_str(text).map_err(|why| {
            let at = why.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
            let cause = why.without_snippet().to_string();
            let line = cause.lines().next().unwrap_or_default();
            let cause = line.split(" at line ").next().unwrap_or(line).to_owned();
            WaiverError::Malformed { origin: format!("{origin}{at}"), cause }
        })?;
        let read = |entry: Spanned<Entry>| {
            let line = entry.referenced.line();
            let Entry { check, subject, reason, owner, expires, fingerprint } = entry.value;
            let malformed = |at: &Spanned<String>, cause: String| WaiverError::Malformed {
                origin: format!("{origin}:{}:{}", at.referenced.line(), at.referenced.column()),
                cause,
            };
            for (name, field) in [("reason", &reason), ("owner", &owner)] {
                if field.value.trim().is_empty() {
                    return Err(malformed(field, format!("{name} is empty")));
                }
            }
            let date: Date = expires.value.parse().map_err(|_| {
                malformed(&expires, format!("expires is {:?}: write a day as 2027-03-31", expires.value))
            })?;
            let last = today.saturating_add(longest());
            if date > last {
                return Err(malformed(&expires, format!("expires is {date}: a waiver may last until {last} at most")));
            }
            let glob = |text: &Spanned<String>, glob: Result<Glob, globset::Error>| {
                glob.map(|glob| glob.compile_matcher()).map_err(|why| malformed(text, why.kind().to_string()))
            };
            let checks = glob(&check, Glob::new(&check.value))?;
            if !suites::checks().any(|known| checks.is_match(known.id)) {
                return Err(malformed(
                    &check,
                    format!("{:?} matches no check: seaworthy list shows their ids", check.value),
                ));
            }
            Ok(Waiver {
                origin: format!("{origin}:{line}"),
                checks,
                // A slash in a name is like any other character.
                subjects: glob(&subject, GlobBuilder::new(&subject.value).literal_separator(false).build())?,
                check: check.value,
                subject: subject.value,
                reason: reason.value,
                owner: owner.value,
                expires: date,
                fingerprint: fingerprint.map(|print| print.value),
            })
        };
        file.waivers.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 30);

    fn refused(text: &str) -> String {
        Waivers::parse(text, Path::new("w.yaml"), TODAY).unwrap_err().to_string()
    }

    fn entry(change: (&str, &str)) -> String {
        let mut fields = [
            ("check", "PK-08"),
            ("subject", "'Node *'"),
            ("reason", "the kubelets sign for themselves"),
            ("owner", "platform"),
            ("expires", "2027-03-31"),
        ];
        fields.iter_mut().filter(|(name, _)| *name == change.0).for_each(|(_, value)| *value = change.1);
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
        format!("waivers:\n- {}", lines.concat().trim_start())
    }

    #[test]
    fn a_waiver_has_a_reason_an_owner_and_an_end() {
        let read = Waivers::parse(&entry(("", "")), Path::new("w.yaml"), TODAY).unwrap().0;
        assert_eq!((read.len(), read[0].origin.as_str()), (1, "w.yaml:2"));
        assert!(
            !read[0].is_expired(jiff::civil::date(2027, 3, 31)) && read[0].is_expired(jiff::civil::date(2027, 4, 1))
        );
        for (change, message) in [
            (
                ("expires", "2028-01-01"),
                "w.yaml:6:12: not a file of waivers: expires is 2028-01-01: a waiver may last until 2027-11-30 at most",
            ),
            (("expires", "soon"), "w.yaml:6:12: not a file of waivers: expires is \"soon\": write a day as 2027-03-31"),
            (("owner", "''"), "w.yaml:5:10: not a file of waivers: owner is empty"),
            (
                ("check", "XX-99"),
                "w.yaml:2:10: not a file of waivers: \"XX-99\" matches no check: seaworthy list shows their ids",
            ),
            (("subject", "'Node [a'"), "w.yaml:3:12: not a file of waivers: unclosed character class; missing ']'"),
        ] {
            assert_eq!(refused(&entry(change)), message);
        }
    }

    #[test]
    fn a_file_with_other_keys_is_refused_with_its_line() {
        let error = refused("waivers:\n- check: PK-08\n  who: me\n");
        assert!(error.starts_with("w.yaml:3:") && error.contains("who"), "{error}");
        let error = refused("checks: []\n");
        assert!(error.starts_with("w.yaml:1:") && error.contains("checks"), "{error}");
        let error = refused("waivers:\n- check: PK-08\n");
        assert!(error.starts_with("w.yaml:") && error.contains("subject"), "{error}");
    }
}
