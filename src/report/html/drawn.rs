//! What is drawn: the paths between nodes, and when certificates expire.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::event::Survey;
use crate::event::survey::{Path, PathKind, PathState};
use crate::report::Gathered;

/// How many rows and columns a matrix has; of more nodes, only the paths that are not open are listed.
const NODES: usize = 40;
/// How many certificates are drawn, those first that expire first.
const CERTIFICATES: usize = 60;
/// How many paths that are not open are listed.
const LISTED: usize = 200;

/// The paths from node to node, to DNS and to Services.
pub(super) fn paths(survey: &Survey) -> Markup {
    let kinds = [
        (PathKind::Pod, "From pod to pod, by node"),
        (PathKind::Dns, "From pods to DNS"),
        (PathKind::Service, "From pods to Services"),
        (PathKind::ApiServer, "From pods to the API server"),
    ];
    html! {
        @for (kind, title) in kinds {
            @let paths: Vec<&Path> = survey.paths.iter().filter(|path| path.kind == kind).collect();
            @if !paths.is_empty() {
                section { h2 { (title) } (matrix(&paths)) }
            }
        }
        @for words in &survey.left_out { p.faint { (words) } }
    }
}

fn matrix(paths: &[&Path]) -> Markup {
    let from: BTreeSet<&str> = paths.iter().map(|path| path.from.as_str()).collect();
    let to: BTreeSet<&str> = paths.iter().map(|path| path.to.as_str()).collect();
    let by: BTreeMap<(&str, &str), &Path> =
        paths.iter().map(|path| ((path.from.as_str(), path.to.as_str()), *path)).collect();
    if from.len() > NODES || to.len() > NODES {
        let closed: Vec<_> = paths.iter().filter(|path| path.state != PathState::Open).collect();
        return html! {
            p { (paths.len() - closed.len()) " of " (paths.len()) " paths are open." }
            ul {
                @for path in closed.iter().take(LISTED) { li { (path.from) " → " (path.to) ": " (path.detail) } }
                @if closed.len() > LISTED { li { "and " (closed.len() - LISTED) " more" } }
            }
        };
    }
    html! {
        div.scroll {
            table.paths {
                thead { tr { th scope="col" { "from \\ to" } @for to in &to { th scope="col" { (to) } } } }
                tbody {
                    @for from in &from {
                        tr {
                            th scope="row" { (from) }
                            @for to in &to {
                                @match by.get(&(*from, *to)) {
                                    Some(path) => td class=(class(path.state)) title=(path.detail) { (sign(path.state)) },
                                    None => td { "" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

const fn class(state: PathState) -> &'static str {
    match state {
        PathState::Open => "open",
        PathState::Partial => "partial",
        PathState::Closed => "closed",
        PathState::Unknown => "unknown",
    }
}

const fn sign(state: PathState) -> &'static str {
    match state {
        PathState::Open => "open",
        PathState::Partial => "lossy",
        PathState::Closed => "closed",
        PathState::Unknown => "?",
    }
}

/// When certificates expire, on a line that begins with the run.
pub(super) fn certificates(run: &Gathered) -> Markup {
    let Some(now) = run.started.as_ref().map(|started| started.at) else { return html! {} };
    let all = &run.survey.certificates;
    html! {
        @if !all.is_empty() {
            section {
                h2 { "When certificates expire" }
                ul.times {
                    @for one in all.iter().take(CERTIFICATES) {
                        @let whole = one.not_after.as_second() - one.not_before.as_second();
                        @let left = (one.not_after.as_second() - now.as_second()).max(0);
                        li {
                            span { (one.kind) " " strong { (one.instance) } " " span.faint { (one.subject) } }
                            meter min="0" max=(whole.max(1)) low=(whole / 10) value=(left) { (left / 86_400) " days" }
                            span { (one.not_after.strftime("%Y-%m-%d")) }
                        }
                    }
                }
                @if all.len() > CERTIFICATES { p.faint { "and " (all.len() - CERTIFICATES) " that expire later" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(from: usize, to: usize, state: PathState) -> Path {
        Path { from: format!("n{from}"), to: format!("n{to}"), kind: PathKind::Pod, state, detail: "0 of 8".into() }
    }

    #[test]
    fn a_few_nodes_are_a_matrix_and_many_are_what_is_not_open() {
        let few =
            Survey { paths: vec![path(1, 2, PathState::Open), path(2, 1, PathState::Closed)], ..Survey::default() };
        let text = paths(&few).into_string();
        assert!(text.contains("<td class=\"closed\" title=\"0 of 8\">closed</td>"), "{text}");
        let many = (0..100).flat_map(|from| (0..100).map(move |to| path(from, to, PathState::Open)));
        let many: Vec<_> = many.chain([path(1, 200, PathState::Partial)]).collect();
        let text = paths(&Survey { paths: many, ..Survey::default() }).into_string();
        assert!(!text.contains("<table") && text.contains("10000 of 10001 paths are open"), "{text}");
        assert!(text.contains("<li>n1 → n200: 0 of 8</li>"));
    }
}
