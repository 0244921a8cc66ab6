//! Characters that a reader does not see, or that change what stands beside them: in every report they are written out.

use serde_json::Value;

/// Writes such characters in every text of a value as `\u{202e}`. A name with an override would otherwise show as another name,
/// and a terminal obeys the controls of C1 as it does those of C0.
pub(super) fn write_out(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(is_hidden) => *text = written_out(text),
        Value::Array(items) => items.iter_mut().for_each(write_out),
        Value::Object(fields) => fields.values_mut().for_each(write_out),
        _ => {}
    }
}

fn written_out(text: &str) -> String {
    let mut visible = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            visible.extend(c.escape_unicode());
        } else {
            visible.push(c);
        }
    }
    visible
}

/// Controls but for the ends of lines and tabs, separators of lines and paragraphs, and what orders text by direction.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\r' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_hides_or_reorders_is_written_out() {
        let mut value =
            json!({ "a": ["x\u{7f}\u{9b}31m", { "b": "n1\u{202e}2n\u{2066}\u{200f}\u{2028}\u{1b}[0m" }], "c": 1 });
        write_out(&mut value);
        let expected = json!({
            "a": ["x\\u{7f}\\u{9b}31m", { "b": "n1\\u{202e}2n\\u{2066}\\u{200f}\\u{2028}\\u{1b}[0m" }], "c": 1,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_people_write_stays() {
        let mut value = json!("Überprüfung\tعربي 日本\r\n\u{200d}");
        let before = value.clone();
        write_out(&mut value);
        assert_eq!(value, before);
    }
}
