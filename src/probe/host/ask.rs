//! The whole batch.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;

use super::answer::Text;
use super::question::{CONTROL_GROUPS, Excerpt, UNIT_FILES};
use super::{HostAnswers, HostQuestions, disk, http, manifests, services, units};

/// The most that is kept of a text, in bytes.
const KEPT_LIMIT: usize = 2048;

/// Looks at the node.
pub async fn ask(questions: &HostQuestions) -> HostAnswers {
    let patience = Duration::from_millis(questions.answer_ms);
    let gets = questions.gets.iter().map(async |excerpt| (excerpt.of.clone(), http::get(excerpt, patience).await));
    let gets = join_all(gets).await.into_iter().collect();
    let (files, unlisted) = disk::look(&questions.directories);
    let asked = |names: &[String]| !names.is_empty();
    let services = asked(&questions.services).then(|| services::look(Path::new(CONTROL_GROUPS.1), &questions.services));
    let units =
        asked(&questions.units).then(|| units::look(&UNIT_FILES.map(|(.., path)| path.to_owned()), &questions.units));
    let manifests =
        questions.manifests.as_ref().map(|directory| manifests::look(Path::new(directory), &questions.digests));
    HostAnswers { unlisted, files, gets, manifests, services, units }
}

impl Excerpt {
    /// The wanted lines of a text, as many as may be kept.
    pub(super) fn of_text(&self, text: &str) -> Text {
        let mut kept = Text::default();
        let mut room = KEPT_LIMIT;
        let wanted = |line: &&str| self.lines.is_empty() || self.lines.iter().any(|start| line.starts_with(start));
        for line in text.lines().filter(wanted) {
            let Some(left) = room.checked_sub(line.len() + 1) else {
                kept.cut = true;
                break;
            };
            room = left;
            kept.lines.push(line.to_owned());
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_lines_are_kept_and_what_is_cut_is_said() {
        let wanted = Excerpt::new("u", &["etcd_server_has_leader "]);
        let text = wanted.of_text("# HELP etcd_server_has_leader\netcd_server_has_leader 1\nother 2\n");
        assert_eq!(text, Text { lines: vec!["etcd_server_has_leader 1".into()], cut: false });
        let long = Excerpt::new("u", &[]).of_text(&"0123456789\n".repeat(1000));
        assert!(long.cut && long.lines.len() < 200);
    }
}
