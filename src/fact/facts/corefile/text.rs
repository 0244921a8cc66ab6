//! The words of a Corefile, split as Caddy's lexer (`caddyfile/lexer.go`) splits them.

/// A word. Quotes are not part of it, and a quoted brace is a brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The file: 0 is the Corefile itself, the others were imported.
    pub file: usize,
    /// The line on which it begins.
    pub line: usize,
    /// The word.
    pub text: String,
}

impl Token {
    /// The line on which it ends, as Caddy counts: a quoted word may have many.
    pub(super) fn end(&self) -> usize {
        self.line + self.text.matches('\n').count()
    }
}

/// Splits a text into words between white space, with quotes around words with white space. A `#` begins a comment
/// anywhere but between quotes: before a word up to the end of the line, within one up to the next white space.
pub(super) fn tokens(file: usize, text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut letters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    let mut word = Token { file, line, text: String::new() };
    while let Some(letter) = letters.next() {
        match letter {
            // It does not even end a word.
            '\r' => {}
            letter if letter.is_whitespace() => {
                if !word.text.is_empty() {
                    tokens.push(take(&mut word));
                }
                line += usize::from(letter == '\n');
            }
            '#' if word.text.is_empty() => while letters.next_if(|letter| *letter != '\n').is_some() {},
            // One within a word ends with the word.
            '#' => while letters.next_if(|letter| *letter == '\r' || !letter.is_whitespace()).is_some() {},
            '"' if word.text.is_empty() => {
                word.line = line;
                let closed = quoted(&mut letters, &mut word.text);
                line += word.text.matches('\n').count();
                // A quote that is never closed ends with the text; empty, it is not a word.
                if closed || !word.text.is_empty() {
                    tokens.push(take(&mut word));
                }
            }
            letter => {
                if word.text.is_empty() {
                    word.line = line;
                }
                word.text.push(letter);
            }
        }
    }
    if !word.text.is_empty() {
        tokens.push(word);
    }
    tokens
}

fn take(word: &mut Token) -> Token {
    let text = std::mem::take(&mut word.text);
    Token { text, ..*word }
}

/// Reads up to the closing quote; false if there is none. Only quotes can be escaped.
fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> bool {
    let mut escaped = false;
    for letter in letters {
        match letter {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => return true,
            letter => {
                if escaped && letter != '"' {
                    word.push('\\');
                }
                word.push(letter);
            }
        }
        escaped = false;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(usize, String)> {
        tokens(0, text).into_iter().map(|token| (token.line, token.text)).collect()
    }

    fn expected(words: &[(usize, &str)]) -> Vec<(usize, String)> {
        words.iter().map(|(line, word)| (*line, (*word).to_owned())).collect()
    }

    #[test]
    fn words_end_with_white_space_and_comments_with_the_line() {
        assert_eq!(
            words("\u{feff}.:53 {\n}#end\na#b c\r\nd\re # f g"),
            expected(&[(1, ".:53"), (1, "{"), (2, "}"), (3, "a"), (3, "c"), (4, "de")])
        );
    }

    #[test]
    fn quotes_hold_white_space_and_end_with_the_text() {
        assert_eq!(
            words(r#""a # b" c\ "d\"e" "f\\""#),
            expected(&[(1, "a # b"), (1, "c\\"), (1, "d\"e"), (1, "f\\\\")])
        );
        assert_eq!(words("\"a\nb\" c \"\""), expected(&[(1, "a\nb"), (2, "c"), (2, "")]));
        assert_eq!(words("a\"b \"never closed\n"), expected(&[(1, "a\"b"), (1, "never closed\n")]));
        assert_eq!(tokens(0, "\"a\nb\" c")[0].end(), 2);
    }
}
