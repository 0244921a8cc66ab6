use std::collections::BTreeSet;

use proptest::prelude::*;
use quick_junit::{NonSuccessKind, Report as ReadBack, TestCaseStatus};

use super::*;
use crate::check::Outcome;
use crate::event::Event;
use crate::report::testing;

fn written(events: &[Event]) -> String {
    testing::written(document::write, &testing::gathered(events))
}

fn read_back(text: &str) -> ReadBack {
    ReadBack::deserialize_from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn every_outcome_has_its_element() {
    let text = written(&testing::events());
    let report = read_back(&text);
    let cases: Vec<_> = report.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
    assert_eq!(cases.len(), testing::checks().len());
    for check in testing::checks() {
        let name = format!("{} {}", check.id, check.name);
        let case = cases.iter().find(|case| case.name.as_str() == name).unwrap();
        assert_eq!(case.classname.as_ref().unwrap().as_str(), format!("seaworthy.{}", check.suite));
        let as_expected = match (&case.status, check.outcome) {
            (TestCaseStatus::Success { .. }, Outcome::Pass | Outcome::Warn)
            | (TestCaseStatus::Skipped { .. }, Outcome::Skip) => true,
            (TestCaseStatus::NonSuccess { kind, .. }, Outcome::Fail) => *kind == NonSuccessKind::Failure,
            (TestCaseStatus::NonSuccess { kind, .. }, Outcome::Error) => *kind == NonSuccessKind::Error,
            _ => false,
        };
        assert!(as_expected, "{name}: {:?}", case.status);
    }
    assert!(text.contains("kubectl -n kube-system scale"), "a warning is in the output of its case");
    assert!(text.contains("[[PROPERTY|cluster-version=v1.37.2]]"));
}

#[test]
fn class_and_name_together_are_unique() {
    let report = read_back(&written(&testing::events()));
    let names: BTreeSet<_> = report
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases)
        .map(|case| (case.classname.as_ref().unwrap().to_string(), case.name.to_string()))
        .collect();
    assert_eq!(names.len(), testing::checks().len());
}

#[test]
fn a_check_that_was_not_judged_is_an_error() {
    let events = testing::events();
    let report = read_back(&written(&events[..5]));
    let errors = report.test_suites.iter().flat_map(|suite| &suite.test_cases).filter(|case| {
        matches!(&case.status, TestCaseStatus::NonSuccess { message: Some(m), .. } if m.as_str().contains("cut off"))
    });
    assert_eq!(errors.count(), testing::checks().len() - 1);
}

#[test]
fn times_that_cannot_be_are_written_all_the_same() {
    let mut events = testing::events();
    for event in &mut events {
        match event {
            Event::CheckJudged { at_ms, .. } => *at_ms = u64::MAX,
            Event::RunStarted(started) => started.at = jiff::Timestamp::MIN,
            _ => {}
        }
    }
    read_back(&written(&events));
}

/// Any text, and more often than chance would have it what breaks XML.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        Just("]]>".to_owned()),
        Just("<![CDATA[".to_owned()),
        Just("\u{0}\u{1b}[31m\u{fffe}\u{ffff}".to_owned()),
        Just("&<>\"'\r\n".to_owned()),
        Just("]".to_owned()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_document_malformed(
        texts in prop::array::uniform8(text()),
        outcome in prop::sample::select(Outcome::ALL.as_slice()),
    ) {
        let document = written(&testing::with_texts(&texts, outcome));
        let report = read_back(&document);
        prop_assert_eq!(report.test_suites.len(), 1);
        prop_assert_eq!(report.test_suites[0].test_cases.len(), 1);
        prop_assert!(roxmltree::Document::parse(&document).is_ok());
    }
}
