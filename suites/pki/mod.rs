//! Certificates and the authorities behind them.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "pki",
    about: "the certificates of API servers and kubelets, and the authorities behind them",
    checks: &[],
};
