//! Who gets permissions.

use std::str::FromStr;

/// Who gets permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A user, by the name that authentication gives.
    User(String),
    /// A group of users.
    Group(String),
}

/// A text that names no subject.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write ServiceAccount:NAMESPACE/NAME, User:NAME or Group:NAME")]
pub(crate) struct NotASubject;

impl FromStr for Subject {
    type Err = NotASubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((_, "")) | None => Err(NotASubject),
            Some(("User", name)) => Ok(Self::User(name.into())),
            Some(("Group", name)) => Ok(Self::Group(name.into())),
            Some(("ServiceAccount", name)) => match name.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                    Ok(Self::ServiceAccount { namespace: namespace.into(), name: name.into() })
                }
                _ => Err(NotASubject),
            },
            Some(_) => Err(NotASubject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_a_kind() {
        assert_eq!("User:jane".parse(), Ok(Subject::User("jane".into())));
        assert_eq!("Group:system:masters".parse(), Ok(Subject::Group("system:masters".into())));
        let account = Subject::ServiceAccount { namespace: "ci".into(), name: "seaworthy".into() };
        assert_eq!("ServiceAccount:ci/seaworthy".parse(), Ok(account));
        for wrong in ["jane", "User:", "ServiceAccount:x", "ServiceAccount:a/b/c", "Robot:x", ""] {
            assert_eq!(wrong.parse::<Subject>(), Err(NotASubject), "{wrong}");
        }
    }
}
