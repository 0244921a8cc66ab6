//! The formats of reports.

use std::io::{self, Write};

use super::{Gathered, json, junit, openmetrics, openreports};

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
