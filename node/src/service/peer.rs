//! The peer port's calls.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use sillage_cluster::DiskClaim;
use sillage_ledger::seal::TagPrefix;
use sillage_proto::internal::v1::peer_server::Peer;
use sillage_proto::internal::v1::{
    CosignRequest, CosignResponse, DecideRequest, DecideResponse, FetchFileRequest, FileChunk, ForwardRequest,
    ForwardResponse, GiveKeysRequest, GiveKeysResponse, KekStateRequest, KekStateResponse, KeyringRequest,
    KeyringResponse, LearnCheckpointRequest, LearnCheckpointResponse, NodesRequest, NodesResponse, PutKekRequest,
    PutKekResponse, PutKeksRequest, PutLogKeyRequest, PutLogKeyResponse, RaftDone, RaftMessage, RecordRequest,
    RecordResponse, StandingRequest, StandingResponse,
};
use sillage_proto::v1::{
    ClusterStatusRequest, ErasuresRequest, ErasuresResponse, GetCheckpointRequest, GetCheckpointResponse, NodeStatus,
};
use sillage_rules::codes::Code;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use zeroize::Zeroizing;

use crate::core::Core;
use crate::peer::fetch;
use crate::refusals::{refuse, to_info, to_status};
use crate::tls::Caller;

pub(super) struct PeerService {
    core: Arc<Core>,
}

impl PeerService {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The node that calls, by its certificate.
    fn node<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        let caller = request.extensions().get::<Caller>();
        let caller = caller.ok_or_else(|| to_status(&refuse(Code::NoCertificate)))?;
        let node = self.core.node_of_spki(&caller.spki_sha256);
        node.ok_or_else(|| to_status(&refuse(Code::UnknownCaller)))
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn raft(&self, request: Request<Streaming<RaftMessage>>) -> Result<Response<RaftDone>, Status> {
        let from = self.node(&request)?;
        let caller = request.extensions().get::<Caller>().copied();
        let mut messages = request.into_inner();
        while let Some(message) = messages.message().await? {
            // The stream may outlive the node's place in the group.
            if caller.and_then(|caller| self.core.node_of_spki(&caller.spki_sha256)) != Some(from) {
                return Err(to_status(&refuse(Code::UnknownCaller)));
            }
            if message.to != self.core.config().id {
                let wrong = format!("node {from} sent a message for node {}", message.to);
                return Err(Status::invalid_argument(wrong));
            }
            // A vote counts for whose it says it is: it must be whose certificate it came with.
            let says = sillage_cluster::sender_of(&message.message);
            if says != Some(from) {
                tracing::warn!(node = from, ?says, "a node sent a message of another one: the stream is cut");
                return Err(Status::permission_denied(format!("node {from} sent a message that isn't its own")));
            }
            let claim = match message.disk_run.is_empty() {
                true => None,
                false => {
                    let claim = DiskClaim::decode(&message.disk_run, &message.disk_starts);
                    let wrong =
                        || Status::invalid_argument("disk_run and disk_starts aren't the run and the starts of a disk");
                    Some(claim.ok_or_else(wrong)?)
                }
            };
            // What doesn't fit is dropped: the algorithm sends it again.
            self.core.step(claim, message.message);
        }
        Ok(Response::new(RaftDone {}))
    }

    async fn forward(&self, request: Request<ForwardRequest>) -> Result<Response<ForwardResponse>, Status> {
        self.node(&request)?;
        let ForwardRequest { batch, events } = request.into_inner();
        let batch = batch.ok_or_else(|| Status::invalid_argument("no batch"))?;
        let answer = match self.core.submit_forwarded(batch, events).await {
            Ok(done) => ForwardResponse { done: Some(done), error: None },
            Err(refusal) => ForwardResponse { done: None, error: Some(to_info(&refusal)) },
        };
        Ok(Response::new(answer))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        self.node(&request)?;
        let DecideRequest { decision, urgent, events } = request.into_inner();
        let decision = decision.ok_or_else(|| Status::invalid_argument("no requests"))?;
        let answer = match self.core.authorize_forwarded(decision, urgent, events).await {
            Ok(done) => DecideResponse { done: Some(done), error: None },
            Err(refusal) => DecideResponse { done: None, error: Some(to_info(&refusal)) },
        };
        Ok(Response::new(answer))
    }

    async fn checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        self.node(&request)?;
        let note = self.core.checkpoint_here(request.into_inner().size_min).await;
        let note = note.map_err(|refusal| to_status(&refusal))?.note.clone();
        Ok(Response::new(GetCheckpointResponse { note }))
    }

    async fn cosign(&self, request: Request<CosignRequest>) -> Result<Response<CosignResponse>, Status> {
        self.node(&request)?;
        let CosignRequest { size, wait_ms } = request.into_inner();
        // A task of its own: a caller that goes away must not stop between the lock and the disk, where a larger size could
        // be stored first and a smaller one over it.
        let core = Arc::clone(&self.core);
        let cosigned = tokio::spawn(async move { core.cosign(size, Duration::from_millis(wait_ms)).await });
        let cosigned = cosigned.await.map_err(|_| Status::internal("cosigning broke off"))?;
        let answer = match cosigned {
            Ok(vote) => {
                CosignResponse { root: vote.root.as_bytes().to_vec(), line: vote.line.to_string(), error: None }
            }
            Err(refusal) => CosignResponse { error: Some(to_info(&refusal)), ..CosignResponse::default() },
        };
        Ok(Response::new(answer))
    }

    async fn learn_checkpoint(
        &self,
        request: Request<LearnCheckpointRequest>,
    ) -> Result<Response<LearnCheckpointResponse>, Status> {
        let from = self.node(&request)?;
        let LearnCheckpointRequest { note, proving } = request.into_inner();
        self.core.shown(note).map_err(|refusal| to_status(&refusal))?;
        let proving = self.core.proving_notes(&proving);
        Ok(Response::new(LearnCheckpointResponse { note: self.core.newest_for(from), proving }))
    }

    async fn record(&self, request: Request<RecordRequest>) -> Result<Response<RecordResponse>, Status> {
        self.node(&request)?;
        let answer = match self.core.record_here(request.into_inner()).await {
            Ok(index) => RecordResponse { index: index.get(), error: None },
            Err(refusal) => RecordResponse { index: 0, error: Some(to_info(&refusal)) },
        };
        Ok(Response::new(answer))
    }

    async fn put_kek(&self, request: Request<PutKekRequest>) -> Result<Response<PutKekResponse>, Status> {
        self.node(&request)?;
        let (prefix, epoch, key) = kek(request.into_inner())?;
        let kept = self.core.put_kek(prefix, epoch, key).await;
        kept.map_err(|refusal| to_status(&refusal))?;
        Ok(Response::new(PutKekResponse {}))
    }

    async fn put_keks(&self, request: Request<PutKeksRequest>) -> Result<Response<PutKekResponse>, Status> {
        self.node(&request)?;
        let keys = request.into_inner().keys.into_iter().map(kek).collect::<Result<Vec<_>, _>>()?;
        self.core.put_keks(keys).await.map_err(|refusal| to_status(&refusal))?;
        Ok(Response::new(PutKekResponse {}))
    }

    async fn put_log_key(&self, request: Request<PutLogKeyRequest>) -> Result<Response<PutLogKeyResponse>, Status> {
        self.node(&request)?;
        let seed = Zeroizing::new(request.into_inner().seed);
        self.core.put_log_key(&seed).map_err(|refusal| to_status(&refusal))?;
        Ok(Response::new(PutLogKeyResponse {}))
    }

    async fn give_keys(&self, request: Request<GiveKeysRequest>) -> Result<Response<GiveKeysResponse>, Status> {
        let caller = self.node(&request)?;
        let given = self.core.give_keys(caller, request.get_ref()).await;
        given.map(Response::new).map_err(|refusal| to_status(&refusal))
    }

    async fn kek_state(&self, request: Request<KekStateRequest>) -> Result<Response<KekStateResponse>, Status> {
        self.node(&request)?;
        Ok(Response::new(self.core.kek_state()))
    }

    async fn keyring(&self, request: Request<KeyringRequest>) -> Result<Response<KeyringResponse>, Status> {
        self.node(&request)?;
        Ok(Response::new(self.core.keyrings().compared_with(&request.into_inner().digest)))
    }

    async fn erasures(&self, request: Request<ErasuresRequest>) -> Result<Response<ErasuresResponse>, Status> {
        self.node(&request)?;
        let answer = self.core.erasures_here(request.into_inner()).await;
        answer.map(Response::new).map_err(|refusal| to_status(&refusal))
    }

    type FetchFileStream = Pin<Box<dyn Stream<Item = Result<FileChunk, Status>> + Send>>;

    async fn fetch_file(&self, request: Request<FetchFileRequest>) -> Result<Response<Self::FetchFileStream>, Status> {
        self.node(&request)?;
        let FetchFileRequest { snapshot, file, offset, prefix_sha256 } = request.into_inner();
        self.core.may_give_state().map_err(|refusal| to_status(&refusal))?;
        let path = self.core.snapshot_file(&snapshot, &file);
        let path = path.ok_or_else(|| Status::invalid_argument("not a file of a snapshot"))?;
        let gone = |error: std::io::Error| Status::not_found(format!("{file}: {error}"));
        let source = tokio::fs::File::open(path).await.map_err(gone)?.into_std().await;
        let (sender, chunks) = mpsc::channel(4);
        let core = Arc::clone(&self.core);
        tokio::task::spawn_blocking(move || {
            let read = fetch::read_out(source, offset, &prefix_sha256, |chunk| {
                // It may have come into doubt meanwhile.
                let chunk = core.may_give_state().map(|()| chunk).map_err(|refusal| to_status(&refusal));
                let goes_on = chunk.is_ok();
                sender.blocking_send(chunk).is_ok() && goes_on
            });
            if let Err(error) = read {
                // Nobody may listen any more.
                let _ = sender.blocking_send(Err(Status::internal(error.to_string())));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(chunks))))
    }

    async fn standing(&self, request: Request<StandingRequest>) -> Result<Response<StandingResponse>, Status> {
        let from = self.node(&request)?;
        Ok(Response::new(self.core.standing(from, &request.into_inner())))
    }

    async fn nodes(&self, request: Request<NodesRequest>) -> Result<Response<NodesResponse>, Status> {
        self.node(&request)?;
        let changes = self.core.key_rotations(request.into_inner().rotations_from).await;
        let (rotations, more_rotations) = changes.map_err(|refusal| to_status(&refusal))?;
        Ok(Response::new(NodesResponse { rotations, more_rotations }))
    }

    async fn status(&self, request: Request<ClusterStatusRequest>) -> Result<Response<NodeStatus>, Status> {
        self.node(&request)?;
        Ok(Response::new(self.core.local_status()))
    }
}

/// A key-encryption key as it came.
#[allow(clippy::result_large_err)]
fn kek(request: PutKekRequest) -> Result<(TagPrefix, u32, Zeroizing<[u8; 32]>), Status> {
    let key = Zeroizing::new(request.key);
    let prefix = u16::try_from(request.prefix).ok().and_then(TagPrefix::new);
    let prefix = prefix.ok_or_else(|| Status::invalid_argument("a prefix is below 4,096"))?;
    let key = <[u8; 32]>::try_from(&key[..]).map_err(|_| Status::invalid_argument("a key is 32 bytes"))?;
    match request.epoch {
        0 => Err(Status::invalid_argument("epochs begin at 1")),
        epoch => Ok((prefix, epoch, Zeroizing::new(key))),
    }
}
