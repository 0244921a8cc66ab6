//! Kubeconfig files and the entries in them. Only the entry that is asked for has to be valid.

use std::io;
use std::path::{Path, PathBuf};

use super::KubeconfigError;
use super::document::{self, Node};
use super::fields::{Fields, line, text_of};

/// How files are read.
pub(crate) type ReadFile = fn(&Path) -> io::Result<Vec<u8>>;

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Context,
    Cluster,
    User,
}

impl Kind {
    /// The field of an entry that holds its content.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Cluster => "cluster",
            Self::User => "user",
        }
    }

    /// The list of such entries.
    const fn list(self) -> &'static str {
        match self {
            Self::Context => "contexts",
            Self::Cluster => "clusters",
            Self::User => "users",
        }
    }
}

/// One file.
pub(crate) struct File {
    path: PathBuf,
    document: Option<Node>,
}

/// The files of KUBECONFIG. For each name, the first file that has it counts.
pub(crate) struct Files(Vec<File>);

/// An entry, with the file that has it.
pub(super) struct Entry<'a> {
    pub(super) file: &'a File,
    pub(super) fields: Fields<'a>,
}

impl File {
    /// Reads a file.
    pub(super) fn read(path: &Path, read: ReadFile) -> Result<Self, KubeconfigError> {
        let bytes = read(path).map_err(|source| KubeconfigError::Unreadable { path: path.into(), source })?;
        Self::parse(path, &bytes)
    }

    /// Reads the contents of the file at this path.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KubeconfigError> {
        let malformed = |cause| KubeconfigError::Malformed { path: path.into(), cause };
        let document = document::read(bytes).map_err(malformed)?;
        let file = Self { path: path.into(), document };
        let of_kind = file.fields().and_then(|fields| Ok((fields.text("kind")?, fields.text("apiVersion")?)));
        let (kind, version) = of_kind.map_err(malformed)?;
        let something_else = |what: String| KubeconfigError::SomethingElse { origin: path.display().to_string(), what };
        if let Some(kind) = kind.filter(|kind| kind != "Config") {
            return Err(something_else(format!("its kind is {kind} instead of Config")));
        }
        if let Some(version) = version.filter(|version| version != "v1") {
            return Err(something_else(format!("its apiVersion is {version} instead of v1")));
        }
        Ok(file)
    }

    fn fields(&self) -> Result<Fields<'_>, String> {
        let Some(document) = &self.document else { return Fields::of(None, "") };
        Fields::of(Some(document), "content")
    }

    /// A path in this file: relative to its folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The name of the file, for messages.
    pub(super) fn origin(&self) -> String {
        self.path.display().to_string()
    }

    /// The entries of a kind, each with its name. Those whose name is not text can be neither meant nor listed.
    fn entries(&self, kind: Kind) -> Result<impl Iterator<Item = (&str, &Node)>, String> {
        let items = self.fields()?.list(kind.list())?;
        Ok(items.iter().filter_map(move |item| {
            let fields = Fields::of(Some(item), kind.list()).ok()?;
            let name = fields.all().find(|(field, _)| *field == "name");
            Some((name.map_or(Ok(""), |(_, name)| text_of("name", name)).ok()?, item))
        }))
    }

    fn entry(&self, kind: Kind, name: &str) -> Result<Option<Entry<'_>>, String> {
        let mut found = self.entries(kind)?.filter(|(entry, _)| *entry == name);
        let Some((_, first)) = found.next() else { return Ok(None) };
        if let Some((_, second)) = found.next() {
            let (kind, lines) = (kind.list(), [line(first), line(second)].concat());
            return Err(format!("its {kind} have the name {name:?} twice{lines}: rename or remove one of them"));
        }
        let named = Fields::of(Some(first), kind.list())?;
        let fields = named.object(kind.name())?.map_or_else(|| Fields::of(None, kind.name()), Ok)?;
        Ok(Some(Entry { file: self, fields }))
    }
}

impl Files {
    pub(crate) fn new(files: Vec<File>) -> Self {
        Self(files)
    }

    /// The names of the files, for messages.
    pub(super) fn origin(&self) -> String {
        self.0.iter().map(File::origin).collect::<Vec<_>>().join(":")
    }

    /// Whether nothing is in the files.
    pub(super) fn are_empty(&self) -> bool {
        self.0.iter().all(|file| file.fields().is_ok_and(Fields::is_empty))
    }

    /// The first current context.
    pub(super) fn current_context(&self) -> Result<Option<String>, KubeconfigError> {
        for file in &self.0 {
            let context = file.fields().and_then(|fields| fields.text("current-context"));
            let context = context.map_err(|cause| KubeconfigError::Malformed { path: file.path.clone(), cause })?;
            if context.is_some() {
                return Ok(context);
            }
        }
        Ok(None)
    }

    /// An entry, if there is one of that name.
    pub(super) fn entry(&self, kind: Kind, name: &str) -> Result<Option<Entry<'_>>, KubeconfigError> {
        for file in &self.0 {
            let entry = file.entry(kind, name);
            let entry = entry.map_err(|cause| KubeconfigError::Malformed { path: file.path.clone(), cause })?;
            if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }

    /// The names of all entries of a kind.
    pub(super) fn all(&self, kind: Kind) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let entries = self.0.iter().filter_map(|file| file.entries(kind).ok()).flatten();
        for (name, _) in entries.filter(|(name, _)| !name.is_empty()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The same for messages.
    pub(super) fn names(&self, kind: Kind) -> String {
        let names = self.all(kind);
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// What the files are, if they are not kubeconfigs. A file of kind Config may be empty.
    pub(super) fn something_else(&self) -> Option<&'static str> {
        if self.are_empty() {
            return Some("it is empty");
        }
        let known = ["kind", "contexts", "clusters", "users", "current-context"];
        let fields = self.0.iter().filter_map(|file| file.fields().ok()).flat_map(Fields::all);
        let is_config = fields.into_iter().any(|(field, _)| known.contains(&field));
        (!is_config).then_some("it has no clusters, users or contexts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, yaml: &str) -> File {
        File::parse(Path::new(path), yaml.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_file_with_a_name_counts() {
        let files = Files::new(vec![
            file("/a/one", "users: [{name: x, user: {token: first}}]"),
            file("/b/two", "current-context: c\nusers: [{name: x, user: {token: second}}, {name: w}]"),
            file("/c/three", "current-context: d"),
        ]);
        let entry = files.entry(Kind::User, "x").unwrap().unwrap();
        assert_eq!(entry.fields.text("token"), Ok(Some("first".into())));
        assert_eq!(entry.file.resolve("ca.crt"), Path::new("/a/ca.crt"));
        assert_eq!(entry.file.resolve("/ca.crt"), Path::new("/ca.crt"));
        assert_eq!(files.current_context().unwrap().as_deref(), Some("c"));
        assert!(files.entry(Kind::User, "w").unwrap().unwrap().fields.is_empty());
        assert!(files.entry(Kind::Cluster, "x").unwrap().is_none());
        assert_eq!((files.names(Kind::User), files.names(Kind::Context)), ("x, w".into(), "none".into()));
    }

    #[test]
    fn only_the_entry_that_is_asked_for_must_be_valid() {
        let yaml = "users: [null, 1, {name: 2}, {name: x, user: 3}, {name: w, user: {token: 4}}, {name: z}, {name: z}]";
        let files = Files::new(vec![file("f", yaml)]);
        assert!(files.entry(Kind::User, "w").unwrap().is_some());
        for (name, says) in
            [("x", "its user (line 1) is a number"), ("z", "have the name \"z\" twice (line 1) (line 1)")]
        {
            let why = files.entry(Kind::User, name).err().unwrap().to_string();
            assert!(why.starts_with("f: not a kubeconfig: ") && why.contains(says), "{why}");
        }
    }

    #[test]
    fn what_is_not_a_kubeconfig_is_named() {
        for (yaml, says) in [
            ("kind: Secret", "f: not a kubeconfig: its kind is Secret instead of Config"),
            ("apiVersion: v2", "f: not a kubeconfig: its apiVersion is v2 instead of v1"),
            ("apiVersion: 1", "f: not a kubeconfig: its apiVersion (line 1) is a number, not text: put it in quotes"),
            ("hello", "f: not a kubeconfig: its content (line 1) is text, not a mapping of fields"),
        ] {
            let why = File::parse(Path::new("f"), yaml.as_bytes()).err().unwrap().to_string();
            assert_eq!(why, says);
        }
        let says = |yaml| Files::new(vec![file("f", yaml)]).something_else();
        assert_eq!((says(""), says("a: b")), (Some("it is empty"), Some("it has no clusters, users or contexts")));
        assert_eq!((says("kind: Config"), says("users: null")), (None, None));
    }
}
