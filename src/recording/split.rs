//! Reads an object of JSON field by field, so that a long value is never in memory as text.

use std::io::{self, BufRead};
use std::ops::Range;

/// A text of JSON that is being read.
pub(super) struct Split<R> {
    from: R,
    /// How many bytes have been read.
    at: u64,
}

/// How far a value has been read.
#[derive(Default)]
struct Progress {
    depth: usize,
    has_begun: bool,
    in_string: bool,
    is_escaped: bool,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: BufRead> Split<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { from, at: 0 }
    }

    /// Begins an object.
    pub(super) fn open(&mut self) -> io::Result<()> {
        match self.next()? {
            b'{' => {
                self.pass();
                Ok(())
            }
            _ => Err(malformed("expected an object")),
        }
    }

    /// The name of the next field; none at the end of the object.
    pub(super) fn name(&mut self) -> io::Result<Option<String>> {
        if self.next()? == b',' {
            self.pass();
        }
        match self.next()? {
            b'}' => {
                self.pass();
                return Ok(None);
            }
            b'"' => {}
            _ => return Err(malformed("expected the name of a field")),
        }
        let (_, name) = self.value(1 << 10)?;
        let name = name.ok_or_else(|| malformed("the name of a field is too long"))?;
        match self.next()? {
            b':' => self.pass(),
            _ => return Err(malformed("expected a colon")),
        }
        Ok(Some(serde_json::from_str(&name)?))
    }

    /// Passes a value: where it is, and its text unless it is longer than `most`. It is not verified yet.
    pub(super) fn value(&mut self, most: usize) -> io::Result<(Range<u64>, Option<String>)> {
        self.next()?;
        let (begin, mut progress, mut text) = (self.at, Progress::default(), Some(Vec::new()));
        loop {
            let buffer = self.from.fill_buf()?;
            if buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (taken, is_complete) = progress.take(buffer);
            text = text.filter(|text| text.len() + taken <= most);
            if let Some(text) = &mut text {
                text.extend_from_slice(&buffer[..taken]);
            }
            self.from.consume(taken);
            self.at += taken as u64;
            if is_complete {
                let text = text.map(String::from_utf8).transpose().map_err(|_| malformed("it is not UTF-8"))?;
                return Ok((begin..self.at, text));
            }
        }
    }

    /// Whether more than so many bytes have been read.
    pub(super) const fn is_beyond(&self, limit: u64) -> bool {
        self.at > limit
    }

    /// Whether nothing but white space follows.
    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        match self.next() {
            Ok(_) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// The next byte that is not white space, which stays.
    fn next(&mut self) -> io::Result<u8> {
        loop {
            match self.from.fill_buf()?.first() {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(byte) if byte.is_ascii_whitespace() => self.pass(),
                Some(byte) => return Ok(*byte),
            }
        }
    }

    fn pass(&mut self) {
        self.from.consume(1);
        self.at += 1;
    }
}

impl Progress {
    /// How many bytes belong to the value, and whether it is complete.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (i, byte) in bytes.iter().enumerate() {
            if self.in_string {
                let ends = *byte == b'"' && !self.is_escaped;
                self.is_escaped = *byte == b'\\' && !self.is_escaped;
                self.in_string = !ends;
                if ends && self.depth == 0 {
                    return (i + 1, true);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' | b',' if self.depth == 0 => return (i, true),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (i + 1, true);
                    }
                }
                byte if byte.is_ascii_whitespace() && self.depth == 0 && self.has_begun => return (i, true),
                _ => {}
            }
            self.has_begun = true;
        }
        (bytes.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn fields_are_read_one_by_one_whatever_the_buffer() {
        let text = r#" {"a" : "x\"}", "b": {"c": [1, "]"], "d": {}} ,"long":[1,2,3,4,5,6], "e":-1.5e3,"f":null } "#;
        for size in [1, 2, 7, 1000] {
            let mut split = Split::new(BufReader::with_capacity(size, text.as_bytes()));
            split.open().unwrap();
            let mut fields = Vec::new();
            while let Some(name) = split.name().unwrap() {
                let (place, value) = split.value(25).unwrap();
                let place = usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap();
                assert!(value.as_ref().is_none_or(|value| *value == text[place.clone()]));
                fields.push((name, value.is_some(), text[place].to_owned()));
            }
            assert!(split.is_at_end().unwrap());
            let words: Vec<_> = fields.iter().map(|(name, _, value)| (name.as_str(), value.as_str())).collect();
            let expected = [
                ("a", r#""x\"}""#),
                ("b", r#"{"c": [1, "]"], "d": {}}"#),
                ("long", "[1,2,3,4,5,6]"),
                ("e", "-1.5e3"),
                ("f", "null"),
            ];
            assert_eq!(words, expected);
        }
        let mut split = Split::new(text.as_bytes());
        split.open().unwrap();
        assert_eq!((split.name().unwrap().as_deref(), split.value(3).unwrap()), (Some("a"), (8..14, None)));
    }

    #[test]
    fn what_is_cut_or_is_not_json_is_an_error() {
        let read = |text: &str| {
            let mut split = Split::new(text.as_bytes());
            split.open()?;
            while split.name()?.is_some() {
                split.value(100)?;
            }
            Ok::<_, io::Error>(())
        };
        let kind = |text: &str| read(text).unwrap_err().kind();
        for cut in ["", "{", r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":[1,{"#, r#"{"a":1,"#] {
            assert_eq!(kind(cut), io::ErrorKind::UnexpectedEof, "{cut}");
        }
        for other in ["[]", "{a}", r#"{"a" 1}"#, "{1: 2}"] {
            assert_eq!(kind(other), io::ErrorKind::InvalidData, "{other}");
        }
        assert!(read("{}").is_ok());
    }
}
