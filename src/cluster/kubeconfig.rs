//! Kubeconfig files in all their forms, or the service account of the pod that we run in.

mod error;
mod server;
mod user;

use std::borrow::Cow;
use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, ExecInteractiveMode, KubeConfigOptions, Kubeconfig as File, KubeconfigError as Upstream,
    NamedAuthInfo, NamedCluster,
};
use serde_saphyr::UserMessageFormatter;

pub(crate) use self::error::KubeconfigError;
pub(super) use self::error::explain;
use self::error::{NO_CERTIFICATE, NO_SERVER};
use self::server::Login;
pub(super) use self::user::unfit_for_header;
use super::ClusterSummary;
use crate::certificate::Certificate;
use crate::redaction::Redaction;

/// The cluster to connect to, and the user.
#[derive(Clone)]
pub struct Kubeconfig {
    /// The client's configuration.
    pub config: Config,
    /// The name of the context, or `in-cluster`.
    pub context: String,
    /// The name of the cluster.
    pub cluster: String,
    /// The name of the user.
    pub user: String,
    /// The CAs that may have issued the API server's certificate.
    pub authorities: Vec<Certificate>,
    /// The files or other source of all this, for messages.
    pub origin: String,
}

impl Kubeconfig {
    /// Chooses as kubectl does: the flag, the list in `KUBECONFIG`, the file in the home directory, the pod's account.
    pub async fn load(flag: Option<&Path>, context: Option<&str>) -> Result<Self, KubeconfigError> {
        if let Some(path) = flag {
            return Self::from_file(read(path)?, path.display().to_string(), context).await;
        }
        let listed = env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
        let home = env::home_dir().unwrap_or_default().join(".kube").join("config");
        let paths: Vec<PathBuf> = match &listed {
            Some(list) => env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => vec![home.clone()],
        };
        // As in kubectl, files of the list may be missing, as long as one exists.
        let existing: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
        let mut merged: Option<File> = None;
        for path in &existing {
            let next = read(path)?;
            merged = Some(match merged {
                None => next,
                Some(first) => first
                    .merge(next)
                    .map_err(|e| KubeconfigError::Malformed { path: (*path).clone(), cause: e.to_string() })?,
            });
        }
        match merged {
            Some(file) => {
                let origin = existing.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
                Self::from_file(file, origin, context).await
            }
            None if env::var_os("KUBERNETES_SERVICE_HOST").is_some() => match context {
                None => Self::in_cluster(),
                Some(context) => Err(KubeconfigError::UnknownContext {
                    origin: "the pod's service account".into(),
                    context: context.into(),
                    known: "none, as there is no kubeconfig".into(),
                }),
            },
            None => Err(KubeconfigError::None {
                environment: match listed {
                    Some(list) => format!("KUBECONFIG names no file that exists ({})", list.display()),
                    None => "KUBECONFIG is not set".into(),
                },
                home,
            }),
        }
    }

    async fn from_file(file: File, origin: String, context: Option<&str>) -> Result<Self, KubeconfigError> {
        if let Some(what) = something_else(&file) {
            return Err(KubeconfigError::SomethingElse { origin, what });
        }
        let known = || listed(file.contexts.iter().map(|c| c.name.as_str()));
        let Some(context) =
            context.map(str::to_owned).or_else(|| file.current_context.clone()).filter(|c| !c.is_empty())
        else {
            return Err(KubeconfigError::NoContext { origin, known: known() });
        };
        let Some(named) = file.contexts.iter().find(|c| c.name == context) else {
            return Err(KubeconfigError::UnknownContext { known: known(), origin, context });
        };
        let parts = named.context.clone().unwrap_or_default();
        let dangling = |kind: &'static str, name: &str, known: String| KubeconfigError::Dangling {
            origin: origin.clone(),
            context: context.clone(),
            what: format!("{kind} {name:?}"),
            known,
        };
        let Some(cluster) = file.clusters.iter().find(|cluster| cluster.name == parts.cluster) else {
            let known = listed(file.clusters.iter().map(|cluster| cluster.name.as_str()));
            return Err(dangling("cluster", &parts.cluster, known));
        };
        let mut cluster = cluster.cluster.clone().unwrap_or_default();
        // As in kubectl, a context without a user has no credential.
        let user = parts.user.unwrap_or_default();
        let auth_info = match file.auth_infos.iter().find(|named| named.name == user) {
            Some(named) => named.auth_info.clone().unwrap_or_default(),
            None if user.is_empty() => AuthInfo::default(),
            None => {
                let known = listed(file.auth_infos.iter().map(|user| user.name.as_str()));
                return Err(dangling("user", &user, known));
            }
        };
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let unusable =
            |cause: String| KubeconfigError::Unusable { origin: origin.clone(), context: context.clone(), cause };
        let of_cluster = |cause: String| unusable(format!("cluster {:?}: {cause}", parts.cluster));
        let auth_info = user::usable(auth_info).map_err(|cause| unusable(format!("user {user:?}: {cause}")))?;
        let auth_info = match usable_cluster(&mut cluster).map_err(of_cluster)? {
            Some(login) => user::logged_in(auth_info, login),
            None => auth_info,
        };
        // Only the parts that the context uses.
        let needed = File {
            clusters: vec![NamedCluster {
                name: parts.cluster.clone(),
                cluster: Some(cluster.clone()),
                ..NamedCluster::default()
            }],
            auth_infos: vec![NamedAuthInfo {
                name: user.clone(),
                auth_info: Some(auth_info),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![named.clone()],
            ..File::default()
        };
        let mut config = Config::from_custom_kubeconfig(needed, &options).await.map_err(|e| of_cluster(explain(&e)))?;
        if let Some(exec) = &mut config.auth_info.exec
            && exec.interactive_mode != Some(ExecInteractiveMode::Always)
            && !std::io::stdin().is_terminal()
        {
            // The plugin cannot ask anyone, and its messages are shown by us.
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        // NO_PROXY exempts servers from the proxy of the environment.
        if cluster.proxy_url.is_none() && Matcher::from_env().intercept(&config.cluster_url).is_none() {
            config.proxy_url = None;
        }
        if cluster.proxy_url.is_none()
            && let Some(proxy) = config.proxy_url.as_ref().filter(|proxy| proxy.scheme().is_none())
        {
            // The environment may name a proxy only by host and port.
            config.proxy_url = format!("http://{proxy}").parse().ok();
        }
        if let Some(proxy) = &config.proxy_url
            && !matches!(proxy.scheme_str(), Some("http" | "https" | "socks5"))
        {
            return Err(of_cluster(
                "its proxy-url, or HTTPS_PROXY, must begin with http://, https:// or socks5://".into(),
            ));
        }
        let authorities = authorities(&config);
        if config.root_cert.is_some() && authorities.is_empty() {
            return Err(of_cluster(NO_CERTIFICATE.into()));
        }
        Ok(Self { config, context, cluster: parts.cluster.clone(), user, authorities, origin })
    }

    fn in_cluster() -> Result<Self, KubeconfigError> {
        let unusable = |cause: String| KubeconfigError::Unusable {
            origin: "the pod's service account".into(),
            context: "in-cluster".into(),
            cause,
        };
        let config = Config::incluster_env().map_err(|e| unusable(e.to_string()))?;
        let authorities = match &config.root_cert_file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|e| unusable(format!("{}: {e}", path.display()))).and_then(
                    |pem| Certificate::from_pem_bundle(&pem).map_err(|e| unusable(format!("{}: {e}", path.display()))),
                )?
            }
            None => authorities(&config),
        };
        Ok(Self {
            config,
            context: "in-cluster".into(),
            cluster: "in-cluster".into(),
            user: "the pod's service account".into(),
            authorities,
            origin: "the pod's service account".into(),
        })
    }

    /// The cluster in a few words, before any request.
    pub fn summary(&self) -> ClusterSummary {
        ClusterSummary {
            name: self.context.clone(),
            server: self.config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            version: String::new(),
        }
    }

    /// Removes this user's secrets from all output.
    pub fn redaction(&self) -> Redaction {
        use secrecy::ExposeSecret;
        let AuthInfo { password, token, token_file, client_key_data, exec, auth_provider, .. } = &self.config.auth_info;
        let written = [password, token, client_key_data].into_iter().flatten();
        let of_file = token_file.iter().filter_map(|path| fs::read_to_string(path).ok()).map(|it| it.trim().to_owned());
        let given = exec.iter().flat_map(|exec| exec.env.iter().flatten()).filter_map(|variable| variable.get("value"));
        let provided = auth_provider.iter().flat_map(|provider| provider.config.values());
        let in_url = self.config.proxy_url.iter().filter_map(password_of);
        let written = written.map(|secret| secret.expose_secret().to_owned());
        Redaction::of(written.chain(given.chain(provided).cloned()).chain(in_url).chain(of_file))
    }
}

/// The password in a URL.
fn password_of(url: &http::Uri) -> Option<String> {
    let (credentials, _) = url.authority()?.as_str().rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

fn read(path: &Path) -> Result<File, KubeconfigError> {
    let mut file = File::read_from(path).map_err(|e| match e {
        Upstream::ReadConfig(source, _) => KubeconfigError::Unreadable { path: path.into(), source },
        Upstream::Parse(cause) => KubeconfigError::Malformed {
            path: path.into(),
            // A snippet would quote the file, which may hold keys.
            cause: cause.without_snippet().render_with_formatter(&UserMessageFormatter),
        },
        other => KubeconfigError::Malformed { path: path.into(), cause: other.to_string() },
    })?;
    // Relative paths are resolved from the file's folder, so that an empty one has become the folder.
    let folder = path.parent().map(|folder| folder.join("").to_string_lossy().into_owned());
    let clusters = file.clusters.iter_mut().filter_map(|named| named.cluster.as_mut());
    let users = file.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut());
    let of_users = users.flat_map(|it| [&mut it.client_certificate, &mut it.client_key, &mut it.token_file]);
    for named in clusters.map(|cluster| &mut cluster.certificate_authority).chain(of_users) {
        named.take_if(|named| Some(&*named) == folder.as_ref());
    }
    Ok(file)
}

fn authorities(config: &Config) -> Vec<Certificate> {
    config.root_cert.iter().flatten().map(|der| Certificate::from_der(der.clone())).collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What the file is, if it is not a kubeconfig. A file of kind Config may be empty.
fn something_else(file: &File) -> Option<String> {
    match file.kind.as_deref() {
        Some("Config") => None,
        Some(kind) => Some(format!("its kind is {kind} instead of Config")),
        None if !(file.contexts.is_empty() && file.clusters.is_empty() && file.auth_infos.is_empty()) => None,
        None if file.other.is_empty() && file.current_context.is_none() => Some("it is empty".into()),
        None => Some("it has no clusters, users or contexts".into()),
    }
}

/// Prepares a cluster for requests and returns the login that was in its URL, or what is wrong with the cluster.
fn usable_cluster(cluster: &mut Cluster) -> Result<Option<Login>, String> {
    let Cluster { server, certificate_authority, certificate_authority_data, proxy_url, tls_server_name, .. } = cluster;
    // As in client-go, an empty text counts as unset.
    for text in [&mut *server, certificate_authority, certificate_authority_data, proxy_url, tls_server_name] {
        text.take_if(|text| text.is_empty());
    }
    let text = server.as_deref().ok_or(NO_SERVER)?;
    let (url, login) = server::server(text)?;
    *server = Some(url);
    if let Some(data) = certificate_authority_data {
        *data = without_line_breaks(data).into_owned();
    } else {
        readable("certificate-authority", certificate_authority.as_deref())?;
    }
    Ok(login)
}

/// Base64 without the line breaks that Go's decoder skips.
pub(crate) fn without_line_breaks(base64: &str) -> Cow<'_, str> {
    if base64.contains(['\r', '\n']) { base64.replace(['\r', '\n'], "").into() } else { base64.into() }
}

/// Fails if a file that a kubeconfig names cannot be read.
fn readable(key: &str, path: Option<&str>) -> Result<(), String> {
    match path {
        Some(path) => fs::read(path).map(drop).map_err(|e| format!("its {key} {path} cannot be read: {e}")),
        None => Ok(()),
    }
}
