//! The configuration of CoreDNS.

mod dispenser;
mod listed;
mod occurrence;
mod parser;
mod plugins;
mod pods;
mod rewrite;
mod setup;
mod surroundings;
mod text;
mod upstreams;
mod values;
pub(crate) mod zones;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde::{Deserialize, Serialize};

use self::listed::Listed;
use self::parser::Parsed;
pub(crate) use self::plugins::NEWEST;
use self::pods::Server;
pub(crate) use self::surroundings::{Surroundings, is_unknown};
use self::text::Token;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen, Unobserved};
use crate::version::Version;

/// Plugins whose arguments are kept: those of others may hold credentials.
const KEPT: [&str; 6] = ["kubernetes", "forward", "proxy", "import", "cache", "bind"];
/// The name of the ConfigMap with kubeadm and most others.
const USUAL: &str = "coredns";
/// The names of ConfigMaps with a Corefile: RKE2's chart puts the release into its names. The last one is what k3s, AKS
/// and others let administrators write, and the Corefile imports.
const NAMES: [&str; 3] = [USUAL, "rke2-coredns-rke2-coredns", "coredns-custom"];
/// How long a kubelet may take to bring a changed ConfigMap into a running pod.
const UNTIL_MOUNTED: Duration = Duration::from_secs(120);

/// The configuration of CoreDNS: the ConfigMap that its pods mount, in kube-system. Absent where another server is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Corefile {
    /// The name of the ConfigMap.
    #[serde(default = "usual")]
    pub config_map: String,
    /// The server blocks in order, with imported snippets; or why the text is not a Corefile.
    pub blocks: Result<Vec<ServerBlock>, String>,
    /// What CoreDNS refuses when it starts, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// The environment variables that it uses and whose values are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// The pods that use it, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Servers>,
    /// What manages the ConfigMap, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// The pods that use a Corefile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Servers {
    /// Their image.
    pub image: String,
    /// Its release, if the image's tag is a version.
    pub release: Option<Version>,
    /// Whether a ready one started after the last change of the Corefile and of what it imports: it starts with them.
    pub started_with_it: bool,
}

fn usual() -> String {
    USUAL.to_owned()
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
    pub(crate) fn read(text: &str, surroundings: &Surroundings) -> Self {
        let parsed = parser::parse(text, surroundings);
        let refused = parsed.as_ref().map(|parsed| setup::refusals(&parsed.blocks, surroundings)).unwrap_or_default();
        let variables = parsed.as_ref().map(|parsed| parsed.variables.iter().cloned().collect()).unwrap_or_default();
        let is_ignored =
            |block: &parser::Block| block.keys.is_empty() && block.directives.iter().all(|(name, _)| name != "import");
        let blocks = parsed.map(|Parsed { blocks, .. }| {
            blocks.into_iter().filter(|block| !is_ignored(block)).map(ServerBlock::from).collect()
        });
        Self { config_map: usual(), blocks, refused, variables, servers: None, manager: None }
    }
}

impl From<parser::Block> for ServerBlock {
    fn from(parser::Block { keys, directives }: parser::Block) -> Self {
        let plugins = directives.into_iter().map(|(name, words)| Plugin::new(name, &words)).collect();
        Self { keys, plugins }
    }
}

impl Plugin {
    /// The plugin with what is kept of its words.
    fn new(name: String, words: &[Token]) -> Self {
        let keep = KEPT.contains(&name.as_str());
        let (mut arguments, mut properties) = (Vec::new(), Vec::new());
        let mut depth = 0_usize;
        let mut begins = false;
        for (before, word) in words.iter().zip(words.iter().skip(1)) {
            begins |= before.file != word.file || before.end() != word.line;
            match word.text.as_str() {
                "{" => {
                    depth += 1;
                    begins = true;
                }
                "}" => depth = depth.saturating_sub(1),
                text if depth == 0 && keep => arguments.push(text.to_owned()),
                text if depth == 1 && std::mem::take(&mut begins) => properties.push(text.to_owned()),
                _ => {}
            }
        }
        Self { name, arguments, properties }
    }
}

impl Observe for Corefile {
    type Needs<'a> = ();
    const NAME: &'static str = "corefile";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&NAMES),
        Rule::namespaced("kube-system", "", "pods", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let pods =
            Call::list::<Pod>().in_namespace("kube-system").with("labelSelector", "k8s-app in (kube-dns,coredns)");
        let servers: Vec<Server> =
            cluster.list(pods, |pod: Listed| pods::read(&pod)).await?.into_iter().flatten().collect();
        let Some(server) = servers.first().cloned() else {
            // Without pods the names that are known remain.
            let map = match fetch(cluster, USUAL).await {
                Err(absent @ Unobserved::Absent { .. }) => fetch(cluster, NAMES[1]).await.map_err(|why| match why {
                    Unobserved::Absent { .. } => absent,
                    why => why,
                }),
                seen => seen,
            }?;
            return Self::of(map, "Corefile", &Surroundings::default());
        };
        let (name, key) = &server.config_map;
        let map = fetch(cluster, name).await?;
        let mut changed = last_change(&map);
        let mut surroundings = server.surroundings;
        for volume in &server.others {
            let own = volume.config_map == *name;
            let other = if own { Ok(map.clone()) } else { fetch(cluster, &volume.config_map).await };
            match other {
                Ok(other) => {
                    changed = changed.max(last_change(&other));
                    let files = volume.files(&other.data.unwrap_or_default());
                    surroundings.directories.insert(volume.directory.clone(), files);
                }
                // The volume is empty.
                Err(Unobserved::Absent { .. }) => {
                    surroundings.directories.insert(volume.directory.clone(), BTreeMap::new());
                }
                // What it holds is imported from a file that is not known.
                Err(_) => {
                    surroundings.unread.insert(volume.directory.clone());
                }
            }
        }
        let all_known = surroundings.unread.is_empty();
        let read = Self::of(map, key, &surroundings)?;
        let since = changed.and_then(|changed| changed.checked_add(UNTIL_MOUNTED).ok()).filter(|_| all_known);
        let started = |server: &Server| server.config_map.0 == read.config_map && server.started >= since;
        let started_with_it = since.is_some() && servers.iter().any(started);
        let servers = Servers { image: server.image, release: surroundings.release, started_with_it };
        Ok(Self { servers: Some(servers), ..read })
    }
}

impl Corefile {
    fn of(map: ConfigMap, key: &str, surroundings: &Surroundings) -> Seen<Self> {
        let manager = Manager::of(&map.metadata);
        let config_map = map.metadata.name.unwrap_or_default();
        let text = map.data.unwrap_or_default().remove(key);
        let text = text.ok_or_else(|| {
            Unobserved::invalid(format!("ConfigMap kube-system/{config_map}"), format!("it has no key {key}"))
        })?;
        Ok(Self { config_map, manager, ..Self::read(&text, surroundings) })
    }
}

async fn fetch(cluster: &Cluster, name: &str) -> Seen<ConfigMap> {
    let seen = cluster.fetch::<ConfigMap>(&Call::get_in::<ConfigMap>("kube-system", name)).await;
    // Roles name the ConfigMaps that are usual.
    seen.map_err(|why| if NAMES.contains(&name) { why } else { why.optional() })
}

/// When an object was last written, as far as its fields have managers.
fn last_change(map: &ConfigMap) -> Option<Timestamp> {
    let managed = map.metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    managed.map(|at| at.0).max()
}

crate::observed!(Corefile);

#[cfg(test)]
pub(crate) mod testing {
    use super::{Corefile, Surroundings};

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
        Corefile::read(text, &Surroundings::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{KUBEADM, corefile};
    use super::*;

    fn names(block: &ServerBlock) -> Vec<&str> {
        block.plugins.iter().map(|plugin| plugin.name.as_str()).collect()
    }

    fn blocks(text: &str) -> Vec<ServerBlock> {
        corefile(text).blocks.unwrap()
    }

    #[test]
    fn kubeadms_corefile_is_one_block() {
        let blocks = blocks(KUBEADM);
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
        assert_eq!(corefile(KUBEADM).refused, [""; 0]);
    }

    #[test]
    fn keys_may_be_many_and_go_on_after_a_comma() {
        let blocks = blocks("a.example, b.example:5353,\nc.example { # three\n  whoami\n}\nd.example\n{\n}#end\n");
        assert_eq!(blocks[0].keys, ["a.example", "b.example:5353", "c.example"]);
        assert_eq!((names(&blocks[0]), names(&blocks[1])), (vec!["whoami"], vec![]));
    }

    #[test]
    fn a_file_without_braces_is_one_block() {
        let blocks = blocks("example.org\nforward . 9.9.9.9\n\"quoted \\\" name\" x\n");
        assert_eq!(names(&blocks[0]), ["forward", "quoted \" name"]);
        assert_eq!(blocks[0].plugins[0].arguments, [".", "9.9.9.9"]);
    }

    #[test]
    fn snippets_are_filled_in_and_unknown_files_are_not() {
        let text =
            "(usual) {\n errors\n cache\n}\nimport custom/*.server\n. {\n import usual\n import custom/*.override\n}\n";
        let all = blocks(text);
        assert_eq!(all[0].plugins[0].arguments, ["custom/*.server"]);
        assert_eq!(names(&all[1]), ["errors", "cache", "import"]);
        let endless = "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}\n";
        assert_eq!(corefile(endless).blocks.unwrap_err(), "snippets import each other without end");
        let whole = "(both) {\n a.example {\n  whoami\n }\n b.example {\n }\n}\nimport both\n";
        assert_eq!(
            blocks(whole).iter().map(|block| block.keys[0].as_str()).collect::<Vec<_>>(),
            ["a.example", "b.example"]
        );
    }

    #[test]
    fn nested_properties_end_with_their_own_brace() {
        let blocks = blocks(". {\n template IN A {\n  match a {\n   b\n  }\n  answer x\n }\n cache\n}\n");
        assert_eq!(names(&blocks[0]), ["template", "cache"]);
        assert_eq!(blocks[0].plugins[0].properties, ["match", "answer"]);
    }

    #[test]
    fn a_broken_text_says_where() {
        for (text, expected) in [
            (". {\n errors\n", "line 1: the server block is never closed"),
            (". {\n health {\n  lameduck 5s\n", "line 2: the block of health is never closed"),
            (". {\n errors }\n}\n", "line 2: a closing brace that nothing opened"),
            (". {\n import\n}\n", "line 2: `import` names no file"),
            ("a, {\n}\n", "line 1: a zone should follow the comma"),
        ] {
            assert_eq!(corefile(text).blocks.unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn old_recordings_are_read() {
        let old = r#"{"blocks": {"Ok": [{"keys": ["."], "plugins": [{"name": "loop"}]}]}}"#;
        let read: Corefile = serde_json::from_str(old).unwrap();
        assert_eq!((read.config_map.as_str(), read.blocks.unwrap().len(), read.servers), ("coredns", 1, None));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe(text in "([{}()\", \n#.a/0]|import|forward|cache|rewrite|hosts|kubernetes|\\PC){0,80}") {
            let _ = corefile(&text);
        }
    }
}
