//! Colours. They only repeat what the words say.

use anstyle::{AnsiColor, Style};

use crate::check::Outcome;

/// Plain text.
pub const PLAIN: Style = Style::new();
/// What a block is about.
pub const STRONG: Style = Style::new().bold();
/// What only guides the eye.
pub const FAINT: Style = Style::new().dimmed();

/// An outcome's colour.
pub fn outcome(outcome: Outcome) -> Style {
    let colour = match outcome {
        Outcome::Fail => AnsiColor::Red,
        Outcome::Error | Outcome::Blocked => AnsiColor::Magenta,
        Outcome::Warn => AnsiColor::Yellow,
        Outcome::Skip | Outcome::Waived => AnsiColor::Cyan,
        Outcome::Pass => AnsiColor::Green,
    };
    colour.on_default().bold()
}

/// An outcome's word at the head of a block.
pub fn word(outcome: Outcome) -> String {
    outcome.name().to_uppercase()
}
