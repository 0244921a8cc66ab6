//! The targets that the smoke run of the package's tests shares with the fuzzer.

#[path = "../../tests/fuzz/targets.rs"]
pub mod targets;
