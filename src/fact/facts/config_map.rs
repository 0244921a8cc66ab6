//! Configuration in ConfigMaps.

use k8s_openapi::api::core::v1;
use serde::de::DeserializeOwned;

use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// A ConfigMap of which some keys are read.
pub(super) struct ConfigMap {
    place: String,
    /// All of it.
    pub(super) whole: v1::ConfigMap,
}

impl ConfigMap {
    /// Asks for one.
    pub(super) async fn fetch(cluster: &Cluster, namespace: &str, name: &str) -> Seen<Self> {
        let call = Call::get_in::<v1::ConfigMap>(namespace, name);
        Ok(Self { place: call.to_string(), whole: cluster.fetch(&call).await? })
    }

    /// The keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.whole.data.iter().flat_map(|data| data.keys())
    }

    /// The value of a key.
    pub(super) fn key(&self, key: &str) -> Seen<&str> {
        let text = self.whole.data.as_ref().and_then(|data| data.get(key));
        text.map(String::as_str).ok_or_else(|| self.unusable(format!("it has no key {key}")))
    }

    /// The value of a key, parsed as YAML. Errors do not quote it.
    pub(super) fn yaml<T: DeserializeOwned>(&self, key: &str) -> Seen<T> {
        serde_saphyr::from_str(self.key(key)?).map_err(|e| self.unusable(e.without_snippet().to_string()))
    }

    /// The error that its content cannot be used, and why not.
    pub(super) fn unusable(&self, cause: String) -> Unobserved {
        Unobserved::invalid(self.place.clone(), cause)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_missing_or_malformed_is_said_without_quoting_it() {
        let data = [("a", "b: 5"), ("c", "token: [hunter2")];
        let data = data.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let whole = v1::ConfigMap { data: Some(data), ..v1::ConfigMap::default() };
        let map = ConfigMap { place: "GET it".into(), whole };
        assert_eq!(map.yaml::<BTreeMap<String, u8>>("a").unwrap()["b"], 5);
        assert_eq!(map.key("x").unwrap_err().to_string(), "GET it: it has no key x");
        let why = map.yaml::<BTreeMap<String, Vec<String>>>("c").unwrap_err().to_string();
        assert!(why.starts_with("GET it") && !why.contains("hunter2"), "{why}");
        assert_eq!(map.keys().collect::<Vec<_>>(), ["a", "c"]);
    }
}
