//! The joint report in every format.

pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod markdown;
mod table;
pub(crate) mod text;

use std::io::{self, Write};

use super::Joint;
use super::row::Verdict;

/// The format of a joint report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// The clusters and their causes as JSON
    Json,
    /// JUnit XML, with a test suite for each cluster
    Junit,
    /// Markdown, for a job summary or a ticket
    Markdown,
}

/// Writes a joint report.
pub(crate) type Writer = fn(&Joint, &mut dyn Write) -> io::Result<()>;

impl Format {
    /// What writes it; nothing for text, which knows how wide it may be.
    pub(crate) fn writer(self) -> Option<Writer> {
        match self {
            Self::Text => None,
            Self::Json => Some(json::write),
            Self::Junit => Some(junit::write),
            Self::Markdown => Some(markdown::write),
        }
    }
}

/// What there is to say of all clusters: the verdict, and how many clusters it and the others are about.
fn verdict(joint: &Joint) -> (Verdict, String) {
    let number = joint.number();
    // A fleet that was stopped is not complete, whatever else it found.
    let stopped = (joint.with(Verdict::Interrupted) > 0).then_some(Verdict::Interrupted);
    let worst = stopped.into_iter().chain(Verdict::ALL).find(|verdict| joint.with(*verdict) > 0);
    let worst = worst.unwrap_or(Verdict::Seaworthy);
    let clusters = if number == 1 { "cluster" } else { "clusters" };
    let first = match joint.with(worst) {
        some if some == number => format!("{number} {clusters}"),
        some => format!("{some} of {number} {clusters}"),
    };
    let others = Verdict::ALL.into_iter().filter(|verdict| *verdict != worst);
    let others = others.filter_map(|verdict| match joint.with(verdict) {
        0 => None,
        some => Some(format!("{some} {}", verdict.name())),
    });
    let parts = [first].into_iter().chain(Some(others.collect::<Vec<_>>().join(", ")).filter(|it| !it.is_empty()));
    (worst, parts.collect::<Vec<_>>().join("; "))
}
