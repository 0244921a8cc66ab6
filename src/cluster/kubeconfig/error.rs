//! Why there is no usable kubeconfig.

use std::path::PathBuf;

/// Why there is no usable kubeconfig.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// There is no kubeconfig.
    #[error(
        "no kubeconfig: --kubeconfig is not given, {environment}, {} does not exist, and this is not a pod: \
         give --kubeconfig FILE, or try `seaworthy run --example`",
        home.display()
    )]
    None {
        /// The state of the variable KUBECONFIG.
        environment: String,
        /// The default file.
        home: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: cannot read the kubeconfig: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a kubeconfig.
    #[error("{}: not a kubeconfig: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        cause: String,
    },
    /// The files are not kubeconfigs.
    #[error("{origin}: not a kubeconfig: {what}")]
    SomethingElse {
        /// The files.
        origin: String,
        /// What they are.
        what: String,
    },
    /// The context does not exist.
    #[error("{origin}: there is no context {context:?}; available: {known}")]
    UnknownContext {
        /// The files.
        origin: String,
        /// The context asked for.
        context: String,
        /// The existing contexts.
        known: String,
    },
    /// No context is chosen.
    #[error("{origin}: current-context is not set: choose one with --context; available: {known}")]
    NoContext {
        /// The files.
        origin: String,
        /// The existing contexts.
        known: String,
    },
    /// The context names a cluster or a user that does not exist.
    #[error("context {context:?} names {what}, which does not exist; {origin} has: {known}")]
    Dangling {
        /// The files.
        origin: String,
        /// The context.
        context: String,
        /// The cluster or user.
        what: String,
        /// The existing names.
        known: String,
    },
    /// The context is incomplete, or a file that it names cannot be used.
    #[error("{origin}: context {context:?}: {cause}")]
    Unusable {
        /// The files.
        origin: String,
        /// The context.
        context: String,
        /// What is wrong.
        cause: String,
    },
}
