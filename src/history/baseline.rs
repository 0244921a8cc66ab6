//! The findings of an earlier run, which are known.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::check::{Finding, Judged, Severity, Subject};

/// The findings of an earlier run, by what they are about.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// When that run began.
    pub at: Timestamp,
    known: BTreeMap<String, Severity>,
}

impl Baseline {
    /// Those of these checks.
    pub fn new(at: Timestamp, checks: &[Judged]) -> Self {
        let mut known: BTreeMap<String, Severity> = BTreeMap::new();
        for check in checks {
            for finding in &check.findings {
                for subject in &finding.subjects {
                    let severity = known.entry(finding.fingerprint_of(&check.id, subject)).or_insert(finding.severity);
                    *severity = finding.severity.max(*severity);
                }
            }
        }
        Self { at, known }
    }

    /// Whether the run found this about the subject, and took it as seriously.
    pub fn knows(&self, check: &str, finding: &Finding, subject: &Subject) -> bool {
        self.known.get(&finding.fingerprint_of(check, subject)).is_some_and(|known| *known >= finding.severity)
    }
}
