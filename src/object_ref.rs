//! References to objects of the API: by namespace and name where the kind is known, or by kind as well.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A part of a reference. Tables of expected objects are constants and borrow theirs.
type Text = Cow<'static, str>;

/// A namespaced object whose kind is known from the context, written `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: Text,
    /// The name.
    pub name: Text,
}

/// An object of the API, written `KIND NAMESPACE/NAME`, or `KIND NAME` for one without a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind.
    pub kind: Text,
    /// The namespace, for a namespaced object.
    pub namespace: Option<Text>,
    /// The name.
    pub name: Text,
}

/// A text that does not refer to an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} does not name an object: write {form}")]
pub struct NotAReference {
    text: String,
    form: &'static str,
}

impl NamespacedName {
    /// An object with this namespace and name.
    pub fn new(namespace: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The same as [`Self::new`], for tables.
    pub const fn fixed(namespace: &'static str, name: &'static str) -> Self {
        Self { namespace: Cow::Borrowed(namespace), name: Cow::Borrowed(name) }
    }

    /// The object of this kind.
    pub fn of(&self, kind: &'static str) -> ObjectRef {
        ObjectRef { kind: kind.into(), namespace: Some(self.namespace.clone()), name: self.name.clone() }
    }
}

impl ObjectRef {
    /// An object without a namespace.
    pub fn cluster(kind: &'static str, name: impl Into<Text>) -> Self {
        Self { kind: kind.into(), namespace: None, name: name.into() }
    }

    /// A namespaced object.
    pub fn namespaced(kind: &'static str, namespace: impl Into<Text>, name: impl Into<Text>) -> Self {
        NamespacedName::new(namespace, name).of(kind)
    }

    /// The same as [`Self::cluster`], for tables.
    pub const fn fixed(kind: &'static str, name: &'static str) -> Self {
        Self { kind: Cow::Borrowed(kind), namespace: None, name: Cow::Borrowed(name) }
    }

    /// The same as [`Self::namespaced`], for tables.
    pub const fn fixed_in(namespace: &'static str, kind: &'static str, name: &'static str) -> Self {
        let [kind, namespace, name] = [Cow::Borrowed(kind), Cow::Borrowed(namespace), Cow::Borrowed(name)];
        Self { kind, namespace: Some(namespace), name }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl FromStr for NamespacedName {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && is_name(name) => {
                Ok(Self::new(namespace.to_owned(), name.to_owned()))
            }
            _ => Err(NotAReference { text: text.into(), form: "NAMESPACE/NAME" }),
        }
    }
}

impl FromStr for ObjectRef {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAReference { text: text.into(), form: "KIND NAMESPACE/NAME or KIND NAME" };
        let (kind, name) = text.split_once(' ').filter(|(kind, _)| !kind.is_empty()).ok_or_else(wrong)?;
        let kind = kind.to_owned().into();
        if is_name(name) {
            return Ok(Self { kind, namespace: None, name: name.to_owned().into() });
        }
        let NamespacedName { namespace, name } = name.parse().map_err(|_| wrong())?;
        Ok(Self { kind, namespace: Some(namespace), name })
    }
}

/// Whether it can be the name of an object: the path of its URL ends with it.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

/// As text in JSON, so that it can be the key of a map.
macro_rules! as_text {
    ($($type:ty),*) => {
        $(
            impl ::serde::Serialize for $type {
                fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> ::serde::Deserialize<'de> for $type {
                fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                    text.parse().map_err(::serde::de::Error::custom)
                }
            }
        )*
    };
}
pub(crate) use as_text;

as_text!(NamespacedName, ObjectRef);

#[cfg(test)]
pub(crate) mod testing {
    use super::{NamespacedName, ObjectRef};

    /// `NAMESPACE/NAME`.
    pub(crate) fn named(text: &str) -> NamespacedName {
        text.parse().unwrap()
    }

    /// `KIND NAMESPACE/NAME` or `KIND NAME`.
    pub(crate) fn object(text: &str) -> ObjectRef {
        text.parse().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{named, object};
    use super::*;

    #[test]
    fn an_object_is_written_with_its_kind_and_namespace() {
        let role = object("ClusterRole system:node");
        assert_eq!(
            (role.kind.as_ref(), role.namespace.as_deref(), role.name.as_ref()),
            ("ClusterRole", None, "system:node")
        );
        assert_eq!(object("Pod shop/web"), named("shop/web").of("Pod"));
        assert_eq!(object("Pod shop/web"), ObjectRef::fixed_in("shop", "Pod", "web"));
        assert_eq!(role, ObjectRef::fixed("ClusterRole", "system:node"));
    }

    #[test]
    fn what_does_not_name_an_object_is_an_error_that_repeats_it() {
        for wrong in ["", "web", "/web", "shop/", "a/b/c"] {
            let error = wrong.parse::<NamespacedName>().unwrap_err().to_string();
            assert_eq!(error, format!("{wrong:?} does not name an object: write NAMESPACE/NAME"));
        }
        for wrong in ["", "Pod", " web", "Pod ", "Pod /web", "Pod shop/", "Pod a/b/c"] {
            assert!(wrong.parse::<ObjectRef>().unwrap_err().to_string().starts_with(&format!("{wrong:?} ")), "{wrong}");
        }
    }

    #[test]
    fn a_reference_is_the_key_of_a_map() {
        let all: std::collections::BTreeMap<_, _> = [(named("shop/web"), object("Node n1"))].into();
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, r#"{"shop/web":"Node n1"}"#);
        assert_eq!(serde_json::from_str::<std::collections::BTreeMap<_, _>>(&text).unwrap(), all);
        assert!(serde_json::from_str::<ObjectRef>("\"Node\"").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(kind in "[A-Za-z]+", namespace in "[a-z0-9-]+", name in "[^/]+") {
            let namespaced = ObjectRef { kind: kind.clone().into(), namespace: Some(namespace.into()), name: name.clone().into() };
            let plain = ObjectRef { kind: kind.into(), namespace: None, name: name.into() };
            for reference in [namespaced, plain] {
                prop_assert_eq!(reference.to_string().parse::<ObjectRef>(), Ok(reference));
            }
        }
    }
}
