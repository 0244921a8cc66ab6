//! The documentation of a check, from the head of its file: the text of `seaworthy explain`.

/// The documentation of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documentation {
    /// What the check asserts.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// General advice on fixing what it finds.
    pub fix: String,
    /// Where the expectation comes from.
    pub source: String,
}

impl Documentation {
    /// Parses the `//!` lines at the head of a check's file.
    pub fn parse(head: &str) -> Self {
        let mut parsed = Self { title: String::new(), why: String::new(), fix: String::new(), source: String::new() };
        let mut section: Option<&mut String> = None;
        for line in head.lines() {
            let line = line.strip_prefix("//!").unwrap_or(line);
            let line = line.strip_prefix(' ').unwrap_or(line);
            match line {
                "## Why" => section = Some(&mut parsed.why),
                "## Fix" => section = Some(&mut parsed.fix),
                "## Source" => section = Some(&mut parsed.source),
                _ => {
                    if let Some(title) = line.strip_prefix("# ") {
                        parsed.title = title.into();
                    } else if let Some(text) = section.as_deref_mut() {
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
        }
        for text in [&mut parsed.why, &mut parsed.fix, &mut parsed.source] {
            *text = text.trim().to_owned();
        }
        parsed
    }
}

/// How many bytes the `//!` lines at the head of a file take, so that only they enter the binary.
pub const fn head_length(source: &str) -> usize {
    let bytes = source.as_bytes();
    let mut at = 0;
    while at + 2 < bytes.len() && bytes[at] == b'/' && bytes[at + 1] == b'/' && bytes[at + 2] == b'!' {
        while at < bytes.len() && bytes[at] != b'\n' {
            at += 1;
        }
        at += 1;
    }
    if at > bytes.len() { bytes.len() } else { at }
}

/// The first `LENGTH` bytes of a file.
pub const fn head<const LENGTH: usize>(source: &str) -> [u8; LENGTH] {
    let mut head = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        head[at] = source.as_bytes()[at];
        at += 1;
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "//! # It works\n//!\n//! ## Why\n//! Because.\n//! So.\n//! ## Fix\n//! Fix it.\n//! ## Source\n//! A book.\n\nfn f() {}\n";

    #[test]
    fn the_head_of_a_file_is_its_documentation() {
        const LENGTH: usize = head_length(FILE);
        let head: [u8; LENGTH] = head(FILE);
        let parsed = Documentation::parse(std::str::from_utf8(&head).unwrap());
        assert_eq!(parsed.title, "It works");
        assert_eq!(parsed.why, "Because.\nSo.");
        assert_eq!(parsed.fix, "Fix it.");
        assert_eq!(parsed.source, "A book.");
    }

    #[test]
    fn a_file_that_is_all_head_ends_with_it() {
        assert_eq!(head_length("//! # It"), 8);
        assert_eq!(head_length("fn f() {}"), 0);
    }
}
