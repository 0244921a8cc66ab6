//! seaworthy: is this Kubernetes cluster seaworthy?
//!
//! It answers by behaviour: facts are observed about a cluster, checks judge them, and reports show the verdicts. See
//! `ARCHITECTURE.md` for the map.

pub mod bootstrap_token;
pub mod certificate;
pub mod check;
pub mod cidr;
pub mod cli;
pub mod cluster;
pub mod control_plane;
pub mod dial;
pub mod drill;
pub mod event;
pub mod fact;
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
pub mod harness;
pub mod holder;
pub mod http_client;
pub mod image;
pub mod join;
pub mod jwt;
pub mod live;
pub mod manager;
pub mod markdown;
pub mod milliseconds;
pub mod object_ref;
pub mod ports;
pub mod probe;
pub mod prometheus;
pub mod rbac;
pub mod recording;
pub mod redaction;
pub mod report;
pub mod rule;
pub mod run;
pub mod seen;
#[path = "../suites/mod.rs"]
pub mod suites;
pub mod trial;
pub mod version;

/// How the program names itself to servers.
pub const USER_AGENT: &str = concat!("seaworthy/", env!("CARGO_PKG_VERSION"));
