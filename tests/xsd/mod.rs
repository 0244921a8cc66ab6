//! Validates XML against an XML Schema, as far as `reports/junit.xsd` uses the language: elements by name or reference,
//! sequences and choices, attributes, simple content, and a few built-in types. Anything else in a schema is an error.

use roxmltree::{Document, Node};

const XS: &str = "http://www.w3.org/2001/XMLSchema";

/// Why a document does not conform, or the schema uses what is not supported.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Validates a document.
pub(crate) fn validate(schema: &str, document: &str) -> Result<()> {
    let schema = Document::parse(schema).map_err(|e| format!("the schema: {e}"))?;
    let document = Document::parse(document).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let schema = Schema(schema.root_element());
    schema.element(schema.global("element", root.tag_name().name())?, root)
}

#[derive(Clone, Copy)]
struct Schema<'a>(Node<'a, 'a>);

fn parts<'a>(node: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(Node::is_element)
}

fn part<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    parts(node).find(|part| part.has_tag_name((XS, name)))
}

impl<'a> Schema<'a> {
    fn global(self, what: &str, name: &str) -> Result<Node<'a, 'a>> {
        let is_it = |node: &Node| node.has_tag_name((XS, what)) && node.attribute("name") == Some(name);
        parts(self.0).find(is_it).ok_or_else(|| format!("the schema has no {what} {name}"))
    }

    fn element(self, declared: Node<'a, 'a>, node: Node) -> Result<()> {
        let at = |e: String| {
            format!("{} at {}: {e}", node.tag_name().name(), node.document().text_pos_at(node.range().start))
        };
        if let Some(anonymous) = part(declared, "complexType") {
            return self.complex(anonymous, node).map_err(at);
        }
        match declared.attribute("type") {
            Some(simple) if simple.starts_with("xs:") => {
                no_attributes_but(node, &[]).and_then(|()| text(simple, node)).map_err(at)
            }
            Some(named) => self.complex(self.global("complexType", named)?, node).map_err(at),
            None => Err("an element without a type".into()),
        }
    }

    fn complex(self, complex: Node<'a, 'a>, node: Node) -> Result<()> {
        if let Some(content) = part(complex, "simpleContent") {
            let extension = part(content, "extension").ok_or("simple content that extends nothing")?;
            attributes(extension, node)?;
            return text(extension.attribute("base").unwrap_or_default(), node);
        }
        attributes(complex, node)?;
        if node.children().any(|child| child.is_text() && !child.text().unwrap_or_default().trim().is_empty()) {
            return Err("text between the elements".into());
        }
        let children: Vec<_> = node.children().filter(Node::is_element).collect();
        let taken = match part(complex, "sequence") {
            Some(sequence) => self.sequence(sequence, &children)?,
            None => 0,
        };
        match children.get(taken) {
            Some(child) => Err(format!("unexpected element {}", child.tag_name().name())),
            None => Ok(()),
        }
    }

    /// How many of the children the sequence takes.
    fn sequence(self, sequence: Node<'a, 'a>, children: &[Node]) -> Result<usize> {
        let mut taken = 0;
        for particle in parts(sequence) {
            let bound = |name: &str| match particle.attribute(name) {
                Some("unbounded") => usize::MAX,
                Some(number) => number.parse().expect("a number"),
                None => 1,
            };
            let mut times = 0;
            while times < bound("maxOccurs")
                && let Some(child) = children.get(taken)
                && let Some(declared) = self.takes(particle, *child)?
            {
                self.element(declared, *child)?;
                taken += 1;
                times += 1;
            }
            if times < bound("minOccurs") {
                return Err(format!(
                    "{} is missing",
                    particle.attribute("name").or(particle.attribute("ref")).unwrap_or("a choice")
                ));
            }
        }
        Ok(taken)
    }

    /// The declaration by which a particle takes this element.
    fn takes(self, particle: Node<'a, 'a>, child: Node) -> Result<Option<Node<'a, 'a>>> {
        let name = child.tag_name().name();
        match (particle.tag_name().name(), particle.attribute("ref")) {
            ("element", Some(referred)) if referred == name => self.global("element", name).map(Some),
            ("element", None) if particle.attribute("name") == Some(name) => Ok(Some(particle)),
            ("element", _) => Ok(None),
            ("choice", _) => {
                for option in parts(particle) {
                    if let Some(declared) = self.takes(option, child)? {
                        return Ok(Some(declared));
                    }
                }
                Ok(None)
            }
            (other, _) => Err(format!("the schema uses {other}")),
        }
    }
}

fn attributes(complex: Node, node: Node) -> Result<()> {
    let declared: Vec<_> = complex.children().filter(|part| part.has_tag_name((XS, "attribute"))).collect();
    let names: Vec<_> = declared.iter().filter_map(|attribute| attribute.attribute("name")).collect();
    no_attributes_but(node, &names)?;
    for attribute in declared {
        let name = attribute.attribute("name").ok_or("an attribute without a name")?;
        match (node.attribute(name), attribute.attribute("use")) {
            (Some(value), _) => {
                simple(attribute.attribute("type").unwrap_or_default(), value).map_err(|e| format!("{name}: {e}"))?;
            }
            (None, Some("required")) => return Err(format!("the attribute {name} is missing")),
            (None, _) => {}
        }
    }
    Ok(())
}

fn no_attributes_but(node: Node, names: &[&str]) -> Result<()> {
    match node.attributes().find(|attribute| !names.contains(&attribute.name())) {
        Some(attribute) => Err(format!("unexpected attribute {}", attribute.name())),
        None => Ok(()),
    }
}

fn text(of: &str, node: Node) -> Result<()> {
    match node.children().find(Node::is_element) {
        Some(child) => Err(format!("unexpected element {}", child.tag_name().name())),
        None => simple(of, node.text().unwrap_or_default()),
    }
}

fn simple(of: &str, value: &str) -> Result<()> {
    let holds = match of {
        "xs:string" => true,
        "xs:nonNegativeInteger" => value.parse::<u64>().is_ok(),
        // Digits and a point: no exponent, no infinity.
        "xs:decimal" => value.parse::<f64>().is_ok() && value.bytes().all(|b| b"+-.0123456789".contains(&b)),
        "xs:dateTime" => value.parse::<jiff::Timestamp>().is_ok(),
        other => return Err(format!("the schema uses the type {other}")),
    };
    if holds { Ok(()) } else { Err(format!("{value:?} is not an {of}")) }
}
