//! The flags that send a verdict somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Certificate;
use secrecy::{ExposeSecret, SecretString};

use super::Pushes;
use super::target::{Kind, Target};

/// How many bytes a file with a token may have.
const LONGEST_TOKEN: usize = 16 * 1024;
/// What stands for the cluster itself in the place of a URL.
const CLUSTER: &str = "openreports";

/// Where else the verdict goes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Reports")]
pub struct PushArgs {
    /// Send the verdict to a webhook, which gets the JSON, to alertmanager+URL or to pushgateway+URL, or apply it to the cluster as
    /// a ClusterReport (openreports); repeatable. A target that is down changes no verdict
    #[arg(long, value_name = "URL")]
    push: Vec<SecretString>,
    /// Send the bearer token in FILE to the webhook of --push
    #[arg(long, value_name = "FILE", requires = "push")]
    push_token_file: Option<PathBuf>,
    /// Verify the servers of --push by the CAs in FILE instead of those of the system
    #[arg(long, value_name = "FILE", requires = "push")]
    push_ca: Option<PathBuf>,
}

impl PushArgs {
    /// The files that the flags name, each with its flag.
    pub fn files(&self) -> [(&'static str, Option<&Path>); 2] {
        [("--push-token-file", self.push_token_file.as_deref()), ("--push-ca", self.push_ca.as_deref())]
    }

    /// Reads the files and checks the URLs, before the run begins.
    pub fn resolve(&self) -> Result<Pushes, String> {
        let (mut targets, mut apply) = (Vec::new(), false);
        for (place, text) in self.push.iter().enumerate() {
            if text.expose_secret() == CLUSTER {
                apply = true;
                continue;
            }
            let wrong = |why: &str| format!("--push, number {}: {why}", place + 1);
            let target = Target::parse(text).map_err(wrong)?;
            if target.user.is_some() && !target.is_confidential() {
                return Err(wrong("a user and password are sent only by https: write https:// or leave them out"));
            }
            targets.push(target);
        }
        let token = self.push_token_file.as_deref().map(token).transpose()?;
        if token.is_some() {
            confined(&targets)?;
        }
        let authorities = self.push_ca.as_deref().map(authorities).transpose()?;
        Ok(Pushes::new(targets, token, authorities, apply))
    }

    /// The same where there is no cluster to apply anything to.
    pub fn resolve_without_cluster(&self) -> Result<Pushes, String> {
        if self.push.iter().any(|text| text.expose_secret() == CLUSTER) {
            return Err(format!(
                "--push {CLUSTER} needs a run on a cluster: write --report {CLUSTER}=FILE, and kubectl apply --server-side -f FILE"
            ));
        }
        self.resolve()
    }
}

/// Refuses to send one token to several servers, or where others read it.
fn confined(targets: &[Target]) -> Result<(), String> {
    let hooks = || targets.iter().filter(|target| target.kind == Kind::Webhook);
    let Some(first) = hooks().next() else {
        return Err("--push-token-file: the token is for a webhook, and no --push names one".into());
    };
    if let Some(other) = hooks().find(|hook| hook.server() != first.server()) {
        return Err(format!(
            "--push-token-file: the token would go to {} and to {}: send to one of them",
            first.server(),
            other.server()
        ));
    }
    if hooks().any(|hook| hook.user.is_some()) {
        return Err("--push-token-file: the URL has a user: leave one of the two out".into());
    }
    if first.is_confidential() {
        Ok(())
    } else {
        Err(format!("--push-token-file: a token is sent only by https, and {} is not", first.server()))
    }
}

fn token(path: &Path) -> Result<SecretString, String> {
    let wrong = |why: &str| format!("--push-token-file {}: {why}", path.display());
    let text = SecretString::from(fs::read_to_string(path).map_err(|e| wrong(&format!("cannot be read: {e}")))?);
    let token = text.expose_secret().trim();
    let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    match token.len() {
        0 => Err(wrong("it is empty: write the token into it")),
        1..=LONGEST_TOKEN if is_visible => Ok(SecretString::from(token.to_owned())),
        _ => Err(wrong("it is not a token: write one line of visible ASCII characters, without spaces")),
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let wrong = |why: &str| format!("--push-ca {}: {why}", path.display());
    let text = fs::read(path).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|_| wrong("it is not PEM with certificates"))?;
    if found.is_empty() { Err(wrong("it holds no certificate in PEM")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(push: &[&str], token: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        if let Some(token) = token {
            fs::write(&file, token).unwrap();
        }
        let arguments = PushArgs {
            push: push.iter().map(|text| SecretString::from((*text).to_owned())).collect(),
            push_token_file: token.map(|_| file),
            push_ca: None,
        };
        arguments.resolve().err().unwrap_or_default()
    }

    #[test]
    fn no_credential_is_sent_where_others_read_it() {
        assert_eq!(wrong(&["https://jane:secret@a"], None), "");
        let refused = wrong(&["https://b", "http://jane:secret@a"], None);
        assert!(refused.starts_with("--push, number 2: ") && !refused.contains("secret"), "{refused}");
        assert_eq!(wrong(&["https://a/x", "https://a/y", "alertmanager+http://b"], Some("t0ken\n")), "");
        assert!(wrong(&["http://a"], Some("t0ken")).contains("only by https"));
        assert!(wrong(&["https://a", "https://b"], Some("t0ken")).contains("would go to https://a and to https://b"));
        assert!(wrong(&["pushgateway+https://a"], Some("t0ken")).contains("no --push names one"));
    }

    #[test]
    fn a_token_is_one_line() {
        assert!(wrong(&["https://a"], Some(" \n")).contains("it is empty"));
        for text in ["one two", "one\ntwo", "\u{e9}", &"x".repeat(LONGEST_TOKEN + 1)] {
            let refused = wrong(&["https://a"], Some(text));
            assert!(refused.contains("it is not a token") && !refused.contains(text), "{refused}");
        }
    }
}
