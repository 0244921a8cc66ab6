//! Text cut into lines of a given width.

use unicode_width::UnicodeWidthStr;

/// Cuts a text into lines of at most this width. What is to be copied is left whole: a word that is too long for a line,
/// as a URL, and a line that is indented, as a command.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    printable(text).lines().flat_map(|line| wrap_line(line, width)).collect()
}

fn wrap_line(line: &str, width: usize) -> Vec<String> {
    if line.starts_with("  ") {
        return vec![line.to_owned()];
    }
    let mut lines = Vec::new();
    let mut current = String::new();
    for (i, word) in words(line, width).into_iter().enumerate() {
        if i > 0 && current.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut current).trim_end().to_owned());
        } else if i > 0 && !(word.is_empty() && current.is_empty()) {
            current.push(' ');
        }
        current.push_str(&word);
    }
    lines.push(current);
    lines
}

/// The words of a line. A command in backticks is one word if it fits into a line, so that it can be copied.
fn words(line: &str, width: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open: Option<usize> = None;
    for word in line.split(' ') {
        let at = words.len();
        words.push(word.to_owned());
        if word.matches('`').count() % 2 == 1 {
            match open.take() {
                None => open = Some(at),
                Some(start) => {
                    let command = words[start..].join(" ");
                    if command.width() <= width {
                        words.truncate(start);
                        words.push(command);
                    }
                }
            }
        }
    }
    words
}

/// A text that does to a terminal nothing but appear on it, wherever it came from.
pub fn printable(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        // Formatting characters could reorder or hide what stands beside them.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.replace("\r\n", "\n").chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one\n  two three", 7), ["one", "  two three"]);
        assert_eq!(wrap("a https://example.org/very/long b", 10), ["a", "https://example.org/very/long", "b"]);
        assert_eq!(wrap("", 10), Vec::<String>::new());
    }

    #[test]
    fn commands_are_not_broken_where_they_fit() {
        assert_eq!(wrap("run `ip route`, then", 13), ["run", "`ip route`,", "then"]);
        assert_eq!(wrap("run `ip route show all`", 13), ["run `ip route", "show all`"]);
        assert_eq!(wrap("an odd ` is nothing", 9), ["an odd `", "is", "nothing"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(wrap("日本 日本", 6), ["日本", "日本"]);
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\r\nd\u{202e}"), "a\u{fffd}[2Jb c\nd\u{fffd}");
    }
}
