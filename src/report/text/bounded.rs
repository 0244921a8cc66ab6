//! A text of bounded length, whatever is broken: what matters most comes first, and what is left out is named.

use crate::report::shortened;

/// How many lines the text has at most, unless all is wanted.
const LINES: usize = 100;
/// How many of them are for the header, and for the line about what is left out.
const OTHERS: usize = 10;

/// A part of the text about some checks.
pub(crate) struct Block {
    /// Their ids.
    pub(crate) ids: Vec<String>,
    /// The lines.
    pub(crate) text: String,
}

/// How many lines there are for blocks in a text that ends with these lines.
fn room(end: &str) -> usize {
    (LINES - OTHERS).saturating_sub(end.lines().count())
}

/// Whether some of these blocks do not fit into a text that ends with these lines.
pub(crate) fn leaves_out(blocks: &[Block], end: &str) -> bool {
    blocks.iter().map(|block| block.text.lines().count()).sum::<usize>() > room(end)
}

/// The blocks that fit into a text that ends with these lines, in their order. With `all`, every one.
pub(crate) fn bounded(blocks: Vec<Block>, end: &str, all: bool) -> String {
    let mut room = if all { usize::MAX } else { room(end) };
    let mut text = String::new();
    let mut left_out: Vec<String> = Vec::new();
    for Block { ids, text: block } in blocks {
        let lines = block.lines().count();
        if lines <= room && left_out.is_empty() {
            room -= lines;
            text.push_str(&block);
        } else if text.is_empty() {
            // The most important one is shown as far as possible.
            text.extend(block.split_inclusive('\n').take(room));
            text.push('\n');
            left_out = vec![format!("the rest of {}", shortened::items(&ids, " ", false))];
        } else {
            left_out.extend(ids.into_iter().filter(|id| !left_out.contains(id)).collect::<Vec<_>>());
        }
    }
    if !left_out.is_empty() {
        text.extend(["not shown: ", &shortened::items(&left_out, " ", false), " (-v shows all)\n\n"]);
    }
    text + end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(lines: &[usize]) -> Vec<Block> {
        let block = |(i, lines): (usize, &usize)| Block {
            ids: vec![format!("X-{i}")],
            text: format!("X-{i}\n").repeat(*lines),
        };
        lines.iter().enumerate().map(block).collect()
    }

    #[test]
    fn a_text_has_at_most_a_hundred_lines_and_names_what_is_left_out() {
        let text = bounded(blocks(&[40, 30, 30, 1]), "end\n", false);
        assert!(text.lines().count() < LINES - OTHERS && text.ends_with("end\n"), "{text}");
        assert!(text.contains("X-1\nnot shown: X-2 X-3 (-v shows all)\n"), "{text}");
        assert_eq!(bounded(blocks(&[40, 30, 30, 1]), "end\n", true).lines().count(), 102);
        assert!(leaves_out(&blocks(&[40, 30, 30]), "end\n") && !leaves_out(&blocks(&[40, 30]), "end\n"));
    }

    #[test]
    fn a_block_that_is_too_long_alone_is_cut() {
        let text = bounded(blocks(&[5000, 1]), "end\n", false);
        assert!(text.lines().count() < LINES, "{}", text.lines().count());
        assert!(text.contains("not shown: the rest of X-0 X-1 (-v"), "{text}");
    }
}
