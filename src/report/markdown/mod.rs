//! Markdown, for the summary of a GitHub job and for a comment on a pull request: the causes first, cut where a comment ends.

mod block;
pub(crate) mod escape;
mod sections;

use std::fmt::Write as _;
use std::io::{self, Write};

use self::block::Block;
use super::Gathered;

/// How many bytes a report has at most. A comment may have 65,536 characters, and no character has less than a byte.
const BYTES: usize = 65_000;
/// Room for the lines that state what is left out.
const REST: usize = 600;

/// Writes the report.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let Some(started) = &run.started else { return Ok(()) };
    to.write_all(fitting(&sections::head(run, started), &sections::body(run)).as_bytes())
}

/// As many blocks as fit, and how many results do not.
fn fitting(head: &str, blocks: &[Block]) -> String {
    let mut page = head.to_owned();
    let mut heading = "";
    for (i, block) in blocks.iter().enumerate() {
        let text = block.text(heading);
        if page.len() + text.len() > BYTES - REST {
            let rest: usize = blocks[i..].iter().map(|block| block.results).sum();
            _ = write!(
                page,
                "\n> [!WARNING]\n> The report is cut here, since a comment takes 65,536 characters: {rest} more results are not shown. \
                 The report in JSON has them all.\n"
            );
            return page;
        }
        page.push_str(&text);
        heading = block.heading;
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;
    use crate::event::Event;
    use crate::report::testing;

    fn written(run: &Gathered) -> String {
        testing::written(write, run)
    }

    #[test]
    fn the_causes_come_first_and_their_fixes_can_be_copied() {
        let page = written(&testing::gathered(&testing::events()));
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
        assert!(place("### Failures") < place("PK-02") && place("PK-02") < place("### Could not be checked"));
        assert!(
            place("### Could not be checked") < place("### Warnings") && place("### Warnings") < place("### Skipped")
        );
        assert!(page.contains("\n```text\nkubeadm init phase certs apiserver\n```\n"), "{page}");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut events = testing::events();
        let mut check = testing::checks().remove(2);
        check.unseen.clear();
        check.findings =
            (0..3000).map(|i| testing::finding(Subject::node(format!("n{i}")), "no certificate")).collect();
        events.truncate(1);
        events.push(Event::CheckJudged { at_ms: 1, check });
        let page = written(&testing::gathered(&events));
        assert!(page.len() <= BYTES, "{}", page.len());
        let shown = page.matches("no certificate").count();
        let rest = format!("{} more results are not shown", 3000 - shown);
        assert!(shown > 20 && page.contains(&rest), "{rest}");
    }

    #[test]
    fn a_run_that_was_cut_off_says_so() {
        let page = written(&testing::gathered(&testing::events()[..6]));
        assert!(page.starts_with("## Cut off"), "{page}");
        assert!(page.contains("The run was cut off before its end: 2 of 10 checks were judged."), "{page}");
    }
}
