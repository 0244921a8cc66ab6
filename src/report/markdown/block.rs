//! A piece of the page that is shown whole or not at all.

/// A piece of the page.
pub(super) struct Block {
    /// What it belongs to: shown once, before the first of several pieces.
    pub(super) heading: &'static str,
    /// The Markdown.
    pub(super) markdown: String,
    /// How many results it shows.
    pub(super) results: usize,
}

impl Block {
    /// The Markdown, below its heading unless the block before it has the same one.
    pub(super) fn text(&self, before: &str) -> String {
        if self.heading == before { self.markdown.clone() } else { format!("\n{}\n{}", self.heading, self.markdown) }
    }
}
