//! What many pods have in common is in memory once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Pod, Pods};
use crate::object_ref::NamespacedName;

/// Labels, which the pods of a workload share.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Labels(Arc<BTreeMap<String, String>>);

impl Labels {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Deref for Labels {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Labels {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        Self(Arc::new(labels))
    }
}

impl<const N: usize> From<[(String, String); N]> for Labels {
    fn from(labels: [(String, String); N]) -> Self {
        BTreeMap::from(labels).into()
    }
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(labels: I) -> Self {
        labels.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

/// A text that pods share, as the name of their node or an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Word(Arc<str>);

impl Word {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Word {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<T: Into<Arc<str>>> From<T> for Word {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl From<Word> for Cow<'static, str> {
    fn from(word: Word) -> Self {
        Self::Owned(word.to_string())
    }
}

impl PartialEq<str> for Word {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Word {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<Cow<'_, str>> for Word {
    fn eq(&self, other: &Cow<'_, str>) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<String> for Word {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

/// What pods have had so far.
#[derive(Default)]
pub(super) struct Shared {
    labels: BTreeSet<Labels>,
    words: BTreeSet<Word>,
}

impl Shared {
    /// A pod that shares what an earlier one has, too.
    pub(super) fn pod(&mut self, mut pod: Pod) -> Pod {
        share(&mut self.labels, &mut pod.labels);
        let owner = pod.owner.iter_mut().flat_map(|owner| [&mut owner.kind, &mut owner.name]);
        let optional = pod.node.iter_mut().chain(&mut pod.priority_class);
        let others = [&mut pod.service_account, &mut pod.phase].into_iter().chain(&mut pod.config_maps);
        let of_containers = pod.containers.iter_mut().flat_map(|container| [&mut container.name, &mut container.image]);
        for word in owner.chain(optional).chain(others).chain(&mut pod.secrets).chain(of_containers) {
            share(&mut self.words, word);
        }
        for names in [&mut pod.config_maps, &mut pod.secrets] {
            names.shrink_to_fit();
        }
        pod.containers.shrink_to_fit();
        pod
    }
}

fn share<T: Clone + Ord>(known: &mut BTreeSet<T>, one: &mut T) {
    match known.get(one) {
        Some(equal) => *one = equal.clone(),
        None => drop(known.insert(one.clone())),
    }
}

impl<'de> Deserialize<'de> for Pods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByName)
    }
}

struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = Pods;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pods by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pods, A::Error> {
        let (mut pods, mut shared) = (Pods::default(), Shared::default());
        while let Some((name, pod)) = map.next_entry::<NamespacedName, Pod>()? {
            pods.0.insert(name, shared.pod(pod));
        }
        Ok(pods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_share_equal_labels() {
        let pod = |name: &str, app: &str| {
            let labels = [("app".to_owned(), app.to_owned())].into();
            (NamespacedName::new("shop", name.to_owned()), Pod { labels, ..Pod::default() })
        };
        let pods = Pods([pod("a", "web"), pod("b", "web"), pod("c", "db")].into());
        let read: Pods = serde_json::from_str(&serde_json::to_string(&pods).unwrap()).unwrap();
        assert_eq!(read.0, pods.0);
        let labels: Vec<_> = read.0.values().map(|pod| &pod.labels.0).collect();
        assert!(Arc::ptr_eq(labels[0], labels[1]) && !Arc::ptr_eq(labels[0], labels[2]));
    }
}
