//! YAML as Kubernetes reads it (`sigs.k8s.io/yaml`).

use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

/// The first document of a text: what follows the next `---` is not read. Of two equal keys the last one wins. A text
/// without a document is null. Errors name the line and do not quote it.
pub(crate) fn first_document<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let mut bytes = text.as_bytes();
    let first = serde_saphyr::read_with_options::<_, T>(&mut bytes, options).next();
    let read = first.unwrap_or_else(|| serde_saphyr::from_str("null"));
    read.map_err(|error| error.without_snippet().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_last_of_two_keys_and_the_first_of_two_documents_count() {
        assert_eq!(first_document::<Value>("a: 1\nb: 2\na: 3\n---\n"), Ok(json!({"a": 3, "b": 2})));
        assert_eq!(first_document::<Value>("---\na: 1\n---\nb: [\n"), Ok(json!({"a": 1})));
        assert_eq!(first_document::<Value>("# nothing\n"), Ok(Value::Null));
        let error = first_document::<Value>("token: [hunter2").unwrap_err();
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
    }
}
