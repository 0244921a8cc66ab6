//! A run as alerts, for the API of Alertmanager.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::check::{Judged, Outcome};
use crate::report::{Gathered, documentation};

/// How long an alert lasts that no later run confirms: two and a half times the day between two audits.
const LASTS: SignedDuration = SignedDuration::from_hours(60);
/// How many findings an alert describes.
const DESCRIBED: usize = 3;
/// The name of every alert.
const NAME: &str = "SeaworthyCheckFails";

/// An alert. Alertmanager knows it by its labels, so these are the same from run to run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    labels: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

/// An alert for each check that fails, and the end of one for each that was judged and does not. Of a check that could not be
/// judged nothing is known, so what there is of it stays.
pub(super) fn of(run: &Gathered) -> Vec<u8> {
    let alerts: Vec<_> = run.checks().into_iter().filter_map(|timed| alert(run, &timed.check)).collect();
    serde_json::to_vec(&alerts).expect("maps of texts serialise")
}

fn alert<'a>(run: &'a Gathered, check: &'a Judged) -> Option<Alert<'a>> {
    let started = run.started.as_ref()?;
    let ends_at = match check.outcome {
        Outcome::Fail => started.at.saturating_add(LASTS).ok()?,
        Outcome::Pass | Outcome::Warn | Outcome::Waived => started.at,
        Outcome::Error | Outcome::Blocked | Outcome::Skip => return None,
    };
    let labels = [
        ("alertname", NAME),
        ("check", check.id.as_str()),
        ("cluster", &started.cluster.name),
        ("severity", check.severity.name()),
        ("suite", &check.suite),
    ];
    let annotations = [
        ("summary", format!("{}: {}", check.id, check.title)),
        ("description", description(check)),
        ("runbook_url", documentation::link(check)),
    ];
    // Alertmanager takes an empty label for one that is not there.
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    Some(Alert { labels, annotations: annotations.into(), starts_at: started.at, ends_at })
}

fn description(check: &Judged) -> String {
    let own: Vec<_> =
        check.findings.iter().filter(|finding| finding.cause.is_none() && finding.waived.is_none()).collect();
    let mut lines: Vec<_> = own
        .iter()
        .take(DESCRIBED)
        .map(|finding| {
            let about = crate::check::subject::listed(finding.subjects.iter().take(DESCRIBED));
            format!("{about}: expected {}, seen {}", finding.expected, finding.seen)
        })
        .collect();
    if own.len() > DESCRIBED {
        lines.push(format!("and {} more", own.len() - DESCRIBED));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::testing::events;

    #[test]
    fn what_fails_is_an_alert_and_what_passes_ends_one() {
        let mut run = Gathered::default();
        for event in events() {
            run.event(&event);
        }
        let alerts: Vec<Value> = serde_json::from_slice(&of(&run)).unwrap();
        let ids: Vec<_> = alerts.iter().map(|alert| alert["labels"]["check"].as_str().unwrap()).collect();
        assert_eq!(ids, ["PK-02", "DN-01", "DN-05"], "neither errors nor skips");
        let [fails, warns, _] = alerts.as_slice() else { panic!("{alerts:?}") };
        assert_eq!(fails["endsAt"], "2026-11-26T02:00:00Z");
        assert_eq!(warns["endsAt"], warns["startsAt"]);
        assert_eq!(fails["labels"]["cluster"], "bed");
        assert_eq!(fails["annotations"]["runbook_url"], "docs/checks.md#pk-02");
        let description = fails["annotations"]["description"].as_str().unwrap();
        assert!(description.contains("the cluster") || description.contains("10.77.0.11:6443"), "{description}");
        assert_eq!(description.lines().count(), 2);
    }
}
