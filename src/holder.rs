//! Subjects of RBAC: the users, groups and service accounts that hold rights.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::object_ref::{NamespacedName, as_text};

/// How the API server calls service accounts as users, before namespace and name.
const ACCOUNT: &str = "system:serviceaccount:";

/// A user, group or account that may hold rights, written `Group NAME`, `ServiceAccount NAMESPACE/NAME` or `User NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A group of users.
    Group(Cow<'static, str>),
    /// A service account.
    ServiceAccount(NamespacedName),
    /// A user, by the name that authentication gives.
    User(Cow<'static, str>),
}

/// A text that does not name a holder of rights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a user, group or service account: write `User NAME`, such as `User {example}`, `Group NAME`, or `ServiceAccount NAMESPACE/NAME`"
)]
pub struct NotAHolder {
    text: String,
    example: String,
}

impl Holder {
    /// A group, for tables.
    pub const fn group(name: &'static str) -> Self {
        Self::Group(Cow::Borrowed(name))
    }

    /// A service account, for tables.
    pub const fn account(namespace: &'static str, name: &'static str) -> Self {
        Self::ServiceAccount(NamespacedName::fixed(namespace, name))
    }

    /// A user, for tables.
    pub const fn user(name: &'static str) -> Self {
        Self::User(Cow::Borrowed(name))
    }

    /// `Group`, `ServiceAccount` or `User`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "Group",
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::User(_) => "User",
        }
    }

    /// The same holder, as a service account where it is written as the user that the account is to the API server.
    pub fn canonical(&self) -> Self {
        let account = |user: &str| {
            let (namespace, name) = user.strip_prefix(ACCOUNT)?.split_once(':')?;
            Some(Self::ServiceAccount(NamespacedName::new(namespace.to_owned(), name.to_owned())))
        };
        match self {
            Self::User(name) => account(name).unwrap_or_else(|| self.clone()),
            Self::Group(_) | Self::ServiceAccount(_) => self.clone(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Group(name) | Self::User(name) => write!(f, "{kind} {name}"),
            Self::ServiceAccount(name) => write!(f, "{kind} {name}"),
        }
    }
}

impl FromStr for Holder {
    type Err = NotAHolder;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(' ') {
            Some((_, name)) if name.trim().is_empty() => None,
            Some(("User", name)) => Some(Self::User(name.to_owned().into())),
            Some(("Group", name)) => Some(Self::Group(name.to_owned().into())),
            Some(("ServiceAccount", name)) => name.parse().ok().map(Self::ServiceAccount),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let is_plain = !text.is_empty() && !text.contains([' ', ':', '/']);
            NotAHolder { text: text.into(), example: if is_plain { text } else { "bob" }.into() }
        })
    }
}

as_text!(Holder);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_has_a_kind() {
        for (text, holder) in [
            ("User jane", Holder::user("jane")),
            ("User https://id.example.com#jane doe", Holder::user("https://id.example.com#jane doe")),
            ("Group system:masters", Holder::group("system:masters")),
            ("ServiceAccount ci/deployer", Holder::account("ci", "deployer")),
        ] {
            assert_eq!(text.parse(), Ok(holder.clone()));
            assert_eq!(holder.to_string(), text);
        }
        for wrong in ["jane", "User:jane", "User ", "ServiceAccount x", "ServiceAccount a/b/c", "Robot x", ""] {
            let error = wrong.parse::<Holder>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong:?} is not a user")), "{error}");
        }
    }

    #[test]
    fn a_service_account_is_also_a_user() {
        let account = Holder::account("ci", "deployer");
        assert_eq!(Holder::user("system:serviceaccount:ci:deployer").canonical(), account);
        assert_eq!(account.canonical(), account);
        assert_eq!(Holder::user("jane").canonical(), Holder::user("jane"));
    }
}
