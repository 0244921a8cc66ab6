//! The run as metrics, for the textfile collector of node_exporter and for a Pushgateway.

pub mod document;
pub mod exposition;
