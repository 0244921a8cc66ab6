//! The `managedFields` that an API server keeps of an object: about as long as the object.

use serde_json::{Map, Value, json};

/// An entry of a manager that has set these parts of an object.
pub(crate) fn entry(manager: &str, subresource: &str, version: &str, at: &str, parts: &Value) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": "Update", "apiVersion": version, "time": at, "fieldsType": "FieldsV1",
        "fieldsV1": fields(parts),
    });
    if !subresource.is_empty() {
        entry["subresource"] = json!(subresource);
    }
    entry
}

/// The fields of a value, in the form of FieldsV1.
fn fields(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields = object.iter().map(|(key, value)| (format!("f:{key}"), fields(value)));
            Value::Object(itself(value).chain(fields).collect())
        }
        Value::Array(items) => {
            let keyed = items.iter().filter_map(|item| Some((key_of(item)?, fields(item))));
            Value::Object(itself(value).chain(keyed).collect())
        }
        _ => json!({}),
    }
}

fn itself(value: &Value) -> impl Iterator<Item = (String, Value)> + use<> {
    let is_empty = value.as_object().is_some_and(Map::is_empty);
    (!is_empty).then(|| (".".to_owned(), json!({}))).into_iter()
}

/// The key of an item of a list of objects.
fn key_of(item: &Value) -> Option<String> {
    let by = ["name", "type", "ip", "containerPort", "mountPath", "key"];
    by.iter().find_map(|key| Some(format!("k:{{\"{key}\":{}}}", item.get(*key)?)))
}
