//! Kubeconfig files in all their forms, or the service account of the pod that we run in.
//!
//! A file is read twice: first as values without any type, in which the chosen context, cluster and user are looked up
//! ([`files`]), then these three by their fields ([`cluster`], [`user`]). What is not used may be broken in any way.

mod client_certificate;
mod cluster;
mod document;
mod error;
mod exec;
mod fields;
mod files;
mod found;
mod proxy;
mod server;
mod user;

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use kube::Config;
use kube::config::{AuthInfo, ExecAuthCluster, ExecInteractiveMode};

pub(super) use self::client_certificate::client_certificate;
use self::cluster::ClusterEntry;
pub(crate) use self::error::KubeconfigError;
pub(crate) use self::fields::without_line_breaks;
use self::files::Kind;
pub(crate) use self::files::{File, Files, ReadFile};
pub(crate) use self::found::Found;
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
    pub fn load(flag: Option<&Path>, context: Option<&str>) -> Result<Self, KubeconfigError> {
        let chosen = Found::find(flag)?.choose(context)?;
        if std::io::stdin().is_terminal() {
            return Ok(chosen);
        }
        chosen.asking_no_one("standard input is not a terminal: run seaworthy in a terminal, or use another credential")
    }

    /// The same with a credential plugin that asks no one, and whose messages are shown by us. One that always asks cannot be
    /// used: `why` names the reason, and what to do.
    pub(crate) fn asking_no_one(mut self, why: &str) -> Result<Self, KubeconfigError> {
        let Some(exec) = &mut self.config.auth_info.exec else { return Ok(self) };
        if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
            let cause = format!("user {:?}: its exec has interactiveMode: Always, and {why}", self.user);
            return Err(KubeconfigError::Unusable { origin: self.origin, context: self.context, cause });
        }
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
        Ok(self)
    }

    /// The program that issues the credential, if one does.
    pub(crate) fn plugin(&self) -> Option<&str> {
        self.config.auth_info.exec.as_ref().map(|exec| exec.command.as_deref().unwrap_or_default())
    }

    /// The cluster and the user of a context, by default the current one.
    pub(crate) fn of(files: &Files, context: Option<&str>, read: ReadFile) -> Result<Self, KubeconfigError> {
        if let Some(what) = files.something_else() {
            return Err(KubeconfigError::SomethingElse { origin: files.origin(), what: what.into() });
        }
        let known = || files.names(Kind::Context);
        let chosen = context.filter(|context| !context.is_empty()).map(str::to_owned);
        let Some(context) = chosen.map_or_else(|| files.current_context(), |context| Ok(Some(context)))? else {
            return Err(KubeconfigError::NoContext { origin: files.origin(), known: known() });
        };
        let Some(entry) = files.entry(Kind::Context, &context)? else {
            return Err(KubeconfigError::UnknownContext { known: known(), origin: files.origin(), context });
        };
        let unusable = |file: &File, cause: String| KubeconfigError::Unusable {
            origin: file.origin(),
            context: context.clone(),
            cause,
        };
        let name = |kind: Kind| entry.fields.text(kind.name()).map_err(|cause| unusable(entry.file, cause));
        let dangling = |kind: Kind, name: &str| KubeconfigError::Dangling {
            origin: files.origin(),
            context: context.clone(),
            what: format!("{} {name:?}", kind.name()),
            known: files.names(kind),
        };
        let (cluster_name, user_name) = (name(Kind::Cluster)?, name(Kind::User)?);
        let Some(cluster_name) = cluster_name else {
            let cause = format!("it names no cluster: add one of {}", files.names(Kind::Cluster));
            return Err(unusable(entry.file, cause));
        };
        let found = files.entry(Kind::Cluster, &cluster_name)?;
        let found = found.ok_or_else(|| dangling(Kind::Cluster, &cluster_name))?;
        let of_cluster = |cause: String| unusable(found.file, format!("cluster {cluster_name:?}: {cause}"));
        let cluster = ClusterEntry::read(&found, read).map_err(of_cluster)?;
        let is_tls = cluster.url.scheme_str() == Some("https");
        // As in client-go, a context without a user has no credential.
        let mut auth_info = AuthInfo::default();
        if let Some(name) = &user_name {
            let found = files.entry(Kind::User, name)?.ok_or_else(|| dangling(Kind::User, name))?;
            auth_info = user::user(&found, is_tls, read)
                .map_err(|cause| unusable(found.file, format!("user {name:?}: {cause}")))?;
        }
        let proxy = match cluster.proxy.clone() {
            Some(proxy) => Some(proxy),
            None => proxy::of_environment(&cluster.url).map_err(of_cluster)?,
        };
        Ok(Self {
            authorities: cluster.authorities.clone().unwrap_or_default(),
            config: config(cluster, auth_info, proxy),
            context,
            cluster: cluster_name,
            user: user_name.unwrap_or_default(),
            origin: files.origin(),
        })
    }

    fn in_cluster(read: ReadFile) -> Result<Self, KubeconfigError> {
        let unusable = |cause: String| KubeconfigError::Unusable {
            origin: "the pod's service account".into(),
            context: "in-cluster".into(),
            cause,
        };
        let mut config = Config::incluster_env().map_err(|e| unusable(e.to_string()))?;
        let user = &mut config.auth_info;
        if let Some(path) = user.token_file.take() {
            (user.token, user.token_file) = user::of_file(Path::new(&path), None, read).map_err(unusable)?;
        }
        let authorities = config.root_cert.iter().flatten().map(|der| Certificate::from_der(der.clone())).collect();
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
        let AuthInfo { password, token, token_file, client_key_data, exec, .. } = &self.config.auth_info;
        let written = [password, token, client_key_data].into_iter().flatten();
        let of_file = token_file.iter().filter_map(|path| fs::read_to_string(path).ok()).map(|it| it.trim().to_owned());
        let given = exec.iter().flat_map(|exec| exec.env.iter().flatten()).filter_map(|variable| variable.get("value"));
        let arguments = exec.iter().filter_map(|exec| exec.args.as_deref()).flat_map(secrets_in);
        let in_url = self.config.proxy_url.iter().filter_map(password_of);
        let written = written.map(|secret| secret.expose_secret().to_owned());
        Redaction::of(written.chain(given.cloned()).chain(arguments).chain(in_url).chain(of_file))
    }
}

/// The secrets in the arguments of a credential plugin, such as `--oidc-client-secret=X`.
fn secrets_in(arguments: &[String]) -> impl Iterator<Item = String> {
    let is_secret = |name: &str| ["secret", "password", "token", "key"].iter().any(|word| name.contains(word));
    let next = arguments.iter().skip(1).map(Some).chain([None]);
    arguments.iter().zip(next).filter_map(move |(argument, next)| match argument.split_once('=') {
        Some((name, value)) => is_secret(&name.to_lowercase()).then(|| value.to_owned()),
        None => next.filter(|_| argument.starts_with('-') && is_secret(&argument.to_lowercase())).cloned(),
    })
}

/// The password in a URL.
fn password_of(url: &http::Uri) -> Option<String> {
    let (credentials, _) = url.authority()?.as_str().rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

/// The client's configuration.
fn config(cluster: ClusterEntry, auth_info: AuthInfo, proxy: Option<http::Uri>) -> Config {
    let mut config = Config::new(cluster.url);
    config.auth_info = auth_info;
    config.proxy_url = proxy;
    config.tls_server_name = cluster.tls_server_name;
    config.accept_invalid_certs = cluster.skips_verification;
    config.disable_compression = cluster.disables_compression;
    config.root_cert = cluster.authorities.map(|it| it.iter().map(|authority| authority.der().to_vec()).collect());
    if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(ExecAuthCluster {
            server: Some(config.cluster_url.to_string().trim_end_matches('/').to_owned()),
            insecure_skip_tls_verify: cluster.skips_verification.then_some(true),
            certificate_authority_data: cluster.bundle,
            proxy_url: config.proxy_url.as_ref().map(ToString::to_string),
            tls_server_name: config.tls_server_name.clone(),
            config: cluster.for_plugins,
        });
    }
    if let Some(login) = cluster.login {
        config.auth_info = user::logged_in(config.auth_info, login);
    }
    config
}

/// A file that a field names, and how an error calls it.
fn named_file(field: &str, path: &Path, read: ReadFile) -> Result<(String, Vec<u8>), String> {
    let name = format!("{field} {}", path.display());
    match read(path) {
        Ok(bytes) => Ok((name, bytes)),
        Err(why) => Err(format!("its {name} cannot be read: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_among_the_arguments_of_a_plugin_are_known() {
        let arguments = ["get-token", "--oidc-client-secret=a", "--login", "x", "--Token", "b", "--token"];
        let found: Vec<_> = secrets_in(&arguments.map(str::to_owned)).collect();
        assert_eq!(found, ["a", "b"]);
    }
}
