//! A check, and how a plain function becomes one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Documentation, Judged, Severity, Verdict};
use crate::fact::{Facts, Need, Parameter};
use crate::seen::{Seen, Unobserved};

/// Makes a module a suite of checks, each by the name of its file:
/// `suite! { name: "dns", about: "the cluster's DNS", checks: [dns_service, records] }`
#[macro_export]
macro_rules! suite {
    { name: $name:literal, about: $about:literal, checks: [$($check:ident),+ $(,)?] $(,)? } => {
        /// The suite's name.
        const NAME: &str = $name;

        /// The suite.
        pub static SUITE: $crate::check::Suite =
            $crate::check::Suite { name: NAME, about: $about, checks: &[$(&$check::CHECK),+] };
    };
}

/// A function from facts to a verdict. Its needs are read off its type, the way Bevy reads a system's.
#[diagnostic::on_unimplemented(
    message = "this is not a judge",
    label = "not a judge",
    note = "a judge takes one to eight facts and returns a `Verdict`",
    note = "each parameter is `&F`, `Option<&F>` or `Result<&F, &Unobserved>`, where F is a fact: a type with \
            `crate::observed!(F)` or `crate::derived!(F)`"
)]
pub trait Judge<Parameters> {
    /// The facts that it takes.
    fn needs(&self) -> Vec<Need>;
    /// Takes them and judges, or returns why it cannot be called.
    fn judge(&self, facts: &Facts) -> Seen<Verdict>;
}

macro_rules! judge {
    ($($parameter:ident),+) => {
        impl<Function, $($parameter),+> Judge<fn($($parameter),+)> for Function
        where
            $($parameter: Parameter,)+
            Function: Fn($($parameter),+) -> Verdict + for<'a> Fn($($parameter::Item<'a>),+) -> Verdict,
        {
            fn needs(&self) -> Vec<Need> {
                vec![$($parameter::need()),+]
            }

            fn judge(&self, facts: &Facts) -> Seen<Verdict> {
                Ok(self($($parameter::take(facts)?),+))
            }
        }
    };
}

judge!(P0);
judge!(P0, P1);
judge!(P0, P1, P2);
judge!(P0, P1, P2, P3);
judge!(P0, P1, P2, P3, P4);
judge!(P0, P1, P2, P3, P4, P5);
judge!(P0, P1, P2, P3, P4, P5, P6);
judge!(P0, P1, P2, P3, P4, P5, P6, P7);

/// Checks of one subject.
pub struct Suite {
    /// The name.
    pub name: &'static str,
    /// What it is about, in one sentence.
    pub about: &'static str,
    /// The checks, by id.
    pub checks: &'static [&'static Check],
}

/// A check. Made by [`check!`](crate::check!).
pub struct Check {
    /// The stable id, as `PK-02`; never reused.
    pub id: &'static str,
    /// The name in the field's words, as `apiserver-sans`.
    pub name: &'static str,
    /// How much its findings matter, unless a finding overrides it.
    pub severity: Severity,
    /// The suite that it belongs to.
    pub suite: &'static str,
    /// The file that holds it, from the package's root.
    pub file: &'static str,
    /// The head of that file.
    pub head: &'static str,
    /// The checks below it, by id: a finding of one of them, about the same place, explains one of this check.
    pub builds_on: &'static [&'static str],
    /// Further checks below it, by id, that may only explain why it could not be checked: what it finds never follows from
    /// theirs.
    pub blocked_by: &'static [&'static str],
    /// The facts that it takes.
    pub needs: fn() -> Vec<Need>,
    /// The judge, called with the facts that it takes.
    pub judge: fn(&Facts) -> Seen<Verdict>,
}

impl Check {
    /// The documentation at the head of its file.
    pub fn documentation(&self) -> Documentation {
        Documentation::parse(self.head)
    }

    /// Judges; a panic is an error of this check alone.
    pub fn judged(&self, facts: &Facts, gate: Severity) -> Judged {
        let concluded = catch_unwind(AssertUnwindSafe(|| (self.judge)(facts))).unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Unobserved::invalid(format!("the judge of {}", self.id), format!("it panicked: {message}")))
        });
        Judged::new(self, concluded, gate)
    }
}

/// Makes a function a check: `check!("PK-02", "apiserver-sans", Major, judge);`
///
/// A check whose results may follow from those of others names these: `check!("DN-04", .., judge, builds_on: ["SN-09"]);`
/// Where only the lack of results may follow, it names them as `blocked_by: [..]`: an open port is open, whatever else fails.
///
/// The file's head comment is its documentation: a title and the sections Why, Fix and Source. The module above it lists the
/// check in [`suite!`](crate::suite!).
#[macro_export]
macro_rules! check {
    (
        $id:literal, $name:literal, $severity:ident, $judge:path
        $(, builds_on: [$($lower:literal),+ $(,)?])?
        $(, blocked_by: [$($way:literal),+ $(,)?])?
        $(,)?
    ) => {
        /// The check of this file.
        pub const CHECK: $crate::check::Check = {
            const SOURCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", file!()));
            const LENGTH: usize = $crate::check::documentation::head_length(SOURCE);
            const HEAD: [u8; LENGTH] = $crate::check::documentation::head(SOURCE);
            $crate::check::Check {
                id: $id,
                name: $name,
                severity: $crate::check::Severity::$severity,
                suite: super::NAME,
                file: file!(),
                head: match std::str::from_utf8(&HEAD) {
                    Ok(head) => head,
                    Err(_) => panic!("a file's head ends at the end of a line"),
                },
                builds_on: &[$($($lower),+)?],
                blocked_by: &[$($($way),+)?],
                needs: || $crate::check::Judge::needs(&$judge),
                judge: |facts| $crate::check::Judge::judge(&$judge, facts),
            }
        };
    };
}
