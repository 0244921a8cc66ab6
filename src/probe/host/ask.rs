//! The whole batch.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use super::answer::Text;
use super::question::Excerpt;
use super::{HostAnswers, HostQuestions, disk, http};
use crate::probe::answer::{Fault, Got};

/// The most that is read of a text, in bytes.
pub(super) const READ_LIMIT: u64 = 8 << 20;
/// The most that is kept of a text, in bytes.
const KEPT_LIMIT: usize = 2048;

/// Looks at the node.
pub async fn ask(questions: &HostQuestions) -> HostAnswers {
    let patience = Duration::from_millis(questions.answer_ms);
    let gets = questions.gets.iter().map(async |excerpt| (excerpt.of.clone(), http::get(excerpt, patience).await));
    let texts = questions.texts.iter().map(async |excerpt| (excerpt.of.clone(), read(excerpt).await));
    let (gets, texts) = tokio::join!(join_all(gets), join_all(texts));
    let (files, unlisted) = disk::look(&questions.directories);
    HostAnswers { unlisted, files, gets: gets.into_iter().collect(), texts: texts.into_iter().collect() }
}

async fn read(excerpt: &Excerpt) -> Got<Text> {
    let file = tokio::fs::File::open(Path::new(&excerpt.of)).await?;
    let mut bytes = Vec::new();
    file.take(READ_LIMIT).read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::Other("it is no text".into()))?;
    Ok(excerpt.of_text(&text))
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

    #[tokio::test]
    async fn a_file_that_is_not_there_is_a_fault() {
        let questions = HostQuestions { texts: vec![Excerpt::new("/no/such/file", &[])], ..HostQuestions::default() };
        assert!(ask(&questions).await.texts["/no/such/file"].is_err());
    }
}
