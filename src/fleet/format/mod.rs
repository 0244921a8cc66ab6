//! The joint report in every format.

pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod text;

use std::io::{self, Write};

use super::Joint;

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

/// The first line of every report for people: what there is to say of all clusters.
fn verdict(joint: &Joint) -> String {
    use super::row::Verdict;
    let number = joint.number();
    let clusters = if number == 1 { "cluster" } else { "clusters" };
    let counts = Verdict::ALL.into_iter().filter_map(|verdict| match joint.with(verdict) {
        0 => None,
        some => Some(format!("{some} {}", verdict.name())),
    });
    format!("{number} {clusters}: {}", counts.collect::<Vec<_>>().join(", "))
}
