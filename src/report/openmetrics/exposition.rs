//! Metrics as text that is both OpenMetrics and the classic text format of Prometheus.
//!
//! The two differ in what they accept, and node_exporter's textfile collector reads only the classic one: `# UNIT` and `# EOF` are
//! comments there, but it refuses a whole file with a type that it does not know, such as `stateset` or `info`. So every
//! metric here is a gauge. The crate `prometheus-client` has its own registry, and no way to write labels that differ from
//! series to series without a type for each metric: this is shorter than its use.

use std::fmt::Display;
use std::io::{self, Write};

/// How many characters the value of a label may have.
const LONGEST: usize = 200;

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its unit, which its name ends with.
    pub unit: Option<&'static str>,
    /// What it shows, in one line without quotes and backslashes.
    pub help: &'static str,
}

/// The head of a metric. Its series follow at once.
pub fn head(to: &mut dyn Write, Metric { name, unit, help }: Metric) -> io::Result<()> {
    writeln!(to, "# HELP {name} {help}")?;
    writeln!(to, "# TYPE {name} gauge")?;
    unit.map_or(Ok(()), |unit| writeln!(to, "# UNIT {name} {unit}"))
}

/// One series of a metric.
pub fn series(to: &mut dyn Write, metric: Metric, labels: &[(&str, &str)], value: impl Display) -> io::Result<()> {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    match labels.as_slice() {
        [] => writeln!(to, "{} {value}", metric.name),
        some => writeln!(to, "{}{{{}}} {value}", metric.name, some.join(",")),
    }
}

/// The end of OpenMetrics.
pub fn end(to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "# EOF")
}

/// The value of a label that is not longer than a database wants.
pub fn shortened(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}\u{2026}", &value[..end]),
        None => value.to_owned(),
    }
}

/// How many characters of a label's value are written: more than any name of Kubernetes has.
const LABEL: usize = 512;

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars().take(LABEL) {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            // Neither format has an escape for it, and a reader may take it for the end of the line.
            '\r' => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prometheus::Line;

    const METRIC: Metric = Metric { name: "a_seconds", unit: Some("seconds"), help: "How long." };

    fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut text = Vec::new();
        write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_metric_has_a_head_and_series() {
        let text = written(|to| {
            head(to, METRIC)?;
            series(to, METRIC, &[], 1)?;
            series(to, METRIC, &[("x", "1"), ("y", "a\"b")], 2.5)?;
            end(to)
        });
        let expected = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n\
                        a_seconds{x=\"1\",y=\"a\\\"b\"} 2.5\n# EOF\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_label_has_a_limit() {
        assert_eq!(shortened("é"), "é");
        assert_eq!(shortened(&"é".repeat(1_000_000)).chars().count(), LONGEST + 1);
    }

    proptest! {
        #[test]
        fn any_label_is_one_line_that_reads_back(value in any::<String>()) {
            let text = written(|to| series(to, METRIC, &[("x", &value)], 1));
            prop_assert_eq!(text.lines().count(), 1);
            let line = Line::read(text.trim_end_matches('\n')).unwrap();
            prop_assert_eq!(line.labels["x"].clone(), value.replace('\r', " "));
            prop_assert_eq!(line.written, "1");
        }
    }
}
