//! The status and message of an API server's answer.

use serde::{Deserialize, Serialize};

use super::{Call, Reply, decode};
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
    /// The answer of an API server to a request about its own objects: a success holds what was asked for, a refusal is a whole
    /// `Status`. Anything else is of something in between, or was cut off, and neither accepts nor refuses anything.
    pub(crate) fn of(call: &Call, reply: &Reply) -> Seen<Self> {
        if reply.status < 300 {
            decode::expect(call, &reply.body)?;
        } else if !reply.is_status() {
            let cause = format!("HTTP {}, but the answer is not a Status", reply.status);
            return Err(Unobserved::invalid(call.to_string(), cause));
        }
        Ok(Self::from(reply))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use k8s_openapi::api::core::v1::Node;

    use super::*;

    #[test]
    fn a_success_is_kept_without_its_body() {
        let reply = |status, body: &'static str| Reply {
            status,
            body: Bytes::from_static(body.as_bytes()),
            ..Reply::default()
        };
        assert_eq!(Answered::from(&reply(201, "secret")), Answered { status: 201, message: String::new() });
        assert_eq!(Answered::from(&reply(403, r#"{"message": "no"}"#)).message, "no");
    }

    #[test]
    fn only_the_object_is_a_success_and_only_a_whole_status_a_refusal() {
        let of = |status, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            Answered::of(&Call::get::<Node>("n1"), &Reply { status, body, ..Reply::default() })
        };
        let whole = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":403}"#;
        assert_eq!(of(403, whole).unwrap().message, "no");
        assert_eq!(of(200, r#"{"kind":"Node","apiVersion":"v1","metadata":{}}"#).unwrap().status, 200);
        for strange in [&whole[..40], "<html>blocked</html>", "{}"] {
            assert!(of(403, strange).is_err() && of(302, strange).is_err(), "{strange}");
        }
        for strange in [whole, "<html>log in</html>", "{}"] {
            assert!(of(200, strange).is_err(), "{strange}");
        }
    }
}
