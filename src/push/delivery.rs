//! Attempts to send, within a deadline.

use std::time::Duration;

use reqwest::{Certificate, Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep_until};

use super::message::Message;
use super::target::{Kind, Target};
use crate::cluster::causes;
use crate::http_client::direct;

/// How long everything may take that is done for one target.
const TOTAL: Duration = Duration::from_secs(15);
/// How long one attempt may take.
const EACH: Duration = Duration::from_secs(6);
/// How long it is waited before each further attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// Why an attempt did not deliver.
struct Failed {
    why: String,
    /// Whether another attempt may.
    passes: bool,
}

/// Sends a message. Returns why it could not be delivered, without anything secret.
pub(super) async fn deliver(
    target: &Target,
    token: Option<&SecretString>,
    authorities: Option<&[Certificate]>,
    message: Message,
) -> Result<(), String> {
    let client = client(target, authorities)?;
    let end = Instant::now() + TOTAL;
    let mut attempts = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now()).min(EACH);
        attempts += 1;
        let Err(Failed { why, passes }) = attempt(&client, target, token, message.clone(), left).await else {
            return Ok(());
        };
        let next = PAUSES.get(attempts - 1).map(|pause| Instant::now() + *pause).filter(|next| *next < end);
        match next {
            Some(next) if passes => sleep_until(next).await,
            _ if attempts == 1 => return Err(why),
            _ => return Err(format!("{why} ({attempts} attempts)")),
        }
    }
}

fn client(target: &Target, authorities: Option<&[Certificate]>) -> Result<Client, String> {
    let builder = direct(EACH);
    let builder = match authorities {
        Some(authorities) => builder.tls_certs_only(authorities.iter().cloned()),
        // A container may have no CAs at all, and needs none here.
        None if target.url.scheme() == "http" => builder.tls_certs_only([]),
        None => builder,
    };
    builder.build().map_err(|e| format!("{}: name CAs with --push-ca", causes(&e)))
}

async fn attempt(
    client: &Client,
    target: &Target,
    token: Option<&SecretString>,
    message: Message,
    within: Duration,
) -> Result<(), Failed> {
    let Message { method, url, content_type, body } = message;
    let mut request = client.request(method, url).timeout(within).header("Content-Type", content_type).body(body);
    if let Some(user) = &target.user {
        request = request.basic_auth(user.name.expose_secret(), Some(user.password.expose_secret()));
    } else if let Some(token) = token
        && target.kind == Kind::Webhook
    {
        request = request.bearer_auth(token.expose_secret());
    }
    match request.send().await {
        Ok(answer) => accepted(answer.status()),
        Err(e) if e.is_timeout() => {
            Err(Failed { why: format!("no answer within {} ms", within.as_millis()), passes: true })
        }
        // The path of a webhook may be secret.
        Err(e) => Err(Failed { why: causes(&e.without_url()), passes: true }),
    }
}

fn accepted(status: StatusCode) -> Result<(), Failed> {
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    if status.is_redirection() {
        return Err(Failed {
            why: format!("HTTP {code}, a redirect, which is not followed: write the URL that it leads to"),
            passes: false,
        });
    }
    let passes = status.is_server_error() || matches!(code, 408 | 429);
    Err(Failed { why: format!("HTTP {code}"), passes })
}
