//! seaworthy

pub mod cli;
pub mod image;
