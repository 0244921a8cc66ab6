//! seaworthy

pub mod image;
