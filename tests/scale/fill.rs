//! Fills etcd, as fast as it takes objects.

use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine};
use futures_util::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use super::connection::Connection;
use super::objects::Stored;

/// How many objects one transaction has.
const TOGETHER: usize = 200;
/// How many connections are used.
const CONNECTIONS: usize = 4;

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Puts objects into etcd: `of(i)` for each `i` below `number`.
pub(crate) async fn fill(etcd: SocketAddr, number: usize, of: impl Fn(usize) -> Vec<Stored> + Sync) -> Outcome {
    let parts = (0..CONNECTIONS).map(|part| {
        let of = &of;
        async move {
            let mut connection = Connection::plain(etcd).await?;
            let mut puts = Vec::new();
            for i in (part..number).step_by(CONNECTIONS) {
                puts.extend(of(i).into_iter().map(put));
                while puts.len() >= TOGETHER {
                    send(&mut connection, puts.drain(..TOGETHER).collect()).await?;
                }
            }
            send(&mut connection, puts).await
        }
    });
    try_join_all(parts).await.map(drop)
}

fn put((key, object): Stored) -> Value {
    json!({ "requestPut": { "key": BASE64_STANDARD.encode(key), "value": BASE64_STANDARD.encode(object.to_string()) } })
}

async fn send(connection: &mut Connection, puts: Vec<Value>) -> Outcome {
    if puts.is_empty() {
        return Ok(());
    }
    let transaction = json!({ "success": puts }).to_string().into_bytes();
    let (status, answer) = connection.send(Method::POST, "/v3/kv/txn", transaction).await?;
    match status {
        200 => Ok(()),
        status => Err(format!("etcd: HTTP {status}: {}", String::from_utf8_lossy(&answer)).into()),
    }
}
