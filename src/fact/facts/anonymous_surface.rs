//! The answers of the API server to requests without credentials.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Identity};
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The requested paths.
const PATHS: [&str; 12] = [
    "/livez",
    "/readyz",
    "/healthz",
    "/version",
    "/api",
    "/apis",
    "/openapi/v3",
    "/metrics",
    "/.well-known/openid-configuration",
    "/api/v1/namespaces",
    "/api/v1/namespaces/kube-public/configmaps",
    "/api/v1/namespaces/kube-public/configmaps/cluster-info",
];

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
        let answers = join_all(PATHS.map(async |path| {
            let reply = cluster.send(&Call::url(path).by(Identity::Anonymous)).await;
            (path.to_owned(), reply.map(|reply| AnonymousAnswer { status: reply.status, reason: reply.reason() }))
        }));
        Ok(Self(answers.await.into_iter().collect()))
    }
}

crate::observed!(AnonymousSurface);
