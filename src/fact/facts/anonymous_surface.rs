//! The answers of the API server to requests without credentials.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::{Call, Identity, Reply};
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The requested paths, and what shows that an answer is an API server's.
const PATHS: [(&str, Sign); 12] = [
    ("/livez", Sign::Word("ok")),
    ("/readyz", Sign::Word("ok")),
    ("/healthz", Sign::Word("ok")),
    ("/version", Sign::Field("gitVersion")),
    ("/api", Sign::Kind("APIVersions")),
    ("/apis", Sign::Kind("APIGroupList")),
    ("/openapi/v3", Sign::Field("paths")),
    ("/metrics", Sign::Line("# TYPE ")),
    ("/.well-known/openid-configuration", Sign::Field("issuer")),
    ("/api/v1/namespaces", Sign::Kind("NamespaceList")),
    ("/api/v1/namespaces/kube-public/configmaps", Sign::Kind("ConfigMapList")),
    ("/api/v1/namespaces/kube-public/configmaps/cluster-info", Sign::Kind("ConfigMap")),
];

/// What a success contains. The login page of a proxy is not an open API.
#[derive(Clone, Copy)]
enum Sign {
    /// Nothing but this word.
    Word(&'static str),
    /// A line that begins like this.
    Line(&'static str),
    /// An object with this field.
    Field(&'static str),
    /// An object of this kind.
    Kind(&'static str),
}

impl Sign {
    fn is_in(self, reply: &Reply) -> bool {
        let field = |name: &str| serde_json::from_slice::<Value>(&reply.body).ok()?.get(name).cloned();
        match self {
            Self::Word(word) => reply.body.trim_ascii() == word.as_bytes(),
            Self::Line(start) => reply.text().lines().any(|line| line.starts_with(start)),
            Self::Field(name) => field(name).is_some(),
            Self::Kind(kind) => field("kind").is_some_and(|of| of == kind),
        }
    }
}

/// The answers of the configured endpoint to requests without credentials, by path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AnonymousSurface(pub BTreeMap<String, Seen<AnonymousAnswer>>);

/// An answer to a request without credentials, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnonymousAnswer {
    /// The HTTP status code.
    pub status: u16,
    /// The reason of a Kubernetes `Status`, as `Forbidden`, which shows that an API server refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Observe for AnonymousSurface {
    type Needs<'a> = ();
    const NAME: &'static str = "anonymous-surface";
    const ACCESS: Access = Access::Anonymous;

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let answers = join_all(PATHS.map(async |(path, sign)| {
            let call = Call::url(path).by(Identity::Anonymous);
            (path.to_owned(), cluster.send(&call).await.and_then(|reply| answer(&call, &reply, sign)))
        }));
        Ok(Self(answers.await.into_iter().collect()))
    }
}

crate::observed!(AnonymousSurface);

fn answer(call: &Call, reply: &Reply, sign: Sign) -> Seen<AnonymousAnswer> {
    if (200..300).contains(&reply.status) && !sign.is_in(reply) {
        let what = if reply.is_html() { "an HTML page" } else { "not what an API server sends" };
        return Err(Unobserved::invalid(call.to_string(), format!("HTTP {}, but the answer is {what}", reply.status)));
    }
    // An API server has all of these paths, and refuses an object with a reason.
    if reply.status == 404 && reply.reason().is_empty() {
        return Err(Unobserved::invalid(call.to_string(), "HTTP 404, but the answer is not a Status"));
    }
    Ok(AnonymousAnswer { status: reply.status, reason: reply.reason() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answered(path: &str, status: u16, body: &'static str) -> Seen<AnonymousAnswer> {
        let sign = PATHS.iter().find(|(known, _)| *known == path).unwrap().1;
        let body = Bytes::from_static(body.as_bytes());
        answer(&Call::url(path), &Reply { status, body, ..Reply::default() }, sign)
    }

    #[test]
    fn the_page_of_a_proxy_is_not_an_open_api() {
        for (path, _) in PATHS {
            for strange in ["<html>log in</html>", "{}", r#"{"kind":"Status","apiVersion":"v1","message":"x"}"#] {
                assert!(answered(path, 200, strange).is_err(), "{path}: {strange}");
            }
            assert_eq!(answered(path, 403, r#"{"kind":"Status","reason":"Forbidden"}"#).unwrap().reason, "Forbidden");
        }
        for (path, right) in [
            ("/livez", "ok"),
            ("/version", r#"{"gitVersion":"v1.37.2"}"#),
            ("/apis", r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#),
            ("/metrics", "# HELP a b\n# TYPE a counter\na 1\n"),
        ] {
            assert_eq!(answered(path, 200, right).unwrap().status, 200, "{path}");
        }
    }
}
