//! The credential plugin of a kubeconfig's user.

use kube::config::{ExecConfig, ExecInteractiveMode};

use super::fields::Fields;
use super::files::File;

/// The versions of the API between kubectl and plugins.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// Reads what runs a plugin, or what is wrong with it.
pub(super) fn exec(fields: Fields<'_>, file: &File) -> Result<ExecConfig, String> {
    let command = fields.text("command")?.ok_or("its exec names no command")?;
    // As in client-go, a path is relative to the file, and a mere name is looked up in PATH.
    let command = if command.contains('/') { file.resolve(&command).to_string_lossy().into_owned() } else { command };
    let version = fields.text("apiVersion")?;
    let version = match version.as_deref() {
        Some(version) if VERSIONS.contains(&version) => version,
        None => return Err(format!("its exec has no apiVersion: add apiVersion: {}", VERSIONS[0])),
        Some(other) => {
            let line = fields.line("apiVersion");
            return Err(format!(
                "its exec has the apiVersion {other}{line}, which kubectl does not support either: use {} or {}, with a \
                 release of the plugin that does",
                VERSIONS[0], VERSIONS[1]
            ));
        }
    };
    let mode = match fields.text("interactiveMode")?.as_deref() {
        Some("Never") => ExecInteractiveMode::Never,
        Some("IfAvailable") => ExecInteractiveMode::IfAvailable,
        Some("Always") => ExecInteractiveMode::Always,
        None if version != VERSIONS[0] => ExecInteractiveMode::IfAvailable,
        None => {
            return Err("its exec has no interactiveMode: add interactiveMode: IfAvailable (or Never, Always)".into());
        }
        Some(other) => {
            let line = fields.line("interactiveMode");
            return Err(format!("its exec has the interactiveMode {other}{line}: write Never, IfAvailable or Always"));
        }
    };
    let mut env = Vec::new();
    for variable in fields.list("env")? {
        let variable = Fields::of(Some(variable), "exec env entry")?;
        let name = variable.text("name")?.ok_or("its exec env has an entry without a name")?;
        let value = variable.text("value")?.unwrap_or_default();
        env.push([("name".to_owned(), name), ("value".to_owned(), value)].into());
    }
    Ok(ExecConfig {
        api_version: Some(version.to_owned()),
        command: Some(command),
        args: Some(fields.texts("args")?),
        env: Some(env),
        install_hint: fields.text("installHint")?,
        interactive_mode: Some(mode),
        provide_cluster_info: fields.flag("provideClusterInfo")?,
        ..ExecConfig::default()
    })
}
