//! Which metrics there are.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::exposition::{Metric, end, head, series, shortened};
use crate::check::{Outcome, Severity};
use crate::report::Gathered;

const TIMESTAMP: Metric = Metric {
    name: "seaworthy_run_timestamp_seconds",
    unit: Some("seconds"),
    help: "When the last run began, as Unix time.",
};
const DURATION: Metric =
    Metric { name: "seaworthy_run_duration_seconds", unit: Some("seconds"), help: "How long the last run took." };
const SUCCESS: Metric = Metric {
    name: "seaworthy_run_success",
    unit: None,
    help: "Whether the last run came to a verdict, good or bad: its exit code was 0 or 1.",
};
const COVERAGE: Metric = Metric {
    name: "seaworthy_run_coverage_ratio",
    unit: Some("ratio"),
    help: "The share of the selected checks that the last run could judge: pass, warn, waived or fail.",
};
const STATE: Metric = Metric {
    name: "seaworthy_check_state",
    unit: None,
    help: "What became of a check: 1 for its state, 0 for each of the others.",
};
const FINDINGS: Metric = Metric {
    name: "seaworthy_findings",
    unit: None,
    help: "How many findings a check has that follow from no other finding.",
};
const CAUSES: Metric = Metric { name: "seaworthy_causes", unit: None, help: "How many checks name a root cause." };
const NOT_AFTER: Metric = Metric {
    name: "seaworthy_certificate_not_after_seconds",
    unit: Some("seconds"),
    help: "When the first certificate of this kind expires at this instance, as Unix time.",
};
const BUILD: Metric = Metric { name: "seaworthy_build_info", unit: None, help: "The version of seaworthy, always 1." };

/// Writes the metrics. None is about what was not seen: a run that was cut off has no duration.
pub(in crate::report) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    if let Some(started) = &run.started {
        head(to, BUILD)?;
        series(to, BUILD, &[("version", &started.seaworthy)], 1)?;
        head(to, TIMESTAMP)?;
        series(to, TIMESTAMP, &[], seconds(started.at.as_millisecond()))?;
        if let Some(finished) = &run.finished {
            head(to, DURATION)?;
            series(to, DURATION, &[], seconds(i64::try_from(finished.elapsed_ms).unwrap_or(i64::MAX)))?;
        }
        head(to, SUCCESS)?;
        series(to, SUCCESS, &[], u8::from(run.finished.as_ref().is_some_and(|end| end.exit_code <= 1)))?;
        coverage(run, to)?;
        head(to, CAUSES)?;
        series(to, CAUSES, &[], run.roots.len())?;
        states(run, to)?;
        findings(run, to)?;
        certificates(run, to)?;
    }
    end(to)
}

/// Milliseconds as seconds, exactly.
fn seconds(ms: i64) -> String {
    format!("{}{}.{:03}", if ms < 0 { "-" } else { "" }, (ms / 1000).abs(), (ms % 1000).abs())
}

fn coverage(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let selected = run.planned().len();
    if selected == 0 {
        return Ok(());
    }
    let judged: usize = [Outcome::Pass, Outcome::Warn, Outcome::Waived, Outcome::Fail]
        .map(|outcome| run.with(outcome).len())
        .iter()
        .sum();
    head(to, COVERAGE)?;
    let thousandths = judged * 1000 / selected;
    series(to, COVERAGE, &[], format_args!("{}.{:03}", thousandths / 1000, thousandths % 1000))
}

fn states(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    head(to, STATE)?;
    for timed in run.checks() {
        let check = &timed.check;
        for state in Outcome::ALL {
            let labels = [
                ("check", check.id.as_str()),
                ("suite", &check.suite),
                ("severity", check.severity.name()),
                ("state", state.name()),
            ];
            series(to, STATE, &labels, u8::from(check.outcome == state))?;
        }
    }
    Ok(())
}

/// A check that was judged has a figure for each severity, also where that is zero; one that was not has only what it found.
fn findings(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    head(to, FINDINGS)?;
    for timed in run.checks() {
        let check = &timed.check;
        let judged = matches!(check.outcome, Outcome::Pass | Outcome::Warn | Outcome::Waived | Outcome::Fail);
        for severity in Severity::ALL {
            let own = check
                .findings
                .iter()
                .filter(|finding| finding.severity == severity && finding.cause.is_none() && finding.waived.is_none());
            let count = own.count();
            if judged || count > 0 {
                series(to, FINDINGS, &[("check", &check.id), ("severity", severity.name())], count)?;
            }
        }
    }
    Ok(())
}

fn certificates(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    // Two certificates of one kind at one place are one series: what matters is the first to expire.
    let mut first: BTreeMap<(String, String), i64> = BTreeMap::new();
    for expiry in &run.survey.certificates {
        let at = expiry.not_after.as_second();
        let known = first.entry((shortened(&expiry.instance), shortened(&expiry.kind))).or_insert(at);
        *known = at.min(*known);
    }
    if first.is_empty() {
        return Ok(());
    }
    head(to, NOT_AFTER)?;
    for ((instance, kind), at) in &first {
        series(to, NOT_AFTER, &[("instance", instance), ("kind", kind)], at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::survey::Expiry;
    use crate::event::{Event, Survey};
    use crate::prometheus::{Line, lines};
    use crate::report::testing::events;

    const ALL: [Metric; 9] = [TIMESTAMP, DURATION, SUCCESS, COVERAGE, STATE, FINDINGS, CAUSES, NOT_AFTER, BUILD];

    fn expiry(instance: &str, not_after: &str) -> Expiry {
        Expiry {
            not_after: not_after.parse().unwrap(),
            not_before: "2026-01-01T00:00:00Z".parse().unwrap(),
            kind: "kubelet".into(),
            instance: instance.into(),
            subject: "CN=x".into(),
        }
    }

    fn text(events: &[Event]) -> String {
        let mut run = Gathered::default();
        for event in events {
            run.event(event);
        }
        let mut text = Vec::new();
        write(&run, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn whole() -> String {
        let certificates = vec![
            expiry("n1", "2027-01-02T00:00:00Z"),
            expiry("n1", "2027-01-01T00:00:00Z"),
            expiry("a\"\n\\", "2028-01-01T00:00:00Z"),
        ];
        let survey = Event::Surveyed(Survey { certificates, ..Survey::default() });
        let mut events = events();
        events.insert(1, survey);
        text(&events)
    }

    fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let is = |line: &Line<'_>| {
            line.name == name
                && labels.iter().all(|(key, value)| line.labels.get(*key).map(String::as_str) == Some(*value))
        };
        lines(text).find(is).map(|line| line.value)
    }

    #[test]
    fn every_metric_is_there_once_with_its_head_and_nothing_else() {
        let text = whole();
        let names: BTreeSet<_> = lines(&text).map(|line| line.name.to_owned()).collect();
        assert_eq!(names, ALL.iter().map(|metric| metric.name.to_owned()).collect());
        for Metric { name, unit, .. } in ALL {
            assert_eq!(text.matches(&format!("# TYPE {name} gauge\n")).count(), 1, "{name}");
            assert!(unit.is_none_or(|unit| name.ends_with(&format!("_{unit}"))), "{name}");
        }
        let comments = text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(text.lines().count(), comments + lines(&text).count(), "each other line is a series");
        assert!(text.ends_with("\n# EOF\n"));
        assert!(!text.contains("_total") && !text.contains("7f3k9"), "no counter, and no id of the run");
    }

    #[test]
    fn what_is_for_prometheus_and_grafana_names_only_metrics_that_exist() {
        let name = regex::Regex::new("seaworthy_[a-z_]+").unwrap();
        for (file, text) in [
            ("alerts.yaml", include_str!("../../../monitoring/alerts.yaml")),
            ("alerts.test.yaml", include_str!("../../../monitoring/alerts.test.yaml")),
            ("dashboard.json", include_str!("../../../monitoring/dashboard.json")),
            ("README.md", include_str!("../../../monitoring/README.md")),
        ] {
            let named: BTreeSet<_> = name.find_iter(text).map(|found| found.as_str()).collect();
            let known: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
            assert_eq!(named.difference(&known).collect::<Vec<_>>(), [&""; 0], "{file}");
            assert!(file == "alerts.test.yaml" || file == "alerts.yaml" || named == known, "{file} leaves metrics out");
        }
    }

    #[test]
    fn every_panel_of_the_dashboard_asks_for_a_metric() {
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../../monitoring/dashboard.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        for panel in panels {
            let query = panel["targets"][0]["expr"].as_str().unwrap_or_default();
            assert!(query.contains("seaworthy_"), "{}", panel["title"]);
        }
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len());
    }

    #[test]
    fn no_series_is_there_twice() {
        let text = whole();
        let mut series: Vec<_> = lines(&text).map(|line| format!("{} {:?}", line.name, line.labels)).collect();
        let all = series.len();
        series.sort();
        series.dedup();
        assert_eq!(series.len(), all);
    }

    #[test]
    fn a_check_has_exactly_one_state() {
        let text = whole();
        let states: Vec<_> = lines(&text).filter(|line| line.name == STATE.name).collect();
        for check in crate::report::testing::checks() {
            let of: Vec<_> = states.iter().filter(|line| line.label("check") == check.id).collect();
            assert_eq!(of.len(), Outcome::ALL.len(), "{}", check.id);
            let on: Vec<_> = of.iter().filter(|line| line.value > 0.5).map(|line| line.label("state")).collect();
            assert_eq!(on, [check.outcome.name()], "{}", check.id);
            assert_eq!((of[0].label("suite"), of[0].label("severity")), (check.suite.as_str(), check.severity.name()));
        }
    }

    #[test]
    fn the_figures_are_those_of_the_run() {
        let text = whole();
        let figure = |name: &str| value(&text, name, &[]);
        assert_eq!(figure(TIMESTAMP.name), Some(1_795_442_400.0));
        assert_eq!(figure(DURATION.name), Some(3.449));
        assert_eq!(figure(SUCCESS.name), Some(1.0), "a run with findings came to a verdict");
        assert_eq!(figure(COVERAGE.name), Some(0.3), "three of ten checks were judged");
        let findings = |check, severity| value(&text, FINDINGS.name, &[("check", check), ("severity", severity)]);
        assert_eq!(findings("PK-02", "critical"), Some(1.0));
        assert_eq!(findings("PK-02", "major"), Some(0.0));
        assert_eq!(findings("AA-01", "critical"), None, "nothing is known about a check in error");
        assert_eq!(value(&text, NOT_AFTER.name, &[("instance", "n1")]), Some(1_798_761_600.0), "the first to expire");
        assert!(value(&text, NOT_AFTER.name, &[("instance", "a\"\n\\")]).is_some());
    }

    #[test]
    fn a_run_that_was_cut_off_has_no_success_and_no_duration() {
        let cut: Vec<_> = events().into_iter().take(6).collect();
        let text = text(&cut);
        assert_eq!((value(&text, SUCCESS.name, &[]), value(&text, DURATION.name, &[])), (Some(0.0), None));
        assert_eq!(super::tests::text(&[]), "# EOF\n");
    }

    #[test]
    fn a_finding_that_follows_from_another_is_not_counted() {
        let mut events = events();
        for event in &mut events {
            if let Event::CheckJudged { check, .. } = event
                && let Some(finding) = check.findings.first_mut()
            {
                finding.cause = Some(crate::check::Cause { check: "KL-01".into(), finding: None });
            }
        }
        let text = text(&events);
        assert_eq!(value(&text, FINDINGS.name, &[("check", "PK-02"), ("severity", "critical")]), Some(0.0));
        assert_eq!(value(&text, FINDINGS.name, &[("check", "PK-02"), ("severity", "minor")]), Some(1.0));
    }
}
