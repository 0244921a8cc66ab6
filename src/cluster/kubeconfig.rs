//! Which cluster, and as whom: kubeconfig files in all their forms, or the service account of the pod that we run in.

use std::env;
use std::path::{Path, PathBuf};

use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig as File, KubeconfigError as Upstream};

use crate::certificate::Certificate;
use crate::redaction::Redaction;

/// Where to connect to, and as whom.
#[derive(Clone)]
pub struct Kubeconfig {
    /// The client's configuration.
    pub config: Config,
    /// The name of the context, or `in-cluster`.
    pub context: String,
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
        let known = || {
            let names: Vec<&str> = file.contexts.iter().map(|c| c.name.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let Some(context) =
            context.map(str::to_owned).or_else(|| file.current_context.clone()).filter(|c| !c.is_empty())
        else {
            return Err(KubeconfigError::NoContext { origin, known: known() });
        };
        let Some(named) = file.contexts.iter().find(|c| c.name == context) else {
            return Err(KubeconfigError::UnknownContext { known: known(), origin, context });
        };
        let user = named.context.as_ref().and_then(|c| c.user.clone()).unwrap_or_default();
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let unusable =
            |cause: String| KubeconfigError::Unusable { origin: origin.clone(), context: context.clone(), cause };
        let mut config =
            Config::from_custom_kubeconfig(file.clone(), &options).await.map_err(|e| unusable(explain(&e)))?;
        let of = named.context.as_ref().map(|context| &context.cluster);
        let cluster = file.clusters.iter().find(|cluster| Some(&cluster.name) == of);
        let has_own_proxy = cluster.and_then(|named| named.cluster.as_ref()).is_some_and(|own| own.proxy_url.is_some());
        // The proxy of the environment is not for servers that NO_PROXY names.
        if !has_own_proxy && Matcher::from_env().intercept(&config.cluster_url).is_none() {
            config.proxy_url = None;
        }
        let authorities = authorities(&config);
        Ok(Self { config, context, user, authorities, origin })
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
            user: "the pod's service account".into(),
            authorities,
            origin: "the pod's service account".into(),
        })
    }

    /// Removes this user's secrets from whatever is written.
    pub fn redaction(&self) -> Redaction {
        use kube::config::AuthInfo;
        use secrecy::ExposeSecret;
        let AuthInfo { password, token, client_key_data, exec, .. } = &self.config.auth_info;
        let written = [password, token, client_key_data].into_iter().flatten();
        let given = exec.iter().flat_map(|exec| exec.env.iter().flatten()).filter_map(|variable| variable.get("value"));
        let urls = [Some(&self.config.cluster_url), self.config.proxy_url.as_ref()];
        let in_urls = urls.into_iter().flatten().filter_map(password_of);
        let written = written.map(|secret| secret.expose_secret().to_owned());
        Redaction::of(written.chain(given.cloned()).chain(in_urls))
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

/// The error with its causes, which upstream's texts leave out.
fn explain(error: &Upstream) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
