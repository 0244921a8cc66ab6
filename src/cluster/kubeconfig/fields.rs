//! The fields of an entry, with Go's idea of what is unset, and errors that say what would be right.

use std::collections::BTreeMap;

use base64::alphabet;
use base64::engine::{Engine, GeneralPurpose, GeneralPurposeConfig};

use super::document::{Node, Value};

/// Base64 as Go decodes it.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The fields of an object. Null and a missing field are the same: unset. Unknown fields are ignored.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(Option<&'a BTreeMap<String, Node>>);

impl<'a> Fields<'a> {
    /// The fields of this object, which has this name in an error.
    pub(super) fn of(object: Option<&'a Node>, name: &str) -> Result<Self, String> {
        match object.map(|object| (object, &object.value)) {
            None | Some((_, Value::Null)) => Ok(Self(None)),
            Some((_, Value::Map(fields))) => Ok(Self(Some(fields))),
            Some((object, other)) => {
                Err(format!("its {name}{} is {}, not a mapping of fields", line(object), other.kind()))
            }
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_none_or(BTreeMap::is_empty)
    }

    fn node(self, field: &str) -> Option<&'a Node> {
        self.0?.get(field).filter(|node| !node.value.is_null())
    }

    /// Where the field is, for an error.
    pub(super) fn line(self, field: &str) -> String {
        self.node(field).map(line).unwrap_or_default()
    }

    /// A text. As in Go, an empty one is unset.
    pub(super) fn text(self, field: &str) -> Result<Option<String>, String> {
        let text = self.node(field).map(|node| text_of(field, node)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    pub(super) fn flag(self, field: &str) -> Result<bool, String> {
        match self.node(field).map(|node| (node, &node.value)) {
            None => Ok(false),
            Some((_, Value::Flag(flag))) => Ok(*flag),
            Some((node, other)) => {
                let hint = if matches!(other, Value::Text(_)) { ": remove the quotes" } else { "" };
                Err(format!("its {field}{} is {}, not true or false{hint}", line(node), other.kind()))
            }
        }
    }

    /// Bytes in base64, in which line breaks are skipped.
    pub(super) fn bytes(self, field: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let text = without_line_breaks(&text);
        BASE64.decode(&*text).map(Some).map_err(|_| {
            let hint = if text.contains("-----BEGIN") {
                let file = field.strip_suffix("-data").unwrap_or(field);
                format!("it is PEM: encode it with `base64 -w0`, or put it into a file and name that in {file}")
            } else {
                "encode the PEM file with `base64 -w0`".to_owned()
            };
            format!("its {field}{} is not base64: {hint}", self.line(field))
        })
    }

    pub(super) fn list(self, field: &str) -> Result<&'a [Node], String> {
        match self.node(field).map(|node| (node, &node.value)) {
            None => Ok(&[]),
            Some((_, Value::List(items))) => Ok(items),
            Some((node, other)) => Err(format!("its {field}{} is {}, not a list", line(node), other.kind())),
        }
    }

    /// A list of texts, in which null is an empty text.
    pub(super) fn texts(self, field: &str) -> Result<Vec<String>, String> {
        self.list(field)?.iter().map(|item| Ok(text_of(&format!("{field} entry"), item)?.to_owned())).collect()
    }

    /// The fields of a field, if it is set.
    pub(super) fn object(self, field: &str) -> Result<Option<Self>, String> {
        self.node(field).map(|node| Self::of(Some(node), field)).transpose()
    }

    /// The values of all fields, by their names.
    pub(super) fn all(self) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.0.into_iter().flatten().map(|(name, node)| (name.as_str(), node))
    }
}

/// The text of a node, in which null is an empty text. Errors do not quote it: it may be a secret.
pub(super) fn text_of<'a>(field: &str, node: &'a Node) -> Result<&'a str, String> {
    match &node.value {
        Value::Null => Ok(""),
        Value::Text(text) => Ok(text),
        other @ (Value::Number(_) | Value::Flag(_)) => {
            let kind = if matches!(other, Value::Flag(_)) { "true or false as YAML reads it" } else { "a number" };
            Err(format!("its {field}{} is {kind}, not text: put it in quotes", line(node)))
        }
        other => Err(format!("its {field}{} is {}, not text", line(node), other.kind())),
    }
}

/// Where a node is, for an error.
pub(super) fn line(node: &Node) -> String {
    match node.referenced.line() {
        0 => String::new(),
        line => format!(" (line {line})"),
    }
}

/// Base64 without the line breaks that Go's decoder skips.
pub(crate) fn without_line_breaks(base64: &str) -> std::borrow::Cow<'_, str> {
    if base64.contains(['\r', '\n']) { base64.replace(['\r', '\n'], "").into() } else { base64.into() }
}

#[cfg(test)]
mod tests {
    use super::super::document::read;
    use super::*;

    fn with<T>(yaml: &str, test: impl FnOnce(Fields<'_>) -> T) -> T {
        let node = read(yaml.as_bytes()).unwrap();
        test(Fields::of(node.as_ref(), "user").unwrap())
    }

    #[test]
    fn null_and_empty_are_unset() {
        with("{a: null, b: '', c: x, d: null, e: [x, null], f: ~}", |fields| {
            assert_eq!((fields.text("a"), fields.text("b"), fields.text("none")), (Ok(None), Ok(None), Ok(None)));
            assert_eq!((fields.text("c"), fields.flag("d")), (Ok(Some("x".into())), Ok(false)));
            assert_eq!(fields.texts("e"), Ok(vec!["x".into(), String::new()]));
            assert!(fields.list("f").unwrap().is_empty() && fields.object("f").unwrap().is_none());
        });
    }

    #[test]
    fn an_error_has_the_line_and_what_would_be_right_and_no_value() {
        let yaml = "a: 4711\nb: yes\nc: 'true'\nd: [4711]\ne: {x: 4711}\nf: '4711-'\ng: |\n  -----BEGIN 4711\n";
        with(yaml, |fields| {
            for (why, says) in [
                (fields.text("a").err(), "its a (line 1) is a number, not text: put it in quotes"),
                (
                    fields.text("b").err(),
                    "its b (line 2) is true or false as YAML reads it, not text: put it in quotes",
                ),
                (fields.text("d").err(), "its d (line 4) is a list, not text"),
                (fields.flag("c").err(), "its c (line 3) is text, not true or false: remove the quotes"),
                (fields.texts("d").err(), "its d entry (line 4) is a number, not text: put it in quotes"),
                (fields.list("e").err(), "its e (line 5) is a mapping, not a list"),
                (fields.bytes("f").err(), "its f (line 6) is not base64: encode the PEM file with `base64 -w0`"),
                (fields.object("a").err(), "its a (line 1) is a number, not a mapping of fields"),
            ] {
                assert_eq!(why.as_deref(), Some(says));
            }
            assert!(fields.bytes("g").unwrap_err().contains("it is PEM: encode it"));
        });
    }

    #[test]
    fn base64_is_decoded_as_in_go() {
        with("{a: \"AQ\\r\\nI=\\n\", b: 'A Q==', c: 'AR==', d: 'AQ'}", |fields| {
            assert_eq!(fields.bytes("a"), Ok(Some(vec![1, 2])));
            assert_eq!(fields.bytes("c"), Ok(Some(vec![1])));
            assert!(fields.bytes("b").is_err() && fields.bytes("d").is_err());
        });
    }
}
