//! JUnit XML, as CI systems read it: a suite is a test suite, a check is a test case.

pub mod case;
pub mod document;
#[cfg(test)]
mod tests;
pub mod xml;
