//! `cluster member` and `cluster move-leader`: nodes come and go by acts of the authority.
//!
//! Each command asks the leader first whether the step may be taken, then signs the act; what follows of it in the group
//! the leader does by itself, and goes on with after a crash. A command that broke off before its act was on record is run again.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use sillage_client::checks::failed;
use sillage_client::clock::now_ms;
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_proof::keys::PublicKey;
use sillage_proto::v1::{self, MemberStep};
use sillage_rules::act::Act;
use sillage_rules::node_set::{NodeSet, NodeSetChange, NodeSetError, SetNode, majority};
use sillage_rules::record::act_message;
use sillage_words::sentence::clean;
use sillage_words::time::rfc3339;
use tokio::time::Instant;

use crate::acts::submit_messages;
use crate::commands::cluster::node_folder::{self, NodePlan};
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the nodes, which of them vote, and what is still to do
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the folder of a new node, and put it on record as a learner: it gets everything and counts for nothing
    Add(NewNode),
    /// Let a learner that has caught up vote
    Promote {
        /// The node's id, as `member list` shows it
        id: u64,
    },
    /// Take a node out for good: it counts no more, and the group's keys are changed
    Remove {
        /// The node's id
        id: u64,
    },
    /// Replace a node that doesn't answer any more: take it out, and make the folder of a new one, under a new id
    Replace {
        /// The id of the node that is gone
        id: u64,
        #[command(flatten)]
        new: NewNode,
    },
}

#[derive(Debug, Args)]
pub struct NewNode {
    /// Where the new node serves, and where the other nodes find it
    #[arg(long, value_name = "HOST:PORT:PEERPORT")]
    pub address: NodeAddress,
    /// Its folder: a new one, to be carried to its machine
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `HOST:PORT:PEERPORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// For services.
    pub port: u16,
    /// For the other nodes.
    pub peer_port: u16,
}

impl NodeAddress {
    fn at(&self, port: u16) -> String {
        join(&self.host, port)
    }

    /// `host:port` for services.
    pub fn client(&self) -> String {
        self.at(self.port)
    }

    /// `host:port` for the other nodes.
    pub fn peer(&self) -> String {
        self.at(self.peer_port)
    }

    /// Where the node listens: its host where that is an address, else everywhere.
    pub fn listens(&self) -> (String, String) {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(_) => (self.client(), self.peer()),
            Err(_) => (join("0.0.0.0", self.port), join("0.0.0.0", self.peer_port)),
        }
    }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} isn't HOST:PORT:PEERPORT; an IPv6 address stands in brackets");
        let (rest, peer_port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port_of = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        let (port, peer_port) = (port_of(port)?, port_of(peer_port)?);
        match host.is_empty() || port == peer_port {
            true => Err(wrong()),
            false => Ok(Self { host: host.to_owned(), port, peer_port }),
        }
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Between two looks whether the group has followed an act.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub async fn run(context: &Context, command: MemberCommand) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    match command {
        MemberCommand::List { json } => list(&session, json).await,
        MemberCommand::Add(new) => {
            node_folder::check(&session.profile, &new.out)?;
            session.profile.authority_signing_key()?;
            add(context, &session, &new, None).await
        }
        MemberCommand::Promote { id } => promote(context, &session, id).await,
        MemberCommand::Remove { id } => {
            remove(context, &session, MemberStep::Remove, id).await?;
            Ok(Ended::Done)
        }
        MemberCommand::Replace { .. } if session.propose.is_some() => {
            let why = "what takes two acts isn't proposed at once: propose `cluster member remove`, have it signed and submit it, then `cluster member add`";
            Err(ClientError::Usage(why.to_owned()))
        }
        MemberCommand::Replace { id, new } => {
            node_folder::check(&session.profile, &new.out)?;
            let name = remove(context, &session, MemberStep::Replace, id).await?;
            add(context, &session, &new, Some(name)).await
        }
    }
}

/// `cluster move-leader`.
pub async fn move_leader(context: &Context, id: u64) -> Result<Ended, ClientError> {
    let session = context.session().await?;
    let request = v1::MoveLeaderRequest { id };
    let answer = session.client.call(|mut rpc| async move { rpc.move_leader(request).await }).await?;
    output::line(&json!({"leader": answer.leader}).to_string())?;
    Ok(Ended::Done)
}

async fn members(session: &Session) -> Result<v1::MembersResponse, ClientError> {
    session.client.call(|mut rpc| async move { rpc.members(v1::MembersRequest {}).await }).await
}

/// Asks the leader for a step; gives what it knows of the nodes then, and the log's next key where it made one.
async fn change(session: &Session, step: MemberStep, id: u64) -> Result<(v1::MembersResponse, Vec<u8>), ClientError> {
    let request = v1::ChangeMemberRequest { step: step.into(), id };
    let answer = session.client.call(|mut rpc| async move { rpc.change_member(request).await }).await?;
    let members = answer.members.ok_or_else(|| failed("the ledger names no nodes: ask another node"))?;
    Ok((members, answer.log_key))
}

/// The node set as the leader told it: what an act is made of. The ledger checks the act against its own.
fn set_of(members: &v1::MembersResponse) -> Result<NodeSet, ClientError> {
    let unreadable = || failed("the list of nodes cannot be read: ask another node");
    let node = |member: &v1::Member| {
        let recorded = |address: &String| if member.address_on_record { address.clone() } else { String::new() };
        Ok(SetNode {
            id: member.id,
            name: member.name.clone(),
            key: PublicKey::from_bytes(&member.key).map_err(|_| unreadable())?,
            tls_spki_sha256: member.tls_spki_sha256[..].try_into().map_err(|_| unreadable())?,
            client_address: recorded(&member.address),
            peer_address: recorded(&member.peer_address),
        })
    };
    let ids = |voter: bool| members.members.iter().filter(|one| one.voter == voter).map(|one| one.id).collect();
    Ok(NodeSet {
        epoch: members.epoch,
        nodes: members.members.iter().map(node).collect::<Result<_, ClientError>>()?,
        voters: ids(true),
        voters_outgoing: members.voters_outgoing.clone(),
        learners: ids(false),
        id_max: members.next_id.checked_sub(1).ok_or_else(unreadable)?,
    })
}

fn refused(error: NodeSetError) -> ClientError {
    ClientError::rejected(sillage_rules::codes::Code::ActRefused.as_str(), error.to_string())
}

/// Signs the act, and those that go with it, as one batch.
async fn record(session: &Session, change: NodeSetChange, with: Option<Act>) -> Result<Value, ClientError> {
    let acts = [Act::NodeSetChanged(change)].into_iter().chain(with);
    let receipt = submit_messages(session, acts.map(|act| act_message(&act, now_ms())).collect()).await?;
    Ok(json!({"index": receipt.first_index, "recorded_at": rfc3339(receipt.time_ms)}))
}

async fn add(context: &Context, session: &Session, new: &NewNode, name: Option<String>) -> Result<Ended, ClientError> {
    let (members, _) = change(session, MemberStep::Add, 0).await?;
    let set = set_of(&members)?;
    let id = set.next_id();
    let plan =
        NodePlan { id, name: name.unwrap_or_else(|| format!("node-{id}")), address: &new.address, members: &members };
    let node = node_folder::make(&session.profile, &new.out, &plan)?;
    let recorded = match set.adding(node).map_err(refused) {
        Ok(change) => record(session, change, None).await,
        Err(error) => Err(error),
    };
    let mut what = match recorded {
        Ok(what) => what,
        Err(error) => {
            if matches!(error, ClientError::Rejected(_)) {
                // Nothing is on record of it: its keys are of no use to anyone.
                let _ = std::fs::remove_dir_all(&new.out);
            }
            return Err(error);
        }
    };
    what["node"] = json!(id);
    what["folder"] = json!(new.out.display().to_string());
    output::line(&what.to_string())?;
    await_raft(context, session, id, |member| member.raft_learner || member.raft_voter).await?;
    output::note(&start(&new.out, id));
    Ok(Ended::Done)
}

fn start(out: &Path, id: u64) -> String {
    format!(
        "carry {} to its machine, start it with `sillage-node serve --config DIR/node.toml`, and when `sillage cluster member list` shows it level, `sillage cluster member promote {id}`",
        out.display()
    )
}

async fn promote(context: &Context, session: &Session, id: u64) -> Result<Ended, ClientError> {
    session.profile.authority_signing_key()?;
    let (members, _) = change(session, MemberStep::Promote, id).await?;
    let set = set_of(&members)?;
    let mut voters = set.voters.clone();
    voters.push(id);
    voters.sort_unstable();
    let change = set.with_voters(&voters, &[]).map_err(refused)?;
    let mut what = record(session, change, None).await?;
    what["node"] = json!(id);
    what["voters"] = json!(voters);
    output::line(&what.to_string())?;
    await_raft(context, session, id, |member| member.raft_voter).await?;
    Ok(Ended::Done)
}

/// Gives the name of the node that is gone.
async fn remove(context: &Context, session: &Session, step: MemberStep, id: u64) -> Result<String, ClientError> {
    session.profile.authority_signing_key()?;
    let (members, log_key) = change(session, step, id).await?;
    let set = set_of(&members)?;
    let name = set.node(id).map(|node| node.name.clone()).unwrap_or_default();
    let voters: Vec<u64> = set.voters.iter().copied().filter(|voter| *voter != id).collect();
    let key = PublicKey::from_bytes(&log_key).map_err(|_| failed("the leader made no key for the log: ask again"))?;
    let change = set.with_voters(&voters, &[id]).map_err(refused)?;
    let mut what = record(session, change, Some(Act::LogKeyRotated { key })).await?;
    what["removed"] = json!(id);
    what["log_key"] = json!(key.to_string());
    output::line(&what.to_string())?;
    if !await_left(context, session, id).await? {
        output::note(&format!(
            "it is on record, and the group goes on by itself. Keep node {id}'s disk until `sillage cluster member list` has no note any more and every voter has applied as much as the leader: until then it may be one of the few that hold the newest records"
        ));
        return Ok(name);
    }
    output::note(&format!(
        "destroy node {id}'s disk and its keyring: the log's key and every key-encryption key are being replaced, so what it holds is worth nothing for what comes; the VRF key can't be replaced, and whoever has that disk can go on telling which tag is whose"
    ));
    Ok(name)
}

/// Waits until nobody needs the disk of a node that was removed: Raft has let go of it, and a majority of those that stay holds
/// all that was recorded before. `false` if that takes longer than the command may.
async fn await_left(context: &Context, session: &Session, id: u64) -> Result<bool, ClientError> {
    let deadline = Instant::now() + context.timeouts.total;
    let mut recorded = None;
    loop {
        let seen = members(session).await?;
        let answers = |member: &&v1::Member| member.voter && member.reachable;
        let voters = || seen.members.iter().filter(answers);
        let newest = voters().map(|voter| voter.applied).max().unwrap_or(u64::MAX);
        let recorded = *recorded.get_or_insert(newest);
        let hold = voters().filter(|voter| voter.applied >= recorded).count();
        let needed = majority(seen.members.iter().filter(|member| member.voter).count());
        // A node that lags still lists it.
        let listed = seen.members.iter().any(|member| member.id == id);
        if !listed && seen.outstanding.is_empty() && hold >= needed {
            return Ok(true);
        }
        if Instant::now() + ASK_AGAIN >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Waits until Raft has followed the act. The act is on record: what takes longer goes on by itself.
async fn await_raft(
    context: &Context,
    session: &Session,
    id: u64,
    is_done: impl Fn(&v1::Member) -> bool,
) -> Result<(), ClientError> {
    let deadline = Instant::now() + context.timeouts.total;
    loop {
        let seen = members(session).await?;
        if seen.members.iter().any(|member| member.id == id && is_done(member)) {
            return Ok(());
        }
        if Instant::now() + ASK_AGAIN >= deadline {
            let why = seen.outstanding.join("; ");
            output::note(&format!("it is on record, and the group goes on by itself: {}", clean(&why)));
            return Ok(());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn list(session: &Session, as_json: bool) -> Result<Ended, ClientError> {
    let members = members(session).await?;
    if as_json {
        output::line(&members_json(&members).to_string())?;
        return Ok(Ended::Done);
    }
    output::line(&members_table(&members).to_string())?;
    for note in &members.outstanding {
        output::note(&clean(note));
    }
    Ok(Ended::Done)
}

fn votes(member: &v1::Member) -> &'static str {
    match (member.voter, member.raft_voter) {
        (true, true) => "voter",
        (true, false) if member.raft_learner => "becomes a voter",
        (true, false) => "is taken out",
        (false, _) => "learner",
    }
}

fn members_json(members: &v1::MembersResponse) -> Value {
    let of = |member: &v1::Member| {
        json!({
            "id": member.id, "name": member.name, "address": member.address, "peer_address": member.peer_address,
            "votes": member.voter, "raft": {"voter": member.raft_voter, "learner": member.raft_learner},
            "reachable": member.reachable, "role": member.role, "applied": member.applied,
            "key": hex::encode(&member.key), "tls_spki_sha256": hex::encode(&member.tls_spki_sha256),
        })
    };
    json!({
        "epoch": members.epoch,
        "next_id": members.next_id,
        "members": members.members.iter().map(of).collect::<Vec<_>>(),
        "outstanding": members.outstanding,
    })
}

fn members_table(members: &v1::MembersResponse) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["node", "address", "peer address", "counts as", "is", "applied"]);
    for member in &members.members {
        let is = match member.reachable {
            true => clean(&member.role),
            false => "unreachable".to_owned(),
        };
        let applied = if member.reachable { member.applied.to_string() } else { "-".to_owned() };
        table.add_row([
            format!("{} {}", member.id, clean(&member.name)),
            clean(&member.address),
            clean(&member.peer_address),
            votes(member).to_owned(),
            is,
            applied,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_two_ports() {
        let node: NodeAddress = "10.0.0.4:7400:7401".parse().expect("an address");
        assert_eq!((node.client(), node.peer()), ("10.0.0.4:7400".to_owned(), "10.0.0.4:7401".to_owned()));
        assert_eq!(node.listens(), (node.client(), node.peer()));
        let node: NodeAddress = "[fd00::4]:7400:7401".parse().expect("an address");
        assert_eq!(node.peer(), "[fd00::4]:7401");
        let node: NodeAddress = "four.example:7400:7401".parse().expect("an address");
        assert_eq!(node.listens().0, "0.0.0.0:7400");
        for bad in ["host:7400", "host:7400:7400", ":1:2", "host:0:1", "host:1:70000", "host"] {
            assert!(bad.parse::<NodeAddress>().is_err(), "{bad}");
        }
    }
}
