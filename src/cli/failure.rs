//! Why a command failed.

use super::image::ImageCommandError;
use crate::cluster::{ConnectError, KubeconfigError, causes};
use crate::event::reading::EventsError;
use crate::history::WaiverError;
use crate::image::PushError;
use crate::recording::ReadError;
use crate::redaction::Redaction;
use crate::report::OutputError;
use crate::report::text::wrap::printable;
use crate::run::{ExitCode, ProfileError, SelectionError};

/// Why a command failed. Each failure is one line and has an exit code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The selection of checks.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The kubeconfig.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The connection to the cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A recording.
    #[error(transparent)]
    Recording(#[from] ReadError),
    /// An event stream.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// A file that was to be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file of waivers.
    #[error(transparent)]
    Waivers(#[from] WaiverError),
    /// The image of the probes.
    #[error(transparent)]
    Image(#[from] ImageCommandError),
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// The user interrupted the command.
    #[error("interrupted before the run began")]
    Interrupted,
    /// Something in the environment failed, such as the random number generator.
    #[error("{0}")]
    System(String),
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Selection(SelectionError::Malformed { .. }) | Self::Connect(ConnectError::Unusable(_)) => {
                ExitCode::Usage
            }
            Self::Selection(_) => ExitCode::NothingSelected,
            Self::Interrupted => ExitCode::Interrupted,
            Self::Kubeconfig(KubeconfigError::None { .. })
            | Self::Connect(_)
            | Self::Image(ImageCommandError::Push(PushError::Unreachable { .. }))
            | Self::System(_) => ExitCode::Inconclusive,
            Self::Profile(_)
            | Self::Kubeconfig(_)
            | Self::Recording(_)
            | Self::Events(_)
            | Self::Output(_)
            | Self::Waivers(_)
            | Self::Image(_)
            | Self::Usage(_) => ExitCode::Usage,
        }
    }

    /// What went wrong, in one line.
    pub fn line(&self) -> String {
        printable(&Redaction::default().text(&causes(self)).replace(['\n', '\r'], " "))
    }

    /// Prints it to the standard error, and returns the exit code.
    pub fn report(self) -> ExitCode {
        super::say(&self.line());
        self.exit_code()
    }
}
