//! The formats of reports.

use std::io::{self, Write};

use super::{Gathered, annotations, csv, ctrf, html, json, junit, markdown, openmetrics, openreports, sarif, tap};

/// The format of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// The verdicts as JSON
    Json,
    /// JUnit XML
    Junit,
    /// One HTML file for people, which needs nothing else
    Html,
    /// Markdown for job summaries and comments on pull requests
    Markdown,
    /// SARIF 2.1.0 for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
    /// The Test Anything Protocol, version 14
    Tap,
    /// Comma-separated values, a row for each finding
    Csv,
    /// The Common Test Report Format
    Ctrf,
    /// Metrics for Prometheus
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// A ClusterReport of openreports.io, for kubectl apply
    #[value(name = "openreports")]
    OpenReports,
    /// The event stream as JSON lines, which `seaworthy report` converts into any report
    Events,
}

/// Writes a report on a whole run.
pub type Writer = fn(&Gathered, &mut dyn Write) -> io::Result<()>;

/// How a format is written.
pub(super) enum Way {
    /// For people, as the run goes on.
    Text,
    /// Event by event.
    Events,
    /// Once, with the verdict.
    Whole(Writer),
}

impl Format {
    /// How the format is written.
    pub(super) fn way(self) -> Way {
        match self {
            Self::Text => Way::Text,
            Self::Events => Way::Events,
            Self::Json => Way::Whole(json::write),
            Self::Junit => Way::Whole(junit::document::write),
            Self::Html => Way::Whole(html::write),
            Self::Markdown => Way::Whole(markdown::write),
            Self::Sarif => Way::Whole(sarif::write),
            Self::Github => Way::Whole(annotations::write),
            Self::Tap => Way::Whole(tap::write),
            Self::Csv => Way::Whole(csv::write),
            Self::Ctrf => Way::Whole(ctrf::write),
            Self::OpenMetrics => Way::Whole(openmetrics::document::write),
            Self::OpenReports => Way::Whole(openreports::document::write),
        }
    }

    /// What writes it once, as a whole; none of what is written as the run goes on.
    pub(crate) fn writer(self) -> Option<Writer> {
        match self.way() {
            Way::Whole(writer) => Some(writer),
            Way::Text | Way::Events => None,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).expect("no format is hidden").get_name().to_owned()
    }
}
