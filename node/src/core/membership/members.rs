//! The nodes of the group as they come and go: who this node knows, and what operators see and ask of it.
//!
//! Every node follows the node set of its ledger ([`follow`]): certificates that its peer port takes, ways to the
//! others. The leader brings Raft's members to the set ([`reconcile`]), a step at a time, from what is on record:
//! [`member_steps`](super::member_steps) says which. The authority's command line signs the acts; before, it asks the
//! leader whether the step may be taken ([`Core::change_member`]).
//!
//! Invariant: nothing but an act on record changes Raft's members. Whoever asks for a step changes none: an operator's key is
//! registered by one authority alone, and an act about nodes takes as many as the rule says.

use std::sync::Weak;
use std::time::Duration;

use sillage_cluster::{MemberChange, MembersError, MembersRefused};
use sillage_ledger::{LedgerReader, ReadError, Refusal};
use sillage_proof::keys::{PublicKey, SigningKey};
use sillage_proto::v1::{
    ChangeMemberRequest, ChangeMemberResponse, ClusterStatusRequest, Member, MemberStep, MembersResponse, NodeStatus,
    WitnessLine,
};
use sillage_rules::codes::Code;
use sillage_rules::node_set::{NodeSet, SetNode, majority};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::member_steps::{Next, RaftMembers, next};
use crate::config::NodeConfig;
use crate::core::checkpointing::share;
use crate::core::{Core, keyrings, led_term};
use crate::join;
use crate::peer::links::{Links, Place};
use crate::refusals::{from_read, refuse, unavailable};
use crate::tls::pin::Pins;

/// Between two looks at the node set while entries come.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two looks while none come.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// Between two looks of the leader at what is left to do.
const RECONCILE_EVERY: Duration = Duration::from_millis(200);
/// For a change of Raft's members to be applied.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A learner keeps up if it has applied within this what was committed when it was asked.
const CATCH_UP: Duration = Duration::from_secs(3);
/// Between two questions to it, and while a leader changes.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// A node that was removed keeps its connections until Raft has let go of it, this long at most: its vote may be needed to
/// choose the leader that lets go of it.
const LET_GO_MAX: Duration = Duration::from_secs(5);
/// A leader that was asked for leads this long: each change of leader costs everybody a moment, and operators may ask for one.
const LEADS_MIN: Duration = Duration::from_secs(10);
/// For a new leader to take over.
const MOVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A leader that was removed waits so long for one node to take over before it asks another.
const NEXT_HEIR_AFTER: Duration = Duration::from_secs(2);

/// The nodes that a removed leader asked to lead: none comes a second time before all that answer had their turn.
#[derive(Debug, Default)]
pub(super) struct Heirs {
    asked: Vec<u64>,
    at: Option<Instant>,
}

impl Heirs {
    fn is_waiting(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now.duration_since(at) < NEXT_HEIR_AFTER)
    }

    /// `live`: voters that answer, each with the Raft index up to which it has the log. Of those not asked yet, the one that
    /// has most.
    fn next(&mut self, live: &[(u64, u64)], now: Instant) -> Option<u64> {
        if live.iter().all(|(id, _)| self.asked.contains(id)) {
            self.asked.clear();
        }
        let rest = live.iter().filter(|(id, _)| !self.asked.contains(id));
        let (id, _) = rest.max_by_key(|(_, matched)| *matched)?;
        self.asked.push(*id);
        self.at = Some(now);
        Some(*id)
    }
}

/// Tells whether nodes that a set removed are still to be let go of by Raft, within their time, which begins anew with each set.
fn is_let_wait(waits: &mut Option<(u64, Instant)>, epoch: u64, now: Instant) -> bool {
    let since = match *waits {
        Some((of, since)) if of == epoch => since,
        _ => now,
    };
    *waits = Some((epoch, since));
    now.duration_since(since) < LET_GO_MAX
}

fn place(node: &SetNode) -> Place {
    Place {
        id: node.id,
        pin: node.tls_spki_sha256,
        peer_address: node.peer_address.clone(),
        client_address: node.client_address.clone(),
    }
}

/// Tells whether the ledger here has never heard of this node; a node that was removed it has.
fn is_newcomer(own: u64, set: &NodeSet) -> bool {
    own > set.id_max
}

/// The nodes that this node knows: those of the set; and those that its node.toml names with their certificates, as long as the
/// set has never heard of them: an operator names one of today's for a node that was away. A new member, which the ledger
/// here doesn't name yet, knows all that its node.toml names.
fn places(config: &NodeConfig, reader: &LedgerReader, set: &NodeSet) -> Vec<Place> {
    let mut places: Vec<Place> = set.nodes.iter().map(place).collect();
    let genesis = reader.genesis();
    for peer in config.other_peers() {
        let is_later = peer.id > set.id_max && peer.tls_spki_sha256.is_some();
        if is_later || is_newcomer(config.id, set) {
            let Some(pin) = join::first_pin(peer, genesis) else { continue };
            places.retain(|place| place.id != peer.id);
            let (peer_address, client_address) = (peer.address.clone(), peer.client_address.clone());
            places.push(Place { id: peer.id, pin, peer_address, client_address });
        }
    }
    places
}

/// Tells whether the ledger here names this node: not before a new member's first snapshot.
pub(in crate::core) fn is_named(config: &NodeConfig, reader: &LedgerReader) -> Result<bool, ReadError> {
    Ok(reader.node_set()?.node(config.id).is_some())
}

/// Makes the ways and takes the certificates of the nodes that are known at the start.
pub(in crate::core) fn begin(
    config: &NodeConfig,
    reader: &LedgerReader,
    links: &Links,
    pins: &Pins,
) -> Result<(), ReadError> {
    if config.isolated {
        return Ok(());
    }
    let places = places(config, reader, &reader.node_set()?);
    pins.set(places.iter().map(|place| (place.pin, place.id)));
    links.follow(places);
    Ok(())
}

/// Follows the node set of the ledger, until the node is gone.
pub(in crate::core) async fn follow(core: Weak<Core>) {
    let Some(mut applied) = core.upgrade().map(|core| core.applied.clone()) else {
        return;
    };
    let mut followed = None;
    let mut waits = None;
    loop {
        let Some(strong) = core.upgrade() else { return };
        let sets = strong.newest_node_set().and_then(|set| Ok((set, strong.reader.node_set()?)));
        match sets {
            Ok((set, applied))
                if set.epoch == applied.epoch
                    && strong.raft_members().outside(&set).next().is_some()
                    && is_let_wait(&mut waits, set.epoch, Instant::now()) => {}
            Ok((set, applied))
                if followed != Some((set.epoch, applied.epoch, applied.node(strong.config.id).is_some())) =>
            {
                followed = Some((set.epoch, applied.epoch, applied.node(strong.config.id).is_some()));
                strong.take_up(&set, &applied, &core);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the node set can't be read"),
        }
        strong.fetch_log_key().await;
        drop(strong);
        // The sender may be gone with the replica; then the pause alone paces.
        let _moved = timeout(LOOK_IDLE, applied.changed()).await;
        sleep(LOOK_EVERY).await;
    }
}

/// While this node leads: takes what step is left.
pub(in crate::core) async fn reconcile(core: Weak<Core>) {
    loop {
        sleep(RECONCILE_EVERY).await;
        let Some(core) = core.upgrade() else { return };
        if core.serves_as_leader() {
            core.note_leading();
            core.reconcile_once().await;
        }
    }
}

impl Core {
    /// `set`: the newest that is known; `applied`: that of the ledger here.
    fn take_up(&self, set: &NodeSet, applied: &NodeSet, weak: &Weak<Self>) {
        let own = self.config.id;
        let known: Vec<u64> = self.links.iter().map(|link| link.id).collect();
        let places = places(&self.config, &self.reader, set);
        self.membership.pins.set(places.iter().map(|place| (place.pin, place.id)));
        self.links.follow(places);
        if let Some(transport) = self.membership.transport.upgrade() {
            transport.follow();
        }
        self.keyrings.set_group(set.voters().ids());
        let new: Vec<u64> = self.links.iter().map(|link| link.id).filter(|id| !known.contains(id)).collect();
        let mut tasks = self.tasks.lock();
        tasks.extend(new.iter().map(|id| tokio::spawn(share::greet(weak.clone(), *id))));
        tasks.extend(new.iter().map(|id| tokio::spawn(keyrings::meet(weak.clone(), *id))));
        drop(tasks);
        let ids: Vec<u64> = set.nodes.iter().map(|node| node.id).collect();
        tracing::info!(epoch = set.epoch, nodes = ?ids, voters = ?set.voters, "the node set");
        if applied.node(own).is_some()
            && let Err(error) = join::give_token_up(&self.config)
        {
            tracing::error!(%error, "the token of a new member can't be given up");
        }
        if set.node(own).is_none() && !is_newcomer(own, set) {
            tracing::error!("this node was removed from the group: stop it, and destroy its disk and keyring");
        }
    }

    /// Raft's members, as they are applied here.
    pub(in crate::core) fn raft_members(&self) -> RaftMembers {
        let status = self.replica.status();
        RaftMembers {
            voters: status.core.voters.clone(),
            voters_outgoing: status.core.voters_outgoing.clone(),
            learners: status.core.learners.clone(),
        }
    }

    fn next_step(&self, set: &NodeSet) -> Result<Next, ReadError> {
        let proved = set.epoch == 0 || self.proof_of_node_set(set.epoch)?;
        Ok(next(set, &self.raft_members(), proved))
    }

    fn note_leading(&self) {
        let mut since = self.membership.leads_since.lock();
        if let Some(term) = led_term(&self.replica)
            && since.is_none_or(|(of, _)| of != term)
        {
            *since = Some((term, Instant::now()));
        }
    }

    /// How long this leader is still to lead.
    fn leads_for(&self) -> Duration {
        let since = self.membership.leads_since.lock().filter(|(term, _)| led_term(&self.replica) == Some(*term));
        since.map_or(LEADS_MIN, |(_, since)| LEADS_MIN.saturating_sub(since.elapsed()))
    }

    /// Hands leadership to a node of the set that answers, where this one was removed: the next leader lets go of it.
    async fn give_lead_away(&self, set: &NodeSet) {
        if self.membership.heirs.lock().is_waiting(Instant::now()) {
            return;
        }
        let raft = self.raft_members();
        let voters = set.voters.iter().copied().filter(|id| *id != self.config.id && raft.voters.contains(id));
        let asked = voters.map(async |id| {
            let status = self.status_of(id).await?;
            matches!(status.status.as_str(), "ok" | "warning").then_some(id)
        });
        let live = futures::future::join_all(asked).await;
        let peers = self.replica.status().core.peers.clone();
        let matched = |id: u64| peers.iter().find(|peer| peer.id == id).map_or(0, |peer| peer.matched);
        let live: Vec<(u64, u64)> = live.into_iter().flatten().map(|id| (id, matched(id))).collect();
        let next = self.membership.heirs.lock().next(&live, Instant::now());
        if let Some(next) = next {
            tracing::warn!(next, "this node was removed from the group: it hands leadership over");
            self.replica.transfer_leader(next);
        }
    }

    async fn reconcile_once(&self) {
        let set = self.reader.node_set();
        if let Ok(set) = &set
            && set.node(self.config.id).is_none()
            && !is_newcomer(self.config.id, set)
        {
            self.give_lead_away(set).await;
            return;
        }
        let step = set.and_then(|set| self.next_step(&set));
        let refused = match step {
            Ok(Next::Propose(change)) => {
                tracing::info!(?change, "bringing Raft's members to the node set");
                self.propose_members(change).await.err().map(|refusal| refusal.message)
            }
            Ok(Next::Settled | Next::Wait(_)) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = &refused {
            tracing::warn!(why, "Raft's members can't be brought to the node set yet");
        }
        *self.membership.refused.lock() = refused;
    }

    /// Proposes a change of Raft's members and waits until it is applied here.
    async fn propose_members(&self, change: MemberChange) -> Result<(), Refusal> {
        let (sender, done) = oneshot::channel();
        let answer = Box::new(move |result| {
            // Nobody waits any more.
            let _ = sender.send(result);
        });
        self.replica.propose_members(change, answer);
        match timeout(CHANGE_TIMEOUT, done).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(from_raft(error)),
            Ok(Err(_)) | Err(_) => Err(refuse(Code::Timeout)),
        }
    }

    /// The node set, Raft's members, and how each node is.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn members(&self) -> Result<MembersResponse, Refusal> {
        let statuses = self.cluster_status().await;
        let set = self.reader.node_set().map_err(|error| from_read(&error))?;
        let mut outstanding = Vec::new();
        match self.next_step(&set).map_err(|error| from_read(&error))? {
            Next::Settled => {}
            Next::Wait(why) => outstanding.push(why),
            Next::Propose(change) => outstanding.push(words(&change)),
        }
        outstanding.extend(self.membership.refused.lock().clone());
        if self.leader().is_none() {
            let id = self.config.id;
            outstanding = vec![format!("node {id} hears of no leader, so this may be old: ask another node")];
        }
        let raft = self.raft_members();
        let member = |node: &SetNode| self.described(node, &set, &raft, &statuses);
        let witnesses = self.config.witnesses.iter();
        Ok(MembersResponse {
            epoch: set.epoch,
            members: set.nodes.iter().map(member).collect(),
            voters_outgoing: set.voters_outgoing.clone(),
            next_id: set.next_id(),
            outstanding,
            witnesses: witnesses.map(|one| WitnessLine { url: one.url.clone(), vkey: one.vkey.clone() }).collect(),
        })
    }

    fn described(&self, node: &SetNode, set: &NodeSet, raft: &RaftMembers, statuses: &[NodeStatus]) -> Member {
        let status = statuses.iter().find(|status| status.id == node.id && status.reachable);
        let link = self.links.get(node.id);
        let own = (node.id == self.config.id).then(|| {
            let line = self.config.peers.iter().find(|peer| peer.id == node.id);
            let listens = (self.config.listen_client.clone(), self.config.listen_peer.clone());
            line.map_or(listens, |line| (line.client_address.clone(), line.address.clone()))
        });
        let linked = || link.map(|link| (link.address, link.peer_address)).unwrap_or_default();
        let on_record = !node.peer_address.is_empty();
        let (address, peer_address) = match on_record {
            true => (node.client_address.clone(), node.peer_address.clone()),
            false => own.unwrap_or_else(linked),
        };
        Member {
            id: node.id,
            name: node.name.clone(),
            key: node.key.as_bytes().to_vec(),
            tls_spki_sha256: node.tls_spki_sha256.to_vec(),
            address,
            peer_address,
            voter: set.voters().contains(node.id),
            raft_voter: raft.voters.contains(&node.id),
            raft_learner: raft.learners.contains(&node.id),
            reachable: status.is_some(),
            role: status.map(|status| status.role.clone()).unwrap_or_default(),
            applied: status.map_or(0, |status| status.applied),
            address_on_record: on_record,
        }
    }

    /// Tells whether a step may be taken, asked of the leader. It changes nothing: the act is the authorities' to sign, and Raft
    /// follows it once it is on record. For a node that leaves, the nodes that stay are given the log's next key.
    ///
    /// # Errors
    /// `NOT_LEADER`; `BUSY` while another change is under way; `ACT_REFUSED` with what is in the way.
    pub async fn change_member(&self, request: ChangeMemberRequest) -> Result<ChangeMemberResponse, Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        let _one = self.membership.changing.lock().await;
        self.up_to_date().await?;
        let set = self.reader.node_set().map_err(|error| from_read(&error))?;
        if !self.reader.may_change_nodes().map_err(|error| from_read(&error))? {
            let why = "not every node of this log knows yet that nodes come and go: update and start all of them";
            return Err(refused(why.to_owned()));
        }
        let id = request.id;
        let mut log_key = Vec::new();
        match request.step() {
            MemberStep::Add => self.settled(&set)?,
            MemberStep::Promote => self.may_vote(&set, id).await?,
            MemberStep::Remove => log_key = self.may_leave(&set, id, false).await?,
            MemberStep::Replace => log_key = self.may_leave(&set, id, true).await?,
            MemberStep::Unspecified => return Err(Refusal::new(Code::MalformedRequest, "the request names no step")),
        }
        Ok(ChangeMemberResponse { members: Some(self.members().await?), log_key })
    }

    fn settled(&self, set: &NodeSet) -> Result<(), Refusal> {
        match self.next_step(set).map_err(|error| from_read(&error))? {
            Next::Settled => Ok(()),
            Next::Wait(why) => Err(Refusal::new(Code::Busy, format!("another change is under way: {why}"))),
            Next::Propose(change) => {
                Err(Refusal::new(Code::Busy, format!("another change is under way: {}", words(&change))))
            }
        }
    }

    async fn may_vote(&self, set: &NodeSet, id: u64) -> Result<(), Refusal> {
        known(set, id)?;
        if set.voters().contains(id) {
            return Err(refused(format!("node {id} votes already")));
        }
        self.settled(set)?;
        let mut voters = set.voters.clone();
        voters.push(id);
        voters.sort_unstable();
        set.with_voters(&voters, &[]).map_err(|error| refused(error.to_string()))?;
        let committed = self.replica.status().core.commit;
        match self.applied_by(id, committed).await {
            Some(applied) if applied >= committed => Ok(()),
            Some(applied) => Err(refused(format!(
                "node {id} lags: it has applied {applied} of {committed} Raft entries; let it catch up (`sillage cluster member list`), then promote it"
            ))),
            None => Err(refused(format!(
                "node {id} doesn't answer: start it (`sillage-node serve --config DIR/node.toml`), let it catch up, then promote it"
            ))),
        }
    }

    /// The Raft index that a node has applied: as soon as it is `wanted`, or as it is after [`CATCH_UP`]; `None` where it
    /// doesn't answer.
    async fn applied_by(&self, id: u64, wanted: u64) -> Option<u64> {
        let until = Instant::now() + CATCH_UP;
        loop {
            let status = self.status_of(id).await;
            let applied = status.as_ref().map(|status| status.applied);
            if applied.is_some_and(|applied| applied >= wanted) || Instant::now() >= until {
                return applied;
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// How a node says it is; `None` where it doesn't answer.
    async fn status_of(&self, id: u64) -> Option<NodeStatus> {
        if id == self.config.id {
            return Some(self.local_status());
        }
        let mut client = self.links.get(id)?.calls;
        let call = client.status(ClusterStatusRequest { local_only: true });
        timeout(Duration::from_secs(1), call).await.ok()?.ok().map(tonic::Response::into_inner)
    }

    /// Tells whether a node may leave; gives the public half of the log's next key, which those that stay hold. The node stays in
    /// Raft until the act is applied.
    async fn may_leave(&self, set: &NodeSet, id: u64, must_be_dead: bool) -> Result<Vec<u8>, Refusal> {
        let node = known(set, id)?;
        let rest: Vec<u64> = set.voters.iter().copied().filter(|voter| *voter != id).collect();
        // The ledger's own refusals come first: no key is made for an act that can't follow.
        set.with_voters(&rest, &[id]).map_err(|error| refused(error.to_string()))?;
        self.check_removed(&[id])?;
        if must_be_dead
            && let Some(status) = self.status_of(id).await
            && status.role != "corrupt"
        {
            return Err(refused(format!(
                "node {id} ({}) answers: stop it before it is replaced, or take a sound node out with `sillage cluster member remove {id}`",
                node.name
            )));
        }
        let statuses = futures::future::join_all(rest.iter().map(|voter| self.status_of(*voter))).await;
        let live = statuses.iter().flatten().filter(|status| status.role != "corrupt").count();
        // The checkpoint that covers the act is cosigned by the voters before it, and who leaves gets neither any more.
        let needed = majority(rest.len()).max(majority(set.voters.len()));
        if live < needed {
            return Err(refused(format!(
                "of the {} voters that stay {live} answer, and {needed} are needed: they go on, and prove that node {id} is gone; start the others first, or add a node",
                rest.len()
            )));
        }
        let raft = self.raft_members();
        let proved = set.epoch == 0 || self.proof_of_node_set(set.epoch).map_err(|error| from_read(&error))?;
        if !raft.voters_outgoing.is_empty() || !proved || raft.outside(set).next().is_some() {
            return Err(Refusal::new(Code::Busy, "another change is under way: ask again in a moment"));
        }
        // A version from before took a node out of Raft ahead of its act.
        if let Some(other) = set.voters.iter().find(|voter| **voter != id && !raft.voters.contains(voter)) {
            let what = format!(
                "node {other} votes by the log's node set, and not in Raft: finish that change first (`sillage cluster member remove {other}`)"
            );
            return Err(Refusal::new(Code::Busy, what));
        }
        Ok(self.next_log_key(set.epoch, id).await?.as_bytes().to_vec())
    }

    /// A leader proposes no act that removes it: Raft could only let go of it under another leader.
    ///
    /// # Errors
    /// `ACT_REFUSED` if this node is among `removed`.
    pub(in crate::core) fn check_removed(&self, removed: &[u64]) -> Result<(), Refusal> {
        let id = self.config.id;
        match removed.contains(&id) {
            true => Err(refused(format!(
                "node {id} leads: hand over to another node first, `sillage cluster move-leader ID`"
            ))),
            false => Ok(()),
        }
    }

    /// The log's next key for when a node leaves: the same one for every question about this node and this set, so that
    /// whoever goes on asking fills no disk.
    async fn next_log_key(&self, epoch: u64, leaving: u64) -> Result<PublicKey, Refusal> {
        let made = {
            let mut next = self.membership.next_log_keys.lock();
            next.retain(|(of, _), _| *of == epoch);
            next.get(&(epoch, leaving)).cloned()
        };
        let key = match made {
            Some(key) => key,
            None => {
                let made = SigningKey::generate();
                made.map_err(|error| unavailable(format!("no randomness: {error}")))?
            }
        };
        self.spread_log_key(&key, leaving).await?;
        let public = key.public_key();
        self.membership.next_log_keys.lock().insert((epoch, leaving), key);
        Ok(public)
    }

    /// Hands leadership to a voter; gives who leads then.
    ///
    /// # Errors
    /// `NOT_LEADER`; `ACT_REFUSED` when it isn't a voter that answers and keeps up; `BUSY` in the first seconds of this leader;
    /// `UNAVAILABLE` when it didn't happen.
    pub async fn move_leader(&self, id: u64) -> Result<u64, Refusal> {
        if self.leader() == Some(id) {
            return Ok(id);
        }
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        let _one = self.membership.changing.lock().await;
        if !self.raft_members().voters.contains(&id) {
            return Err(refused(format!("node {id} doesn't vote: name one that does (`sillage cluster member list`)")));
        }
        let committed = self.replica.status().core.commit;
        if self.applied_by(id, committed).await.is_none_or(|applied| applied < committed) {
            return Err(refused(format!("node {id} doesn't answer, or lags: choose another one")));
        }
        let left = self.leads_for();
        if !left.is_zero() {
            let what =
                format!("node {} leads since a moment ago: ask again in {} s", self.config.id, left.as_secs() + 1);
            return Err(Refusal::new(Code::Busy, what));
        }
        self.replica.transfer_leader(id);
        let until = Instant::now() + MOVE_TIMEOUT;
        while Instant::now() < until {
            match self.leader() {
                Some(leader) if leader != self.config.id => return Ok(leader),
                _ => sleep(ASK_EVERY).await,
            }
        }
        Err(unavailable(format!("node {id} did not take over: ask again")))
    }
}

/// The codes say which refusals pass, so that the caller asks again, and which are final.
fn from_raft(error: MembersError) -> Refusal {
    use MembersRefused as Why;
    let code = match error {
        MembersError::Refused(Why::NotLeader { .. }) => Code::NotLeader,
        MembersError::Refused(Why::Busy | Why::UnderWay | Why::Joint) | MembersError::Superseded => Code::Busy,
        MembersError::ShuttingDown => Code::Unavailable,
        MembersError::Refused(_) => Code::ActRefused,
    };
    Refusal::new(code, error.to_string())
}

fn refused(message: String) -> Refusal {
    Refusal::new(Code::ActRefused, message)
}

fn known(set: &NodeSet, id: u64) -> Result<&SetNode, Refusal> {
    set.node(id).ok_or_else(|| match (1..=set.id_max).contains(&id) {
        true => refused(format!("node {id} was removed before, and its id never comes back")),
        false => refused(format!("the log has no node {id}: see `sillage cluster member list`")),
    })
}

/// A step of the leader, as operators read it.
fn words(change: &MemberChange) -> String {
    match change {
        MemberChange::AddLearner(id) => format!("Raft takes node {id} in as a learner"),
        MemberChange::Promote(ids) => format!("Raft lets {ids:?} vote"),
        MemberChange::Remove(ids) => format!("Raft lets go of {ids:?}"),
        MemberChange::Leave => "Raft ends the step with two majorities".to_owned(),
        other => format!("Raft's members change: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_set_that_removes_a_node_begins_its_time_anew() {
        let (mut waits, start) = (None, Instant::now());
        assert!(is_let_wait(&mut waits, 4, start));
        assert!(is_let_wait(&mut waits, 4, start + LET_GO_MAX - Duration::from_millis(1)));
        assert!(!is_let_wait(&mut waits, 4, start + LET_GO_MAX), "a slow removal");
        assert!(!is_let_wait(&mut waits, 4, start + 3 * LET_GO_MAX), "the same one");
        let next = start + 3 * LET_GO_MAX;
        assert!(is_let_wait(&mut waits, 5, next));
        assert!(!is_let_wait(&mut waits, 5, next + LET_GO_MAX));
    }

    #[tokio::test]
    async fn a_removed_leader_asks_each_node_that_answers_and_the_one_with_most_first() {
        let (mut heirs, now) = (Heirs::default(), Instant::now());
        assert_eq!(heirs.next(&[], now), None);
        assert!(!heirs.is_waiting(now));
        let live = [(1, 70), (3, 90), (4, 80)];
        assert_eq!(heirs.next(&live, now), Some(3));
        assert!(heirs.is_waiting(now) && !heirs.is_waiting(now + NEXT_HEIR_AFTER));
        assert_eq!(heirs.next(&live, now), Some(4));
        assert_eq!(heirs.next(&live, now), Some(1));
        assert_eq!(heirs.next(&live, now), Some(3), "from the beginning");
        assert_eq!(heirs.next(&live[..1], now), Some(1), "another one died");
        assert_eq!(heirs.next(&live[..1], now), Some(1), "nobody else answers");
    }
}
