//! The configuration of a kubelet, field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Headers that a kubelet sends may contain credentials; their values are not kept.
const CONFIDENTIAL: &str = "staticPodURLHeader";

/// A KubeletConfiguration by the path of each field, as `authentication.anonymous.enabled`. Lists are one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct KubeletConfiguration(pub BTreeMap<String, Value>);

impl KubeletConfiguration {
    /// The fields of an object.
    pub(crate) fn new(object: Value) -> Self {
        let mut fields = BTreeMap::new();
        flatten(String::new(), object, &mut fields);
        Self(fields)
    }

    /// The value of a field, if it is set.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path)
    }

    /// The value of a text field, if it is set and not empty.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str().filter(|text| !text.is_empty())
    }

    /// Whether a field is true. Go leaves out fields that are false.
    pub(crate) fn is_on(&self, path: &str) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or(false)
    }
}

fn flatten(path: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if path == CONFIDENTIAL => {
            into.insert(path, fields.keys().cloned().collect());
        }
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                flatten(if path.is_empty() { name } else { format!("{path}.{name}") }, value, into);
            }
        }
        // An empty object has no fields.
        Value::Object(_) | Value::Null => {}
        value => {
            into.insert(path, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_known_by_their_path() {
        let configuration = KubeletConfiguration::new(json!({
            "authentication": {"anonymous": {"enabled": false}, "x509": {"clientCAFile": "/pki/ca.crt"}},
            "clusterDNS": ["10.96.0.10"], "memorySwap": {}, "maxPods": 110, "rotateCertificates": true, "tlsCertFile": "",
        }));
        assert_eq!(configuration.text("authentication.x509.clientCAFile"), Some("/pki/ca.crt"));
        assert_eq!(configuration.get("clusterDNS"), Some(&json!(["10.96.0.10"])));
        assert!(configuration.is_on("rotateCertificates") && !configuration.is_on("serverTLSBootstrap"));
        assert_eq!((configuration.get("memorySwap"), configuration.text("tlsCertFile")), (None, None));
    }

    #[test]
    fn headers_with_credentials_are_not_kept() {
        let configuration =
            KubeletConfiguration::new(json!({"staticPodURLHeader": {"Authorization": ["Bearer s3cret"]}}));
        assert_eq!(configuration.get("staticPodURLHeader"), Some(&json!(["Authorization"])));
    }
}
