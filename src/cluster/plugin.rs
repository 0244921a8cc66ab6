//! Credential plugins: programs that print the credential of a kubeconfig's user (client.authentication.k8s.io).

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::ClientCertificate;
use super::kubeconfig::{client_certificate, unfit_for_header};
use crate::redaction::Redaction;

/// How many lines of a plugin's standard error are shown. The last ones are the most useful.
const SHOWN_LINES: usize = 10;
/// How many characters of them are shown.
const SHOWN_CHARACTERS: usize = 800;
/// A credential that expires within this time is renewed.
const MARGIN: Duration = Duration::from_secs(60);

/// Why a plugin issued no credential. It never quotes the plugin's output, which is the credential.
#[derive(Debug, thiserror::Error)]
#[error("exec {command}: {fault}")]
pub(super) struct PluginError {
    command: String,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the credential plugin cannot be started: {source}{hint}")]
    NotStarted { source: io::Error, hint: String },
    #[error("the credential plugin ended with {status}{words}")]
    Failed { status: ExitStatus, words: String },
    #[error("the credential plugin did not print an ExecCredential")]
    NotACredential,
    #[error("the credential plugin printed an ExecCredential without status")]
    NoStatus,
    #[error("the credential plugin printed an expirationTimestamp that is not a time as in RFC 3339")]
    NoTime,
    #[error("the credential plugin printed neither a token nor a certificate")]
    Nothing,
    #[error("the credential plugin printed a certificate without its key, or a key without its certificate")]
    HalfCertificate,
    #[error("the token that the credential plugin printed {0}, which an HTTP header cannot carry")]
    UnfitToken(&'static str),
    #[error("the credential plugin printed a certificate that cannot be used: {0}")]
    Certificate(String),
}

impl PluginError {
    /// Whether the program of the kubeconfig cannot be started, rather than fails.
    pub(super) fn is_not_started(&self) -> bool {
        matches!(self.fault, Fault::NotStarted { .. })
    }
}

/// A credential that a plugin has issued.
pub(super) struct Issued {
    token: Option<String>,
    certificate: Option<ClientCertificate>,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs a plugin. If the caller stops waiting, the plugin is killed.
pub(super) async fn run(exec: &ExecConfig) -> Result<Issued, PluginError> {
    let command = exec.command.clone().unwrap_or_default();
    issue(exec, &command).await.map_err(|fault| PluginError { command, fault })
}

async fn issue(exec: &ExecConfig, command: &str) -> Result<Issued, Fault> {
    // If no one can be asked, the plugin's messages become part of our own.
    let interactive = exec.interactive_mode != Some(ExecInteractiveMode::Never);
    let info = json!({
        "kind": "ExecCredential", "apiVersion": exec.api_version,
        "spec": { "interactive": interactive, "cluster": exec.cluster.as_ref().filter(|_| exec.provide_cluster_info) },
    });
    let variables = exec.env.iter().flatten().filter_map(|entry| Some((entry.get("name")?, entry.get("value")?)));
    let child = Command::new(command)
        .args(exec.args.iter().flatten())
        .envs(variables)
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
        .stderr(if interactive { Stdio::inherit() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let ended = async { child?.wait_with_output().await }.await.map_err(|source| {
        let hint = exec.install_hint.as_deref().map(|hint| format!(" ({})", hint.trim()));
        Fault::NotStarted { source, hint: hint.unwrap_or_default() }
    })?;
    if !ended.status.success() {
        return Err(Fault::Failed { status: ended.status, words: words(&ended.stderr, &ended.stdout) });
    }
    Issued::parse(&ended.stdout)
}

impl Issued {
    fn parse(printed: &[u8]) -> Result<Self, Fault> {
        // client-go accepts YAML, which includes JSON.
        let credential: ExecCredential = serde_saphyr::from_slice(printed).map_err(|_| Fault::NotACredential)?;
        let status = credential.status.ok_or(Fault::NoStatus)?;
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let certificate = match (set(status.client_certificate_data), set(status.client_key_data)) {
            (Some(certificate), Some(key)) => {
                let fields =
                    (("its clientCertificateData", certificate.as_bytes()), ("its clientKeyData", key.as_bytes()));
                Some(client_certificate(fields.0, fields.1).map_err(Fault::Certificate)?)
            }
            (None, None) => None,
            _ => return Err(Fault::HalfCertificate),
        };
        let token = set(status.token);
        if token.is_none() && certificate.is_none() {
            return Err(Fault::Nothing);
        }
        if let Some(what) = token.as_deref().and_then(unfit_for_header) {
            return Err(Fault::UnfitToken(what));
        }
        let expires = status.expiration_timestamp.map(|time| time.parse()).transpose().map_err(|_| Fault::NoTime)?;
        Ok(Self { token, certificate, expires })
    }

    /// Whether the credential can still be used.
    pub(super) fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| Timestamp::now() + MARGIN < expires)
    }

    /// The secrets in it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = String> {
        let key = self.certificate.iter().map(|certificate| certificate.expose_key().to_owned());
        self.token.iter().cloned().chain(key)
    }

    /// The user with this credential instead of the plugin.
    pub(super) fn held_by(&self, user: &AuthInfo) -> AuthInfo {
        let mut user = AuthInfo { token: self.token.clone().map(Into::into), exec: None, ..user.clone() };
        if let Some(certificate) = &self.certificate {
            user.client_certificate_data = Some(BASE64_STANDARD.encode(certificate.chain()));
            user.client_key_data = Some(BASE64_STANDARD.encode(certificate.expose_key()).into());
        }
        user
    }
}

/// The last lines that a plugin wrote to its standard error, without any word of its standard output.
fn words(error: &[u8], printed: &[u8]) -> String {
    let printed = String::from_utf8_lossy(printed);
    let secrets =
        Redaction::of(printed.split(|c: char| c.is_whitespace() || "\"',:{}[]".contains(c)).map(str::to_owned));
    let text = String::from_utf8_lossy(error);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].iter();
    let clean: Vec<_> = last.map(|line| secrets.text(line)).filter(|line| line != "[redacted]").collect();
    let text = clean.join("; ");
    match text.chars().count().saturating_sub(SHOWN_CHARACTERS) {
        _ if text.is_empty() => String::new(),
        0 => format!(": {text}"),
        more => format!(": \u{2026}{}", text.chars().skip(more).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn parsed(printed: &str) -> Result<Issued, String> {
        Issued::parse(printed.as_bytes()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn what_is_wrong_with_a_credential_is_said_without_quoting_it() {
        for (printed, says) in [
            ("status: [opaque-0815", "did not print an ExecCredential"),
            ("opaque-0815", "did not print an ExecCredential"),
            ("{kind: ExecCredential}", "without status"),
            ("{status: {}}", "neither a token nor a certificate"),
            ("{status: {token: ''}}", "neither a token nor a certificate"),
            ("{status: {token: opaque-0815, clientKeyData: opaque-0815}}", "without its certificate"),
            ("{status: {clientCertificateData: opaque-0815, clientKeyData: a}}", "its clientCertificateData holds no"),
            ("{status: {token: opaque-0815, expirationTimestamp: soon}}", "not a time as in RFC 3339"),
            (
                "{status: {token: \"opaque-0815\\n\"}}",
                "the token that the credential plugin printed ends with a line break",
            ),
        ] {
            let why = parsed(printed).err().unwrap();
            assert!(why.contains(says) && !why.contains("0815"), "{printed}: {why}");
        }
    }

    #[test]
    fn an_issued_credential_takes_the_place_of_the_plugin() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
        let status = json!({
            "token": "a", "clientCertificateData": certificate.pem(), "clientKeyData": key.serialize_pem(),
        });
        let both = parsed(&json!({ "status": status }).to_string()).unwrap();
        let user = both.held_by(&AuthInfo { exec: Some(ExecConfig::default()), ..AuthInfo::default() });
        assert_eq!(user.token.unwrap().expose_secret(), "a");
        assert!(user.client_certificate_data.is_some() && user.client_key_data.is_some());
        assert!(user.exec.is_none() && both.is_fresh());
        let soon = (Timestamp::now() + MARGIN / 2).to_string();
        assert!(!parsed(&format!("{{status: {{token: a, expirationTimestamp: '{soon}'}}}}")).unwrap().is_fresh());
    }

    #[test]
    fn what_a_plugin_printed_is_not_shown_with_its_errors() {
        let error = format!("{}\nTraceback:\n\n  line 1\nopaque-0815\nlog in first: opaque-0815\n", "x\n".repeat(20));
        let text = words(error.as_bytes(), br#"{"status": {"token": "opaque-0815"}}"#);
        assert_eq!(text, ": x; x; x; x; x; x; Traceback:; line 1; log in first: [redacted]");
        assert_eq!(words(b" \n", b""), "");
        let long = words("x".repeat(SHOWN_CHARACTERS + 1).as_bytes(), b"");
        assert_eq!(long.chars().count(), SHOWN_CHARACTERS + 3);
    }

    #[tokio::test]
    async fn a_plugin_learns_what_it_is_asked_for() {
        let exec = ExecConfig {
            command: Some("sh".into()),
            args: Some(vec!["-c".into(), "printf '{status: {token: %s-%s}}' $A ${#KUBERNETES_EXEC_INFO}".into()]),
            env: Some(vec![[("name".to_owned(), "A".to_owned()), ("value".to_owned(), "b".to_owned())].into()]),
            interactive_mode: Some(ExecInteractiveMode::Never),
            ..ExecConfig::default()
        };
        let issued = run(&exec).await.ok().unwrap();
        let info = r#"{"apiVersion":null,"kind":"ExecCredential","spec":{"cluster":null,"interactive":false}}"#;
        assert_eq!(issued.token, Some(format!("b-{}", info.len())));
    }
}
