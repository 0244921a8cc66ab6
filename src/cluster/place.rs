//! Where in JSON something is, as the path to it.

/// The path to the value whose last byte is before `end`, as `status.conditions[0].type`. Empty for the whole document.
///
/// The text up to `end` is JSON that a parser has accepted.
pub(super) fn path(json: &[u8], end: usize) -> String {
    let mut steps = Vec::new();
    let mut at = 0;
    let end = end.min(json.len());
    while at < end {
        match json[at] {
            b'{' => steps.push(Step::Field(None)),
            b'[' => steps.push(Step::Item(0)),
            b'}' | b']' => drop(steps.pop()),
            b',' => match steps.last_mut() {
                Some(Step::Field(name)) => *name = None,
                Some(Step::Item(number)) => *number += 1,
                None => {}
            },
            b'"' => {
                let text = &json[at + 1..];
                let length = length(text);
                if let Some(Step::Field(name @ None)) = steps.last_mut() {
                    *name = Some(String::from_utf8_lossy(&text[..length]).into_owned());
                }
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Field(None) => path,
        Step::Field(Some(name)) if path.is_empty() => name.clone(),
        Step::Field(Some(name)) => format!("{path}.{name}"),
        Step::Item(number) => format!("{path}[{number}]"),
    })
}

/// A step on the way to a value.
enum Step {
    /// A field of an object; none before its name.
    Field(Option<String>),
    /// An item of an array.
    Item(usize),
}

/// How long a string is, before its closing quote.
fn length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

/// The place in a text that a parser names by line and column: how many bytes are before it.
pub(super) fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let before = json.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_leads_to_the_value_before_a_place() {
        let json = br#"{"a": {"b\"{": [1, {"c": "x,]"}, 3]}, "d": 4}"#;
        let after = |what: &str| {
            let at = String::from_utf8_lossy(json).find(what).unwrap() + what.len();
            path(json, at)
        };
        assert_eq!(after("[1"), r#"a.b\"{[0]"#);
        assert_eq!(after("\"x,]\""), r#"a.b\"{[1].c"#);
        assert_eq!(after("x,]\"}"), r#"a.b\"{[1]"#);
        assert_eq!(after("3]"), r#"a.b\"{"#);
        assert_eq!(after("4"), "d");
        assert_eq!(after("4}"), "");
    }

    #[test]
    fn lines_and_columns_are_places() {
        let json = b"{\n  \"a\": x";
        assert_eq!(&json[offset(json, 2, 7)..], b"x");
        assert_eq!(offset(json, 1, 1), 1);
    }
}
