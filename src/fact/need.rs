//! How checks and facts state their needs: by the types of their parameters.

use super::{Fact, Facts, Node};
use crate::seen::{Seen, Unobserved};

/// One fact that a check or another fact takes.
#[derive(Clone, Copy)]
pub struct Need {
    /// The fact.
    pub node: fn() -> Node,
}

/// A parameter of a judge.
///
/// - `&F` requires the fact: without it the judge is not called.
/// - `Option<&F>` takes a fact that may be absent: `None` means that the cluster does not have it.
/// - `Result<&F, &Unobserved>` takes whatever happened, for a judge that can decide something without the fact.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a way to take a fact",
    label = "neither `&F`, `Option<&F>` nor `Result<&F, &Unobserved>` of a fact F",
    note = "F is a fact when its file contains `crate::observed!(F)` or `crate::derived!(F)`"
)]
pub trait Parameter {
    /// The parameter with the lifetime of the facts that it is taken from.
    type Item<'a>;
    /// The fact that is taken.
    fn need() -> Need;
    /// Takes the fact, or returns why the judge cannot be called.
    fn take(facts: &Facts) -> Seen<Self::Item<'_>>;
}

impl<F: Fact> Parameter for &F {
    type Item<'a> = &'a F;

    fn need() -> Need {
        Need { node: F::node }
    }

    fn take(facts: &Facts) -> Seen<Self::Item<'_>> {
        facts.seen::<F>().map_err(Clone::clone)
    }
}

impl<F: Fact> Parameter for Option<&F> {
    type Item<'a> = Option<&'a F>;

    fn need() -> Need {
        Need { node: F::node }
    }

    fn take(facts: &Facts) -> Seen<Self::Item<'_>> {
        match facts.seen::<F>() {
            Ok(fact) => Ok(Some(fact)),
            Err(Unobserved::Absent { .. }) => Ok(None),
            Err(why) => Err(why.clone()),
        }
    }
}

impl<F: Fact> Parameter for Result<&F, &Unobserved> {
    type Item<'a> = Result<&'a F, &'a Unobserved>;

    fn need() -> Need {
        Need { node: F::node }
    }

    fn take(facts: &Facts) -> Seen<Self::Item<'_>> {
        Ok(facts.seen::<F>())
    }
}

/// What a fact needs: a tuple of [`Parameter`]s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of facts",
    label = "not a tuple of up to eight parameters",
    note = "write a tuple, with a comma also after a single fact: `type Needs<'a> = (&'a Nodes,);`, and `()` for none"
)]
pub trait Needs<'a>: Sized {
    /// The facts that are taken, in the tuple's order.
    fn list() -> Vec<Need>;
    /// Takes them all, or returns why one is missing.
    fn take(facts: &'a Facts) -> Seen<Self>;
}

impl<'a> Needs<'a> for () {
    fn list() -> Vec<Need> {
        Vec::new()
    }

    fn take(_: &'a Facts) -> Seen<Self> {
        Ok(())
    }
}

macro_rules! needs {
    ($($parameter:ident),*) => {
        impl<'a, $($parameter),*> Needs<'a> for ($($parameter,)*)
        where
            $($parameter: Parameter<Item<'a> = $parameter>),*
        {
            fn list() -> Vec<Need> {
                vec![$($parameter::need()),*]
            }

            fn take(facts: &'a Facts) -> Seen<Self> {
                Ok(($($parameter::take(facts)?,)*))
            }
        }
    };
}

needs!(P0);
needs!(P0, P1);
needs!(P0, P1, P2);
needs!(P0, P1, P2, P3);
needs!(P0, P1, P2, P3, P4);
needs!(P0, P1, P2, P3, P4, P5);
needs!(P0, P1, P2, P3, P4, P5, P6);
needs!(P0, P1, P2, P3, P4, P5, P6, P7);
