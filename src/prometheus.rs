//! What servers count, in the text format of Prometheus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The metric.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty without one.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A line that holds a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line<'a> {
    /// The metric.
    pub name: &'a str,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number as it is written, such as `3.1535e+07` or `+Inf`.
    pub written: &'a str,
    /// The number.
    pub value: f64,
}

impl<'a> Line<'a> {
    /// Reads `name{le="0",x="y"} 5`, or `name 5`; a timestamp may follow. None if it is something else, as a comment.
    pub(crate) fn read(line: &'a str) -> Option<Self> {
        let (name, mut rest) = line.split_at(metric(line)?.len());
        let mut labels = BTreeMap::new();
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = inside.trim_start_matches([',', ' ']);
                if let Some(after) = inside.strip_prefix('}') {
                    rest = after;
                    break;
                }
                let (key, after) = inside.split_once("=\"")?;
                let (value, after) = quoted(after)?;
                labels.insert(key.to_owned(), value);
                inside = after;
            }
        }
        let written = rest.split_whitespace().next()?;
        Some(Self { name, labels, written, value: written.parse().ok()? })
    }

    /// The value of a label; empty without one.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl From<Line<'_>> for Sample {
    fn from(line: Line<'_>) -> Self {
        Self { name: line.name.to_owned(), value: line.value, labels: line.labels }
    }
}

/// The metric that a line is about, without looking at the rest; none if it is about none.
pub(crate) fn metric(line: &str) -> Option<&str> {
    let name = &line[..line.find(['{', ' ', '\t'])?];
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    (!name.is_empty() && name.chars().all(is_legal)).then_some(name)
}

/// All numbers of a text. What is none is passed over.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(Line::read)
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                letter => letter,
            }),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_a_metric_its_labels_and_a_number() {
        let line = Line::read(r#"decisions_total{decision="allowed",name="a\"b}",} 7.84e+02 1795442329"#).unwrap();
        assert_eq!((line.name, line.label("name"), line.label("x")), ("decisions_total", "a\"b}", ""));
        assert_eq!((line.written, Sample::from(line).value), ("7.84e+02", 784.0));
        assert_eq!(Line::read("ttl_seconds +Inf").map(|line| line.value), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_not_a_number_is_none() {
        for line in ["# HELP a b", "", "<html lang=\"5\"> 5", "a", "a x", "a{b=\"c} 5", "a{b} 5", "{} 5"] {
            assert_eq!(Line::read(line), None, "{line}");
        }
        assert_eq!(lines("# TYPE a counter\na 1\n\nb{c=\"d\"} 2\n").count(), 2);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe(text in "([a-z_:]+)?[{]?(\\PC){0,40}[}]?( 5)?") {
            let _ = lines(&text).count();
        }
    }
}
