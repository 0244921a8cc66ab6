//! A part of a run that others wait for.

use tokio::sync::SetOnce;

/// A part of a run that others wait for. It ends once.
#[derive(Default)]
pub struct Phase(SetOnce<()>);

impl Phase {
    /// Ends it.
    pub fn end(&self) {
        // Ending it a second time changes nothing.
        let _ = self.0.set(());
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        self.0.wait().await;
    }
}
