//! Where kubeconfigs are found, as kubectl looks for them.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::files::{File, Files, Kind, ReadFile};
use super::{Kubeconfig, KubeconfigError};

/// How messages call the pod's own credential.
const ACCOUNT: &str = "the pod's service account";
const READ: ReadFile = |path| fs::read(path);

/// What was found.
pub(crate) enum Found {
    /// Files, of which at least one exists.
    Files(Files),
    /// No file; but we run in a pod.
    Pod,
}

impl Found {
    /// Looks as kubectl does: the flag, the list in `KUBECONFIG`, the file in the home directory, the pod's account.
    pub(crate) fn find(flag: Option<&Path>) -> Result<Self, KubeconfigError> {
        if let Some(path) = flag.filter(|path| !path.as_os_str().is_empty()) {
            return Ok(Self::Files(Files::new(vec![File::read(path, READ)?])));
        }
        let listed = env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
        let home = env::home_dir().unwrap_or_default().join(".kube").join("config");
        let paths: Vec<PathBuf> = match &listed {
            Some(list) => env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => vec![home.clone()],
        };
        // As in kubectl, files of the list may be missing, as long as one exists.
        let existing = paths.iter().filter(|path| path.exists()).map(|path| File::read(path, READ));
        let files = existing.collect::<Result<Vec<_>, _>>()?;
        let exist = !files.is_empty();
        let files = Files::new(files);
        if files.are_empty() && env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            return Ok(Self::Pod);
        }
        if exist {
            return Ok(Self::Files(files));
        }
        Err(KubeconfigError::None {
            environment: match listed {
                Some(list) => format!("KUBECONFIG names no file that exists ({})", list.display()),
                None => "KUBECONFIG is not set".into(),
            },
            home,
        })
    }

    /// The cluster and the user of a context, by default the current one.
    pub(crate) fn choose(&self, context: Option<&str>) -> Result<Kubeconfig, KubeconfigError> {
        match (self, context) {
            (Self::Files(files), context) => Kubeconfig::of(files, context, READ),
            (Self::Pod, None) => Kubeconfig::in_cluster(READ),
            (Self::Pod, Some(context)) => Err(KubeconfigError::UnknownContext {
                origin: ACCOUNT.into(),
                context: context.into(),
                known: "none, as there is no kubeconfig".into(),
            }),
        }
    }

    /// The names of all contexts, in their order. A pod has none.
    pub(crate) fn contexts(&self) -> Vec<&str> {
        match self {
            Self::Files(files) => files.all(Kind::Context),
            Self::Pod => Vec::new(),
        }
    }

    /// The files, for messages.
    pub(crate) fn origin(&self) -> String {
        match self {
            Self::Files(files) => files.origin(),
            Self::Pod => ACCOUNT.into(),
        }
    }
}
