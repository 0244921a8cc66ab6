//! An object that can be printed and applied.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::FIELD_MANAGER;
use crate::cluster::Call;

/// An object that can be printed and applied.
#[derive(Clone)]
pub(crate) struct Object {
    value: Value,
    call: Call,
    kind: &'static str,
    name: String,
    namespace: Option<String>,
}

impl Object {
    /// An object of Kubernetes.
    pub(super) fn new<K: Resource + Metadata<Ty = ObjectMeta> + Serialize>(object: &K) -> Self {
        let ObjectMeta { name, namespace, .. } = object.metadata();
        let (name, namespace) = (name.clone().unwrap_or_default(), namespace.clone());
        let value = serde_json::to_value(object).expect("an object of Kubernetes is JSON");
        let call = Call::apply::<K>(&name, value.clone(), FIELD_MANAGER);
        let call = match &namespace {
            Some(namespace) => call.in_namespace(namespace),
            None => call,
        };
        Self { value, call, kind: K::KIND, name, namespace }
    }

    /// The request that applies it.
    pub(super) fn call(&self, force: bool) -> Call {
        if force { self.call.clone().with("force", "true") } else { self.call.clone() }
    }

    /// Its kind and its name, with its namespace if it has one.
    pub(crate) fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// Whether it is the namespace of the installation.
    pub(super) fn is_namespace(&self) -> bool {
        self.kind == "Namespace"
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
