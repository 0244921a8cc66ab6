//! Who gets in, and who may do what.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "authn-authz",
    about: "who gets in, and who may do what: RBAC, the Node authorizer, NodeRestriction, anonymous access",
    checks: &[],
};
