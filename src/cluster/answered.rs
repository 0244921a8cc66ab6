//! The status and message of an API server's answer.

use serde::{Deserialize, Serialize};

use super::Reply;

/// An answer of an API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// The HTTP status code.
    pub status: u16,
    /// The message of a refusal; empty for a success.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl From<&Reply> for Answered {
    fn from(reply: &Reply) -> Self {
        Self { status: reply.status, message: if reply.status < 300 { String::new() } else { reply.message() } }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_success_is_kept_without_its_body() {
        let reply = |status, body: &'static str| Reply {
            status,
            date: None,
            content_type: "application/json".into(),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert_eq!(Answered::from(&reply(201, "secret")), Answered { status: 201, message: String::new() });
        assert_eq!(Answered::from(&reply(403, r#"{"message": "no"}"#)).message, "no");
    }
}
