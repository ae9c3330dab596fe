//! The way to the nodes. Their answers go through unbelieved; an answer that doesn't fit the question isn't handed on.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use sillage_client::ClientError;
use sillage_client::channel::Timeouts;
use sillage_client::error::Code;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proof::TreeSize;
use sillage_proof::tile::{TILE_WIDTH, TileCoord};
use sillage_proto::v1::{GetCheckpointRequest, GetEntriesRequest, GetTileRequest};
use sillage_web::tls::Spki;
use tokio::sync::{Mutex, OnceCell, Semaphore, SemaphorePermit};
use tonic::Response;

use crate::cache::Tiles;
use crate::config::Limits;

/// For one attempt and for all: whoever waits is a web client.
const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(5), total: Duration::from_secs(12) };
/// Of one entry bundle; an entry and its framing are far below 70,000 bytes each.
const ENTRIES_BYTES_MAX: usize = 70_000 * TILE_WIDTH;

/// A checkpoint as a node gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The signed note.
    pub note: Bytes,
    /// The size that it states.
    pub size: TreeSize,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No node answers now.
    #[error("{0}")]
    Unavailable(String),
    /// The asker may not have it.
    #[error("{0}")]
    Refused(String),
    /// A node answered what can't be.
    #[error("{0}")]
    Wrong(String),
}

/// The questions that a gateway asks of a log.
pub trait Log: Send + Sync + 'static {
    /// The newest checkpoint; the sizes of two answers never go back.
    fn checkpoint(&self) -> impl Future<Output = Result<Seen, Trouble>> + Send;

    /// Content of a hash tile; `None` where the newest checkpoint doesn't cover it.
    fn tile(&self, coord: TileCoord) -> impl Future<Output = Result<Option<Bytes>, Trouble>> + Send;

    /// `count` entries from `first` on, for the caller with this certificate; `None` where the newest checkpoint doesn't
    /// cover them.
    fn entries(
        &self,
        first: u64,
        count: u16,
        caller: Spki,
    ) -> impl Future<Output = Result<Option<Vec<Vec<u8>>>, Trouble>> + Send;
}

/// The nodes of a profile.
pub struct Nodes {
    profile: Profile,
    /// Opened by the first question: a gateway starts before its nodes do.
    session: OnceCell<Session>,
    newest: Mutex<Option<(Seen, Instant)>>,
    /// Size of the newest checkpoint.
    size: AtomicU64,
    tiles: Tiles,
    questions: Semaphore,
    checkpoint_for: Duration,
}

impl Nodes {
    /// The nodes that `profile` names; nothing is asked yet.
    pub fn new(profile: Profile, limits: &Limits) -> Self {
        Self {
            profile,
            session: OnceCell::new(),
            newest: Mutex::default(),
            size: AtomicU64::new(0),
            tiles: Tiles::new(limits.tiles_cached),
            questions: Semaphore::new(limits.questions_max),
            checkpoint_for: Duration::from_millis(limits.checkpoint_ms),
        }
    }

    fn question(&self) -> Result<SemaphorePermit<'_>, Trouble> {
        let busy = |_| Trouble::Unavailable("too many questions at once: ask again in a second".to_owned());
        self.questions.try_acquire().map_err(busy)
    }

    async fn session(&self) -> Result<&Session, Trouble> {
        self.session.get_or_try_init(|| Session::open(self.profile.clone(), TIMEOUTS)).await.map_err(trouble)
    }

    async fn ask_checkpoint(&self) -> Result<Seen, Trouble> {
        let _place = self.question()?;
        let session = self.session().await?;
        let asked = |mut rpc: sillage_client::channel::Rpc| async move {
            rpc.get_checkpoint(GetCheckpointRequest::default()).await
        };
        let note = session.client.call(asked).await.map_err(trouble)?.note;
        // One node's word for a larger size would stay, as sizes never go back here.
        let trusted = session.trusted(&note).await.map_err(|error| {
            tracing::error!(%error, "a node gave a checkpoint that can't be handed on");
            Trouble::Wrong("a node gave something else than a checkpoint of this log".to_owned())
        })?;
        Ok(Seen { note: note.into(), size: trusted.checkpoint.size })
    }

    async fn ask_tile(&self, coord: TileCoord) -> Result<Option<Bytes>, Trouble> {
        let _place = self.question()?;
        let session = self.session().await?;
        let request = GetTileRequest { level: coord.level.into(), index: coord.index, width: coord.width.into() };
        let asked =
            session.client.call(|mut rpc: sillage_client::channel::Rpc| async move { rpc.get_tile(request).await });
        match asked.await {
            Ok(tile) if tile.hashes.len() == usize::from(coord.width) * 32 => Ok(Some(tile.hashes.into())),
            Ok(_) => Err(Trouble::Wrong("a node gave a tile of another width".to_owned())),
            Err(ClientError::Rejected(refused)) if refused.code == Code::SizeNotReached => Ok(None),
            Err(error) => Err(trouble(error)),
        }
    }
}

impl Log for Nodes {
    async fn checkpoint(&self) -> Result<Seen, Trouble> {
        // One question at a time: whoever waits gets the same answer.
        let mut newest = self.newest.lock().await;
        if let Some((seen, since)) = newest.as_ref()
            && since.elapsed() < self.checkpoint_for
        {
            return Ok(seen.clone());
        }
        let mut seen = self.ask_checkpoint().await?;
        if let Some((before, _)) = newest.take_if(|(before, _)| before.size > seen.size) {
            // The node that answered is behind another one.
            seen = before;
        }
        self.size.fetch_max(seen.size.get(), Ordering::AcqRel);
        *newest = Some((seen.clone(), Instant::now()));
        Ok(seen)
    }

    async fn tile(&self, coord: TileCoord) -> Result<Option<Bytes>, Trouble> {
        let place = (coord.level, coord.index);
        let is_full = usize::from(coord.width) == TILE_WIDTH;
        if let Some(tile) = self.tiles.get(place) {
            let bytes = usize::from(coord.width) * 32;
            return Ok(Some(tile.slice(..bytes.min(tile.len()))));
        }
        let known = TreeSize(self.size.load(Ordering::Acquire));
        if !coord.is_covered_by(known) && !coord.is_covered_by(self.checkpoint().await?.size) {
            return Ok(None);
        }
        let tile = self.ask_tile(coord).await?;
        if let Some(tile) = &tile
            && is_full
        {
            self.tiles.put(place, tile.clone());
        }
        Ok(tile)
    }

    async fn entries(&self, first: u64, count: u16, caller: Spki) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
        let _place = self.question()?;
        let session = self.session().await?;
        let asked = session.client.call(|rpc| collect(rpc, first, count, caller));
        match asked.await {
            Ok(entries) if entries.len() == usize::from(count) => Ok(Some(entries)),
            // It ends early at the newest checkpoint.
            Ok(_) => Ok(None),
            Err(ClientError::Rejected(refused)) if refused.code == Code::SizeNotReached => Ok(None),
            Err(error) => Err(trouble(error)),
        }
    }
}

/// Takes the messages of one call together.
async fn collect(
    mut rpc: sillage_client::channel::Rpc,
    first: u64,
    count: u16,
    caller: Spki,
) -> Result<Response<Vec<Vec<u8>>>, tonic::Status> {
    let request = GetEntriesRequest { first, count: count.into(), on_behalf_spki: caller.to_vec() };
    let mut messages = rpc.get_entries(request).await?.into_inner();
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(message) = messages.message().await? {
        for entry in message.entries {
            bytes += entry.entry.len();
            entries.push(entry.entry);
        }
        if entries.len() > usize::from(count) || bytes > ENTRIES_BYTES_MAX {
            return Err(tonic::Status::data_loss("the node gave more entries than it was asked for"));
        }
    }
    Ok(Response::new(entries))
}

fn trouble(error: ClientError) -> Trouble {
    match error {
        ClientError::Rejected(refused) if refused.code == Code::NotEntitled => Trouble::Refused(refused.message),
        ClientError::Unavailable(why) | ClientError::Quota(why) => {
            tracing::warn!(%why, "no node answers");
            Trouble::Unavailable("no node of the log answers now: ask again in a moment".to_owned())
        }
        error => {
            tracing::error!(%error, "the nodes don't serve this gateway");
            Trouble::Wrong("the nodes don't serve this gateway: its operator finds the reason in its log".to_owned())
        }
    }
}
