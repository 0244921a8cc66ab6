//! Pods by their names.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::Serialize;

use super::Pod;
use crate::object_ref::NamespacedName;

/// Pods by their names. Each has a box of its own: a map that is filled in order stays half empty, and a pod is large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByName(BTreeMap<NamespacedName, Box<Pod>>);

impl ByName {
    /// The pods, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &Pod> {
        self.0.values().map(AsRef::as_ref)
    }

    /// The pods with their names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&NamespacedName, &Pod)> {
        self.0.iter().map(|(name, pod)| (name, pod.as_ref()))
    }

    /// The pod of this name.
    pub fn get(&self, name: &NamespacedName) -> Option<&Pod> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Adds a pod.
    pub fn insert(&mut self, name: NamespacedName, pod: Pod) {
        self.0.insert(name, Box::new(pod));
    }
}

impl FromIterator<(NamespacedName, Pod)> for ByName {
    fn from_iter<I: IntoIterator<Item = (NamespacedName, Pod)>>(pods: I) -> Self {
        Self(pods.into_iter().map(|(name, pod)| (name, Box::new(pod))).collect())
    }
}

impl<const N: usize> From<[(NamespacedName, Pod); N]> for ByName {
    fn from(pods: [(NamespacedName, Pod); N]) -> Self {
        pods.into_iter().collect()
    }
}

impl Index<&NamespacedName> for ByName {
    type Output = Pod;

    fn index(&self, name: &NamespacedName) -> &Pod {
        &self.0[name]
    }
}

/// What only tests change.
#[cfg(test)]
mod changes {
    use super::*;

    impl ByName {
        pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Pod> {
            self.0.values_mut().map(AsMut::as_mut)
        }

        pub(crate) fn get_mut(&mut self, name: &NamespacedName) -> Option<&mut Pod> {
            self.0.get_mut(name).map(AsMut::as_mut)
        }

        pub(crate) fn remove(&mut self, name: &NamespacedName) -> Option<Pod> {
            self.0.remove(name).map(|pod| *pod)
        }

        pub(crate) fn retain(&mut self, keep: impl Fn(&NamespacedName, &Pod) -> bool) {
            self.0.retain(|name, pod| keep(name, pod));
        }

        pub(crate) fn extend(&mut self, pods: impl IntoIterator<Item = (NamespacedName, Pod)>) {
            self.0.extend(pods.into_iter().map(|(name, pod)| (name, Box::new(pod))));
        }
    }

    impl IntoIterator for ByName {
        type Item = (NamespacedName, Pod);
        type IntoIter = Box<dyn Iterator<Item = Self::Item>>;

        fn into_iter(self) -> Self::IntoIter {
            Box::new(self.0.into_iter().map(|(name, pod)| (name, *pod)))
        }
    }
}
