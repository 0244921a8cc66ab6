//! The status and message of an API server's answer.

use serde::{Deserialize, Serialize};

use super::{Call, Reply};
use crate::seen::{Seen, Unobserved};

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

impl Answered {
    /// The answer of an API server to a request about its own objects: a refusal is a whole `Status`. Anything else is of
    /// something in between, or was cut off, and refuses nothing.
    pub(crate) fn of(call: &Call, reply: &Reply) -> Seen<Self> {
        if reply.status >= 400 && !reply.is_status() {
            let cause = format!("HTTP {}, but the answer is not a Status", reply.status);
            return Err(Unobserved::invalid(call.to_string(), cause));
        }
        Ok(Self::from(reply))
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

    #[test]
    fn only_a_whole_status_is_a_refusal() {
        let of = |status, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            Answered::of(&Call::url("/x"), &Reply { status, date: None, content_type: String::new(), body })
        };
        let whole = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":403}"#;
        assert_eq!(of(403, whole).unwrap().message, "no");
        assert_eq!(of(201, "{").unwrap().status, 201);
        for strange in [&whole[..40], "<html>blocked</html>", "{}"] {
            assert!(of(403, strange).is_err(), "{strange}");
        }
    }
}
