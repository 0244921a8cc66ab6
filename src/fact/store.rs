//! The facts of one run.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::node::{Origin, Record, Slot};
use super::{Fact, Given, Need, Node};
use crate::redaction::Redaction;
use crate::seen::{Access, Obstacle, Unobserved};

struct Cell {
    node: Node,
    slot: OnceCell<Slot>,
}

/// The facts that the selected checks need, each settled at most once.
pub struct Facts {
    cells: BTreeMap<TypeId, Cell>,
}

impl Facts {
    /// Room for these facts and for everything that they need.
    pub fn closure(needs: impl IntoIterator<Item = Need>) -> Self {
        let mut cells = BTreeMap::new();
        let mut open: Vec<Need> = needs.into_iter().collect();
        while let Some(need) = open.pop() {
            let node = (need.node)();
            if cells.contains_key(&node.id) {
                continue;
            }
            open.extend((node.needs)());
            cells.insert(node.id, Cell { node, slot: OnceCell::new() });
        }
        Self { cells }
    }

    /// Takes a fact that the run is given, if anything needs it.
    pub fn give<F: Given>(&self, fact: F) {
        if let Some(cell) = self.cells.get(&TypeId::of::<F>()) {
            // Only the first one counts: a fact does not change.
            let _ = cell.slot.set(Ok(Arc::new(fact)));
        }
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> BTreeMap<&'static str, Node> {
        self.cells.values().map(|cell| (cell.node.name, cell.node)).collect()
    }

    /// The names of all nodes, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.cells.values().map(|cell| cell.node.name)
    }

    /// The state of a fact.
    pub fn seen<F: Fact>(&self) -> Result<&F, &Unobserved> {
        let slot = self
            .cells
            .get(&TypeId::of::<F>())
            .and_then(|cell| cell.slot.get())
            .unwrap_or(const { &Err(Unobserved::Interrupted) });
        match slot {
            Ok(fact) => Ok(fact.downcast_ref::<F>().expect("a cell holds the type that it is filed under")),
            Err(why) => Err(why),
        }
    }

    /// Settles a fact, unless it is settled already; a second caller waits for the first.
    pub async fn settle(&self, node: &Node, settling: impl Future<Output = Slot>) {
        let cell = self.cells.get(&node.id).expect("the closure holds everything that is needed");
        cell.slot.get_or_init(|| settling).await;
    }

    /// Why the profile does not allow the facts with these names, as far as it does not.
    pub fn not_allowed(&self, names: &BTreeMap<&'static str, Node>) -> impl Iterator<Item = &Unobserved> {
        let cells = names.values().filter_map(|node| self.cells.get(&node.id));
        let unobserved = cells.filter_map(|cell| cell.slot.get()?.as_ref().err());
        unobserved.filter(|why| matches!(why, Unobserved::NotAllowed { .. }))
    }

    /// Why facts were not seen that are only read from the API server, and do not need the result of an experiment.
    pub fn failed_reads(&self) -> Vec<&Unobserved> {
        let failed = |is_read: bool| {
            let cells = self.cells.values().filter(move |cell| match cell.node.origin {
                Origin::Observed(observation) => (observation.access == Access::Read) == is_read,
                Origin::Derived(_) | Origin::Given => false,
            });
            cells.filter_map(|cell| cell.slot.get()?.as_ref().err())
        };
        let experiments: Vec<_> = failed(false).collect();
        failed(true).filter(|why| !experiments.contains(why)).collect()
    }

    /// What kept the run from asking its cluster, and why in one line.
    pub fn barred(&self) -> Option<(Obstacle, &str)> {
        self.cells.values().find_map(|cell| match cell.slot.get()? {
            Err(Unobserved::Barred { obstacle, cause }) => Some((*obstacle, cause.as_str())),
            _ => None,
        })
    }

    /// Every fact that is recorded and was settled, in the order of names.
    pub fn settled(&self) -> impl Iterator<Item = Settled<'_>> {
        let settled = self.cells.values().filter_map(|cell| {
            Some(Settled { name: cell.node.name, record: cell.node.record?, slot: cell.slot.get()? })
        });
        let by_name: BTreeMap<_, _> = settled.map(|fact| (fact.name, fact)).collect();
        by_name.into_values()
    }
}

/// A fact that is recorded and was settled.
pub struct Settled<'a> {
    /// Its name.
    pub name: &'static str,
    record: Record,
    slot: &'a Slot,
}

impl Settled<'_> {
    /// Writes it as JSON, without anything secret.
    pub fn write(&self, redaction: &Redaction, to: &mut dyn Write) -> serde_json::Result<()> {
        match self.slot {
            Ok(fact) => {
                to.write_all(b"{\"Ok\":").map_err(serde_json::Error::io)?;
                (self.record.encode)(fact.as_ref(), redaction, to)?;
            }
            Err(why) => {
                to.write_all(b"{\"Err\":").map_err(serde_json::Error::io)?;
                redaction.write(why, to)?;
            }
        }
        to.write_all(b"}").map_err(serde_json::Error::io)
    }
}
