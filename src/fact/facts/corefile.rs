//! The configuration of CoreDNS.

pub(crate) mod zones;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen, Unobserved};

/// Plugins whose arguments are kept: those of others may hold credentials.
const KEPT: [&str; 5] = ["kubernetes", "forward", "proxy", "import", "cache"];
/// The name of the ConfigMap with kubeadm and most others, and with RKE2, whose chart puts the release into its names.
const NAMES: [&str; 2] = ["coredns", "rke2-coredns-rke2-coredns"];
/// How deep snippets may import each other.
const DEPTH: u8 = 8;

/// The configuration of CoreDNS: ConfigMap kube-system/coredns, or RKE2's. Absent where another server is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Corefile {
    /// The server blocks in order, with imported snippets; or why the text is not a Corefile.
    pub blocks: Result<Vec<ServerBlock>, String>,
    /// What manages the ConfigMap, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// A server block: the plugins for some zones at some ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerBlock {
    /// The zones and ports, as they are written.
    pub keys: Vec<String>,
    /// The plugins.
    pub plugins: Vec<Plugin>,
}

/// A plugin of a server block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plugin {
    /// The name.
    pub name: String,
    /// The arguments, of plugins whose arguments cannot hold credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The names of its properties.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
}

impl ServerBlock {
    /// The plugins of this name.
    pub(crate) fn plugins<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Plugin> {
        self.plugins.iter().filter(move |plugin| plugin.name == name)
    }
}

impl Corefile {
    /// Reads the text of the ConfigMap's key.
    pub(crate) fn read(text: &str) -> Self {
        Self { blocks: parse(text), manager: None }
    }
}

impl Observe for Corefile {
    type Needs<'a> = ();
    const NAME: &'static str = "corefile";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&NAMES)];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let mut call = Call::get_in::<ConfigMap>("kube-system", NAMES[0]);
        let mut map = cluster.fetch::<ConfigMap>(&call).await;
        if let Err(absent @ Unobserved::Absent { .. }) = map {
            call = Call::get_in::<ConfigMap>("kube-system", NAMES[1]);
            map = cluster.fetch::<ConfigMap>(&call).await.map_err(|why| match why {
                Unobserved::Absent { .. } => absent,
                why => why,
            });
        }
        let map = map?;
        let manager = Manager::of(&map.metadata);
        let text = map.data.unwrap_or_default().remove("Corefile");
        let text = text.ok_or_else(|| Unobserved::invalid(call.to_string(), "it has no key Corefile"))?;
        Ok(Self { manager, ..Self::read(&text) })
    }
}

/// A word of a Corefile.
#[derive(Clone, Debug)]
struct Token {
    /// The line on which it begins.
    line: usize,
    /// The line on which it ends: another one if it is quoted.
    end: usize,
    text: String,
    quoted: bool,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }
}

/// Splits a text as Caddy does, whose syntax CoreDNS uses: words between white space, quotes around words with white
/// space, comments after `#`.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut letters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' => line += 1,
            letter if letter.is_whitespace() => {}
            '#' => while letters.next_if(|letter| *letter != '\n').is_some() {},
            '"' => {
                let begin = line;
                let mut word = String::new();
                loop {
                    match letters.next() {
                        None => return Err(format!("line {begin}: the quote is never closed")),
                        Some('"') => break,
                        Some('\\') if letters.next_if_eq(&'"').is_some() => word.push('"'),
                        Some(letter) => {
                            line += usize::from(letter == '\n');
                            word.push(letter);
                        }
                    }
                }
                tokens.push(Token { line: begin, end: line, text: word, quoted: true });
            }
            letter => {
                let mut word = String::from(letter);
                while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                    word.push(letter);
                }
                tokens.push(Token { line, end: line, text: word, quoted: false });
            }
        }
    }
    Ok(tokens)
}

/// The tokens that are not read yet.
struct Rest {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    /// The line on which the last token ended.
    line: usize,
}

impl Rest {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.next()?;
        self.line = token.end;
        Some(token)
    }

    fn is_empty(&mut self) -> bool {
        self.tokens.peek().is_none()
    }

    /// Whether the line ends here.
    fn line_ends(&mut self) -> bool {
        self.tokens.peek().is_none_or(|next| next.line != self.line)
    }
}

/// Reads a Corefile.
fn parse(text: &str) -> Result<Vec<ServerBlock>, String> {
    let mut rest = Rest { tokens: tokens(text)?.into_iter().peekable(), line: 1 };
    let mut blocks = Vec::new();
    let mut snippets: BTreeMap<String, Vec<Plugin>> = BTreeMap::new();
    while !rest.is_empty() {
        let (keys, opens) = keys(&mut rest)?;
        match &keys[..] {
            // Whole server blocks from another file.
            [word, file] if word == "import" && !opens => {
                let plugin = Plugin { name: word.clone(), arguments: vec![file.clone()], properties: Vec::new() };
                blocks.push(ServerBlock { keys: Vec::new(), plugins: vec![plugin] });
            }
            [key] if opens && key.starts_with('(') && key.ends_with(')') => {
                snippets.insert(key[1..key.len() - 1].to_owned(), plugins(&mut rest, opens)?);
            }
            _ => {
                let plugins = plugins(&mut rest, opens)?;
                blocks.push(ServerBlock { keys, plugins });
            }
        }
    }
    for block in &mut blocks {
        block.plugins = filled_in(std::mem::take(&mut block.plugins), &snippets, DEPTH)?;
    }
    Ok(blocks)
}

/// The keys of a server block, and whether a brace opens it.
fn keys(rest: &mut Rest) -> Result<(Vec<String>, bool), String> {
    let mut keys = Vec::new();
    while let Some(token) = rest.next() {
        if token.is("{") && keys.is_empty() {
            return Err(format!("line {}: a server block without a zone", token.line));
        }
        if token.is("{") {
            return Ok((keys, true));
        }
        if token.is("}") {
            return Err(closes_nothing(&token));
        }
        keys.extend(token.text.split(',').filter(|word| !word.is_empty()).map(str::to_owned));
        if !token.text.ends_with(',') && rest.line_ends() {
            break;
        }
    }
    Ok((keys, false))
}

/// The plugins up to the closing brace; a file without braces is one server block.
fn plugins(rest: &mut Rest, opened: bool) -> Result<Vec<Plugin>, String> {
    let begin = rest.line;
    let mut plugins = Vec::new();
    while let Some(name) = rest.next() {
        if name.is("}") {
            return if opened { Ok(plugins) } else { Err(closes_nothing(&name)) };
        }
        if name.is("{") {
            return Err(format!("line {}: an opening brace where a plugin should be", name.line));
        }
        plugins.push(plugin(rest, name)?);
    }
    if opened { Err(format!("line {begin}: the server block is never closed")) } else { Ok(plugins) }
}

fn closes_nothing(brace: &Token) -> String {
    format!("line {}: a closing brace that nothing opened", brace.line)
}

/// A plugin: its line, and the block of properties that begins there.
fn plugin(rest: &mut Rest, name: Token) -> Result<Plugin, String> {
    let keep = KEPT.contains(&name.text.as_str());
    let (mut arguments, mut properties) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    let mut begins = false;
    while depth > 0 || !rest.line_ends() {
        begins |= rest.line_ends();
        let Some(token) = rest.next() else {
            return Err(format!("line {}: the block of {} is never closed", name.line, name.text));
        };
        if token.is("{") {
            depth += 1;
            begins = true;
        } else if token.is("}") {
            depth = depth.checked_sub(1).ok_or_else(|| closes_nothing(&token))?;
        } else if depth == 0 && keep {
            arguments.push(token.text);
        } else if depth == 1 && std::mem::take(&mut begins) {
            properties.push(token.text);
        }
    }
    Ok(Plugin { name: name.text, arguments, properties })
}

/// Replaces imports by their snippets.
fn filled_in(plugins: Vec<Plugin>, snippets: &BTreeMap<String, Vec<Plugin>>, depth: u8) -> Result<Vec<Plugin>, String> {
    let mut all = Vec::new();
    for plugin in plugins {
        let snippet = plugin.arguments.first().filter(|_| plugin.name == "import").and_then(|name| snippets.get(name));
        match snippet {
            Some(_) if depth == 0 => return Err("snippets import each other without end".into()),
            Some(snippet) => all.extend(filled_in(snippet.clone(), snippets, depth - 1)?),
            None => all.push(plugin),
        }
    }
    Ok(all)
}

crate::observed!(Corefile);

#[cfg(test)]
pub(crate) mod testing {
    use super::Corefile;

    /// As kubeadm writes it.
    pub(crate) const KUBEADM: &str = "\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
";

    pub(crate) fn corefile(text: &str) -> Corefile {
        Corefile::read(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::KUBEADM;
    use super::*;

    fn names(block: &ServerBlock) -> Vec<&str> {
        block.plugins.iter().map(|plugin| plugin.name.as_str()).collect()
    }

    #[test]
    fn kubeadms_corefile_is_one_block() {
        let blocks = parse(KUBEADM).unwrap();
        assert_eq!((blocks.len(), &blocks[0].keys[..]), (1, &[".:53".to_owned()][..]));
        assert_eq!(
            names(&blocks[0]),
            [
                "errors",
                "health",
                "ready",
                "kubernetes",
                "prometheus",
                "forward",
                "cache",
                "loop",
                "reload",
                "loadbalance"
            ]
        );
        let kubernetes = blocks[0].plugins("kubernetes").next().unwrap();
        assert_eq!(kubernetes.arguments, ["cluster.local", "in-addr.arpa", "ip6.arpa"]);
        assert_eq!(kubernetes.properties, ["pods", "fallthrough", "ttl"]);
        // What is not known to be harmless is not kept.
        assert!(blocks[0].plugins("prometheus").next().unwrap().arguments.is_empty());
    }

    #[test]
    fn keys_may_be_many_and_go_on_after_a_comma() {
        let blocks = parse("a.example, b.example:5353,\nc.example { # three\n  whoami\n}\nd.example {\n}\n").unwrap();
        assert_eq!(blocks[0].keys, ["a.example", "b.example:5353", "c.example"]);
        assert_eq!((names(&blocks[0]), names(&blocks[1])), (vec!["whoami"], vec![]));
    }

    #[test]
    fn a_file_without_braces_is_one_block() {
        let blocks = parse("example.org\nforward . 9.9.9.9\n\"quoted \\\" name\" x\n").unwrap();
        assert_eq!(names(&blocks[0]), ["forward", "quoted \" name"]);
        assert_eq!(blocks[0].plugins[0].arguments, [".", "9.9.9.9"]);
    }

    #[test]
    fn snippets_are_filled_in_and_files_are_not() {
        let text =
            "(usual) {\n errors\n cache\n}\nimport custom/*.server\n. {\n import usual\n import custom/*.override\n}\n";
        let blocks = parse(text).unwrap();
        assert_eq!(blocks[0].plugins[0].arguments, ["custom/*.server"]);
        assert_eq!(names(&blocks[1]), ["errors", "cache", "import"]);
        let endless = "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}\n";
        assert_eq!(parse(endless).unwrap_err(), "snippets import each other without end");
    }

    #[test]
    fn nested_properties_end_with_their_own_brace() {
        let text = ". {\n template IN A {\n  match a {\n   b\n  }\n  answer x\n }\n cache\n}\n";
        let blocks = parse(text).unwrap();
        assert_eq!(names(&blocks[0]), ["template", "cache"]);
        assert_eq!(blocks[0].plugins[0].properties, ["match", "answer"]);
        let blocks = parse(". {\n health { lameduck 5s }\n ready\n}\n").unwrap();
        assert_eq!(names(&blocks[0]), ["health", "ready"]);
        assert_eq!(blocks[0].plugins[0].properties, ["lameduck"]);
    }

    #[test]
    fn a_broken_text_says_where() {
        for (text, expected) in [
            (". {\n errors\n", "line 1: the server block is never closed"),
            (". {\n health {\n  lameduck 5s\n", "line 2: the block of health is never closed"),
            (". {\n errors\n}\n}\n", "line 4: a closing brace that nothing opened"),
            ("{\n errors\n}\n", "line 1: a server block without a zone"),
            (". {\n errors }\n}\n", "line 2: a closing brace that nothing opened"),
            (". {\n \"errors\n}\n", "line 2: the quote is never closed"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe(text in "([{}()\", \n#.a]|import|\\PC){0,80}") {
            let _ = parse(&text);
        }
    }
}
