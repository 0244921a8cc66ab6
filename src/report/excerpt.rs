//! Texts as a field of a report holds them, whatever was in the stream: not longer than a reader wants, and of characters that
//! every format has.

use std::fmt::Write;

use super::shortened;
use crate::check::Subject;

/// How many characters a text may have: somewhat more than a judge's texts have.
pub(super) const TEXT: usize = 2100;

/// The beginning of a text, and how much of it is left out.
pub(super) fn excerpt(text: &str, characters: usize) -> String {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(end, _)| end);
    let kept = text[..end].chars().filter(|c| *c != '\r').map(|c| match c {
        '\n' | '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut kept: String = kept.collect();
    if end < text.len() {
        _ = write!(kept, "… ({} more characters)", text[end..].chars().count());
    }
    kept
}

/// The same in one line.
pub(super) fn line(text: &str, characters: usize) -> String {
    excerpt(text, characters).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What something is about, in words: at most a few things, in one line.
pub(super) fn about(subjects: &[Subject]) -> String {
    match subjects {
        [] => String::new(),
        some => line(&shortened::subjects(some, false), TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_the_rest_is_counted() {
        assert_eq!(excerpt("aébc", 2), "aé… (2 more characters)");
        assert_eq!(excerpt("aébc", 4), "aébc");
    }

    #[test]
    fn characters_that_no_format_shows_are_replaced() {
        assert_eq!(excerpt("a\u{0}\u{1b}[31m\r\nb\u{7f}\u{9b}\tc", 99), "a\u{fffd}\u{fffd}[31m\nb\u{fffd}\u{fffd}\tc");
        assert_eq!(line(" a\n\n b\t", 99), "a b");
    }
}
