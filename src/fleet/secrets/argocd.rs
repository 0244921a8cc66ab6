//! Secrets of Argo CD: the server in the field `server`, and how to connect to it as JSON in the field `config`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::json;

use super::{field, malformed, of_bytes, text};
use crate::cluster::{Kubeconfig, KubeconfigError};

/// The label of these Secrets.
const LABEL: &str = "argocd.argoproj.io/secret-type";
const CLUSTER: &str = "cluster";
/// The same as a selector.
pub(super) const SELECTOR: &str = "argocd.argoproj.io/secret-type=cluster";
/// The server of the cluster that Argo CD runs in.
const OWN: &str = "https://kubernetes.default.svc";

/// How Argo CD connects to a cluster. What seaworthy does not use is passed over.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HowToConnect {
    username: Option<String>,
    password: Option<String>,
    bearer_token: Option<String>,
    tls_client_config: Option<Tls>,
    aws_auth_config: Option<Aws>,
    exec_provider_config: Option<Exec>,
    disable_compression: bool,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tls {
    insecure: bool,
    server_name: Option<String>,
    cert_data: Option<String>,
    key_data: Option<String>,
    ca_data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Aws {
    cluster_name: String,
    #[serde(rename = "roleARN")]
    role_arn: Option<String>,
    profile: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Exec {
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    api_version: Option<String>,
    install_hint: Option<String>,
    provide_cluster_info: bool,
    config: Option<serde_json::Value>,
}

impl Aws {
    /// The program that Argo CD runs for it.
    fn exec(self) -> Exec {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut args = vec!["aws".to_owned(), "--cluster-name".to_owned(), self.cluster_name];
        args.extend(set(self.role_arn).into_iter().flat_map(|arn| ["--role-arn".to_owned(), arn]));
        args.extend(set(self.profile).into_iter().flat_map(|profile| ["--profile".to_owned(), profile]));
        Exec {
            command: Some("argocd-k8s-auth".into()),
            args: Some(args),
            api_version: Some("client.authentication.k8s.io/v1beta1".into()),
            ..Exec::default()
        }
    }
}

impl HowToConnect {
    fn has_login(&self) -> bool {
        [&self.username, &self.password, &self.bearer_token].into_iter().flatten().any(|text| !text.is_empty())
    }
}

/// The name of the cluster; none if the Secret is for something else.
pub(super) fn cluster(labels: &BTreeMap<String, String>, data: &BTreeMap<String, ByteString>) -> Option<String> {
    if labels.get(LABEL).map(String::as_str) != Some(CLUSTER) {
        return None;
    }
    // As in Argo CD, a cluster without a name has that of its server.
    let name = text(data, "name").or_else(|| text(data, "server").map(|server| without_login(&server)));
    Some(name.unwrap_or_default())
}

/// A URL without the name and the password in it, whether it is one or not.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    if scheme.is_empty() { place.to_owned() } else { format!("{scheme}://{place}") }
}

/// The kubeconfig that says the same. `own` is the one of the cluster that holds the Secret.
pub(super) fn kubeconfig(
    origin: &str,
    name: &str,
    data: &BTreeMap<String, ByteString>,
    own: &Kubeconfig,
) -> Result<Kubeconfig, KubeconfigError> {
    let server = text(data, "server").ok_or_else(|| malformed(origin, "it has no field server"))?;
    let config: HowToConnect = match field(data, "config") {
        None => HowToConnect::default(),
        // The error of the parser may quote a token.
        Some(bytes) => serde_json::from_slice(bytes).map_err(|e| {
            let at = format!("line {}, column {}", e.line(), e.column());
            malformed(origin, format!("its field config is not JSON as Argo CD writes it ({at})"))
        })?,
    };
    if server.trim_end_matches('/') == OWN && !config.has_login() {
        return Ok(Kubeconfig { context: name.to_owned(), ..own.clone() });
    }
    of_bytes(origin, document(name, &server, config).to_string().as_bytes())
}

fn document(name: &str, server: &str, config: HowToConnect) -> serde_json::Value {
    let tls = config.tls_client_config.unwrap_or_default();
    let exec = config.aws_auth_config.map(Aws::exec).or(config.exec_provider_config);
    let for_plugins = exec.as_ref().and_then(|exec| exec.config.clone());
    let exec = exec.map(|exec| {
        let variables =
            exec.env.unwrap_or_default().into_iter().map(|(name, value)| json!({ "name": name, "value": value }));
        json!({
            "apiVersion": exec.api_version, "command": exec.command, "args": exec.args.unwrap_or_default(),
            "env": variables.collect::<Vec<_>>(), "installHint": exec.install_hint,
            "provideClusterInfo": exec.provide_cluster_info, "interactiveMode": "Never",
        })
    });
    // As in Argo CD, a program takes the place of other credentials.
    let login =
        if exec.is_some() { (None, None, None) } else { (config.username, config.password, config.bearer_token) };
    let (username, password, token) = login;
    let name = if name.is_empty() { CLUSTER } else { name };
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "clusters": [{ "name": name, "cluster": {
            "server": server, "certificate-authority-data": tls.ca_data, "insecure-skip-tls-verify": tls.insecure,
            "tls-server-name": tls.server_name, "proxy-url": config.proxy_url,
            "disable-compression": config.disable_compression,
            "extensions": for_plugins.map(|config| json!([
                { "name": "client.authentication.k8s.io/exec", "extension": config },
            ])),
        } }],
        "users": [{ "name": name, "user": {
            "username": username, "password": password, "token": token, "exec": exec,
            "client-certificate-data": tls.cert_data, "client-key-data": tls.key_data,
        } }],
    })
}
