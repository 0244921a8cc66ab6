//! A node that the administrator's own command stops, and that is started again whatever happens.
//!
//! Only [`guard`] runs these commands: a separate process, which starts the node when its standard input ends. That happens
//! when a drill is over, and also when the program fails, is interrupted or is killed.

pub mod command;
pub mod guard;
pub mod guarded;

pub use command::{NodeCommand, NodePower};
pub use guarded::Guarded;
