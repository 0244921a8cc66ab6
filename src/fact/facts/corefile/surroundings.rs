//! The surroundings of a Corefile in its container: environment variables and the files that it may import.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

use crate::version::Version;

/// The files that exist in every container.
const IN_EVERY_CONTAINER: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The surroundings of a Corefile, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// The directory of the Corefile.
    pub directory: String,
    /// The environment variables with known values.
    pub variables: BTreeMap<String, String>,
    /// The directories with their files by name; those that are not known are not here.
    pub directories: BTreeMap<String, BTreeMap<String, String>>,
    /// The directories of volumes that could not be read.
    pub unread: BTreeSet<String>,
    /// The release of CoreDNS.
    pub release: Option<Version>,
    /// Whether those are all volumes, so that a file elsewhere is one of the image, which has none of these.
    pub complete: bool,
}

/// What an import names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// The text of each file.
    Known(Vec<String>),
    /// A file that does not exist.
    Missing,
    /// It may exist.
    Unknown,
}

impl Surroundings {
    /// The files that match a pattern, which is relative to the directory of the Corefile.
    pub(super) fn import(&self, pattern: &str) -> Files {
        let path = self.absolute(pattern);
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let is_glob = path.contains(['*', '?', '[']);
        // Of a directory by a pattern nothing is known.
        if directory.contains(['*', '?', '[']) {
            return Files::Unknown;
        }
        if let Some(files) = self.directories.get(directory) {
            let matches = |file: &str| match GlobBuilder::new(name).literal_separator(true).build() {
                Ok(glob) if is_glob => glob.compile_matcher().is_match(file),
                _ => file == name,
            };
            // A shell's `*` and Go's match names that begin with a dot, too.
            let found: Vec<_> = files.iter().filter(|(file, _)| matches(file)).map(|(_, text)| text.clone()).collect();
            return if found.is_empty() && !is_glob { Files::Missing } else { Files::Known(found) };
        }
        match self.exists(&path) {
            Some(false) if is_glob => Files::Known(Vec::new()),
            Some(false) => Files::Missing,
            _ => Files::Unknown,
        }
    }

    /// Whether a file exists, if that is known.
    pub(super) fn exists(&self, path: &str) -> Option<bool> {
        let path = self.absolute(path);
        if IN_EVERY_CONTAINER.contains(&path.as_str()) {
            return Some(true);
        }
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if let Some(files) = self.directories.get(directory) {
            return Some(files.contains_key(name));
        }
        let unread = self.unread.iter().any(|volume| path.starts_with(&format!("{volume}/")));
        (self.complete && !unread).then_some(false)
    }

    fn absolute(&self, path: &str) -> String {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.directory) };
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Replaces references to environment variables, `{$NAME}` and `{%NAME%}`, as Caddy does. Those that are not known
    /// stay as they are and are added to `unknown`.
    pub(super) fn replaced(&self, text: &str, unknown: &mut BTreeSet<String>) -> String {
        let text = self.replaced_between(text, "{%", "%}", unknown);
        self.replaced_between(&text, "{$", "}", unknown)
    }

    fn replaced_between(&self, text: &str, begin: &str, end: &str, unknown: &mut BTreeSet<String>) -> String {
        let mut all = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(begin) {
            let inside = &rest[at + begin.len()..];
            // Without a name it is left as it is, with all that follows.
            let Some(length) = inside.find(end).filter(|length| *length > 0) else { break };
            let name = &inside[..length];
            all.push_str(&rest[..at]);
            if let Some(value) = self.variables.get(name) {
                all.push_str(value);
            } else {
                unknown.insert(name.to_owned());
                all.push_str(&rest[at..at + begin.len() + length + end.len()]);
            }
            rest = &inside[length + end.len()..];
        }
        all + rest
    }
}

/// Whether a word contains a value that is not known: an environment variable, or what node-local-dns fills in.
pub(crate) fn is_unknown(word: &str) -> bool {
    let variable = |begin: &str, end: &str| {
        word.find(begin).is_some_and(|at| word[at + begin.len()..].find(end).is_some_and(|length| length > 0))
    };
    variable("{$", "}") || variable("{%", "%}") || word.contains("__PILLAR__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings() -> Surroundings {
        let custom = [("a.override", "log"), ("b.server", "b.example {\n}")];
        Surroundings {
            directory: "/etc/coredns".into(),
            variables: [("ZONE".to_owned(), "corp.local".to_owned())].into(),
            directories: [(
                "/etc/coredns/custom".to_owned(),
                custom.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            )]
            .into(),
            unread: ["/etc/tls".to_owned()].into(),
            release: None,
            complete: true,
        }
    }

    #[test]
    fn imports_are_files_of_volumes() {
        let surroundings = surroundings();
        assert_eq!(surroundings.import("custom/*.override"), Files::Known(vec!["log".into()]));
        assert_eq!(surroundings.import("/etc/coredns/./custom/../custom/a.override"), Files::Known(vec!["log".into()]));
        assert_eq!(surroundings.import("custom/*.none"), Files::Known(vec![]));
        assert_eq!(surroundings.import("custom/none"), Files::Missing);
        assert_eq!(surroundings.import("/etc/tls/x"), Files::Unknown);
        assert_eq!(surroundings.import("/opt/x"), Files::Missing);
        assert_eq!(Surroundings::default().import("/opt/x"), Files::Unknown);
        assert_eq!(surroundings.exists("/etc/resolv.conf"), Some(true));
    }

    #[test]
    fn variables_are_replaced_or_named() {
        let mut unknown = BTreeSet::new();
        let replaced = surroundings().replaced("a.{$ZONE}:{%PORT%} {$} {$OTHER}", &mut unknown);
        assert_eq!(replaced, "a.corp.local:{%PORT%} {$} {$OTHER}");
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["PORT"]);
        assert!(is_unknown("{$A}") && !is_unknown("{$}") && is_unknown("__PILLAR__DNS__SERVER__"));
    }
}
