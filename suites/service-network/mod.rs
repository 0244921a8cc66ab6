//! Service addresses and the proxy behind them.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "service-network",
    about: "the API at its ClusterIP, service addresses, the service proxy",
    checks: &[],
};
