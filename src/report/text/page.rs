//! A page that is being written: every text on it is made printable and cut to its width.

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::style;
use super::wrap::{printable, wrap};
use crate::report::conclusion::grouped;

/// How far the blocks below a heading are indented.
pub const INDENT: usize = 6;
/// How wide the labels of a block are.
const LABEL: usize = 10;
/// How many characters of one text are shown: some data of a cluster has no other bound.
const ENOUGH: usize = 1500;
/// The same if all is wanted.
const ALL: usize = 10_000;

/// A page that is being written.
pub struct Page {
    width: usize,
    most: usize,
    text: String,
}

impl Page {
    /// An empty page. Long texts on it are cut, and later if `all` is wanted.
    pub fn new(width: usize, all: bool) -> Self {
        Self { width, most: if all { ALL } else { ENOUGH }, text: String::new() }
    }

    /// The text that was written.
    pub fn finish(self) -> String {
        self.text
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A text that may take several lines, all equally indented.
    pub fn paragraph(&mut self, indent: usize, style: Style, text: &str) {
        self.hanging(indent, "", indent, style, text);
    }

    /// A short label and a text beside it.
    pub fn labelled(&mut self, label: &str, text: &str) {
        self.columns(INDENT, label, LABEL, text);
    }

    /// A label as wide as `column`, and a text beside it.
    pub fn columns(&mut self, indent: usize, label: &str, column: usize, text: &str) {
        let label = printable(label);
        let pad = column.saturating_sub(label.width()).max(1);
        let faint = style::FAINT;
        let first = format!("{:indent$}{faint}{label}{faint:#}{:pad$}", "", "");
        self.hanging(indent + label.width() + pad, &first, indent + column, style::PLAIN, text);
    }

    /// Words in several styles on one line, two spaces apart; what does not fit goes to the next line.
    pub fn words(&mut self, words: &[(Style, &str)], indent: usize) {
        let mut column = 0;
        for (i, (style, word)) in words.iter().filter(|(_, word)| !word.is_empty()).enumerate() {
            let word = printable(word);
            if i > 0 && column + 2 + word.width() > self.width {
                _ = write!(self.text, "\n{:indent$}", "");
                column = indent;
            } else if i > 0 {
                self.text.push_str("  ");
                column += 2;
            }
            column += word.width();
            _ = write!(self.text, "{style}{word}{style:#}");
        }
        self.blank();
    }

    /// A word and the text that follows it; further lines are indented.
    pub fn lead(&mut self, style: Style, word: &str, indent: usize, text: &str) {
        let word = printable(word);
        // The first line has less room than the others: it is wrapped as if the word were part of the text.
        let lines = wrap(&format!("{word} {text}"), self.width.saturating_sub(indent).max(20));
        let mut lines = lines.iter();
        let first = lines.next().map_or("", String::as_str);
        let rest = first.strip_prefix(word.as_str()).unwrap_or(first);
        _ = writeln!(self.text, "{style}{word}{style:#}{rest}");
        for line in lines {
            _ = writeln!(self.text, "{:indent$}{line}", "");
        }
    }

    /// A line that is not cut, as a command to be copied.
    pub fn verbatim(&mut self, indent: usize, line: &str) {
        _ = writeln!(self.text, "{:indent$}{}", "", printable(line));
    }

    /// How many columns are left beside an indentation.
    pub fn room(&self, indent: usize) -> usize {
        self.width.saturating_sub(indent)
    }

    fn hanging(&mut self, used: usize, first: &str, indent: usize, style: Style, text: &str) {
        // In a narrow terminal a deep indentation would leave no room.
        let room = self.width.saturating_sub(indent.max(used)).max(20);
        let mut lines = wrap(&beginning(text, self.most), room).into_iter();
        let start = if first.is_empty() { " ".repeat(indent) } else { first.to_owned() };
        _ = writeln!(self.text, "{start}{style}{}{style:#}", lines.next().unwrap_or_default());
        for line in lines {
            _ = writeln!(self.text, "{:indent$}{style}{line}{style:#}", "");
        }
    }
}

/// The text, or its beginning and how much is left out.
fn beginning(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((end, _)) => {
            let rest = text[end..].chars().count();
            format!("{}… and {} more characters", &text[..end], grouped(rest)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_hang_below_their_beginning() {
        let mut page = Page::new(40, false);
        page.labelled("seen", "n1, kubernetes, kubernetes.default, kubernetes.default.svc");
        let plain = anstream::adapter::strip_str(&page.finish()).to_string();
        assert_eq!(
            plain,
            "      seen      n1, kubernetes,\n                kubernetes.default,\n                kubernetes.default.svc\n"
        );
    }

    #[test]
    fn a_text_without_end_is_cut() {
        for (all, most) in [(false, ENOUGH), (true, ALL)] {
            let mut page = Page::new(40, all);
            page.labelled("seen", &"x".repeat(900_000));
            let text = page.finish().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.len() < most + 200 && text.contains(&format!("{} more characters", grouped(900_000 - most))));
        }
    }

    #[test]
    fn words_that_do_not_fit_go_to_the_next_line() {
        let mut page = Page::new(12, false);
        page.words(&[(style::PLAIN, "seaworthy"), (style::PLAIN, "0.1"), (style::PLAIN, "bed")], 2);
        assert_eq!(page.finish(), "seaworthy\n  0.1  bed\n");
    }
}
