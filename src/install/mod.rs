//! A periodic audit in the cluster: the objects of which it is made, and what becomes of them.
//!
//! `objects.rs` is the one source: what `seaworthy install` prints and applies, what the Helm chart and the kustomize base are
//! compared with. `removal.rs` finds the same objects again by their label, `status.rs` reads how the last run ended.

mod apply;
mod cron_job;
mod object;
mod objects;
mod removal;
mod schedule;
mod settings;
pub(crate) mod status;

pub(crate) use apply::{Applied, apply};
pub(crate) use object::Object;
pub(crate) use objects::objects;
pub(crate) use removal::{find, remove};
pub(crate) use schedule::Schedule;
pub(crate) use settings::{Config, Results, Settings, Storage};

/// The name of what is installed, and of its namespace, unless flags name others.
pub(crate) const NAME: &str = "seaworthy";
/// The label of all that an installation consists of; its value is the installation's name. What runs create has another one,
/// so that `seaworthy sweep` never touches an installation.
pub(crate) const INSTALLATION: &str = "seaworthy.dev/installation";
/// Who owns the fields that are applied.
pub(crate) const FIELD_MANAGER: &str = "seaworthy";
/// Where the container sees its configuration.
pub(crate) const CONFIG: &str = "/etc/seaworthy";
/// Where the container keeps its results.
pub(crate) const RESULTS: &str = "/results";
