//! Foreign text in Markdown: it shows as it is, mentions no one, and links nowhere.
//!
//! Punctuation is escaped. GitHub looks for mentions, references and links in the page that it has made of that, but not in
//! code, so words that may be one are code; and so are words with a dollar, between which GitHub sees a formula.

use std::fmt::Write;

/// A text in one line.
pub(crate) fn text(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    words.join(" ")
}

/// Lines to copy, in a block of code that nothing in them ends.
pub(crate) fn code_block(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n")
}

fn word(word: &str) -> String {
    if !is_seen_by_github(word) {
        return escaped(word);
    }
    // Before a table has code, it has cells, and programs differ in which pipe ends one.
    if word.contains('|') {
        return format!("<code>{}</code>", escaped(word));
    }
    let fence = "`".repeat(longest_run(word) + 1);
    let room = if word.starts_with('`') || word.ends_with('`') { " " } else { "" };
    format!("{fence}{room}{word}{room}{fence}")
}

/// Whether GitHub may make something of a word: a mention, a reference to an issue or a commit, a link, an emoji, a formula.
fn is_seen_by_github(word: &str) -> bool {
    let hex = |part: &str| part.len() >= 7 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let begins =
        |start: &str| word.as_bytes().windows(start.len()).any(|part| part.eq_ignore_ascii_case(start.as_bytes()));
    word.contains(['@', '#', '$'])
        || ["://", "www.", "gh-", "mailto:", "xmpp:"].into_iter().any(begins)
        || word.matches(':').count() > 1
        || word.split(|c: char| !c.is_ascii_alphanumeric()).any(hex)
}

fn escaped(word: &str) -> String {
    let mut escaped = String::with_capacity(word.len() + 8);
    for c in word.chars() {
        match c {
            '*' | '_' | '[' | ']' | '`' | '~' | '!' => _ = write!(escaped, "\\{c}"),
            '\\' | '<' | '>' | '&' | '|' | '@' | '$' => _ = write!(escaped, "&#{};", u32::from(c)),
            c => escaped.push(c),
        }
    }
    escaped
}

/// How many backticks follow each other at most.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_shows_as_it_is() {
        assert_eq!(text("a_b *c* [d](e) <b>\n`f`"), r"a\_b \*c\* \[d\](e) &#60;b&#62; \`f\`");
        assert_eq!(text("a|b\\"), "a&#124;b&#92;");
        assert_eq!(text("Node n1: expected three"), "Node n1: expected three");
    }

    #[test]
    fn what_github_would_link_is_code() {
        assert_eq!(text("by @team, #12 GH-7 a/b#3"), "by `@team,` `#12` `GH-7` `a/b#3`");
        assert_eq!(text("see https://x 0123abc :smile: $(id)"), "see `https://x` `0123abc` `:smile:` `$(id)`");
        assert_eq!(text("a`@b `@"), "``a`@b`` `` `@ ``");
        assert_eq!(text("a|@b"), "<code>a&#124;&#64;b</code>");
    }

    #[test]
    fn nothing_ends_a_block_of_code() {
        assert_eq!(code_block("a"), "```text\na\n```\n");
        assert_eq!(code_block("````\n<b>"), "`````text\n````\n<b>\n`````\n");
    }
}
