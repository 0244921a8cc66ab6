//! Reads the words of a plugin as its setup in CoreDNS does (`caddyfile/dispenser.go`).

use super::text::Token;

/// The words of all uses of a plugin in a server block, and a place among them.
pub(super) struct Dispenser<'a> {
    tokens: &'a [Token],
    /// The place, from 1; 0 before the first word.
    next: usize,
    nesting: usize,
}

impl<'a> Dispenser<'a> {
    pub(super) fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, next: 0, nesting: 0 }
    }

    /// The word at this place.
    pub(super) fn value(&self) -> &'a str {
        self.token().map_or("", |token| &token.text)
    }

    /// The token at this place.
    pub(super) fn token(&self) -> Option<&'a Token> {
        self.tokens.get(self.next.checked_sub(1)?)
    }

    /// Goes on to the next word, if there is one.
    pub(super) fn next(&mut self) -> bool {
        let more = self.next < self.tokens.len();
        self.next += usize::from(more);
        more
    }

    /// Goes on to the next word if it is on the same line. It may be a brace.
    pub(super) fn next_argument(&mut self) -> bool {
        let (Some(here), Some(there)) = (self.token(), self.tokens.get(self.next)) else { return false };
        let more = here.file == there.file && here.end() == there.line;
        self.next += usize::from(more);
        more
    }

    /// The words on the rest of the line, up to an opening brace.
    pub(super) fn arguments(&mut self) -> Vec<&'a str> {
        let mut arguments = Vec::new();
        while self.next_argument() {
            if self.value() == "{" {
                self.next -= 1;
                break;
            }
            arguments.push(self.value());
        }
        arguments
    }

    /// Goes on to the next property of a block that opens on this line.
    pub(super) fn next_property(&mut self) -> bool {
        if self.nesting > 0 {
            if !self.next() {
                return false;
            }
            if self.value() == "}" {
                self.nesting -= 1;
                return false;
            }
            return true;
        }
        if !self.next_argument() {
            return false;
        }
        if self.value() != "{" {
            self.next -= 1;
            return false;
        }
        if !self.next() || self.value() == "}" {
            return false;
        }
        self.nesting += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tokens;
    use super::*;

    #[test]
    fn a_block_on_one_line_leaves_its_brace_to_the_last_property() {
        let words = tokens(0, "health { lameduck 5s }");
        let mut dispenser = Dispenser::new(&words);
        assert!(dispenser.next() && dispenser.arguments().is_empty() && dispenser.next_property());
        assert_eq!((dispenser.value(), dispenser.arguments()), ("lameduck", vec!["5s", "}"]));
    }

    #[test]
    fn a_block_on_several_lines_ends_with_its_brace() {
        let words = tokens(0, "health :8080 {\n lameduck 5s\n}\nhealth");
        let mut dispenser = Dispenser::new(&words);
        assert!(dispenser.next());
        assert_eq!(dispenser.arguments(), [":8080"]);
        assert!(dispenser.next_property());
        assert_eq!((dispenser.value(), dispenser.arguments()), ("lameduck", vec!["5s"]));
        assert!(!dispenser.next_property() && dispenser.next());
        assert_eq!(dispenser.value(), "health");
    }
}
