//! The contents of a file: YAML or JSON, read as Go reads it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Spanned, UserMessageFormatter};

/// A value and its place in the file.
pub(super) type Node = Spanned<Value>;

/// A value without any assumption about its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

/// The first document of a file, in UTF-8, or in UTF-16 as PowerShell writes it. Of two equal keys the last one wins.
/// Nothing for a file without a document. Errors name the line and do not quote it.
pub(super) fn read(mut bytes: &[u8]) -> Result<Option<Node>, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if let Err(broken) = std::str::from_utf8(bytes)
        && !is_utf16
    {
        return Err(format!("it is not text in UTF-8 from byte {} on: save it as UTF-8", broken.valid_up_to() + 1));
    }
    let first = serde_saphyr::read_with_options::<_, Node>(&mut bytes, options).next();
    first.transpose().map_err(|error| error.render_with_formatter(&UserMessageFormatter))
}

impl Value {
    /// The kind of value, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The same value in JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Flag(flag) => (*flag).into(),
            Self::Number(number) => number.clone().into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Map(fields) => fields.iter().map(|(key, field)| (key.clone(), field.value.to_json())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = fields.next_key::<Value>()? {
            let field = fields.next_value()?;
            // As in Go, a key may be a number or a boolean.
            let key = match key {
                Value::Text(key) => key,
                Value::Number(key) => key.to_string(),
                Value::Flag(key) => key.to_string(),
                other => return Err(A::Error::custom(format!("a key is {}", other.kind()))),
            };
            map.insert(key, field);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: impl AsRef<[u8]>) -> serde_json::Value {
        read(bytes.as_ref()).unwrap().unwrap().value.to_json()
    }

    #[test]
    fn every_encoding_that_go_reads_is_read() {
        let text = "a: \u{e9}\r\nb: 1\r\n";
        let utf16 = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(to_bytes).collect()
        };
        let expected = serde_json::json!({"a": "\u{e9}", "b": 1});
        for bytes in
            [text.into(), format!("\u{feff}{text}").into(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), {
                text.replace("\r\n", "\r").into_bytes()
            }]
        {
            assert_eq!(json(&bytes), expected, "{bytes:?}");
        }
        assert!(read(b"a: \xe9\n").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn the_first_document_and_the_last_of_equal_keys_count() {
        assert_eq!(json("---\na: 1\na: 2\n---\n: : [\n"), serde_json::json!({"a": 2}));
        assert_eq!(json("{\"a\":1,\"a\":{\"b\":null},}"), serde_json::json!({"a": {"b": null}}));
        assert_eq!(read(b"").unwrap(), None);
        assert_eq!(read(b"# nothing\n").unwrap(), None);
    }

    #[test]
    fn scalars_have_the_types_that_go_gives_them() {
        let typed = json("[yes, 12, 1.5, ~, 2020-01-01, 1:30, 'no', !!str 1, 1.2.3, 0x10]");
        let go = serde_json::json!([true, 12, 1.5, null, "2020-01-01", "1:30", "no", "1", "1.2.3", 16]);
        assert_eq!(typed, go);
        assert_eq!(json("{1: a, true: b}"), serde_json::json!({"1": "a", "true": "b"}));
        assert_eq!(json("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n")["d"], serde_json::json!({"b": 1, "e": 2}));
    }

    #[test]
    fn an_error_names_the_line_and_quotes_nothing() {
        for (bytes, line) in [
            (&b"a: 1\nsecret: [\n"[..], "line"),
            (b"a: 1\n\tsecret: 2\n", "line"),
            (b"a: secret: b\n", "line 1"),
            (b"a: *secret\n", "line 1"),
            (b"? [secret]\n: 1\n", "a key is a list"),
            (b"~: secret\n", "a key is null"),
        ] {
            let why = read(bytes).unwrap_err();
            assert!(why.contains(line) && !why.contains('\n'), "{why}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes()).is_err());
    }
}
