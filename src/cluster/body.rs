//! Bodies of answers, which share one bound: a few large ones at once must not fill the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;

/// The largest body that is read, in bytes. A page of 500 large objects is smaller.
const LARGEST: usize = 64 << 20;
/// How many bytes all bodies have together at most, those that are decoded among them.
const TOGETHER: usize = 160 << 20;

/// How much of the room for bodies is taken.
#[derive(Default)]
pub(super) struct Room(AtomicUsize);

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the answer is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    #[error("this answer and the others that are being read are larger than {} MiB", TOGETHER >> 20)]
    NoRoom,
    #[error(transparent)]
    Broken(kube::Error),
}

/// A body, and the room that it takes until it is dropped.
struct Held {
    body: Vec<u8>,
    room: Arc<Room>,
    taken: usize,
}

impl Held {
    fn grow(&mut self, by: &[u8]) -> Result<(), Unread> {
        let before = self.room.0.fetch_add(by.len(), Ordering::Relaxed);
        self.taken += by.len();
        if self.taken > LARGEST {
            return Err(Unread::TooLarge);
        }
        if before + by.len() > TOGETHER {
            return Err(Unread::NoRoom);
        }
        self.body.extend_from_slice(by);
        Ok(())
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl Room {
    /// Reads a whole body.
    pub(super) async fn read(self: &Arc<Self>, mut body: Body) -> Result<Bytes, Unread> {
        let mut held = Held { body: Vec::new(), room: self.clone(), taken: 0 };
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(Unread::Broken)?.into_data() {
                held.grow(&data)?;
            }
        }
        Ok(Bytes::from_owner(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(room: &Arc<Room>, size: usize) -> Result<Bytes, Unread> {
        room.read(Body::from(vec![0; size])).await
    }

    #[tokio::test]
    async fn the_limit_holds_for_one_body_and_for_the_sum() {
        let room = Arc::default();
        assert!(matches!(read(&room, LARGEST + 1).await, Err(Unread::TooLarge)));
        let (one, two) = (read(&room, LARGEST).await.unwrap(), read(&room, LARGEST).await.unwrap());
        assert!(matches!(read(&room, LARGEST).await, Err(Unread::NoRoom)));
        drop((one.slice(1..), one, two));
        assert_eq!(room.0.load(Ordering::Relaxed), 0, "what is dropped makes room");
        assert_eq!(read(&room, LARGEST).await.unwrap().len(), LARGEST);
    }
}
