//! Questions of the two doors to the ledger: which sources record, and which contests go to a party.

use sillage_proto::v1;

use crate::checks;
use crate::error::ClientError;
use crate::session::Session;

/// Rows of one page: the ledger's own bounds.
const SOURCES: u32 = 2_000;
const CONTESTS: u32 = 200;

impl Session {
    /// The sources of the authority's list, and the recording parties that none of them names, by their keys.
    ///
    /// # Errors
    /// When the ledger can't be reached, or its pages don't go on.
    pub async fn sources(&self) -> Result<Vec<v1::SourceRow>, ClientError> {
        let mut out: Vec<v1::SourceRow> = Vec::new();
        loop {
            let after = out.last().map(|row| row.key.clone()).unwrap_or_default();
            let request = v1::ListSourcesRequest { after: after.clone(), limit: SOURCES };
            let page = self
                .client
                .call(|mut rpc| {
                    let request = request.clone();
                    async move { rpc.list_sources(request).await }
                })
                .await?;
            let goes_on = page.rows.first().is_some_and(|row| row.key > after);
            out.extend(page.rows);
            if !page.more {
                return Ok(out);
            }
            if !goes_on {
                return Err(no_end());
            }
        }
    }

    /// The contests that go to the caller, oldest first.
    ///
    /// # Errors
    /// When the caller answers none, the ledger can't be reached, or its pages don't go on.
    pub async fn contests(&self, waiting_only: bool) -> Result<Vec<v1::ContestRow>, ClientError> {
        let mut out: Vec<v1::ContestRow> = Vec::new();
        let mut after_index = 0;
        loop {
            let request = v1::ListContestsRequest { waiting_only, after_index, limit: CONTESTS };
            let page = self.client.call(|mut rpc| async move { rpc.list_contests(request).await }).await?;
            // A page ends early, even without a row, where the ledger left many contests out.
            let goes_on = page.next_after_index > after_index && page.rows.iter().all(|row| row.index > after_index);
            out.extend(page.rows);
            if !page.more {
                return Ok(out);
            }
            if !goes_on {
                return Err(no_end());
            }
            after_index = page.next_after_index;
        }
    }
}

fn no_end() -> ClientError {
    checks::failed("the ledger's pages do not go on: ask another node")
}
