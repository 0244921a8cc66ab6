//! The facts of a run while they are written.

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};

use crate::fact::Facts;
use crate::redaction::Redaction;

/// The settled facts of a run, each encoded and redacted when it is written.
#[derive(Clone, Copy)]
pub struct Settled<'a> {
    pub(super) facts: &'a Facts,
    pub(super) redaction: &'a Redaction,
}

impl Serialize for Settled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, encoded) in self.facts.encoded() {
            let mut value = encoded.map_err(|e| S::Error::custom(format!("the fact {name}: {e}")))?;
            self.redaction.value(&mut value);
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
