//! The uses of a plugin in a server block, read as the setup of most plugins in CoreDNS reads them.

use super::dispenser::Dispenser;
use super::parser::place;
use super::text::Token;
use super::values::Value;

/// How the setup of a plugin reads its words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// How often it may be used in a server block.
    pub uses: Uses,
    /// The arguments on its line.
    pub arguments: Arguments,
    /// The block that opens on its line.
    pub block: Block,
}

/// How often a plugin may be used in a server block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uses {
    /// Once.
    One,
    /// As often as one likes.
    Many,
    /// As often as one likes, but only the first is read.
    First,
}

/// The arguments of a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arguments {
    /// None; not even a block may follow.
    Nothing,
    /// One of this form. What follows it on the line is read as the next property.
    Single(Value),
    /// As many as these, of these forms. The last form is that of all that follow.
    Between(usize, usize, &'static [Value]),
}

/// The block of a plugin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block {
    /// It is not read as a block.
    Unread,
    /// It has no property.
    Empty,
    /// It has these properties, in any case of letters if the plugin ignores it.
    Of(&'static [Property]),
    /// It may have others as well.
    Open(&'static [Property]),
    /// Its words are arguments.
    Words,
}

/// A property: its name and its arguments.
pub(super) type Property = (&'static str, Arguments);

/// A use of a plugin.
#[derive(Clone, Debug, Default)]
pub(super) struct Occurrence<'a> {
    /// Where it is.
    pub place: String,
    /// Its arguments.
    pub arguments: Vec<&'a str>,
    /// Its properties with their arguments.
    pub properties: Vec<(&'a str, Vec<&'a str>)>,
}

impl Occurrence<'_> {
    /// Whether it has a property.
    pub(super) fn has(&self, property: &str) -> bool {
        self.properties.iter().any(|(name, _)| *name == property)
    }
}

impl Form {
    /// The uses of a plugin, or what CoreDNS refuses in them. With `quotes` the error may quote arguments.
    pub(super) fn read<'a>(&self, words: &'a [Token], quotes: bool) -> Result<Vec<Occurrence<'a>>, String> {
        let mut dispenser = Dispenser::new(words);
        let mut all = Vec::new();
        while dispenser.next() {
            if self.uses == Uses::First && !all.is_empty() {
                break;
            }
            let place = dispenser.token().map(place).unwrap_or_default();
            if self.uses == Uses::One && !all.is_empty() {
                return Err(format!("{place}: it is used a second time in the server block"));
            }
            all.push(self.one(&mut dispenser, place, quotes)?);
        }
        Ok(all)
    }

    fn one<'a>(&self, dispenser: &mut Dispenser<'a>, place: String, quotes: bool) -> Result<Occurrence<'a>, String> {
        if matches!(self.arguments, Arguments::Nothing) && dispenser.next_argument() {
            return Err(format!("{place}: nothing may follow it on the line"));
        }
        let mut arguments = dispenser.arguments();
        if matches!(self.block, Block::Words) && arguments.len() < 2 {
            while dispenser.next_property() {
                arguments.push(dispenser.value());
            }
        }
        self.arguments.check(&arguments, quotes).map_err(|cause| format!("{place}: {cause}"))?;
        let mut properties = Vec::new();
        if let Block::Of(_) | Block::Open(_) | Block::Empty = self.block {
            while dispenser.next_property() {
                let place = dispenser.token().map(super::parser::place).unwrap_or_default();
                let name = dispenser.value();
                let known = self.block.property(name);
                if let Some((_, Arguments::Nothing)) = known {
                    // What follows it is read as the next property.
                    properties.push((name, Vec::new()));
                    continue;
                }
                let arguments = match known {
                    Some((_, Arguments::Single(_))) if dispenser.next_argument() => vec![dispenser.value()],
                    Some((_, Arguments::Single(_))) => Vec::new(),
                    _ => dispenser.arguments(),
                };
                match known {
                    Some((_, form)) => form
                        .check(&arguments, quotes)
                        .map_err(|cause| format!("{place}: {}: {cause}", quoted(name, quotes)))?,
                    None if matches!(self.block, Block::Open(_)) => {}
                    None => return Err(format!("{place}: it has no property {}", quoted(name, quotes))),
                }
                properties.push((name, arguments));
            }
        }
        Ok(Occurrence { place, arguments, properties })
    }
}

impl Block {
    fn property(&self, name: &str) -> Option<Property> {
        let (Self::Of(properties) | Self::Open(properties)) = self else { return None };
        properties.iter().find(|(known, _)| *known == name).copied()
    }
}

impl Arguments {
    /// What is refused in these arguments.
    fn check(self, arguments: &[&str], quotes: bool) -> Result<(), String> {
        let (least, most, forms) = match &self {
            Self::Nothing => return Ok(()),
            Self::Single(form) => (1, 1, std::slice::from_ref(form)),
            Self::Between(least, most, forms) => (*least, *most, *forms),
        };
        if arguments.len() < least {
            return Err(if arguments.is_empty() {
                "its argument is missing".into()
            } else {
                "it has too few arguments".into()
            });
        }
        if arguments.len() > most {
            let brace = if arguments.contains(&"}") { ": a closing brace belongs on its own line" } else { "" };
            return Err(format!("it has too many arguments{brace}"));
        }
        for (at, argument) in arguments.iter().enumerate() {
            let Some(form) = forms.get(at).or(forms.last()) else { break };
            if let Some(right) = form.refusal(argument) {
                return Err(format!("{} should be {right}", quoted(argument, quotes)));
            }
        }
        Ok(())
    }
}

/// A word as an error shows it.
pub(super) fn quoted(word: &str, quotes: bool) -> String {
    if quotes { word.chars().take(80).collect() } else { "an argument".into() }
}
