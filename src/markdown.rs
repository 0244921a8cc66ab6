//! The little of Markdown that the documentation of checks uses.

use std::mem;

/// A block of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Running text, in one line.
    Paragraph(String),
    /// An item of a list.
    Item {
        /// What stands before it, as `-` or `2.`.
        marker: String,
        /// The text, in one line.
        text: String,
    },
    /// Lines to be left as they are.
    Code(Vec<String>),
}

/// The blocks of a text.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line);
    }
    reader.end();
    reader.blocks
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    open: Option<Block>,
    fenced: bool,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if line.trim_start().starts_with("```") {
            self.end();
            self.fenced = !self.fenced;
            return;
        }
        let text = line.trim();
        let indented = self.open.is_none() && line.starts_with("    ");
        match &mut self.open {
            _ if self.fenced => self.code(line),
            Some(Block::Code(_)) if line.starts_with("    ") => self.code(&line[4..]),
            _ if text.is_empty() => self.end(),
            _ if indented => self.code(&line[4..]),
            open => match (marker(text), open) {
                (Some((marker, text)), _) => {
                    self.end();
                    self.open = Some(Block::Item { marker: marker.into(), text: plain(text) });
                }
                (None, Some(Block::Paragraph(so_far) | Block::Item { text: so_far, .. })) => {
                    so_far.push(' ');
                    so_far.push_str(&plain(text));
                }
                (None, _) => {
                    self.end();
                    self.open = Some(Block::Paragraph(plain(text)));
                }
            },
        }
    }

    fn code(&mut self, line: &str) {
        if let Some(Block::Code(lines)) = &mut self.open {
            lines.push(line.into());
        } else {
            self.end();
            self.open = Some(Block::Code(vec![line.into()]));
        }
    }

    fn end(&mut self) {
        self.blocks.extend(mem::take(&mut self.open));
    }
}

fn marker(text: &str) -> Option<(&str, &str)> {
    let (marker, rest) = text.split_once(' ')?;
    let numbered = marker.strip_suffix('.').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    (marker == "-" || marker == "*" || numbered).then_some((marker, rest))
}

/// Links in angle brackets are plain links to a reader.
fn plain(text: &str) -> String {
    text.replace("<https://", "https://").replace("<http://", "http://").split('>').enumerate().fold(
        String::new(),
        |mut plain, (i, part)| {
            // A bracket closes a link if the word before it is one.
            let link = plain.rsplit([' ', '(']).next().is_some_and(|word| word.starts_with("http"));
            if i > 0 && !link {
                plain.push('>');
            }
            plain.push_str(part);
            plain
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_one() {
        let text = "Read the log\n(`a > b`), see\n<https://kubernetes.io/docs>.\n\nThen:\n\n    kubectl get x\n    y\n";
        assert_eq!(
            blocks(text),
            [
                Block::Paragraph("Read the log (`a > b`), see https://kubernetes.io/docs.".into()),
                Block::Paragraph("Then:".into()),
                Block::Code(vec!["kubectl get x".into(), "y".into()]),
            ]
        );
    }

    #[test]
    fn items_and_fences_keep_their_lines() {
        let text = "Either:\n- one\n  more\n2. two\n```sh\n  a\n\nb\n```\n";
        let item = |marker: &str, text: &str| Block::Item { marker: marker.into(), text: text.into() };
        assert_eq!(
            blocks(text),
            [
                Block::Paragraph("Either:".into()),
                item("-", "one more"),
                item("2.", "two"),
                Block::Code(vec!["  a".into(), String::new(), "b".into()]),
            ]
        );
    }
}
