//! `seaworthy explain`: what a check asserts, why it matters, and how to fix findings.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::choice::{Suggested, patterns};
use super::{Failure, print_json};
use crate::check::{Check, Severity};
use crate::compliance::{self, Maps};
use crate::fact::Rule;
use crate::fact::node::Origin;
use crate::history;
use crate::markdown::{Block, blocks};
use crate::report::text::page::Page;
use crate::report::text::style::{FAINT, PLAIN, STRONG};
use crate::report::{Colour, Console};
use crate::run::{ExitCode, Plan, Selection};
use crate::seen::Access;

/// Explain checks: what they assert, why it matters, how to fix findings
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy explain PK-02
  seaworthy explain 'DN-*' --output json")]
pub struct ExplainArgs {
    /// The checks: ids, globs or suites
    #[arg(value_name = "ID", required = true, value_parser = Suggested(patterns), hide_possible_values = true)]
    ids: Vec<String>,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = ExplainFormat::Text)]
    output: ExplainFormat,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

/// The format of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people
    Text,
    /// As JSON
    Json,
}

/// A check, explained.
#[derive(Debug, Serialize)]
struct Explained {
    id: &'static str,
    name: &'static str,
    suite: &'static str,
    severity: Severity,
    title: String,
    why: String,
    fix: String,
    source: String,
    /// The checks whose findings may explain its own.
    builds_on: &'static [&'static str],
    /// Further checks whose findings may explain why it could not be checked.
    blocked_by: &'static [&'static str],
    facts: Vec<FactTaken>,
    access: Vec<Access>,
    permissions: Vec<String>,
    /// The ids that it covers of published catalogues.
    maps: &'static Maps,
}

/// A fact that a check needs, directly or not.
#[derive(Debug, Serialize)]
struct FactTaken {
    name: &'static str,
    /// None for a fact that is derived from others.
    access: Option<Access>,
}

impl Explained {
    fn new(check: &'static Check) -> Self {
        let documentation = check.documentation();
        let plan = Plan::new(vec![check]);
        let facts = plan.facts.nodes().into_values().map(|node| {
            let access = match node.origin {
                Origin::Observed(observation) => Some(observation.access),
                Origin::Derived(_) | Origin::Given => None,
            };
            FactTaken { name: node.name, access }
        });
        let permissions = plan.rules(&Access::ALL.into()).iter().map(Rule::to_string).collect();
        Self {
            id: check.id,
            name: check.name,
            suite: check.suite,
            severity: check.severity,
            title: documentation.title,
            why: documentation.why,
            fix: documentation.fix,
            source: documentation.source,
            builds_on: check.builds_on,
            blocked_by: check.blocked_by,
            facts: facts.collect(),
            access: plan.accesses().into_iter().collect(),
            permissions,
            maps: compliance::of(check.id),
        }
    }

    fn write(&self, page: &mut Page) {
        let suite = format!("suite {}", self.suite);
        page.words(&[(STRONG, self.id), (PLAIN, self.name), (STRONG, self.severity.name()), (FAINT, &suite)], 2);
        page.paragraph(2, FAINT, "Findings may override the severity.");
        page.paragraph(0, STRONG, &self.title);
        for (heading, text) in [("Why", &self.why), ("Fix", &self.fix), ("Source", &self.source)] {
            page.blank();
            page.paragraph(0, STRONG, heading);
            markdown(page, text);
        }
        page.blank();
        page.paragraph(0, STRONG, "Needs");
        let facts: Vec<_> = self.facts.iter().map(|fact| fact.name).collect();
        let access: Vec<_> = self.access.iter().map(|access| access.name()).collect();
        page.columns(2, "facts", 13, &facts.join(", "));
        page.columns(2, "access", 13, &access.join(", "));
        let permissions = match self.permissions.as_slice() {
            [] => "none, except those of every authenticated user".into(),
            some => some.join("\n"),
        };
        page.columns(2, "permissions", 13, &permissions);
        if !self.maps.is_empty() {
            page.blank();
            page.paragraph(0, STRONG, "Covers");
            for (framework, ids) in self.maps {
                page.columns(2, framework, 13, &ids.join(", "));
            }
        }
        if self.builds_on.is_empty() && self.blocked_by.is_empty() {
            return;
        }
        page.blank();
        page.paragraph(0, STRONG, "Follows from");
        for (what, checks) in [("findings", self.builds_on), ("errors", self.blocked_by)] {
            if !checks.is_empty() {
                page.columns(2, what, 13, &checks.join(", "));
            }
        }
    }
}

fn markdown(page: &mut Page, text: &str) {
    for (i, block) in blocks(text).iter().enumerate() {
        match block {
            Block::Paragraph(text) => {
                if i > 0 {
                    page.blank();
                }
                page.paragraph(2, PLAIN, text);
            }
            Block::Item { marker, text } => page.columns(2, marker, marker.len() + 1, text),
            Block::Code(lines) => lines.iter().for_each(|line| page.verbatim(4, line)),
        }
    }
}

/// Explains checks.
pub fn run(args: ExplainArgs) -> Result<ExitCode, Failure> {
    // The check of waivers is in no suite.
    let is_of_waivers = |id: &&String| ["WV-01", "WV-*", "waivers"].iter().any(|name| id.eq_ignore_ascii_case(name));
    let (of_waivers, ids): (Vec<&String>, Vec<&String>) = args.ids.iter().partition(is_of_waivers);
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let mut checks =
        if ids.is_empty() && !of_waivers.is_empty() { Vec::new() } else { Selection::new(&ids, &[])?.checks()? };
    if ids.is_empty() || !of_waivers.is_empty() || ids.iter().any(|id| id == "*") {
        checks.push(&history::CHECK);
    }
    let checks: Vec<_> = checks.into_iter().map(Explained::new).collect();
    match args.output {
        ExplainFormat::Json => print_json(&checks)?,
        ExplainFormat::Text => {
            let mut console = Console::stdout(args.color);
            let mut page = Page::new(console.width(), true);
            for (i, check) in checks.iter().enumerate() {
                if i > 0 {
                    page.blank();
                }
                check.write(&mut page);
            }
            console.write(&page.finish())?;
        }
    }
    Ok(ExitCode::Seaworthy)
}
