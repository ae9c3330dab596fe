//! The ways to the other nodes ([`links`]): [`transport`] carries Raft's messages over them, [`fetch`] the files of snapshots. What a node
//! answers is in [`crate::service`].

pub mod fetch;
pub mod links;
pub mod transport;
