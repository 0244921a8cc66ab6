//! YAML as Kubernetes reads it (`sigs.k8s.io/yaml`), and as it is written for people.

use serde::Serialize;
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

/// Objects as documents of one text, with their fields in the order of their names.
pub(crate) fn documents<T: Serialize>(objects: &[T]) -> String {
    let written = objects.iter().map(|object| {
        // Manifests are wider than a page in a few places: a folded line would hide that a word is one.
        let options = serde_saphyr::ser_options! { folded_wrap_chars: 4096 };
        let value = serde_json::to_value(object).expect("an object of Kubernetes is JSON");
        serde_saphyr::to_string_with_options(&value, options).expect("JSON is written as YAML")
    });
    written.collect::<Vec<_>>().join("---\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
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

    #[test]
    fn words_that_yaml_takes_for_something_else_are_quoted() {
        let words =
            ["", "yes", "null", "~", "1", "1.0", "0x1f", "a: b", "# no", "- no", "2026-12-01", "*", "a\nb\n", " a "];
        let objects = [json!({"words": words, "empty": [], "none": {}})];
        let text = documents(&objects);
        assert_eq!(first_document::<Value>(&text), Ok(objects[0].clone()), "{text}");
        assert_eq!(documents(&[json!({"b": 1, "a": [""]}), json!(2)]), "a:\n- \"\"\nb: 1\n---\n2\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(texts in any::<Vec<String>>()) {
            let text = documents(&[json!({ "texts": texts })]);
            assert_eq!(first_document::<Value>(&text), Ok(json!({ "texts": texts })), "{text}");
        }
    }
}
