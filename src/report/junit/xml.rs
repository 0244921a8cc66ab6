//! The adapter to `junit-report`, which writes what it is given: here it is given only what XML can hold.
//!
//! Characters that XML 1.0 has no way to write, not even escaped, become U+FFFD. Text that ends up in a CDATA section is
//! cut where it would end the section.

use std::borrow::Cow;

use junit_report::{Duration, TestCase, TestCaseBuilder, TestSuite, TestSuiteBuilder};

/// The longest time that a report states, in milliseconds: a year. Sums of it stay far from overflow.
const LONGEST_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// A text of characters that XML 1.0 allows, with line ends as every reader makes them.
fn xml_text(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_xml) {
        return Cow::Borrowed(text);
    }
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    Cow::Owned(lines.chars().map(|c| if is_xml(c) { c } else { char::REPLACEMENT_CHARACTER }).collect())
}

/// The production `Char` of XML 1.0, without the carriage return, which every reader turns into a line feed.
const fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// A text for an attribute: one line, since readers turn line breaks there into spaces.
fn attribute(text: &str) -> String {
    xml_text(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text for a CDATA section.
fn cdata(text: &str) -> String {
    xml_text(text).replace("]]>", "]]]]><![CDATA[>")
}

fn duration(ms: u64) -> Duration {
    Duration::milliseconds(i64::try_from(ms.min(LONGEST_MS)).unwrap_or_default())
}

/// What became of a test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It passed.
    Success,
    /// Something is wrong.
    Failure {
        /// A word for the kind of failure.
        kind: String,
        /// One line.
        message: String,
        /// Everything.
        text: String,
    },
    /// It could not be checked.
    Error {
        /// One line.
        message: String,
        /// Everything.
        text: String,
    },
    /// It does not apply, or the profile does not allow it.
    Skipped {
        /// Why.
        message: String,
    },
}

/// A test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Where CI systems file it.
    pub class: String,
    /// What it is called.
    pub name: String,
    /// How long the run took from the check before to this one, in milliseconds: all of them add up to the run.
    pub time_ms: u64,
    /// What became of it.
    pub status: Status,
    /// Its output.
    pub output: String,
}

/// The error type of a case that could not be checked.
const NOT_CHECKED: &str = "not-checked";

impl Case {
    fn build(&self) -> TestCase {
        let name = attribute(&self.name);
        let time = duration(self.time_ms);
        let mut case = match &self.status {
            Status::Success => TestCaseBuilder::success(&name, time),
            Status::Failure { kind, message, text } => {
                let mut case = TestCaseBuilder::failure(&name, time, &attribute(kind), &attribute(message));
                case.set_trace(&cdata(text));
                case
            }
            Status::Error { message, text } => {
                let mut case = TestCaseBuilder::error(&name, time, NOT_CHECKED, &attribute(message));
                case.set_trace(&cdata(text));
                case
            }
            Status::Skipped { message } => {
                let mut case = TestCaseBuilder::skipped_with_cause(&name, "skip", &attribute(message));
                case.testcase.time = time;
                case
            }
        };
        case.set_classname(&attribute(&self.class)).set_system_out(&cdata(&self.output));
        case.build()
    }
}

/// A test suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What it belongs to.
    pub package: String,
    /// The host that was tested.
    pub host: String,
    /// When it began.
    pub at: jiff::Timestamp,
    /// Its test cases.
    pub cases: Vec<Case>,
}

impl Suite {
    /// The suite for `junit-report`.
    pub fn build(&self) -> TestSuite {
        let mut suite = TestSuiteBuilder::new(&attribute(&self.name))
            .set_timestamp(timestamp(self.at))
            .add_testcases(self.cases.iter().map(Case::build))
            .build();
        suite.package = attribute(&self.package);
        suite.hostname = attribute(&self.host);
        suite
    }
}

/// A time that RFC 3339 can write: not before our era, not beyond four digits of year.
fn timestamp(at: jiff::Timestamp) -> junit_report::OffsetDateTime {
    let epoch = junit_report::OffsetDateTime::UNIX_EPOCH;
    junit_report::OffsetDateTime::from_unix_timestamp(at.as_second().max(0)).unwrap_or(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(xml_text("a\u{0}b\u{1b}[31m\u{fffe}\u{10ffff}é\t"), "a\u{fffd}b\u{fffd}[31m\u{fffd}\u{10ffff}é\t");
        assert_eq!(xml_text("a\r\nb\rc"), "a\nb\nc");
    }

    #[test]
    fn an_attribute_is_one_line() {
        assert_eq!(attribute(" a\n  b\tc "), "a b c");
    }

    #[test]
    fn no_text_ends_its_cdata_section() {
        assert_eq!(cdata("a]]>b"), "a]]]]><![CDATA[>b");
        assert_eq!(cdata("]]]]>>"), "]]]]]]><![CDATA[>>");
    }
}
