//! JSON whose strings are redacted while they are written.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::ser::{CharEscape, Formatter};

use super::Redaction;

/// Writes compact JSON, without secrets.
pub(super) struct Clean<'a> {
    redaction: &'a Redaction,
    /// The string that is being written.
    text: String,
    /// The redacted keys of each object that is not complete.
    keys: Vec<BTreeSet<String>>,
    is_key: bool,
}

impl<'a> Clean<'a> {
    pub(super) const fn new(redaction: &'a Redaction) -> Self {
        Self { redaction, text: String::new(), keys: Vec::new(), is_key: false }
    }

    /// The string without secrets. Two keys that differ only in what is secret both stay.
    fn clean(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        let clean = self.redaction.text(&text);
        let Some(keys) = self.keys.last_mut().filter(|_| self.is_key && clean != text) else {
            return clean.into_owned();
        };
        let names = std::iter::once(clean.to_string()).chain((2..).map(|n| format!("{clean} {n}")));
        let free = names.into_iter().find(|name| !keys.contains(name)).expect("there is always another number");
        keys.insert(free.clone());
        free
    }
}

impl Formatter for Clean<'_> {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.keys.push(BTreeSet::new());
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.keys.pop();
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.is_key = true;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_key = false;
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.text.clear();
        // A key that is a number is written in between.
        writer.write_all(b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.text.push_str(fragment);
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, _: &mut W, escaped: CharEscape) -> io::Result<()> {
        self.text.push(match escaped {
            CharEscape::Quote => '"',
            CharEscape::ReverseSolidus => '\\',
            CharEscape::Solidus => '/',
            CharEscape::Backspace => '\u{8}',
            CharEscape::FormFeed => '\u{c}',
            CharEscape::LineFeed => '\n',
            CharEscape::CarriageReturn => '\r',
            CharEscape::Tab => '\t',
            CharEscape::AsciiControl(byte) => char::from(byte),
        });
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let quoted = serde_json::to_string(&self.clean())?;
        writer.write_all(&quoted.as_bytes()[1..])
    }
}
