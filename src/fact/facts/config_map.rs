//! Configuration in ConfigMaps.

use k8s_openapi::api::core::v1;

use super::fields::Fields;
use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};
use crate::yaml;

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

    /// The fields of a key, parsed as YAML. Errors do not quote it.
    pub(super) fn fields(&self, key: &str) -> Seen<Fields> {
        let fields = yaml::first_document(self.key(key)?).and_then(Fields::new);
        fields.map_err(|cause| self.unusable(format!("{key}: {cause}")))
    }

    /// The error that its content cannot be used, and why not.
    pub(super) fn unusable(&self, cause: String) -> Unobserved {
        Unobserved::invalid(self.place.clone(), cause)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A ConfigMap with these keys.
    pub(in super::super) fn config_map(data: &[(&str, &str)]) -> ConfigMap {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let whole = v1::ConfigMap { data: Some(data), ..v1::ConfigMap::default() };
        ConfigMap { place: "GET it".into(), whole }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::config_map;

    #[test]
    fn what_is_missing_or_malformed_is_said_without_quoting_it() {
        let map = config_map(&[("a", "b: x"), ("c", "token: [hunter2"), ("d", "[]")]);
        assert_eq!(map.fields("a").unwrap().text("b").as_deref(), Some("x"));
        assert_eq!(map.key("x").unwrap_err().to_string(), "GET it: it has no key x");
        let why = |key: &str| map.fields(key).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(why("c").starts_with("GET it: c: ") && !why("c").contains("hunter2"), "{}", why("c"));
        assert_eq!(why("d"), "GET it: d: it is a list instead of an object");
        assert_eq!(map.keys().collect::<Vec<_>>(), ["a", "c", "d"]);
    }
}
