//! The head start of facts that are observed first.

use tokio::sync::SetOnce;

/// Whether the facts that are observed first are under way.
#[derive(Default)]
pub struct HeadStart(SetOnce<()>);

impl HeadStart {
    /// Ends it: everything else may begin.
    pub fn end(&self) {
        // It ends once; a second fact that is under way changes nothing.
        let _ = self.0.set(());
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        self.0.wait().await;
    }
}
