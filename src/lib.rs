//! seaworthy: is this Kubernetes cluster seaworthy?
//!
//! It answers by behaviour: facts are observed about a cluster, checks judge them, and reports show the verdicts. See
//! `ARCHITECTURE.md` for the map.

pub(crate) mod bootstrap_token;
pub(crate) mod cause;
pub(crate) mod certificate;
pub mod check;
pub(crate) mod cidr;
pub mod cli;
pub(crate) mod cluster;
pub mod compliance;
pub(crate) mod control_plane;
#[doc(hidden)]
pub mod crypto_provider;
pub(crate) mod dial;
pub mod drill;
pub mod event;
pub(crate) mod fact;
pub(crate) mod fleet;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod handshake;
pub(crate) mod harness;
pub mod history;
pub(crate) mod holder;
pub(crate) mod http_client;
pub mod image;
pub(crate) mod install;
pub(crate) mod join;
pub(crate) mod jwt;
pub(crate) mod live;
pub(crate) mod manager;
pub(crate) mod markdown;
pub(crate) mod milliseconds;
pub(crate) mod object_ref;
pub(crate) mod ports;
pub mod probe;
pub(crate) mod prometheus;
pub mod push;
pub(crate) mod rbac;
pub mod recording;
pub(crate) mod redaction;
pub mod report;
pub(crate) mod rule;
pub mod run;
pub(crate) mod seen;
pub(crate) mod settle;
#[path = "../suites/mod.rs"]
pub mod suites;
pub(crate) mod trial;
pub(crate) mod version;
pub(crate) mod yaml;

/// How the program names itself to servers.
pub const USER_AGENT: &str = concat!("seaworthy/", env!("CARGO_PKG_VERSION"));
