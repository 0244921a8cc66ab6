//! ConfigMap cluster-info, which a joining node reads before it trusts the cluster.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::bootstrap_token::{SIGNATURE_KEY, verifies};
use crate::certificate::Certificate;
use crate::cluster::{Call, without_line_breaks};
use crate::handshake::Authority;
use crate::rule::Rule;
use crate::yaml;

/// The permission to read it with a credential of our own.
pub(crate) const RULE: Rule = Rule::namespaced("kube-public", "", "configmaps", &["get"]).named(&["cluster-info"]);

/// The most bytes of a kubeconfig that are parsed.
const LARGEST: usize = 256 << 10;
/// The fields of a kubeconfig's user; the values of none of them are kept.
const CREDENTIALS: [&str; 10] = [
    "auth-provider",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "exec",
    "password",
    "token",
    "tokenFile",
    "username",
];

/// The request for it.
pub(crate) fn request() -> Call {
    Call::get_in::<ConfigMap>("kube-public", "cluster-info")
}

/// What it holds.
pub(crate) struct Parts {
    /// The kubeconfig, or why it cannot be read.
    pub kubeconfig: Result<DiscoveryKubeconfig, String>,
    /// The kubeconfig's text and its signatures, from which a token's secret can be guessed offline.
    pub signed: Signed,
    /// The other keys.
    pub other_keys: Vec<String>,
}

/// A kubeconfig without credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiscoveryKubeconfig {
    /// The clusters, in order.
    pub clusters: Vec<DiscoveryCluster>,
    /// The users' names, each with the names of its credentials.
    pub users: BTreeMap<String, Vec<String>>,
    /// The contexts' names.
    pub contexts: Vec<String>,
}

/// A cluster of that kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiscoveryCluster {
    /// The name; empty as kubeadm writes it.
    pub name: String,
    /// The API server, or why the URL cannot be used.
    pub server: Result<Authority, String>,
    /// The CAs, or why they cannot be read.
    pub authorities: Result<Vec<Certificate>, String>,
    /// Whether it has `insecure-skip-tls-verify`.
    pub skips_verification: bool,
}

/// The signed text and the signatures; never recorded or shown.
#[derive(Clone, Default)]
pub(crate) struct Signed {
    /// The text.
    pub kubeconfig: String,
    /// The signatures, by the token's id.
    pub signatures: BTreeMap<String, String>,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed([redacted])")
    }
}

/// A token's signature in cluster-info.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Signature {
    /// It is valid.
    Verified,
    /// It is that of another text, or of another token.
    Mismatch,
    /// There is none.
    Missing,
}

impl Parts {
    /// The parts of the ConfigMap.
    pub(crate) fn of(map: ConfigMap) -> Self {
        Self::read(map.data.unwrap_or_default())
    }

    /// The same, from its data.
    pub(crate) fn read(mut data: BTreeMap<String, String>) -> Self {
        let text = data.remove("kubeconfig");
        let (signatures, other): (BTreeMap<_, _>, BTreeMap<_, _>) =
            data.into_iter().partition(|(key, _)| key.starts_with(SIGNATURE_KEY));
        let signatures =
            signatures.into_iter().map(|(key, jws)| (key[SIGNATURE_KEY.len()..].to_owned(), jws)).collect();
        let kubeconfig =
            text.as_deref().ok_or_else(|| "there is no such key".to_owned()).and_then(DiscoveryKubeconfig::parse);
        let signed = Signed { kubeconfig: text.unwrap_or_default(), signatures };
        Self { kubeconfig, signed, other_keys: other.into_keys().collect() }
    }
}

impl Signed {
    /// The signature with the token of this id and secret. Without a secret there is nothing to verify it with.
    pub(crate) fn signature(&self, id: &str, secret: Option<&[u8]>) -> Signature {
        match (self.signatures.get(id), secret) {
            (None, _) => Signature::Missing,
            (Some(jws), Some(secret)) if verifies(jws, self.kubeconfig.as_bytes(), id, secret) => Signature::Verified,
            (Some(_), _) => Signature::Mismatch,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    clusters: Option<Vec<Option<NamedCluster>>>,
    users: Option<Vec<Option<NamedUser>>>,
    contexts: Option<Vec<Option<NamedContext>>>,
}

// Null is unset, as Go reads it.

#[derive(Default, Deserialize)]
struct NamedCluster {
    name: Option<String>,
    cluster: Option<FileCluster>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FileCluster {
    server: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
}

#[derive(Default, Deserialize)]
struct NamedUser {
    name: Option<String>,
    #[expect(clippy::zero_sized_map_values, reason = "the values are skipped and not kept in memory")]
    user: Option<BTreeMap<String, IgnoredAny>>,
}

#[derive(Default, Deserialize)]
struct NamedContext {
    name: Option<String>,
}

impl DiscoveryKubeconfig {
    /// Reads one; errors do not quote it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LARGEST {
            return Err(format!("it has {} bytes, more than {LARGEST}", text.len()));
        }
        let file: File = yaml::first_document::<Option<File>>(text)?.unwrap_or_default();
        let names = |context: Option<NamedContext>| context.unwrap_or_default().name.unwrap_or_default();
        let credentials = |user: Option<NamedUser>| {
            let NamedUser { name, user } = user.unwrap_or_default();
            let fields = user.unwrap_or_default();
            let held = CREDENTIALS.into_iter().filter(|field| fields.contains_key(*field));
            (name.unwrap_or_default(), held.map(str::to_owned).collect())
        };
        let clusters = file.clusters.unwrap_or_default().into_iter().map(Option::unwrap_or_default);
        Ok(Self {
            clusters: clusters.map(DiscoveryCluster::from).collect(),
            users: file.users.unwrap_or_default().into_iter().map(credentials).collect(),
            contexts: file.contexts.unwrap_or_default().into_iter().map(names).collect(),
        })
    }
}

impl From<NamedCluster> for DiscoveryCluster {
    fn from(NamedCluster { name, cluster }: NamedCluster) -> Self {
        let cluster = cluster.unwrap_or_default();
        Self {
            name: name.unwrap_or_default(),
            server: server(&cluster.server.unwrap_or_default()),
            authorities: authorities(&cluster.certificate_authority_data.unwrap_or_default()),
            skips_verification: cluster.insecure_skip_tls_verify.unwrap_or_default(),
        }
    }
}

/// The host and port of a URL. Errors do not quote it: it might contain a password.
pub(crate) fn server(url: &str) -> Result<Authority, String> {
    if url.is_empty() {
        return Err("it has no server".into());
    }
    let url: http::Uri = url.parse().map_err(|_| "its server is not a URL")?;
    if url.scheme_str() != Some("https") {
        return Err("its server is not an https URL".into());
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("its server's URL contains a user name".into());
    }
    let host = url.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Authority::new(host, url.port_u16().unwrap_or(443)).map_err(|_| "its server's URL has no host".into())
}

fn authorities(data: &str) -> Result<Vec<Certificate>, String> {
    if data.is_empty() {
        return Err("it has no certificate-authority-data".into());
    }
    let pem = BASE64_STANDARD.decode(&*without_line_breaks(data)).ok().and_then(|pem| String::from_utf8(pem).ok());
    let pem = pem.ok_or("its certificate-authority-data is not base64 of PEM")?;
    Certificate::from_pem_bundle(&pem).map_err(|error| format!("in its certificate-authority-data {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n";

    fn kubeconfig(users: &str) -> String {
        let ca = BASE64_STANDARD.encode(PEM);
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    \
             server: https://10.77.0.11:6443\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\n\
             users: {users}\n"
        )
    }

    #[test]
    fn what_kubeadm_writes_is_read() {
        let read = DiscoveryKubeconfig::parse(&kubeconfig("null")).unwrap();
        let cluster = &read.clusters[0];
        assert_eq!(cluster.server.as_ref().map(ToString::to_string), Ok("10.77.0.11:6443".to_owned()));
        assert_eq!(cluster.authorities, Ok(vec![Certificate::from_der([1])]));
        assert!(read.users.is_empty() && read.contexts.is_empty());
        let wrapped = BASE64_STANDARD
            .encode(PEM)
            .as_bytes()
            .chunks(20)
            .fold(String::new(), |text, line| text + std::str::from_utf8(line).unwrap() + "\r\n");
        assert_eq!(authorities(&wrapped), cluster.authorities);
        assert!(authorities(&wrapped.replace("\r\n", " ")).is_err());
    }

    #[test]
    fn null_is_unset_and_what_follows_the_document_is_not_read() {
        let usual = kubeconfig("null");
        let text =
            usual.replace("name: \"\"", "name: null").replace("contexts: null", "contexts: [null, {name: }]") + "---\n";
        let read = DiscoveryKubeconfig::parse(&text.replace("kind: Config", "kind: Config\nkind: Config")).unwrap();
        assert_eq!(read.clusters, DiscoveryKubeconfig::parse(&usual).unwrap().clusters);
        let empty = DiscoveryKubeconfig::parse("clusters:\n- name: a\n  cluster:\n").unwrap();
        assert_eq!(empty.clusters[0].server, Err("it has no server".into()));
        assert_eq!(DiscoveryKubeconfig::parse("# nothing\n").unwrap(), DiscoveryKubeconfig::default());
    }

    #[test]
    fn credentials_are_named_and_not_kept() {
        let users = "[{name: admin, user: {token: hunter2hunter2, client-key-data: c2VjcmV0}}]";
        let read = DiscoveryKubeconfig::parse(&kubeconfig(users)).unwrap();
        assert_eq!(read.users["admin"], ["client-key-data", "token"]);
        let recorded = serde_json::to_string(&read).unwrap();
        assert!(!recorded.contains("hunter2") && !recorded.contains("c2VjcmV0"));
        let error = server("https://admin:hunter2@10.77.0.11:6443").unwrap_err();
        assert_eq!(error, "its server's URL contains a user name");
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        for (text, why) in [("a: [", "line"), ("clusters: 7", "line"), (&"x".repeat(LARGEST + 1), "more than 262144")] {
            let error = DiscoveryKubeconfig::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(server("http://n1:6443").unwrap_err(), "its server is not an https URL");
        assert_eq!(server("").unwrap_err(), "it has no server");
        assert_eq!(authorities("AQ==").unwrap_err(), "in its certificate-authority-data no certificate in the bundle");
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe(text in "(clusters:|users:|- name: a|\n| |&a|\\*a|\\[|\\{|\\PC){0,60}", url in "(https://)?\\PC{0,30}") {
            let _ = DiscoveryKubeconfig::parse(&text);
            let _ = server(&url);
            let _ = authorities(&url);
        }
    }
}
