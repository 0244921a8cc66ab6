//! The environment variables of the pod that name the API server.

use std::collections::BTreeMap;
use std::env;

use super::asker::Asker;
use super::{Ask, whole};

/// The variable that holds the API server's address.
pub const HOST: &str = "KUBERNETES_SERVICE_HOST";
/// The variable that holds its port.
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// What the answer adds to a message, in bytes.
const SIZE: usize = 40;

/// The environment variables of the pod that name the API server: whether to look, and those that are set.
pub struct Environment;

impl Ask for Environment {
    type Question = bool;
    type Answer = Option<BTreeMap<String, String>>;

    fn parts(question: &bool) -> Vec<(usize, bool)> {
        whole(question, SIZE)
    }

    async fn ask(question: &bool, _: &Asker) -> Self::Answer {
        question.then(|| {
            [HOST, PORT].into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect()
        })
    }
}
