//! Where the clusters of a fleet come from.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use globset::{GlobBuilder, GlobMatcher};

use crate::cli::Failure;
use crate::cli::connection::{ConnectionArgs, namespace};
use crate::cli::say;
use crate::cluster::{Found, Kubeconfig, KubeconfigError, connect};
use crate::fleet::secrets::{Described, Writer};

/// Why no credential plugin may ask anything.
const ASKS_NO_ONE: &str = "a fleet asks no one: log in before, or use another credential";

/// The clusters to check.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Clusters")]
pub(super) struct SourceArgs {
    /// The contexts of the kubeconfig that match GLOB; repeatable, or separated by commas [default: all contexts, unless
    /// another source is named]
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    contexts: Vec<String>,
    /// Kubeconfig files, or folders of them: the current context of each
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    kubeconfigs: Vec<PathBuf>,
    /// The clusters of Cluster API, by its Secrets NAME-kubeconfig in the management cluster, which --context chooses
    #[arg(long)]
    cluster_api: bool,
    /// The clusters of Argo CD, by its cluster Secrets in the management cluster, which --context chooses
    #[arg(long)]
    argocd: bool,
    /// The namespace of these Secrets [default: all namespaces]
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    secrets_namespace: Option<String>,
    /// Run the credential plugins that these Secrets name: anyone who may write the Secrets may then run programs here
    #[arg(long)]
    secrets_plugins: bool,
    /// Recordings, or folders of them (*.json, *.json.gz), instead of live clusters
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    recordings: Vec<PathBuf>,
}

/// A cluster, before it is asked.
pub(super) struct Source {
    /// The names that it may have in reports, the first one that people use.
    pub(super) names: Vec<String>,
    /// Where it comes from, in words.
    pub(super) origin: String,
    /// The file that is read for it.
    pub(super) file: Option<PathBuf>,
    pub(super) way: Way,
}

/// How the facts of a cluster are got.
pub(super) enum Way {
    /// It is asked. The kubeconfig may be unusable.
    Live(Box<Result<Kubeconfig, KubeconfigError>>),
    /// They were recorded.
    Recorded(PathBuf),
}

impl Source {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.way, Way::Live(_))
    }

    fn live(names: Vec<String>, origin: String, kubeconfig: Result<Kubeconfig, KubeconfigError>) -> Self {
        let kubeconfig = kubeconfig.and_then(|kubeconfig| kubeconfig.asking_no_one(ASKS_NO_ONE));
        Self { names, origin, file: None, way: Way::Live(Box::new(kubeconfig)) }
    }
}

impl SourceArgs {
    /// All clusters of all sources.
    pub(super) async fn find(&self, connection: &ConnectionArgs) -> Result<Vec<Source>, Failure> {
        let of_secrets = self.cluster_api || self.argocd;
        self.check(connection, of_secrets)?;
        let mut sources = Vec::new();
        let is_default = !of_secrets && self.kubeconfigs.is_empty() && self.recordings.is_empty();
        if is_default || !self.contexts.is_empty() {
            let (file, globs) = (connection.kubeconfig.clone(), self.contexts.clone());
            // A file may be a pipe.
            let read = move || contexts(file.as_deref(), &globs);
            sources.extend(tokio::task::spawn_blocking(read).await.expect("reading a kubeconfig does not panic")?);
        }
        for path in files(&self.kubeconfigs, "--kubeconfigs", |_| true)? {
            sources.push(of_kubeconfig(&path));
        }
        if of_secrets {
            sources.extend(self.of_secrets(connection).await?);
        }
        let is_recording = |name: &str| [".json", ".json.gz"].iter().any(|end| name.ends_with(end));
        for path in files(&self.recordings, "--recordings", is_recording)? {
            let origin = format!("recording {}", path.display());
            sources.push(Source { names: names_of(&path), origin, file: Some(path.clone()), way: Way::Recorded(path) });
        }
        Ok(sources)
    }

    fn check(&self, connection: &ConnectionArgs, of_secrets: bool) -> Result<(), Failure> {
        let wrong = if of_secrets {
            None
        } else if connection.context.is_some() {
            Some(
                "--context chooses the management cluster of --cluster-api and --argocd: choose clusters by --contexts",
            )
        } else if self.secrets_namespace.is_some() || self.secrets_plugins {
            Some(
                "--secrets-namespace and --secrets-plugins are about the Secrets of --cluster-api and --argocd: name one of these",
            )
        } else {
            None
        };
        wrong.map_or(Ok(()), |why| Err(Failure::Usage(why.into())))
    }

    /// The clusters that Secrets of the management cluster describe.
    async fn of_secrets(&self, connection: &ConnectionArgs) -> Result<Vec<Source>, Failure> {
        let own = connection.kubeconfig().await?;
        let (_, never) = tokio::sync::watch::channel(false);
        let (cluster, connected) = Box::pin(connect(own.clone(), connection.settings(None), never)).await;
        connected?;
        let mut sources = Vec::new();
        let namespace = self.secrets_namespace.as_deref();
        for (wanted, writer) in [(self.cluster_api, Writer::ClusterApi), (self.argocd, Writer::ArgoCd)] {
            if !wanted {
                continue;
            }
            let server = &cluster.summary().server;
            let found = writer.clusters(&cluster, namespace, &own).await.map_err(|why| {
                let hint = if namespace.is_some() { "" } else { "; --secrets-namespace limits it to one namespace" };
                Failure::System(format!("{server}: the Secrets of {} cannot be listed: {why}{hint}", writer.name()))
            })?;
            if found.is_empty() {
                let place = namespace.map_or_else(|| "any namespace".into(), |name| format!("namespace {name}"));
                let writer = writer.name();
                return Err(Failure::Usage(format!(
                    "{server}: there is no Secret of a cluster of {writer} in {place}"
                )));
            }
            sources.extend(found.into_iter().map(|described| self.of_secret(described)));
        }
        Ok(sources)
    }

    /// A Secret may come from anyone who may write to a namespace, so it runs nothing here unless that is wanted.
    fn of_secret(&self, Described { names, origin, kubeconfig }: Described) -> Source {
        let kubeconfig = kubeconfig.and_then(|kubeconfig| match kubeconfig.plugin() {
            Some(command) if !self.secrets_plugins && kubeconfig.origin == origin => {
                let cause =
                    format!("it names the credential plugin {command:?}, which only runs with --secrets-plugins");
                Err(KubeconfigError::Unusable { origin: kubeconfig.origin.clone(), context: kubeconfig.context, cause })
            }
            _ => Ok(kubeconfig),
        });
        Source::live(names, origin, kubeconfig)
    }
}

/// The contexts of a kubeconfig that match. Of those with the same cluster and user, which differ in their namespaces, the first.
fn contexts(file: Option<&Path>, globs: &[String]) -> Result<Vec<Source>, Failure> {
    let found = Found::find(file)?;
    let origin = found.origin();
    let all = found.contexts();
    if all.is_empty() && globs.is_empty() {
        // The pod's own cluster, or an error that says what is missing.
        let own = found.choose(None)?;
        return Ok(vec![Source::live(vec![own.context.clone()], own.origin.clone(), Ok(own))]);
    }
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    for glob in globs {
        let matcher = matcher(glob)?;
        let matching: Vec<_> = all.iter().copied().filter(|name| *name == glob || matcher.is_match(name)).collect();
        if matching.is_empty() {
            let known = if all.is_empty() { "none".into() } else { all.join(", ") };
            return Err(Failure::Usage(format!("{origin}: no context matches {glob:?}; available: {known}")));
        }
        wanted.extend(matching);
    }
    let mut sources = Vec::new();
    let mut known: Vec<(String, String, String)> = Vec::new();
    for name in all.into_iter().filter(|name| globs.is_empty() || wanted.contains(name)) {
        let kubeconfig = found.choose(Some(name));
        if let Ok(Kubeconfig { cluster, user, .. }) = &kubeconfig {
            if let Some((first, ..)) = known.iter().find(|(_, other, of)| (other, of) == (cluster, user)) {
                say(&format!("context {name:?} has the cluster and the user of {first:?}: checked once"));
                continue;
            }
            known.push((name.to_owned(), cluster.clone(), user.clone()));
        }
        let from = format!("context {name} of {origin}");
        sources.push(Source::live(vec![name.to_owned(), format!("{name} ({origin})")], from, kubeconfig));
    }
    Ok(sources)
}

fn matcher(glob: &str) -> Result<GlobMatcher, Failure> {
    let glob_of = GlobBuilder::new(glob).build();
    let wrong = |e: globset::Error| Failure::Usage(format!("--contexts {glob:?} is not a pattern: {}", e.kind()));
    Ok(glob_of.map_err(wrong)?.compile_matcher())
}

/// The current context of a kubeconfig file.
fn of_kubeconfig(path: &Path) -> Source {
    let kubeconfig = Found::find(Some(path)).and_then(|found| found.choose(None));
    let mut names = names_of(path);
    // The contexts of kubeadm all have one name: then the file's is shown.
    if let Ok(kubeconfig) = &kubeconfig {
        names.insert(0, kubeconfig.context.clone());
    }
    Source { file: Some(path.into()), ..Source::live(names, format!("kubeconfig {}", path.display()), kubeconfig) }
}

/// The names that a file gives its cluster: without its folder and extension, with the folder, and with everything.
fn names_of(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = [".gz", ".json", ".yaml", ".yml", ".conf", ".kubeconfig"];
    let stem = ends.iter().fold(name.as_ref(), |name, end| name.strip_suffix(end).unwrap_or(name));
    let stem = if stem.is_empty() { name.as_ref() } else { stem };
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    vec![stem.to_owned(), format!("{folder}/{stem}"), path.display().to_string()]
}

/// The files of these paths, sorted: those of a folder that are meant, but for hidden ones.
fn files(paths: &[PathBuf], flag: &str, is_meant: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |path: &Path, why: io::Error| Failure::Usage(format!("{flag} {}: {why}", path.display()));
    let mut all: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !fs::metadata(path).map_err(|why| unreadable(path, why))?.is_dir() {
            all.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(|why| unreadable(path, why))? {
            let entry = entry.map_err(|why| unreadable(path, why))?.path();
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with('.') && is_meant(&name) && entry.is_file() {
                found.push(entry);
            }
        }
        if found.is_empty() {
            return Err(Failure::Usage(format!("{flag} {}: the folder has no such file", path.display())));
        }
        found.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
        all.extend(found);
    }
    let mut seen = BTreeSet::new();
    all.retain(|path| seen.insert(path.clone()));
    Ok(all)
}

/// What orders names as people do: `prod-2` before `prod-10`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let digits = |part: &str| part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
    let (mut parts, mut rest) = (Vec::new(), name);
    while !rest.is_empty() {
        let (words, after) = rest.split_at(digits(rest));
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(end);
        parts.push((words.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_people() {
        let mut names = ["b", "prod-10", "prod-2", "prod-2a", "prod", "1", "99999999999999999999"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["1", "99999999999999999999", "b", "prod", "prod-2", "prod-2a", "prod-10"]);
    }

    #[test]
    fn a_file_names_its_cluster() {
        assert_eq!(names_of(Path::new("/a/eu/prod.json.gz")), ["prod", "eu/prod", "/a/eu/prod.json.gz"]);
        assert_eq!(names_of(Path::new("admin.conf"))[0], "admin");
        assert_eq!(names_of(Path::new("config"))[0], "config");
    }
}
