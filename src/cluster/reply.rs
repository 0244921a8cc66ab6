//! Answers of the API server.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Call, Identity, decode};
use crate::seen::{Seen, Unobserved};

/// An answer of the API server, with any status.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// The server's clock.
    pub date: Option<Timestamp>,
    /// The content type.
    pub content_type: String,
    /// Whether it has an `Audit-Id`, as all answers have that an API server sends or passes on (apiserver `WithAuditInit`).
    /// Those of a proxy in between have none.
    pub has_audit_id: bool,
    /// The body.
    pub body: Bytes,
}

/// The part of a Kubernetes `Status` that explains a refusal.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    reason: String,
}

impl Reply {
    /// The server's own message.
    pub fn message(&self) -> String {
        match serde_json::from_slice::<Status>(&self.body) {
            Ok(status) if !status.message.is_empty() => status.message,
            _ => self.text().chars().take(300).collect::<String>().trim().to_owned(),
        }
    }

    /// The reason of a Kubernetes `Status`, as `NotFound`; empty for anything else.
    pub fn reason(&self) -> String {
        match serde_json::from_slice::<Status>(&self.body) {
            Ok(status) if status.kind == "Status" => status.reason,
            _ => String::new(),
        }
    }

    /// Whether the body is a whole Kubernetes `Status`.
    pub(super) fn is_status(&self) -> bool {
        serde_json::from_slice::<Status>(&self.body).is_ok_and(|status| status.kind == "Status")
    }

    /// Whether this is a 404 without a `Status` of reason `NotFound`, which is what an API sends. An API server sends such a
    /// 404 for a path that it does not serve, but so does any proxy in between.
    pub(super) fn is_bare_404(&self) -> bool {
        self.status == 404 && self.reason() != "NotFound"
    }

    /// Whether the API server has certainly not done what was asked. Any other failure leaves that open: a server error may come
    /// after the request was carried out, and what is not a `Status` is of something in between, or was cut off.
    pub fn is_refusal(&self) -> bool {
        (400..500).contains(&self.status) && self.is_status()
    }

    /// Whether the authorizers refused, rather than an admission plugin, a quota or a webhook after them.
    fn is_missing_permission(&self) -> bool {
        let message = self.message();
        message.contains(" cannot ") && (message.contains(" resource ") || message.contains(" path "))
            || !message.contains("forbidden: ")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The decoded body of a success. A refusal of our own credential names the missing permission.
    pub fn decode<T: DeserializeOwned>(&self, call: &Call) -> Seen<T> {
        self.accepted(call)?;
        decode::object(call, &self.body)
    }

    /// Whether this is a success that holds what was asked for, rather than the page of a proxy.
    pub fn is_answer(&self, call: &Call) -> Seen<()> {
        self.accepted(call)?;
        decode::expect(call, &self.body)
    }

    /// Whether this is a page for people, which no API sends.
    pub fn is_html(&self) -> bool {
        decode::is_html(&self.body)
    }

    /// Whether our own request was authorized. The caller reads what admission decided after that.
    pub fn permitted(&self, call: &Call) -> Seen<()> {
        match self.accepted(call) {
            Err(refused @ Unobserved::Refused { .. }) => Err(refused),
            _ => Ok(()),
        }
    }

    /// Whether the server did what was asked, and if not, why.
    pub fn accepted(&self, call: &Call) -> Seen<()> {
        match self.status {
            200..=299 => Ok(()),
            404 if !self.is_bare_404() => Err(Unobserved::absent(self.message())),
            404 if call.optional && self.has_audit_id => {
                Err(Unobserved::absent(format!("the API server does not serve {}", call.path_and_query())))
            }
            401 if call.identity == Identity::Own => Err(Unobserved::Refused {
                missing: "a credential that the API server accepts".into(),
                message: self.message(),
            }),
            403 if call.identity == Identity::Own && self.is_missing_permission() => {
                Err(Unobserved::Refused { missing: call.permission(), message: self.message() })
            }
            status => Err(Unobserved::invalid(call.to_string(), format!("HTTP {status}: {}", self.message()))),
        }
    }
}

/// The API server's message if a kubelet answers its request with 401.
pub(crate) const UNKNOWN_TO_KUBELET: &str = "the server has asked for the client to provide credentials";

/// Whether an error of the API server is about a kubelet, rather than about itself or the request.
///
/// A path or an address of the kubelet is in errors of the connection to it (`pkg/registry/core/pod/rest/log.go`, the proxy of
/// upgrades); `( pods/log` follows what the kubelet answered (`GenericHttpResponseChecker`).
pub(crate) fn is_about_kubelet(message: &str) -> bool {
    [
        "/containerLogs/",
        "/exec/",
        "/portForward/",
        ":10250",
        "( pods/",
        "error dialing backend",
        "unable to upgrade connection",
        "error upgrading connection",
        "proxy error from",
        "No agent available",
        "no preferred addresses found",
        "user=",
        UNKNOWN_TO_KUBELET,
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

/// Whether the API server refused us, rather than a kubelet the API server. A kubelet that forbids names the API server as
/// `user=`. For a kubelet that does not authenticate it, the API server has a message of its own (apimachinery
/// `pkg/api/errors`, `NewGenericServerResponse`).
pub(crate) fn is_our_refusal(status: u16, message: &str) -> bool {
    match status {
        401 => !message.contains(UNKNOWN_TO_KUBELET),
        403 => !message.contains("user="),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply { status, body: Bytes::from_static(body.as_bytes()), ..Reply::default() }
    }

    #[test]
    fn a_refusal_of_our_own_credential_names_the_missing_rule() {
        let call = Call::list::<Pod>();
        let refused = reply(403, r#"{"kind":"Status","reason":"Forbidden","message":"pods is forbidden"}"#)
            .accepted(&call)
            .unwrap_err();
        assert_eq!(refused.to_string(), "not permitted: list pods in the whole cluster (pods is forbidden)");
        assert!(!refused.is_skip());
    }

    #[test]
    fn what_admission_refuses_was_permitted() {
        let call = Call::create::<Pod>(serde_json::Value::Null);
        let refused = |message: &str| {
            let body = serde_json::json!({"kind": "Status", "reason": "Forbidden", "message": message}).to_string();
            let reply = Reply { body: Bytes::from(body), ..reply(403, "") };
            reply.permitted(&call)
        };
        assert_eq!(refused("pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": privileged"), Ok(()));
        let authorizer = "pods is forbidden: User \"auditor\" cannot create resource \"pods\" in API group \"\"";
        assert!(matches!(refused(authorizer), Err(Unobserved::Refused { .. })));
    }

    #[test]
    fn only_a_status_of_the_client_s_fault_shows_that_nothing_was_done() {
        let status = r#"{"kind":"Status","reason":"Forbidden","message":"no"}"#;
        assert!(reply(403, status).is_refusal() && reply(409, status).is_refusal());
        for open in [reply(500, status), reply(200, status), reply(403, "<html>"), reply(404, "404 page not found")] {
            assert!(!open.is_refusal(), "{open:?}");
        }
    }

    #[test]
    fn an_object_that_is_not_there_differs_from_a_server_that_fails() {
        let call = Call::get_in::<Pod>("a", "b");
        let absent =
            reply(404, r#"{"kind":"Status","reason":"NotFound","message":"pods \"b\" not found"}"#).accepted(&call);
        assert_eq!(absent, Err(Unobserved::absent("pods \"b\" not found")));
        for bare in ["404 page not found", r#"{"reason":"NotFound"}"#, r#"{"kind":"Status","reason":"Other"}"#] {
            assert!(matches!(reply(404, bare).accepted(&call), Err(Unobserved::Invalid { .. })), "{bare}");
        }
        let optional = Call::url("/flagz").if_served();
        let bare = reply(404, "404 page not found");
        assert!(matches!(bare.accepted(&optional), Err(Unobserved::Invalid { .. })), "a proxy answers so as well");
        let of_server = Reply { has_audit_id: true, ..bare };
        assert!(matches!(of_server.accepted(&optional), Err(Unobserved::Absent { .. })));
        assert!(matches!(reply(500, "broken").accepted(&call), Err(Unobserved::Invalid { .. })));
        assert!(matches!(reply(200, "<html>").decode::<Pod>(&call), Err(Unobserved::Invalid { .. })));
    }
}
