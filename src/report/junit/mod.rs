//! JUnit XML, as CI systems read it: a suite is a test suite, a check is a test case.

pub mod case;
pub mod document;
#[cfg(test)]
mod tests;
pub mod xml;

use super::on_verdict::Whole;
use super::{Gathered, OutputError, OutputFile};

/// JUnit XML, which goes there.
pub struct JUnit(pub OutputFile);

impl Whole for JUnit {
    fn write(self, run: &Gathered) -> Result<(), OutputError> {
        let Self(mut to) = self;
        to.write(|to| document::write(run, to))?;
        to.publish()
    }
}
