//! Reads the words of a Corefile as Caddy's parser (`caddyfile/parse.go`) reads them: server blocks with directives,
//! where imports are replaced by what they name.

use std::collections::{BTreeMap, BTreeSet};

use super::surroundings::{Files, Surroundings};
use super::text::{Token, tokens};

/// How many imports are followed; Caddy follows ten times as many.
const IMPORTS: usize = 1000;
/// How many words a Corefile may have with its imports. Caddy has no such limit; a Corefile has a few hundred.
const WORDS: usize = 50_000;

/// A server block.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The zones and ports, as they are written.
    pub keys: Vec<String>,
    /// The directives in order, each with its words.
    pub directives: Vec<(String, Vec<Token>)>,
}

/// What a Corefile contains.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The server blocks. CoreDNS ignores one without keys, after it has read it; if it imports what could not be read,
    /// it stands for that.
    pub blocks: Vec<Block>,
    /// The environment variables whose values are not known.
    pub variables: BTreeSet<String>,
}

/// Reads a Corefile; the error names the line.
pub(super) fn parse(text: &str, surroundings: &Surroundings) -> Result<Parsed, String> {
    let mut parser = Parser {
        surroundings,
        tokens: tokens(0, text),
        cursor: 0,
        block: Block::default(),
        snippets: BTreeMap::new(),
        imports: 0,
        files: 1,
        unread: false,
        ended: false,
        parsed: Parsed::default(),
    };
    while parser.next() {
        parser.block = Block::default();
        parser.one()?;
        if !parser.block.keys.is_empty() || !parser.block.directives.is_empty() {
            parser.parsed.blocks.push(std::mem::take(&mut parser.block));
        }
    }
    Ok(parser.parsed)
}

struct Parser<'a> {
    surroundings: &'a Surroundings,
    tokens: Vec<Token>,
    /// The place among the words, from 1; 0 before the first.
    cursor: usize,
    block: Block,
    snippets: BTreeMap<String, Vec<Token>>,
    imports: usize,
    files: usize,
    /// Whether something that was imported is not known. A snippet may be defined there.
    unread: bool,
    /// Whether the text ended after the keys of a server block.
    ended: bool,
    parsed: Parsed,
}

impl Parser<'_> {
    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.cursor.checked_sub(1)?)
    }

    fn value(&self) -> &str {
        self.token().map_or("", |token| &token.text)
    }

    fn next(&mut self) -> bool {
        let more = self.cursor < self.tokens.len();
        self.cursor += usize::from(more);
        more
    }

    /// Goes on to the next word if it is on the same line.
    fn next_argument(&mut self) -> bool {
        let (Some(here), Some(there)) = (self.token(), self.tokens.get(self.cursor)) else { return false };
        let more = here.file == there.file && here.end() == there.line;
        self.cursor += usize::from(more);
        more
    }

    /// Whether this word begins a line.
    fn begins_line(&self) -> bool {
        let before = self.cursor.checked_sub(2).and_then(|before| self.tokens.get(before));
        match (before, self.token()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(here)) => before.file != here.file || before.end() < here.line,
        }
    }

    fn replaced(&mut self, text: &str) -> String {
        self.surroundings.replaced(text, &mut self.parsed.variables)
    }

    /// The error at this place. Caddy stops at the last word if the text ends too early.
    fn error(&self, cause: &str) -> String {
        let token = self.token().or(self.tokens.last());
        format!("{}: {cause}", token.map_or_else(|| "line 1".into(), place))
    }

    fn one(&mut self) -> Result<(), String> {
        self.keys()?;
        if self.ended {
            return Ok(());
        }
        if let [key] = &self.block.keys[..]
            && let Some(name) = key.strip_prefix('(').and_then(|key| key.strip_suffix(')'))
        {
            let name = name.to_owned();
            self.block.keys.clear();
            return self.snippet(name);
        }
        self.contents()
    }

    fn keys(&mut self) -> Result<(), String> {
        let mut expects_another = false;
        loop {
            let value = self.value().to_owned();
            let key = self.replaced(&value);
            if key == "import" && self.begins_line() {
                self.import()?;
                continue;
            }
            if key == "{" {
                if expects_another {
                    return Err(self.error("a zone should follow the comma"));
                }
                break;
            }
            if !key.is_empty() {
                let zone = key.strip_suffix(',');
                expects_another = zone.is_some();
                self.block.keys.push(zone.unwrap_or(&key).to_owned());
            }
            let more = self.next();
            if expects_another && !more {
                return Err(self.error("the text ends where a zone should follow the comma"));
            }
            if !more {
                self.ended = true;
                break;
            }
            if !expects_another && self.begins_line() {
                break;
            }
        }
        Ok(())
    }

    fn snippet(&mut self, name: String) -> Result<(), String> {
        if self.snippets.contains_key(&name) {
            return Err(self.error(&format!("the snippet {name} is defined a second time")));
        }
        if self.value() != "{" {
            return Err(self.error("an opening brace should follow the name of a snippet"));
        }
        let begin = self.error("the snippet is never closed");
        let mut depth = 1;
        let mut tokens = Vec::new();
        while self.next() {
            match self.value() {
                "}" => depth -= 1,
                "{" => depth += 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            tokens.extend(self.token().cloned());
        }
        if depth != 0 {
            return Err(begin);
        }
        let imports_itself = (0..tokens.len().saturating_sub(1)).any(|at| {
            let begins = at == 0 || tokens[at - 1].file != tokens[at].file || tokens[at - 1].line != tokens[at].line;
            begins && tokens[at].text == "import" && tokens[at + 1].text == name
        });
        if imports_itself {
            return Err(self.error(&format!("the snippet {name} imports itself")));
        }
        self.snippets.insert(name, tokens);
        Ok(())
    }

    fn contents(&mut self) -> Result<(), String> {
        let opened = self.value() == "{";
        let begin = self.error("the server block is never closed");
        if !opened {
            // A single server block needs no braces.
            self.cursor -= 1;
        }
        while self.next() {
            match self.value() {
                "}" => break,
                "import" => {
                    self.import()?;
                    self.cursor -= 1;
                }
                _ => self.directive()?,
            }
        }
        if opened && self.value() != "}" {
            return Err(begin);
        }
        Ok(())
    }

    fn directive(&mut self) -> Result<(), String> {
        let Some(token) = self.token().cloned() else { return Ok(()) };
        let name = self.replaced(&token.text);
        if name == "{" {
            return Err(self.error("an opening brace where a plugin should be"));
        }
        let begin = self.error(&format!("the block of {name} is never closed"));
        let at = self.block.directives.len();
        self.block.directives.push((name, vec![token]));
        let mut nesting = 0_usize;
        while self.next() {
            match self.value() {
                "{" => nesting += 1,
                _ if self.begins_line() && nesting == 0 => {
                    self.cursor -= 1;
                    break;
                }
                "}" if nesting == 0 => return Err(self.error("a closing brace that nothing opened")),
                "}" => nesting -= 1,
                "import" if self.begins_line() => {
                    self.import()?;
                    self.cursor -= 1;
                    continue;
                }
                _ => {}
            }
            let Some(mut token) = self.token().cloned() else { break };
            token.text = self.replaced(&token.text);
            if let Some(place) = self.tokens.get_mut(self.cursor - 1) {
                place.text.clone_from(&token.text);
            }
            self.block.directives[at].1.push(token);
        }
        if nesting > 0 { Err(begin) } else { Ok(()) }
    }

    /// Replaces an import by what it names, and goes back to the word before it.
    fn import(&mut self) -> Result<(), String> {
        if !self.next_argument() {
            return Err(self.error("`import` names no file"));
        }
        let value = self.value().to_owned();
        let name = self.replaced(&value);
        if name.is_empty() {
            return Err(self.error("`import` names no file"));
        }
        if self.next_argument() {
            return Err(self.error("`import` takes only one file or snippet"));
        }
        self.imports += 1;
        if self.imports > IMPORTS {
            return Err("snippets import each other without end".into());
        }
        let imported = match self.snippets.get(&name) {
            Some(snippet) => snippet.clone(),
            None => self.imported(&name)?,
        };
        if self.tokens.len() + imported.len() > WORDS {
            return Err(format!("with its imports it has more than {WORDS} words"));
        }
        // The word `import` and its argument.
        self.tokens.splice(self.cursor - 2..self.cursor, imported);
        self.cursor -= 1;
        Ok(())
    }

    fn imported(&mut self, name: &str) -> Result<Vec<Token>, String> {
        let wildcards = |wildcard: char| name.matches(wildcard).count() > 1;
        if wildcards('*') || wildcards('?') || (name.contains('[') && name.contains(']')) {
            return Err(self.error(&format!("the import {name} has more than one wildcard")));
        }
        let unknown = super::surroundings::is_unknown(name);
        match self.surroundings.import(name) {
            Files::Known(files) if !unknown => Ok(files
                .iter()
                .flat_map(|text| {
                    self.files += 1;
                    tokens(self.files, text)
                })
                .collect()),
            Files::Missing if !unknown && !self.unread => {
                Err(self.error(&format!("it imports {name}, which is neither a snippet above nor a file")))
            }
            _ => {
                self.unread = true;
                let Some(token) = self.token().cloned() else { return Ok(Vec::new()) };
                let import = ("import".to_owned(), vec![Token { text: "import".into(), ..token.clone() }, token]);
                if self.block.keys.is_empty() {
                    self.parsed.blocks.push(Block { keys: Vec::new(), directives: vec![import] });
                } else {
                    self.block.directives.push(import);
                }
                Ok(Vec::new())
            }
        }
    }
}

/// Where a word is.
pub(super) fn place(token: &Token) -> String {
    if token.file == 0 { format!("line {}", token.line) } else { format!("line {} of an imported file", token.line) }
}
