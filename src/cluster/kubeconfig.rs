//! Which cluster, and as whom: kubeconfig files in all their forms, or the service account of the pod that we run in.

use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, ExecInteractiveMode, KubeConfigOptions, Kubeconfig as File, KubeconfigError as Upstream,
    LoadDataError,
};

use super::causes::causes;
use crate::certificate::Certificate;
use crate::redaction::Redaction;

/// Where to connect to, and as whom.
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
    /// The certificate authorities that the API server's certificate must come from.
    pub authorities: Vec<Certificate>,
    /// Where all this was read from, for messages.
    pub origin: String,
}

/// Why no cluster could be chosen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeconfigError {
    /// Nothing says where the cluster is.
    #[error(
        "no kubeconfig: --kubeconfig is not given, {environment}, {} does not exist, and this is not a pod: \
         give --kubeconfig FILE, or try `seaworthy run --example`",
        home.display()
    )]
    None {
        /// What the variable KUBECONFIG says.
        environment: String,
        /// The default file.
        home: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: cannot read the kubeconfig: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not a kubeconfig.
    #[error("{}: not a kubeconfig: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        cause: String,
    },
    /// The files are something else.
    #[error("{origin}: not a kubeconfig: {what}")]
    SomethingElse {
        /// The files.
        origin: String,
        /// What they are.
        what: String,
    },
    /// The context does not exist.
    #[error("{origin}: there is no context {context:?}; there are: {known}")]
    UnknownContext {
        /// The files.
        origin: String,
        /// The context asked for.
        context: String,
        /// The contexts there are.
        known: String,
    },
    /// No context is chosen.
    #[error("{origin}: current-context is not set: choose one with --context; there are: {known}")]
    NoContext {
        /// The files.
        origin: String,
        /// The contexts there are.
        known: String,
    },
    /// The context names a cluster or a user that is not there.
    #[error("context {context:?} names {what}; {origin} has: {known}")]
    Dangling {
        /// The files.
        origin: String,
        /// The context.
        context: String,
        /// The cluster or user.
        what: String,
        /// The names there are.
        known: String,
    },
    /// The context is incomplete, or a file that it names cannot be used.
    #[error("{origin}: context {context:?}: {cause}")]
    Unusable {
        /// The files.
        origin: String,
        /// The context.
        context: String,
        /// What is wrong.
        cause: String,
    },
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
        // As in kubectl, a file of the list may be missing, as long as one is there.
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
                    known: "none, for there is no kubeconfig".into(),
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
        let cluster = cluster.cluster.clone().unwrap_or_default();
        // As for kubectl, a context without a user is one of nobody's.
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
        check_user(&auth_info).map_err(|cause| unusable(format!("user {user:?}: {cause}")))?;
        check_cluster(&cluster).map_err(of_cluster)?;
        let mut config =
            Config::from_custom_kubeconfig(file.clone(), &options).await.map_err(|e| of_cluster(explain(&e)))?;
        if let Some(exec) = &mut config.auth_info.exec
            && exec.interactive_mode != Some(ExecInteractiveMode::Always)
            && !std::io::stdin().is_terminal()
        {
            // Nobody is there to be asked, so that what the plugin says is for us to tell.
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        // The proxy of the environment is not for servers that NO_PROXY names.
        if cluster.proxy_url.is_none() && Matcher::from_env().intercept(&config.cluster_url).is_none() {
            config.proxy_url = None;
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

    /// Removes this user's secrets from whatever is written.
    pub fn redaction(&self) -> Redaction {
        use secrecy::ExposeSecret;
        let AuthInfo { password, token, client_key_data, exec, auth_provider, .. } = &self.config.auth_info;
        let written = [password, token, client_key_data].into_iter().flatten();
        let given = exec.iter().flat_map(|exec| exec.env.iter().flatten()).filter_map(|variable| variable.get("value"));
        let provided = auth_provider.iter().flat_map(|provider| provider.config.values());
        let urls = [Some(&self.config.cluster_url), self.config.proxy_url.as_ref()];
        let in_urls = urls.into_iter().flatten().filter_map(password_of);
        let written = written.map(|secret| secret.expose_secret().to_owned());
        Redaction::of(written.chain(given.chain(provided).cloned()).chain(in_urls))
    }
}

/// The password in a URL.
fn password_of(url: &http::Uri) -> Option<String> {
    let (credentials, _) = url.authority()?.as_str().rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

fn read(path: &Path) -> Result<File, KubeconfigError> {
    File::read_from(path).map_err(|e| match e {
        Upstream::ReadConfig(source, _) => KubeconfigError::Unreadable { path: path.into(), source },
        Upstream::Parse(cause) => KubeconfigError::Malformed {
            path: path.into(),
            // The caret diagnostics after the first line quote the file, which may hold keys.
            cause: cause.to_string().lines().next().unwrap_or_default().to_owned(),
        },
        other => KubeconfigError::Malformed { path: path.into(), cause: other.to_string() },
    })
}

fn authorities(config: &Config) -> Vec<Certificate> {
    config.root_cert.iter().flatten().map(|der| Certificate::from_der(der.clone())).collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What the file is, if it is no kubeconfig. One that says that it is may hold nothing.
fn something_else(file: &File) -> Option<String> {
    match file.kind.as_deref() {
        Some("Config") => None,
        Some(kind) => Some(format!("it is of kind {kind}")),
        None if !(file.contexts.is_empty() && file.clusters.is_empty() && file.auth_infos.is_empty()) => None,
        None if file.other.is_empty() && file.current_context.is_none() => Some("it is empty".into()),
        None => Some("it has no clusters, users and contexts".into()),
    }
}

/// What is wrong with a user, as far as that can be told before a request is sent.
fn check_user(user: &AuthInfo) -> Result<(), String> {
    if let Some(provider) = &user.auth_provider
        && !(provider.name == "oidc" && provider.config.contains_key("id-token"))
    {
        return Err(if provider.name == "oidc" {
            "its auth-provider oidc has no id-token, and seaworthy asks for none: log in by kubectl, or use exec with a plugin".into()
        } else {
            let name = &provider.name;
            format!(
                "its auth-provider {name} is not supported: use exec, with the credential plugin that took its place"
            )
        });
    }
    let (certificate, key) = (&user.client_certificate_data, &user.client_key_data);
    let has = [certificate.is_some() || user.client_certificate.is_some(), key.is_some() || user.client_key.is_some()];
    match has {
        [true, false] => return Err("it has a client-certificate, and no client-key or client-key-data".into()),
        [false, true] => return Err("it has a client-key, and no client-certificate or client-certificate-data".into()),
        _ => {}
    }
    readable("client-certificate", user.client_certificate.as_deref().filter(|_| certificate.is_none()))?;
    readable("client-key", user.client_key.as_deref().filter(|_| key.is_none()))?;
    readable("tokenFile", user.token_file.as_deref().filter(|_| user.token.is_none()))?;
    if user.exec.as_ref().is_some_and(|exec| exec.command.as_ref().is_none_or(String::is_empty)) {
        return Err("its exec names no command".into());
    }
    Ok(())
}

/// What is wrong with a cluster, as far as that can be told before a request is sent.
fn check_cluster(cluster: &Cluster) -> Result<(), String> {
    let instead = cluster.certificate_authority_data.is_some();
    readable("certificate-authority", cluster.certificate_authority.as_deref().filter(|_| !instead))
}

/// Whether a file that a kubeconfig names can be read.
fn readable(key: &str, path: Option<&str>) -> Result<(), String> {
    match path {
        Some(path) => fs::read(path).map(drop).map_err(|e| format!("its {key} {path} cannot be read: {e}")),
        None => Ok(()),
    }
}

/// What is wrong with a CA of which nothing can be made.
const NO_CERTIFICATE: &str = "its certificate-authority or certificate-authority-data holds no certificate in PEM form";

/// What is wrong with a kubeconfig, in the words of its fields.
pub(super) fn explain(error: &Upstream) -> String {
    let field = match error {
        Upstream::LoadCertificateAuthority(LoadDataError::DecodeBase64(_)) => "certificate-authority-data",
        Upstream::LoadClientCertificate(LoadDataError::DecodeBase64(_)) => "client-certificate-data",
        Upstream::LoadClientKey(LoadDataError::DecodeBase64(_)) => "client-key-data",
        Upstream::MissingClusterUrl => return "it has no server".into(),
        Upstream::ParseClusterUrl(why) => return format!("its server is no URL: {why}"),
        Upstream::ParseProxyUrl(why) => return format!("its proxy-url, or HTTPS_PROXY, is no URL: {why}"),
        Upstream::ParseCertificates(_) => return NO_CERTIFICATE.into(),
        other => return causes(other),
    };
    format!("its {field} is not base64")
}
