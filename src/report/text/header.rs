//! The first line: what is being asked, and what that does to it.

use super::page::{INDENT, Page};
use super::style::{FAINT, PLAIN, STRONG};
use crate::event::RunStarted;

/// Writes the first line.
pub fn write(page: &mut Page, started: &RunStarted) {
    let RunStarted { seaworthy, at, cluster, profile, checks, namespace, recording, .. } = started;
    let program = format!("seaworthy {seaworthy}");
    let version = match cluster.version.as_str() {
        "" => "version unknown",
        version => version,
    };
    let name = match cluster.name.as_str() {
        "" => "no cluster".to_owned(),
        name => format!("{name}: {version}"),
    };
    let number = match checks.len() {
        1 => "1 check".to_owned(),
        number => format!("{number} checks"),
    };
    let effect = match (recording, namespace) {
        (Some(_), _) => String::new(),
        (None, Some(namespace)) => format!("creates pods in {namespace}"),
        (None, None) => "creates nothing".into(),
    };
    let asked = format!("{profile}: {number}");
    let words = [(FAINT, &program), (STRONG, &name), (FAINT, &cluster.server), (PLAIN, &asked), (PLAIN, &effect)];
    page.words(&words.map(|(style, word)| (style, word.as_str())), INDENT);
    if let Some(recording) = recording {
        let at = at.strftime("%Y-%m-%d %H:%M UTC");
        page.paragraph(0, PLAIN, &format!("judged from {recording}, recorded {at}"));
    }
    page.blank();
}
