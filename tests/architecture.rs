//! Dependencies point one way: every arrow between modules is in the diagram of ARCHITECTURE.md, and none leads back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// What a check has no use for: it judges facts, without a clock, without input or output, and not as the API sends them.
const NOT_IN_CHECKS: [&str; 13] = [
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "TcpStream",
    "lookup_host",
    "tokio",
    "k8s_openapi",
];

static COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)//.*$"));
static TESTS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^#\[cfg\(test\)\]\n(?:pub\((?:crate|super)\) )?mod [a-z_]+ \{"));
static FROM_THE_ROOT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u:\b)crate::([A-Za-z0-9_]+)(!?)"));
static UPWARD: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u:\b)(?:super::)+"));
static MODULE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^(?:pub(?:\(crate\))? )?mod ([a-z_]+);$"));
static ROW: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^    ([a-z_]+) +─► ([a-z_ ]*?)(?:  .*)?$"));
static VALUES: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^    values: ([a-z_ ]+)$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A source file.
struct File {
    path: PathBuf,
    /// The module right below the crate's root that it belongs to; none of `lib.rs` and `main.rs`.
    module: Option<String>,
    /// How many modules deep it is below the crate's root.
    depth: usize,
    /// Its text without comments.
    text: String,
}

impl File {
    fn read(path: PathBuf) -> Self {
        let relative = path.strip_prefix(root()).expect("it is in the package");
        let mut parts: Vec<&str> = relative.iter().map(|part| part.to_str().expect("a plain name")).collect();
        if parts[0] == "src" {
            parts.remove(0);
        }
        let file = parts.pop().expect("a file has a name").trim_end_matches(".rs");
        if !["mod", "lib", "main"].contains(&file) {
            parts.push(file);
        }
        let text = fs::read_to_string(&path).expect("a source file is readable");
        let text = COMMENT.replace_all(&text, "").into_owned();
        Self { module: parts.first().map(ToString::to_string), depth: parts.len(), text, path }
    }

    /// The text without its tests.
    fn without_tests(&self) -> &str {
        TESTS.find(&self.text).map_or(&self.text, |tests| &self.text[..tests.start()])
    }

    /// The modules that it uses, of these.
    fn uses<'a>(&'a self, modules: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        let named = FROM_THE_ROOT.captures_iter(&self.text).filter(|found| found[2].is_empty());
        let named = named.map(|found| found.get(1).expect("the group is a part of each match").as_str());
        named.filter(|name| modules.contains(*name) && Some(*name) != self.module.as_deref())
    }
}

/// The source files of the program and its checks.
fn files() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src"), root().join("suites")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder is readable") {
            let path = entry.expect("a folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(File::read(path));
            }
        }
    }
    files
}

/// The diagram.
struct Diagram {
    /// Small modules that every module may use.
    values: BTreeSet<String>,
    /// What each other module may use in addition.
    arrows: BTreeMap<String, BTreeSet<String>>,
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

impl Diagram {
    fn read() -> Self {
        let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("there is a map");
        let values = VALUES.captures(&text).map(|line| words(&line[1])).expect("the map names the values");
        let arrows: BTreeMap<_, _> = ROW.captures_iter(&text).map(|row| (row[1].to_owned(), words(&row[2]))).collect();
        assert!(arrows.len() > 10, "the rows of the diagram are read: {arrows:?}");
        Self { values, arrows }
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        self.values.contains(to) || self.arrows.get(from).is_some_and(|to_all| to_all.contains(to))
    }
}

/// The modules right below the crate's root.
fn modules() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("a source file is readable");
    MODULE.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_diagram_shows_every_module() {
    let Diagram { values, arrows } = Diagram::read();
    let shown: BTreeSet<_> = values.iter().chain(arrows.keys()).cloned().collect();
    assert_eq!(shown, modules());
    assert!(values.iter().all(|value| !arrows.contains_key(value)), "a value is used by all, and has no row");
}

#[test]
fn every_arrow_is_in_the_diagram_and_every_arrow_of_the_diagram_is_in_use() {
    let (diagram, modules) = (Diagram::read(), modules());
    let mut used: BTreeMap<(String, String), PathBuf> = BTreeMap::new();
    for file in files() {
        assert!(!file.text.contains("crate::{"), "{}: write one `use` for each module", file.path.display());
        let Some(module) = &file.module else { continue };
        for other in file.uses(&modules) {
            used.insert((module.clone(), other.to_owned()), file.path.clone());
        }
    }
    let missing: Vec<_> = used
        .iter()
        .filter(|((from, to), _)| !diagram.allows(from, to))
        .map(|((from, to), path)| format!("{from} ─► {to}, in {}", path.display()))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md has no such arrow:\n{}", missing.join("\n"));
    let drawn = diagram.arrows.iter().flat_map(|(from, all)| all.iter().map(move |to| (from.clone(), to.clone())));
    let idle: Vec<_> = drawn.filter(|arrow| !used.contains_key(arrow)).collect();
    assert!(idle.is_empty(), "ARCHITECTURE.md has arrows that no file needs: {idle:?}");
}

/// Takes away, again and again, what uses nothing that is left: a circle stays.
#[test]
fn the_arrows_of_the_diagram_make_no_circle() {
    let (Diagram { values, arrows }, modules) = (Diagram::read(), modules());
    let mut left = arrows;
    for value in &values {
        left.insert(value.clone(), BTreeSet::new());
    }
    for file in files() {
        let Some(module) = file.module.as_ref().filter(|module| values.contains(*module)) else { continue };
        left.entry(module.clone()).or_default().extend(file.uses(&modules).map(ToOwned::to_owned));
    }
    loop {
        let free: Vec<_> = left.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()).collect();
        if free.is_empty() {
            break;
        }
        for module in &free {
            left.remove(module);
            for to in left.values_mut() {
                to.remove(module);
            }
        }
    }
    assert!(left.is_empty(), "in a circle, or behind one: {left:?}");
}

/// Else an arrow could be hidden: `super::super::cluster`.
#[test]
fn a_path_to_another_module_begins_at_the_root() {
    for file in files() {
        let tests = TESTS.find(&file.text).map_or(file.text.len(), |tests| tests.end());
        for path in UPWARD.find_iter(&file.text) {
            let up = path.as_str().matches("super").count();
            let depth = file.depth + usize::from(path.start() >= tests);
            assert!(up < depth, "{}: {} leads out of its module", file.path.display(), path.as_str());
        }
    }
}

#[test]
fn a_check_has_no_clock_and_no_input_or_output() {
    for file in files().iter().filter(|file| file.module.as_deref() == Some("suites")) {
        for word in NOT_IN_CHECKS {
            let text = file.without_tests();
            assert!(!text.contains(word), "{} uses {word}: a check takes facts alone", file.path.display());
        }
    }
}

/// It would lose what it has found.
#[test]
fn a_judge_that_has_begun_returns_its_own_verdict() {
    let function = pattern(r"(?m)^(?:pub(?:\([a-z()]+\))? )?fn ");
    for file in files().iter().filter(|file| file.module.as_deref() == Some("suites")) {
        let begun = function
            .split(file.without_tests())
            .filter_map(|body| body.split_once("\n    let mut verdict = Verdict::new();"));
        for (_, after) in begun {
            let path = file.path.display();
            assert!(!after.contains("Verdict::not_applicable("), "{path}: use verdict.does_not_apply");
        }
    }
}
