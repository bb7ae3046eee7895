//! Sharing the traffic anew while the gateway runs.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::request::Caller;
use super::to_its_end::to_its_end;
use super::{Gateway, GatewayError};
use crate::audit::record::RoutingChange;
use crate::router::Shares;

impl Gateway {
    /// Shares the traffic anew, once it is on record who does so. A caller who goes away does not stop it.
    pub async fn share(self: &Arc<Self>, caller: Caller, shares: Shares) -> Result<(), GatewayError> {
        let gateway = self.clone();
        to_its_end(&self.tasks, async move { gateway.record_and_share(caller, shares).await })?.await
    }

    async fn record_and_share(&self, caller: Caller, shares: Shares) -> Result<(), GatewayError> {
        // One after the other: what a record tells of before is what the one before it made.
        let _turn = self.sharing.lock().await;
        let before = self.router.providers().map(|status| (status.info.name.clone(), status.weight)).collect();
        let record = RoutingChange {
            change_id: format!("change-{}", Uuid::now_v7().simple()),
            at: Timestamp::now(),
            client: caller.client.clone(),
            tenant: caller.tenant,
            before,
            after: shares.by_name().clone(),
        };
        self.audit.append(record)?.await?;
        self.router.share(&shares);
        tracing::warn!(client = caller.client, ?shares, "traffic is shared anew, until the next start");
        Ok(())
    }
}
