//! What a probe asks: one file per kind of question, all asked at once.

pub mod api;
pub mod batch;
pub mod dns;
mod http;
pub mod kubelet;
pub mod peer;
pub mod resolver;
pub mod service;
pub mod token;

pub use batch::ask;
use http::http_fault;
