//! What a probe is asked, topic by topic.

pub use super::ask::api::ApiQuestion;
pub use super::ask::dns::DnsQuestion;
pub use super::ask::dns::record::RecordQuestion;
pub use super::ask::metadata::MetadataQuestion;
pub use super::ask::peer::Peer;
pub use super::ask::service::ServiceQuestion;
pub use super::ask::topics::Questions;

/// The environment variable that carries the questions.
pub const VARIABLE: &str = "SEAWORTHY_QUESTIONS";
