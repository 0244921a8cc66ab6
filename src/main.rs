//! seaworthy
fn main() {}
