//! `--settle`: shows what is waited for, and what was.

use std::cell::RefCell;
use std::time::Duration;

use super::say;
use crate::live::Live;
use crate::report::text::wrap::printable;
use crate::report::waiting::Waiting;
use crate::settle::{Aims, Settled, settle};

/// Waits until the cluster has settled, or for this long.
pub(super) async fn wait(live: &Live, patience: Duration) {
    let waiting = RefCell::new(Waiting::new("waiting until "));
    let settled = settle(live, patience, |left: &Aims| {
        if !left.is_empty() {
            waiting.borrow_mut().show(&printable(&left.to_string()));
        }
    });
    let settled = settled.await;
    waiting.into_inner().end();
    for line in lines(&settled) {
        say(&printable(&line));
    }
}

/// What to say at the end.
fn lines(settled: &Settled) -> Vec<String> {
    let Settled { after, awaited, left, unknown } = settled;
    let seconds = after.as_secs();
    let mut lines: Vec<String> = unknown.iter().map(|(aim, why)| format!("not waited until {aim}: {why}")).collect();
    lines.push(if !left.is_empty() {
        format!("not settled after {seconds} s; starting anyway; still waiting for: {left}")
    } else if awaited.is_empty() {
        format!("settled after {seconds} s: there was nothing to wait for")
    } else {
        format!("settled after {seconds} s: waited until {awaited}")
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::Aim;

    #[test]
    fn the_end_is_said_with_what_may_not_be_looked_at() {
        let settled = Settled {
            after: Duration::from_millis(5400),
            awaited: Aims::default(),
            left: Aims::default(),
            unknown: [(Aim::Nodes, "we may not list nodes".to_owned())].into(),
        };
        assert_eq!(
            lines(&settled),
            [
                "not waited until nodes are Ready: we may not list nodes",
                "settled after 5 s: there was nothing to wait for"
            ]
        );
    }
}
