//! The fields of a configuration, each read by itself: a field of another type costs that field and no other.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

/// A configuration, and the fields that could not be read.
pub(super) struct Fields {
    root: Value,
    unread: RefCell<BTreeMap<String, String>>,
}

impl Fields {
    /// The fields of an object. Null is unset; a configuration that is null has no field.
    pub(super) fn new(root: Value) -> Result<Self, String> {
        match root {
            Value::Object(_) | Value::Null => Ok(Self { root, unread: RefCell::default() }),
            root => Err(format!("it is {} instead of an object", kind(&root))),
        }
    }

    /// The whole.
    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// The fields that could not be read, each with the reason.
    pub(super) fn unread(self) -> BTreeMap<String, String> {
        self.unread.into_inner()
    }

    /// Adds a field that could not be read.
    pub(super) fn cannot_read(&self, path: &str, cause: impl Into<String>) {
        self.unread.borrow_mut().insert(path.to_owned(), cause.into());
    }

    /// A field that is text and not empty.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = self.read(path, "text", |value| value.as_str().map(str::to_owned))?;
        Some(text).filter(|text| !text.is_empty())
    }

    /// A field that is true or false.
    pub(super) fn flag(&self, path: &str) -> Option<bool> {
        self.read(path, "true or false", Value::as_bool)
    }

    /// A field that is a list of texts; null in it is an empty text.
    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        let all = |value: &Value| {
            let text =
                |item: &Value| if item.is_null() { Some(String::new()) } else { item.as_str().map(str::to_owned) };
            value.as_array()?.iter().map(text).collect()
        };
        self.read(path, "a list of texts", all).unwrap_or_default()
    }

    /// Names with values: a list of objects with `name` and `value`, or an object of texts.
    pub(super) fn pairs(&self, path: &str) -> Vec<(String, String)> {
        let item = |item: &Value| {
            let value = item.get("value").filter(|value| !value.is_null());
            Some((item.get("name")?.as_str()?.to_owned(), value.map_or(Some(""), Value::as_str)?.to_owned()))
        };
        let all = |value: &Value| match value {
            Value::Array(items) => items.iter().map(item).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
            }
            _ => None,
        };
        self.read(path, "a list of names and values", all).unwrap_or_default()
    }

    /// Whether an object is set.
    pub(super) fn has(&self, path: &str) -> bool {
        self.read(path, "an object", |value| value.is_object().then_some(())).is_some()
    }

    /// The items of a list, each with its own fields. Those of `null` are unset.
    pub(super) fn items(&self, path: &str) -> Vec<Value> {
        self.read(path, "a list", |value| value.as_array().cloned()).unwrap_or_default()
    }

    fn read<T>(&self, path: &str, right: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let mut value = &self.root;
        let mut end = 0;
        for name in path.split('.') {
            match value {
                Value::Null => return None,
                Value::Object(fields) => value = fields.get(name)?,
                other => {
                    self.cannot_read(&path[..end], format!("it is {} instead of an object", kind(other)));
                    return None;
                }
            }
            end += name.len() + usize::from(end > 0);
        }
        if value.is_null() {
            return None;
        }
        let read = read(value);
        if read.is_none() {
            self.cannot_read(path, format!("it is {} instead of {right}", kind(value)));
        }
        read
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(items) if items.iter().any(|item| !item.is_string()) => "a list of other values",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_another_type_costs_that_field() {
        let fields = Fields::new(json!({
            "apiServer": {"certSANs": "lb"}, "networking": null, "version": 1.37, "etcd": {"external": {}}, "dns": "x",
            "names": ["a", null],
        }))
        .unwrap();
        assert_eq!((fields.texts("apiServer.certSANs"), fields.text("version")), (vec![], None));
        assert_eq!((fields.text("networking.podSubnet"), fields.text("missing")), (None, None));
        assert_eq!((fields.text("dns.domain"), fields.has("etcd.external")), (None, true));
        assert_eq!(fields.texts("names"), ["a", ""]);
        let unread: Vec<String> = fields.unread().into_iter().map(|(path, why)| format!("{path}: {why}")).collect();
        assert_eq!(
            unread,
            [
                "apiServer.certSANs: it is text instead of a list of texts",
                "dns: it is text instead of an object",
                "version: it is a number instead of text"
            ]
        );
    }

    #[test]
    fn nothing_is_not_a_field_and_a_list_is_not_a_configuration() {
        assert_eq!(Fields::new(Value::Null).unwrap().text("a"), None);
        assert!(Fields::new(json!([])).is_err());
    }
}
