//! Bootstrap tokens of our own.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::removal::withdraw;
use crate::bootstrap_token::SECRET_NAME;
use crate::cluster::identity::Token;
use crate::cluster::{Call, Identity};
use crate::live::{Live, Outlying, RunId};
use crate::probe::object::{Level, Mark};
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// The permission to make tokens and to remove them. RBAC cannot distinguish the types of Secrets, and a token's name
/// differs in each run.
pub(crate) const RULE: Rule = Rule::namespaced("kube-system", "", "secrets", &["create", "delete"]);
/// The group that kubeadm gives to the bearers of its tokens.
pub(crate) const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
/// How long a token's secret is.
const LENGTH: usize = 16;
/// What it is made of; as many as divide the values of a byte.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What a token of ours is for. The id is its letter and the run's id, so that a Secret's name and label must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To join with.
    Join,
    /// To be accepted, where others must not be.
    Control,
    /// To have expired.
    Expired,
    /// To sign and not to authenticate.
    SigningOnly,
    /// To be taken back.
    Withdrawn,
    /// Never to be made.
    Unknown,
}

impl Purpose {
    const ALL: [Self; 6] =
        [Self::Join, Self::Control, Self::Expired, Self::SigningOnly, Self::Withdrawn, Self::Unknown];

    const fn letter(self) -> char {
        match self {
            Self::Join => 'j',
            Self::Control => 'c',
            Self::Expired => 'x',
            Self::SigningOnly => 's',
            Self::Withdrawn => 'w',
            Self::Unknown => 'u',
        }
    }

    /// The usages, as kubeadm writes them.
    const fn usages(self) -> &'static [&'static str] {
        match self {
            Self::Join => &["signing", "authentication"],
            Self::SigningOnly => &["signing"],
            _ => &["authentication"],
        }
    }
}

/// Whether a token of this run has this id.
pub(crate) fn is_of_run(id: &str, run: &RunId) -> bool {
    Purpose::ALL.iter().any(|purpose| id.strip_prefix(purpose.letter()) == Some(run.to_string().as_str()))
}

/// A token of ours. Its secret is shown to the API server alone.
pub(crate) struct Minted {
    purpose: Purpose,
    id: String,
    secret: String,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minted({})", self.id)
    }
}

impl Minted {
    /// A token that exists only here so far.
    pub(crate) fn new(run: &RunId, purpose: Purpose) -> Seen<Self> {
        Ok(Self { purpose, id: format!("{}{run}", purpose.letter()), secret: secret()? })
    }

    /// The id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The secret's bytes, to verify a signature with.
    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// A client that bears it.
    pub(crate) fn bearer(&self) -> Identity {
        Identity::Bearer(Token::new(format!("{}.{}", self.id, self.secret)))
    }

    /// A client that knows its id and has to guess the rest.
    pub(crate) fn guesser(&self) -> Seen<Identity> {
        Ok(Identity::Bearer(Token::new(format!("{}.{}", self.id, secret()?))))
    }

    /// Puts it into the cluster, good until that time.
    pub(crate) async fn create(&self, live: &Live, expires: Timestamp) -> Seen<()> {
        let Live { cluster, inputs, ledger, .. } = live;
        let call = Call::create::<Secret>(self.object(&inputs.run, expires)).in_namespace("kube-system");
        ledger.add_outlying(self.outlying());
        let reply = cluster.send(&call).await?;
        if reply.is_refusal() {
            ledger.strike(&self.outlying());
        }
        reply.is_answer(&call)
    }

    /// Takes it out of the cluster.
    pub(crate) async fn remove(&self, live: &Live) -> Seen<()> {
        withdraw(live, &self.outlying()).await
    }

    fn outlying(&self) -> Outlying {
        Outlying::BootstrapToken(self.id.clone())
    }

    fn object(&self, run: &RunId, expires: Timestamp) -> Value {
        let mark = Mark { run, level: Level::Restricted, expires, owner: None };
        let mut data = json!({
            "token-id": self.id,
            "token-secret": self.secret,
            "expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "auth-extra-groups": GROUP,
            "description": "A rehearsal of a node's join by seaworthy; it may be deleted",
        });
        for usage in self.purpose.usages() {
            data[format!("usage-bootstrap-{usage}")] = "true".into();
        }
        for (_, value) in data.as_object_mut().into_iter().flatten() {
            *value = BASE64_STANDARD.encode(value.as_str().unwrap_or_default()).into();
        }
        json!({
            "metadata": mark.metadata(&format!("{SECRET_NAME}{}", self.id)),
            "type": "bootstrap.kubernetes.io/token",
            "data": data,
        })
    }
}

fn secret() -> Seen<String> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Unobserved::invalid("the system's random numbers", "there are none"))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap_token::is_id;

    fn run() -> RunId {
        "x7f4k".parse().unwrap()
    }

    #[test]
    fn a_token_is_what_kubeadm_would_make_and_marked_as_ours() {
        let minted = Minted::new(&run(), Purpose::Join).unwrap();
        assert!(is_id(minted.id()) && is_of_run(minted.id(), &run()));
        assert!(!is_of_run("abcdef", &run()) && !is_of_run("x7f4k", &run()) && !is_of_run("zx7f4k", &run()));
        let object = minted.object(&run(), "2026-11-24T12:00:00.5Z".parse().unwrap());
        let data = |key: &str| BASE64_STANDARD.decode(object["data"][key].as_str().unwrap()).unwrap();
        assert_eq!(object["metadata"]["name"], "bootstrap-token-jx7f4k");
        assert_eq!(object["metadata"]["labels"]["seaworthy.dev/run"], "x7f4k");
        assert_eq!(data("expiration"), b"2026-11-24T12:00:00Z");
        assert_eq!(data("token-secret"), minted.secret());
        assert_eq!(data("usage-bootstrap-signing"), b"true");
        assert!(minted.secret().iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }

    #[test]
    fn no_message_shows_the_secret() {
        let minted = Minted::new(&run(), Purpose::Control).unwrap();
        let shown = format!("{minted:?} {:?} {}", minted.bearer(), minted.bearer());
        assert!(!shown.contains(&minted.secret));
        assert_ne!(minted.guesser().unwrap(), minted.bearer());
    }
}
