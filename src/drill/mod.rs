//! A node that is stopped by the administrator's own command, and started again whatever happens.
//!
//! Only [`guard`] runs these commands: a process apart, which starts the node when its standard input ends. That end comes
//! when a drill is over, and as well when the program fails, is interrupted or is killed.

pub mod command;
pub mod guard;
pub mod guarded;

pub use command::{NodeCommand, NodePower};
pub use guarded::Guarded;
